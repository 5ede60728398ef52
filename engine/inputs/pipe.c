/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/pipe.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "os/crash.h"

/* live: bit 63 half, bits 24 to 62 end, bits 0 to 23 pending */
enum { LIVE_PENDING_BITS = 24 };
static_assert(PIPE_INTAKE_BYTES < (1 << LIVE_PENDING_BITS), "pending fits its bits");
static_assert(PIPE_HALF_BYTES % 4096 == 0, "pages");

static uint64_t live_of(uint32_t half, uint32_t end, uint32_t pending)
{
    return (uint64_t)half << 63 | (uint64_t)end << LIVE_PENDING_BITS | pending;
}

/* A plain 8-byte store is all a kill needs; relaxed atomic so that it is one store. */
static void live_store(struct pipe_input *pipe, uint32_t pending)
{
    __atomic_store_n(hold_pipe_live(pipe->hold, pipe->index),
        live_of(pipe->place->half, pipe->place->end, pending), __ATOMIC_RELEASE);
}

void pipe_live_reset(struct hold *hold, uint32_t index, uint32_t end)
{
    *hold_pipe_live(hold, index) = live_of(0, end, 0);
}

uint32_t pipe_half_bytes(uint64_t record_bytes_max)
{
    YARDER_ASSERT(record_bytes_max <= YARDER_RECORD_BYTES_MAX);
    return (uint32_t)yarder_align_up(2 * record_bytes_max + 2 * PIPE_INTAKE_BYTES, 4096);
}

static uint32_t waiting_in(int fd)
{
    int bytes = 0;
    return ioctl(fd, FIONREAD, &bytes) < 0 || bytes < 0 ? 0 : (uint32_t)bytes;
}

/* Reads exactly what the staging pipe holds behind `end`. */
static int staging_take(struct pipe_input *pipe, uint32_t bytes)
{
    char *half = hold_pipe_half(pipe->hold, pipe->index, pipe->place->half);
    while (bytes > 0) {
        ssize_t r = read(pipe->staging_read, half + pipe->place->end, bytes);
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r <= 0) {
            return r < 0 ? -errno : -EIO;
        }
        crash_point("pipe-read");
        bytes -= (uint32_t)r;
        pipe->place->end += (uint32_t)r;
        live_store(pipe, bytes);
    }
    return 0;
}

/* The world of a dead worker: see the picture in the header. */
static void recover(struct pipe_input *pipe)
{
    uint64_t live = *hold_pipe_live(pipe->hold, pipe->index);
    uint32_t half = (uint32_t)(live >> 63);
    uint32_t end = (uint32_t)(live >> LIVE_PENDING_BITS) & ((1u << 31) - 1);
    uint32_t pending = (uint32_t)live & ((1u << LIVE_PENDING_BITS) - 1);
    uint32_t waiting = waiting_in(pipe->staging_read);
    if (half != pipe->place->half) {
        pipe->place->half = half;
        pipe->place->start = 0;
    }
    if (pending >= waiting) {
        end += pending - waiting;
    }
    if (end <= pipe->hold->shape.pipe_half_bytes && end >= pipe->place->start) {
        pipe->place->end = end;
    }
    live_store(pipe, waiting);
    uint32_t room = pipe->hold->shape.pipe_half_bytes - pipe->place->end;
    if (waiting > 0 && waiting <= room) {
        (void)staging_take(pipe, waiting);
    }
}

void pipe_recover(struct hold *hold, uint32_t index, int staging_read)
{
    struct pipe_input pipe = {
        .hold = hold, .index = index, .place = &hold->pipes[index], .staging_read = staging_read};
    recover(&pipe);
}

/* A splice from one may wait for bytes whatever it is asked (inetd's standard input). */
static bool is_socket(int fd)
{
    struct stat facts;
    return fstat(fd, &facts) == 0 && S_ISSOCK(facts.st_mode);
}

void pipe_open(struct pipe_input *pipe, struct input *input, struct hold *hold, uint32_t index,
    enum yarder_stream stream, const int fds[3])
{
    bool packed = input->config->kind == INPUT_SOURCE;
    *pipe = (struct pipe_input){.input = input,
        .hold = hold,
        .index = index,
        .place = &hold->pipes[index],
        .staging_read = fds[1],
        .staging_write = fds[2],
        .stream = stream,
        .half_bytes = pipe_half_bytes(packed ? PACKED_BYTES_MAX : input->record_bytes_max),
        .packed = packed,
        .hungry = true,
        .unframed = true,
        .direct = is_socket(fds[0]),
        .source = {.fd = fds[0], .kind = IO_READY}};
    enum frame_kind kind = (enum frame_kind)input->config->framing;
    if (packed) {
        framer_init(&pipe->framer, FRAME_LENGTH4, PACKED_BYTES_MAX);
    } else {
        framer_init(&pipe->framer, kind == FRAME_AUTO ? FRAME_LF : kind, input->record_bytes_max);
    }
    pipe->framer.skip_bytes = pipe->place->skip_bytes;
    pipe->framer.skip_to_end = pipe->place->skip_to_end != 0;
    recover(pipe);
}

void pipe_settle_in(struct pipe_input *pipe, int page_fd)
{
    void *page = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
    pipe->settled = page == MAP_FAILED ? NULL : page;
    pipe_settle(pipe); /* the worker before may have died between its commit and this */
}

static uint32_t half_room(const struct pipe_input *pipe)
{
    return pipe->half_bytes - (uint32_t)yarder_min(pipe->place->end, pipe->half_bytes);
}

bool pipe_turn(struct pipe_input *pipe)
{
    struct hold_pipe *place = pipe->place;
    if (half_room(pipe) >= PIPE_INTAKE_BYTES || place->start == 0) {
        return false;
    }
    uint32_t rest = place->end - place->start;
    const char *from = hold_pipe_half(pipe->hold, pipe->index, place->half);
    memcpy(hold_pipe_half(pipe->hold, pipe->index, place->half ^ 1), from + place->start, rest);
    place->half ^= 1;
    place->start = 0;
    place->end = rest;
    live_store(pipe, 0);
    return true;
}

/* A terminal, or a kernel that will not splice from this: read it, knowing that a kill loses it. */
static ssize_t intake_direct(struct pipe_input *pipe, uint32_t room)
{
    struct pollfd ready = {.fd = pipe->source.fd, .events = POLLIN};
    if (poll(&ready, 1, 0) <= 0) {
        return 0; /* another process may have taken it: a blocking read would hang the writer */
    }
    char *half = hold_pipe_half(pipe->hold, pipe->index, pipe->place->half);
    ssize_t r = read(pipe->source.fd, half + pipe->place->end, room);
    if (r < 0) {
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    }
    pipe->at_end = r == 0;
    pipe->place->end += (uint32_t)r;
    live_store(pipe, 0);
    return r;
}

static ssize_t intake_spliced(struct pipe_input *pipe, uint32_t room)
{
    ssize_t moved = -1;
    do {
        moved = splice(pipe->source.fd, NULL, pipe->staging_write, NULL, room,
            SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    } while (moved < 0 && errno == EINTR);
    if (moved < 0 && (errno == EINVAL || errno == ENOSYS)) {
        pipe->direct = true;
        return intake_direct(pipe, room);
    }
    if (moved < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    crash_point("spliced");
    pipe->at_end = moved == 0;
    live_store(pipe, (uint32_t)moved);
    int r = staging_take(pipe, (uint32_t)moved);
    return r < 0 ? r : moved;
}

int pipe_intake(struct pipe_input *pipe)
{
    uint32_t room = (uint32_t)yarder_min(half_room(pipe), PIPE_INTAKE_BYTES);
    if (room < PIPE_INTAKE_BYTES / 4 && !pipe->at_end) {
        return 0; /* hungry still: there is room once records are placed and the halves turned */
    }
    ssize_t taken = pipe->at_end   ? 0
                    : pipe->direct ? intake_direct(pipe, room)
                                   : intake_spliced(pipe, room);
    pipe->hungry = taken > 0;
    /* Only now, for what the last child wrote before its end stands in the pipe after it. */
    pipe->at_end |= taken == 0 && pipe->child_final;
    return (int)taken;
}

static void place_keep_framer(struct pipe_input *pipe)
{
    pipe->place->skip_bytes = pipe->framer.skip_bytes;
    pipe->place->skip_to_end = pipe->framer.skip_to_end;
}

static uint32_t frame_up_to(struct pipe_input *pipe, struct frame_span *spans, uint32_t spans_max)
{
    struct hold_pipe *place = pipe->place;
    const char *half = hold_pipe_half(pipe->hold, pipe->index, place->half);
    uint32_t count = 0;
    uint32_t scanned = 0;
    do {
        size_t used = 0;
        scanned = framer_scan(
            &pipe->framer, half + place->start, place->end - place->start, spans, spans_max, &used);
        place->start += (uint32_t)used;
        count = pipe->packed ? packed_tallies(pipe->input, place, spans, scanned) : scanned;
    } while (count == 0 && scanned > 0); /* tallies alone */
    place_keep_framer(pipe);
    return count;
}

uint32_t pipe_frame(struct pipe_input *pipe, struct batch *batch)
{
    enum { SPANS_AT_ONCE = 64 };
    struct frame_span spans[SPANS_AT_ONCE];
    const struct batch_origin origin = {.stream = pipe->stream};
    pipe->framer_saved = pipe->framer;
    pipe->start_saved = pipe->place->start;
    pipe->reached_saved = pipe->place->reached;
    uint32_t added = 0;
    while (batch_room(batch) > 0) {
        uint32_t most = (uint32_t)yarder_min(batch_room(batch), SPANS_AT_ONCE);
        uint32_t count = frame_up_to(pipe, spans, most);
        for (uint32_t i = 0; i < count; i++) {
            if (pipe->packed) {
                packed_add(batch, pipe->input, &spans[i]);
            } else {
                batch_add(batch, pipe->input, &spans[i], &origin);
            }
        }
        added += count;
        if (count == 0 || (count < most && !pipe->packed)) {
            break;
        }
    }
    return added;
}

void pipe_rewind(struct pipe_input *pipe, uint32_t placed)
{
    enum { SPANS_AT_ONCE = 64 };
    struct frame_span spans[SPANS_AT_ONCE];
    pipe->framer = pipe->framer_saved;
    pipe->place->start = pipe->start_saved;
    pipe->place->reached = pipe->reached_saved;
    pipe->unframed = true;
    while (placed > 0) {
        uint32_t count = frame_up_to(pipe, spans, (uint32_t)yarder_min(placed, SPANS_AT_ONCE));
        YARDER_ASSERT(count > 0);
        placed -= count;
    }
    place_keep_framer(pipe);
}

void pipe_child_ended(struct pipe_input *pipe, bool final)
{
    pipe->child_ended = true;
    pipe->child_final |= final;
    pipe->hungry = true;
}

uint32_t pipe_finish(struct pipe_input *pipe, struct batch *batch)
{
    struct hold_pipe *place = pipe->place;
    pipe->framer_saved = pipe->framer;
    pipe->start_saved = place->start;
    pipe->reached_saved = place->reached;
    uint32_t rest = place->end - place->start;
    const char *half = hold_pipe_half(pipe->hold, pipe->index, place->half);
    bool skipped = pipe->framer.skip_to_end || pipe->framer.skip_bytes > 0;
    pipe->framer.skip_to_end = false;
    pipe->framer.skip_bytes = 0;
    place->start = place->end;
    place_keep_framer(pipe);
    if (rest == 0 || skipped) {
        return 0;
    }
    if (pipe->packed) { /* its process was killed in the middle of a write: nothing to deliver */
        pipe->input->counts->received++;
        pipe->input->counts->refused[HOLD_REFUSED_CORRUPT]++;
        return 0;
    }
    /* A last line without its newline is how programs end; it is whole. A counted frame is not. */
    enum frame_kind kind = pipe->framer.configured;
    bool counted = kind == FRAME_OCTETS || kind == FRAME_LENGTH4;
    uint32_t length = (uint32_t)yarder_min(rest, pipe->input->record_bytes_max);
    struct frame_span span = {.text = {half + place->end - rest, length},
        .flags = (counted ? YARDER_FLAG_PARTIAL | YARDER_FLAG_UNPARSED : 0u) |
                 (length < rest ? (uint32_t)YARDER_FLAG_TRUNCATED : 0u)};
    const struct batch_origin origin = {.stream = pipe->stream};
    batch_add(batch, pipe->input, &span, &origin);
    return 1;
}

void pipe_finish_placed(struct pipe_input *pipe)
{
    pipe->child_ended = false;
    pipe->finished = pipe->at_end;
}
