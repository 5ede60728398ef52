/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records out of connections and datagram sockets. Their bytes cannot be taken again, so a chunk
 * stays under way, with the batch framed from it, until all its records are placed.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "worker/worker_private.h"

enum { SOURCES_EACH_PASS = 256, CHUNKS_EACH_PASS = 64, ACCEPTS_EACH_TIME = 64 };

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
        worker_drop_stream(worker, source->owner);
    }
}

bool feed_flush(struct worker *worker)
{
    struct feed *feed = &worker->feed;
    while (feed->source != NULL) {
        uint32_t waiting = worker->batch->count - feed->placed;
        uint32_t placed = sink_place(
            &worker->sink, worker->batch->records + feed->placed, waiting, worker->now_ns);
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

/* Chunks of one source, up to a share of the pass. false: a record must wait. */
static bool feed_source(struct worker *worker, struct io_source *source)
{
    for (unsigned chunks = 0; chunks < CHUNKS_EACH_PASS; chunks++) {
        struct io_chunk chunk;
        int r = io_take(worker->io, source, &chunk);
        if (r == 0) {
            return true;
        }
        if (r < 0) {
            return source->owner_kind != SOURCE_STREAM || stream_broke(worker, source->owner);
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

/* Without a descriptor to spare the connection would stay, and wake us for ever: it is closed. */
static void refuse_one(struct listener_input *listener)
{
    static int spare_fd = -1; /* given up for a moment, to accept with */
    int fd = -1;
    yarder_fd_drop(&spare_fd);
    if (stream_accept(listener->source.fd, &fd) == 0) {
        listener->input->counts->connections_refused++;
        (void)close(fd);
    }
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct worker *worker, struct listener_input *listener)
{
    for (unsigned i = 0; i < ACCEPTS_EACH_TIME; i++) {
        int fd = -1;
        int r = stream_accept(listener->source.fd, &fd);
        if (r == -EMFILE || r == -ENFILE) {
            worker->dirty = true;
            refuse_one(listener);
            return;
        }
        if (r < 0) {
            return;
        }
        worker->dirty = true;
        struct stream_input *stream = NULL;
        if (listener->connections >= listener->input->config->connections_max ||
            worker_add_stream(worker, listener->input->index, fd, &stream) < 0) {
            listener->input->counts->connections_refused++;
            (void)close(fd);
            continue;
        }
        listener->input->counts->connections++;
    }
}

static void answer_doorbell(struct worker *worker, struct ring_input *ring)
{
    ring_input_answer(ring);
    if (ring->doorbell_ended) {
        io_remove(worker->io, &ring->doorbell);
    }
    worker->more = true;
}

/* What is only "readable". Pipes are looked at in each pass anyway. */
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
        ((struct pipe_input *)source->owner)->hungry = true;
        worker->more = true;
        return;
    case SOURCE_STREAM:
    case SOURCE_DATAGRAM:
        return;
    }
}

bool feed_sources(struct worker *worker)
{
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
