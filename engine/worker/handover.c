/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload, seen from both workers. The old one gives its connections away: their descriptors as
 * messages, and in the baton, in the same order, what it had not framed of each. The new one takes
 * the state of the old hold into its own: counters and places by the inputs' and outputs' names,
 * what queues still hold for outputs that stay (queue_move.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/queue_move.h"

/* A connection in the baton, followed by its unframed bytes. */
struct baton_entry {
    char input[YARDER_NAME_BYTES_MAX];
    uint64_t skip_bytes;
    uint32_t detected;
    uint32_t skip_to_end;
    uint32_t unframed_bytes;
    uint32_t unused;
};

static int write_all(int fd, const void *bytes, size_t bytes_count)
{
    const char *at = bytes;
    while (bytes_count > 0) {
        ssize_t r = write(fd, at, bytes_count);
        if (r < 0) {
            return -errno;
        }
        at += r;
        bytes_count -= (size_t)r;
    }
    return 0;
}

static int give_stream(struct worker *worker, struct stream_input *stream, int baton_fd)
{
    struct yarder_text unframed = framer_unframed(&stream->framer);
    struct baton_entry entry = {.skip_bytes = stream->framer.skip_bytes,
        .detected = stream->framer.detected,
        .skip_to_end = stream->framer.skip_to_end,
        .unframed_bytes = (uint32_t)unframed.length};
    (void)snprintf(entry.input, sizeof(entry.input), "%s", stream->input->config->name);
    int r = write_all(baton_fd, &entry, sizeof(entry));
    if (r == 0) {
        r = write_all(baton_fd, unframed.at, unframed.length);
    }
    if (r < 0) {
        return r;
    }
    struct channel_message message =
        channel_message_of(CHANNEL_CONNECTION, stream->input->index, 0);
    message.fds[0] = stream->source.fd;
    return channel_send(worker->channel_fd, &message, 5000);
}

void handover_give(struct worker *worker)
{
    YARDER_OWN_FD int baton_fd = memfd_create("yarder-baton", MFD_CLOEXEC);
    for (struct stream_input *stream = worker->streams; stream != NULL; stream = stream->next) {
        io_remove(worker->io, &stream->source);
        int r = baton_fd < 0 ? -errno : give_stream(worker, stream, baton_fd);
        if (r < 0) {
            worker_say(worker, "a connection of input %s is closed: it cannot be handed over: %s",
                stream->input->config->name, strerror(-r));
        }
    }
    worker_stop_reading(worker, true);
    while (worker->streams != NULL) {
        struct stream_input *stream = worker->streams;
        worker->streams = stream->next;
        stream_close(stream);
    }
    if (worker->dirty) {
        worker_commit(worker);
    }
    /* Producers ring, and wait, for whoever has the lease: not for us any more. */
    while (worker->rings != NULL) {
        struct ring_input *ring = worker->rings;
        worker->rings = ring->next;
        ring_input_close(ring, false);
    }
    struct channel_message baton = channel_message_of(CHANNEL_BATON, 0, 0);
    baton.fds[0] = baton_fd;
    (void)!channel_send(worker->channel_fd, &baton, 5000);
    const struct channel_message quieted = channel_message_of(CHANNEL_QUIETED, 0, 0);
    (void)!channel_send(worker->channel_fd, &quieted, 5000);
}

static uint32_t input_named(const struct daemon_config *config, const char *name)
{
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        if (strcmp(config->inputs[i].name, name) == 0) {
            return i;
        }
    }
    return HOLD_NONE;
}

static int take_stream(
    struct worker *worker, const struct baton_entry *entry, const char *unframed, int fd)
{
    uint32_t input = input_named(worker->config, entry->input);
    if (input == HOLD_NONE) {
        (void)close(fd); /* its input left the configuration */
        return 0;
    }
    struct stream_input *stream = NULL;
    int r = worker_add_stream(worker, input, fd, &stream);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    const struct yarder_text bytes = {unframed, entry->unframed_bytes};
    return framer_restore(&stream->framer, (enum frame_kind)entry->detected,
        entry->skip_to_end != 0, entry->skip_bytes, bytes);
}

int handover_take_streams(struct worker *worker, struct preparation *preparation)
{
    struct stat facts;
    if (preparation->baton_fd < 0 || fstat(preparation->baton_fd, &facts) < 0 ||
        facts.st_size == 0) {
        return 0;
    }
    size_t size = (size_t)facts.st_size;
    char *baton = mmap(NULL, size, PROT_READ, MAP_PRIVATE, preparation->baton_fd, 0);
    if (baton == MAP_FAILED) {
        return -errno;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < preparation->streams_count; i++) {
        struct baton_entry entry;
        if (size - at < sizeof(entry)) {
            break;
        }
        memcpy(&entry, baton + at, sizeof(entry));
        at += sizeof(entry);
        if (size - at < entry.unframed_bytes) {
            break;
        }
        if (take_stream(worker, &entry, baton + at, preparation->streams[i]) < 0) {
            worker_say(worker, "a connection of input %s could not be taken over", entry.input);
        }
        at += entry.unframed_bytes;
    }
    (void)munmap(baton, size);
    return 0;
}

/* The output of `config` that goes on with what `output` had waiting; HOLD_NONE: none. */
static uint32_t output_continued(
    const struct daemon_config *config, const struct output_config *output)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *other = &config->outputs[i];
        if (strcmp(other->name, output->name) == 0 && other->kind == output->kind &&
            strcmp(other->target, output->target) == 0) {
            return i;
        }
    }
    return HOLD_NONE;
}

uint64_t handover_left(const struct daemon_config *old, const struct daemon_config *config)
{
    uint64_t left = 0;
    for (uint32_t i = 0; i < old->outputs_count; i++) {
        if (output_continued(config, &old->outputs[i]) == HOLD_NONE) {
            left |= UINT64_C(1) << i;
        }
    }
    return left;
}

static void take_pipe(struct worker *worker, const struct hold *old, uint32_t from, uint32_t to)
{
    const struct hold_pipe *place = &old->pipes[from];
    const char *half = hold_pipe_half(old, from, place->half);
    uint32_t rest =
        (uint32_t)yarder_min(place->end - place->start, worker->hold->shape.pipe_half_bytes);
    memcpy(hold_pipe_half(worker->hold, to, 0), half + place->start, rest);
    worker->hold->pipes[to] = (struct hold_pipe){
        .end = rest, .skip_to_end = place->skip_to_end, .skip_bytes = place->skip_bytes};
    pipe_live_reset(worker->hold, to, rest);
}

static void take_input(struct worker *worker, const struct hold *old,
    const struct daemon_config *old_config, uint32_t from, uint32_t to)
{
    worker->hold->inputs[to] = old->inputs[from];
    const struct input_config *input = &old_config->inputs[from];
    uint32_t count = pipes_of_kind(input->kind);
    bool same = worker->config->inputs[to].kind == input->kind &&
                strcmp(worker->config->inputs[to].target, input->target) == 0;
    for (uint32_t i = 0; i < count && same; i++) {
        enum yarder_stream stream = i == 0 ? YARDER_STREAM_STDOUT : YARDER_STREAM_STDERR;
        take_pipe(worker, old, pipe_of(old_config->inputs, from, stream),
            pipe_of(worker->config->inputs, to, stream));
    }
}

static void take_regions(
    struct worker *worker, const struct hold *old, const struct daemon_config *old_config)
{
    struct hold *hold = worker->hold;
    for (uint32_t i = 0; i < *old->regions_used && i < hold->shape.regions_max; i++) {
        struct hold_region *from = hold_region_at(old, i);
        struct hold_region *to = hold_region_at(hold, i);
        *to = *from;
        uint32_t rings = (uint32_t)yarder_min(old->shape.rings_max, hold->shape.rings_max);
        memcpy(hold_region_cursors(to), hold_region_cursors(from), rings * sizeof(uint64_t));
        (void)old_config;
    }
    *hold->regions_used = (uint32_t)yarder_min(*old->regions_used, hold->shape.regions_max);
    for (uint32_t i = 0; i < old->shape.joins_count && i < hold->shape.joins_count; i++) {
        hold->joins[i] = old->joins[i];
        uint32_t bytes = (uint32_t)yarder_min(old->shape.join_bytes, hold->shape.join_bytes);
        memcpy(hold_join_bytes(hold, i), hold_join_bytes(old, i), bytes);
        if (old->shape.join_bytes != hold->shape.join_bytes) {
            hold->joins[i].fields_bytes = 0; /* they lie behind the text, at record-max */
            hold->joins[i].text_bytes =
                (uint32_t)yarder_min(hold->joins[i].text_bytes, bytes - JOIN_FIELDS_BYTES);
        }
    }
}

int handover_take(struct worker *worker, struct preparation *preparation)
{
    const struct daemon_config *old_config = preparation->old_config;
    struct hold *old = NULL;
    int r = old_config == NULL ? -EPROTO : hold_open(&old, preparation->old_hold_fd);
    if (r == 0) {
        r = hold_load(old);
    }
    if (r < 0) {
        hold_close(old);
        return r;
    }
    *worker->hold->router = *old->router;
    for (uint32_t i = 0; i < old_config->inputs_count; i++) {
        uint32_t to = input_named(worker->config, old_config->inputs[i].name);
        if (to != HOLD_NONE) {
            take_input(worker, old, old_config, i, to);
        }
    }
    if (worker->hold->shape.regions_max > 0) {
        take_regions(worker, old, old_config);
    }
    for (uint32_t i = 0; i < old_config->outputs_count && r == 0; i++) {
        uint32_t to = output_continued(worker->config, &old_config->outputs[i]);
        if (to != HOLD_NONE) {
            r = queues_move(old, i, worker->hold, to, preparation->queue_from);
        }
    }
    hold_close(old);
    return r;
}
