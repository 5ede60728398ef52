/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records out of connections and datagram sockets. Their bytes cannot be taken again, so a chunk
 * stays under way, with the batch framed from it, until all its records are placed.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "worker/accept.h"
#include "worker/lines.h"

enum { SOURCES_EACH_PASS = 256, CHUNKS_EACH_PASS = 64 };
static const uint64_t idle_look_every_ns = 1000ull * 1000 * 1000;

static void feed_frame(struct worker *worker)
{
    struct feed *feed = &worker->feed;
    batch_clear(worker->batch);
    worker->batch->limit = YARDER_BATCH_RECORDS;
    feed->placed = 0;
    if (feed->source->owner_kind == SOURCE_DATAGRAM) {
        datagram_frame(feed->source->owner, &feed->chunk, &feed->at, worker->batch);
        return;
    }
    struct stream_input *stream = feed->source->owner;
    if (feed->at < feed->chunk.bytes_count) {
        stream_frame(stream, &feed->chunk, &feed->at, worker->batch);
    }
    if (feed->at == feed->chunk.bytes_count && (feed->chunk.flags & IO_CHUNK_END) != 0 &&
        batch_room(worker->batch) > 0 && worker->batch->count == 0) {
        stream_finish(stream, true, worker->batch);
        feed->chunk.flags &= ~(uint32_t)IO_CHUNK_END;
        feed->ended = true;
    }
}

static bool feed_is_framed(const struct feed *feed)
{
    return feed->at == feed->chunk.bytes_count && (feed->chunk.flags & IO_CHUNK_END) == 0;
}

/* Tells connections of an input apart. */
static uint32_t number_of(const struct io_source *source)
{
    return source->owner_kind == SOURCE_STREAM
               ? ((const struct stream_input *)source->owner)->number
               : 0;
}

/* The chunk is through: its buffer goes back, a connection that ended is closed. */
static void feed_done(struct worker *worker)
{
    struct feed *feed = &worker->feed;
    struct io_source *source = feed->source;
    bool ended = feed->ended;
    io_give(worker->io, &feed->chunk);
    *feed = (struct feed){0};
    worker->batch->count = 0;
    if (ended) {
        lines_ended(worker, number_of(source));
        worker_drop_stream(worker, source->owner);
    }
}

bool feed_flush(struct worker *worker)
{
    struct feed *feed = &worker->feed;
    while (feed->source != NULL) {
        uint32_t waiting = worker->batch->count - feed->placed;
        uint32_t placed = lines_place(
            worker, number_of(feed->source), worker->batch->records + feed->placed, waiting);
        feed->placed += placed;
        worker->dirty |= placed > 0;
        if (placed < waiting) {
            return false;
        }
        if (feed_is_framed(feed)) {
            feed_done(worker);
        } else {
            feed_frame(worker);
        }
    }
    return true;
}

/* A connection that broke: what it left unfinished is delivered, flagged. */
static bool stream_broke(struct worker *worker, struct stream_input *stream)
{
    batch_clear(worker->batch);
    worker->batch->limit = YARDER_BATCH_RECORDS;
    stream_finish(stream, false, worker->batch);
    worker->feed = (struct feed){.source = &stream->source, .ended = true};
    return feed_flush(worker);
}

/* Out of memory, most likely: the loop has paused it, and what the kernel drops it counts. */
static void datagram_failed(struct worker *worker, struct datagram_input *datagram, int error)
{
    datagram->input->counts->errors++;
    worker->dirty = true;
    if (worker_may_say(worker, &datagram->failed_said_ns)) {
        worker_say(worker, "input %s: receive: %s; trying again", datagram->input->config->name,
            strerror(-error));
    }
    source_later(worker, &datagram->source);
}

/* Chunks of one source, up to a share of the pass. false: a record must wait. */
static bool feed_source(struct worker *worker, struct io_source *source)
{
    for (unsigned chunks = 0; chunks < CHUNKS_EACH_PASS; chunks++) {
        struct io_chunk chunk;
        int r = io_take(worker->io, source, &chunk);
        if (r == 0) {
            return true;
        }
        if (r < 0 && source->owner_kind == SOURCE_DATAGRAM) {
            datagram_failed(worker, source->owner, r);
            return true;
        }
        if (r < 0) {
            return stream_broke(worker, source->owner);
        }
        if (source->owner_kind == SOURCE_STREAM) {
            ((struct stream_input *)source->owner)->heard_ns = worker->now_ns;
        }
        worker->dirty = true;
        /* Asked now: a connection that is through is freed by the flush, and its source with it. */
        bool last = (chunk.flags & IO_CHUNK_END) != 0 && source->owner_kind == SOURCE_STREAM;
        worker->feed = (struct feed){.source = source, .chunk = chunk};
        feed_frame(worker);
        if (!feed_flush(worker)) {
            return false;
        }
        if (last) {
            return true;
        }
        if (worker->sink.budget_bytes <= 0) {
            break; /* it stays in the loop's list of ready ones */
        }
    }
    worker->more = true;
    return true;
}

bool feed_leftovers(struct worker *worker)
{
    if (!feed_flush(worker)) {
        return false;
    }
    struct stream_input *next = NULL;
    for (struct stream_input *stream = worker->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (!feed_source(worker, &stream->source)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < worker->config->inputs_count; i++) {
        struct io_source *source = &worker->datagrams[i].source;
        if (source->fd >= 0 && !feed_source(worker, source)) {
            return false;
        }
    }
    return true;
}

static void answer_doorbell(struct worker *worker, struct ring_input *ring)
{
    ring_input_answer(ring);
    if (ring->doorbell_ended) {
        io_remove(worker->io, &ring->doorbell);
    }
    worker->more = true;
}

/* One that gave little in this pass is told again by the next wait, which may be a nap. */
static void call_pipe(struct worker *worker, struct pipe_input *pipe)
{
    if (pipe->little_ns != worker->now_ns) {
        pipe->hungry = true;
        worker->pipes_call = true;
    }
}

/* What is only "readable". */
static void ready_source(struct worker *worker, struct io_source *source)
{
    struct io_chunk nothing;
    uint64_t count = 0;
    if (io_take(worker->io, source, &nothing) <= 0) {
        return;
    }
    switch ((enum source_owner)source->owner_kind) {
    case SOURCE_CHANNEL:
        worker_listen(worker);
        return;
    case SOURCE_LANES:
        (void)!read(source->fd, &count, sizeof(count));
        return;
    case SOURCE_LISTENER:
        accept_some(worker, source->owner);
        return;
    case SOURCE_DOORBELL:
        answer_doorbell(worker, source->owner);
        return;
    case SOURCE_PIPE:
        call_pipe(worker, source->owner);
        return;
    case SOURCE_STREAM:
    case SOURCE_DATAGRAM:
        return;
    }
}

/* Nothing came for idle-timeout, and nothing waits to be taken: not by us, not by the kernel. */
static bool is_idle(const struct worker *worker, const struct stream_input *stream)
{
    uint64_t timeout_ns = stream->input->config->idle_timeout_ns;
    char byte = 0;
    return timeout_ns > 0 && worker->now_ns > stream->heard_ns &&
           worker->now_ns - stream->heard_ns >= timeout_ns && !io_has(&stream->source) &&
           recv(stream->source.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

/* Connections of peers that have gone without a word, or might as well. */
static bool close_idle(struct worker *worker)
{
    if (worker->now_ns < worker->idle_look_ns) {
        return true;
    }
    worker->idle_look_ns = worker->now_ns + idle_look_every_ns;
    struct stream_input *next = NULL;
    for (struct stream_input *stream = worker->streams; stream != NULL; stream = next) {
        next = stream->next;
        if (is_idle(worker, stream) && !stream_broke(worker, stream)) {
            return false;
        }
    }
    return true;
}

bool feed_sources(struct worker *worker)
{
    sources_again(worker);
    if (!close_idle(worker)) {
        return false;
    }
    for (unsigned i = 0; i < SOURCES_EACH_PASS && worker->sink.budget_bytes > 0; i++) {
        struct io_source *source = io_next(worker->io);
        if (source == NULL) {
            return true;
        }
        if (source->kind == IO_READY) {
            ready_source(worker, source);
        } else if (!feed_source(worker, source)) {
            return false;
        }
    }
    worker->more = true;
    return true;
}
