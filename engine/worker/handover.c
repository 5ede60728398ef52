/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reload, seen from both workers. The old one gives its connections away: their descriptors as
 * messages, each with its place in the baton, where what it had not framed of it stands. The new
 * one takes the state of the old hold into its own: an address or a file goes on whatever it is
 * called now, with its counters and what waits for it (queue_move.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/crash.h"
#include "outputs/sweep.h"
#include "queue/spool.h"
#include "worker/lines.h"
#include "worker/queue_move.h"
#include "worker/status.h"

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
    off_t at = lseek(baton_fd, 0, SEEK_CUR);
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
        channel_message_of(CHANNEL_CONNECTION, stream->input->index, (uint64_t)at);
    message.pid = (uint32_t)getpid();
    message.fds[0] = stream->source.fd;
    return channel_send(worker->channel_fd, &message, 5000);
}

/* What no queue had room for in all this time is dropped and counted, as if none would block. */
static void force_leftovers(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        worker->outputs[i].block_limit_ns = 0;
    }
    worker->sink.blocking = 0;
    bool room = true;
    do { /* ends: paused sources have no more than the loop's buffers */
        worker->more = false;
        room = feed_leftovers(worker);
    } while (room && worker->more);
    YARDER_ASSERT(room);
    worker->dirty = true;
}

static void close_rings(struct ring_input **list)
{
    while (*list != NULL) {
        struct ring_input *ring = *list;
        *list = ring->next;
        ring_input_close(ring, false);
    }
}

bool sweeper_end(struct worker *worker)
{
    static const uint64_t wait_ns = 200000000;
    bool left = worker->sink.sweeper != NULL && sweeper_stop(worker->sink.sweeper, wait_ns);
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        if (worker->outputs[i].rotation != NULL) {
            worker->outputs[i].rotation->swept_out = left;
        }
    }
    return left;
}

void handover_give(struct worker *worker, uint64_t busy)
{
    status_stop(worker->status);
    (void)sweeper_end(worker); /* what it is at the next one begins anew */
    if (worker->blocked) {
        force_leftovers(worker);
    }
    crash_point("handover");
    YARDER_OWN_FD int baton_fd = memfd_create("yarder-baton", MFD_CLOEXEC);
    for (struct stream_input *stream = worker->streams; stream != NULL; stream = stream->next) {
        io_remove(worker->io, &stream->source);
        int r = baton_fd < 0 ? -errno : give_stream(worker, stream, baton_fd);
        if (r < 0) {
            worker_say(worker, "a connection of input %s is closed: it cannot be handed over: %s",
                stream->input->config->name, strerror(-r));
        }
    }
    crash_point("handover-streams");
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
    close_rings(&worker->rings);
    close_rings(&worker->retired);
    struct channel_message baton = channel_message_of(CHANNEL_BATON, 0, 0);
    baton.pid = (uint32_t)getpid();
    baton.fds[0] = baton_fd;
    (void)!channel_send(worker->channel_fd, &baton, 5000);
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        worker->outputs[i].fenced = true; /* no file is ours, until STOP says which still are */
    }
    const struct channel_message quieted = channel_message_of(CHANNEL_QUIETED, 0, busy);
    (void)!channel_send(worker->channel_fd, &quieted, 5000);
    crash_point("handover-told");
}

static bool is_same_source(const struct input_config *a, const struct input_config *b)
{
    bool by_name = a->kind == INPUT_EXEC || a->kind == INPUT_SOURCE;
    return a->kind == b->kind && (!by_name || strcmp(a->name, b->name) == 0) &&
           (a->kind == INPUT_SOURCE || strcmp(a->target, b->target) == 0);
}

static uint32_t same_source(const struct daemon_config *config, const struct input_config *input)
{
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        if (is_same_source(&config->inputs[i], input)) {
            return i;
        }
    }
    return HOLD_NONE;
}

/*
 * The input of `config` that goes on with an old one: at the same address, whatever its name, or of
 * the same name at an address that is new. HOLD_NONE: none.
 */
static uint32_t input_continued(const struct daemon_config *config, const struct daemon_config *old,
    const struct input_config *input)
{
    uint32_t same = same_source(config, input);
    for (uint32_t i = 0; i < config->inputs_count && same == HOLD_NONE; i++) {
        const struct input_config *other = &config->inputs[i];
        if (strcmp(other->name, input->name) == 0 && same_source(old, other) == HOLD_NONE) {
            same = i;
        }
    }
    return same;
}

/* Takes the descriptor. */
static int take_stream(struct worker *worker, uint32_t input, const struct baton_entry *entry,
    const char *unframed, int fd)
{
    if (input == HOLD_NONE || worker->listeners[input].source.fd < 0) {
        (void)close(fd); /* its input left the configuration, or takes no connections any more */
        return 0;
    }
    struct stream_input *stream = NULL;
    int r = worker_add_stream(worker, input, fd, &stream);
    if (r < 0) {
        (void)close(fd);
        return r;
    }
    const struct yarder_text bytes = {unframed, entry->unframed_bytes};
    r = framer_restore(&stream->framer, (enum frame_kind)entry->detected, entry->skip_to_end != 0,
        entry->skip_bytes, bytes);
    if (r < 0) {
        worker_drop_stream(worker, stream);
    }
    return r;
}

static uint32_t stream_continued(
    const struct daemon_config *config, const struct daemon_config *old, const char *name)
{
    for (uint32_t i = 0; old != NULL && i < old->inputs_count; i++) {
        if (strcmp(old->inputs[i].name, name) == 0) {
            return input_continued(config, old, &old->inputs[i]);
        }
    }
    return HOLD_NONE;
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
    for (uint32_t i = 0; i < preparation->streams_count; i++) {
        struct preparation_stream *stream = &preparation->streams[i];
        struct baton_entry entry = {0};
        uint64_t at = stream->offset + sizeof(entry);
        if (stream->pid != preparation->baton_pid || at > size) {
            continue; /* of a worker that died while it gave: what it had read of it is gone */
        }
        memcpy(&entry, baton + stream->offset, sizeof(entry));
        if (size - at < entry.unframed_bytes) {
            continue;
        }
        uint32_t input = stream_continued(worker->config, preparation->old_config, entry.input);
        if (take_stream(worker, input, &entry, baton + at, yarder_fd_take(&stream->fd)) < 0) {
            worker_say(worker, "a connection of input %s could not be taken over", entry.input);
        }
    }
    (void)munmap(baton, size);
    return 0;
}

static bool is_same_backend(const struct output_config *a, const struct output_config *b)
{
    return a->kind == OUTPUT_OFFLOAD && b->kind == OUTPUT_OFFLOAD &&
           strcmp(a->backend->name, b->backend->name) == 0;
}

/* The output of `config` that has the backend and the name of this one. */
static uint32_t same_backend(const struct daemon_config *config, const struct output_config *output)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *other = &config->outputs[i];
        if (is_same_backend(other, output) && strcmp(other->name, output->name) == 0) {
            return i;
        }
    }
    return HOLD_NONE;
}

/* Whether b was called a: the address is the same, and neither name is there on the other side. */
static bool is_renamed(const struct daemon_config *config, const struct daemon_config *old,
    const struct output_config *a, const struct output_config *b)
{
    return is_same_backend(a, b) && strcmp(a->target, b->target) == 0 &&
           same_backend(config, a) == HOLD_NONE && same_backend(old, b) == HOLD_NONE;
}

/*
 * Packed records depend on no address: what waits goes to the output of the same backend and name,
 * wherever that is now; else to one that has only got another name, the first to the first if there
 * are several.
 */
static uint32_t backend_continued(
    const struct daemon_config *config, const struct daemon_config *old, uint32_t index)
{
    const struct output_config *output = &old->outputs[index];
    uint32_t before = 0; /* old ones that take the first of those with another name */
    for (uint32_t i = 0; i < index; i++) {
        before += is_same_backend(&old->outputs[i], output) &&
                  strcmp(old->outputs[i].target, output->target) == 0 &&
                  same_backend(config, &old->outputs[i]) == HOLD_NONE;
    }
    uint32_t same = same_backend(config, output);
    for (uint32_t i = 0; i < config->outputs_count && same == HOLD_NONE; i++) {
        if (is_renamed(config, old, output, &config->outputs[i]) && before-- == 0) {
            same = i;
        }
    }
    return same;
}

/*
 * The output of `config` that goes on with what one of `old` had waiting: the one of the same file,
 * whatever its name (two lanes never share one), else the one of the same name. HOLD_NONE: none.
 */
static uint32_t output_continued(
    const struct daemon_config *config, const struct daemon_config *old, uint32_t index)
{
    const struct output_config *output = &old->outputs[index];
    if (output->kind == OUTPUT_OFFLOAD) {
        return backend_continued(config, old, index);
    }
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *other = &config->outputs[i];
        if (other->kind == output->kind && strcmp(other->target, output->target) == 0 &&
            (other->kind == OUTPUT_FILE || strcmp(other->name, output->name) == 0)) {
            return i;
        }
    }
    return HOLD_NONE;
}

uint64_t handover_left(const struct daemon_config *old, const struct daemon_config *config)
{
    uint64_t left = 0;
    for (uint32_t i = 0; i < old->outputs_count; i++) {
        if (output_continued(config, old, i) == HOLD_NONE) {
            left |= UINT64_C(1) << i;
        }
    }
    return left;
}

uint64_t handover_continued(
    const struct daemon_config *old, const struct daemon_config *config, uint64_t outputs)
{
    uint64_t continued = 0;
    for (uint32_t i = 0; i < old->outputs_count; i++) {
        uint32_t to = (outputs >> i & 1) == 0 ? HOLD_NONE : output_continued(config, old, i);
        continued |= to == HOLD_NONE ? 0 : UINT64_C(1) << to;
    }
    return continued;
}

/* The old hold's live word is kept true, so that whoever has to do this again finds the same. */
static void take_pipe(
    struct worker *worker, struct hold *old, uint32_t from, uint32_t to, int staging_read)
{
    const struct hold_pipe *place = &old->pipes[from];
    pipe_recover(old, from, staging_read);
    const char *half = hold_pipe_half(old, from, place->half);
    uint32_t rest =
        (uint32_t)yarder_min(place->end - place->start, worker->hold->shape.pipe_half_bytes);
    memcpy(hold_pipe_half(worker->hold, to, 0), half + place->start, rest);
    worker->hold->pipes[to] = (struct hold_pipe){.end = rest,
        .skip_to_end = place->skip_to_end,
        .skip_bytes = place->skip_bytes,
        .reached = place->reached,
        .tallied = place->tallied};
    pipe_live_reset(worker->hold, to, rest);
}

static void take_input(struct worker *worker, const struct preparation *preparation,
    struct hold *old, uint32_t from, uint32_t to)
{
    const struct daemon_config *old_config = preparation->old_config;
    worker->hold->inputs[to] = old->inputs[from];
    const struct input_config *input = &old_config->inputs[from];
    uint32_t count = pipes_of_kind(input->kind);
    bool same = worker->config->inputs[to].kind == input->kind &&
                strcmp(worker->config->inputs[to].target, input->target) == 0;
    for (uint32_t i = 0; i < count && same; i++) {
        enum yarder_stream stream = i == 0 ? YARDER_STREAM_STDOUT : YARDER_STREAM_STDERR;
        uint32_t pipe = pipe_of(worker->config->inputs, to, stream);
        if (preparation->pipes[pipe][1] >= 0) {
            take_pipe(worker, old, pipe_of(old_config->inputs, from, stream), pipe,
                preparation->pipes[pipe][1]);
        }
    }
}

static void take_regions(struct worker *worker, const struct hold *old)
{
    struct hold *hold = worker->hold;
    for (uint32_t i = 0; i < *old->regions_used && i < hold->shape.regions_max; i++) {
        struct hold_region *from = hold_region_at(old, i);
        struct hold_region *to = hold_region_at(hold, i);
        *to = *from;
        uint32_t rings = (uint32_t)yarder_min(old->shape.rings_max, hold->shape.rings_max);
        memcpy(hold_region_cursors(to), hold_region_cursors(from), rings * sizeof(uint64_t));
    }
    *hold->regions_used = (uint32_t)yarder_min(*old->regions_used, hold->shape.regions_max);
    uint32_t joins = (uint32_t)yarder_min(old->shape.joins_count, hold->shape.joins_count);
    for (uint32_t i = 0; i < joins && i < JOINS_COUNT; i++) {
        if (old->joins[i].region != 0) {
            hold->joins[i] = old->joins[i];
            memcpy(hold_join_bytes(hold, i), hold_join_bytes(old, i),
                JOIN_FIELDS_BYTES + (size_t)old->joins[i].text_bytes);
        }
    }
}

static void say_left(struct worker *worker, uint32_t output, uint64_t records)
{
    if (records > 0) {
        worker_say(worker,
            "output %s: %llu records waited for more files than its max-open allows now: they are "
            "dropped and counted",
            worker->config->outputs[output].name, (unsigned long long)records);
    }
}

/* The queue on disk of an output has its name; one whose output left, or left the disk, stays. */
static void take_spool(struct worker *worker, const struct output_config *left,
    const struct output_config *now, uint64_t records)
{
    char folder[YARDER_NAME_BYTES_MAX * 3];
    const char *state_dir = worker->config->state_dir;
    bool goes_on = now != NULL && now->queue.disk_bytes > 0;
    bool same = goes_on && strcmp(now->name, left->name) == 0;
    if (left->queue.disk_bytes == 0 || same) {
        return;
    }
    if ((goes_on && spool_rename(state_dir, left->name, now->name) == 0) || records == 0) {
        return;
    }
    spool_folder_name(left->name, folder, sizeof(folder));
    worker_say(worker,
        "output %s: %llu records stay on disk, in %s/spool/%s; yarder spool replay gives them back",
        left->name, (unsigned long long)records, state_dir, folder);
}

int handover_take(struct worker *worker, struct preparation *preparation)
{
    const struct daemon_config *old_config = preparation->old_config;
    struct hold *old = NULL;
    int r = old_config == NULL ? -EPROTO : hold_open(&old, preparation->old_hold_fd);
    if (r == 0) { /* the worker before may still deliver, and commit, for outputs that left */
        r = hold_snapshot(old);
    }
    if (r < 0) {
        hold_close(old);
        return r;
    }
    uint32_t queues_count = worker->hold->shape.queues_count;
    preparation->queue_from = malloc((queues_count + 1ul) * sizeof(*preparation->queue_from));
    for (uint32_t i = 0; i < queues_count && preparation->queue_from != NULL; i++) {
        preparation->queue_from[i] = HOLD_NONE;
    }
    if (preparation->queue_from == NULL) {
        hold_close(old);
        return -ENOMEM;
    }
    *worker->hold->router = *old->router;
    for (uint32_t i = 0; i < old_config->inputs_count; i++) {
        uint32_t to = input_continued(worker->config, old_config, &old_config->inputs[i]);
        if (to != HOLD_NONE) {
            take_input(worker, preparation, old, i, to);
        }
    }
    if (worker->hold->shape.regions_max > 0) {
        take_regions(worker, old);
    }
    lines_take(worker, old, preparation->old_config);
    for (uint32_t i = 0; i < old_config->outputs_count && r == 0; i++) {
        uint32_t to = output_continued(worker->config, old_config, i);
        take_spool(worker, &old_config->outputs[i],
            to == HOLD_NONE ? NULL : &worker->config->outputs[to], old->outputs[i].spooled);
        if (to != HOLD_NONE) {
            uint64_t *left = &worker->hold->outputs[to].dropped[HOLD_DROPPED_LEFT];
            uint64_t before = old->outputs[i].dropped[HOLD_DROPPED_LEFT];
            r = queues_move(old, i, worker->hold, to, preparation->queue_from);
            say_left(worker, to, *left - before);
        }
    }
    hold_close(old);
    return r;
}
