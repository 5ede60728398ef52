/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/hold.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/checksum.h"
#include "os/memory.h"

enum { PAGE_BYTES = 4096, SNAPSHOT_TRIES_MAX = 1000, PIPE_LIVE_BYTES = PAGE_BYTES };

const char *const hold_refused_names[HOLD_REFUSED_REASONS] = {"limit", "quarantine", "corrupt"};
const char *const hold_dropped_names[HOLD_DROPPED_REASONS] = {
    "full", "oldest", "path", "left", "damaged"};

/* The state's head; the arrays follow it in the order of struct hold's pointers. */
struct state_head {
    struct hold_router router;
    uint32_t regions_used, unused;
};

struct layout {
    size_t inputs, outputs, pipes, joins, queues, buffers, regions, state_bytes;
    size_t region_bytes;
    size_t copy[2], names, pipes_at, joins_at, buffers_at[YARDER_OUTPUTS_MAX], size_bytes;
};

static size_t put(size_t *at, size_t bytes)
{
    size_t here = *at;
    *at = yarder_align_up(here + bytes, YARDER_CACHE_LINE);
    return here;
}

static struct layout layout_of(const struct hold_shape *shape)
{
    struct layout layout = {0};
    size_t at = 0;
    (void)put(&at, sizeof(struct state_head));
    layout.inputs = put(&at, shape->inputs_count * sizeof(struct hold_input));
    layout.outputs = put(&at, shape->outputs_count * sizeof(struct hold_output));
    layout.pipes = put(&at, shape->pipes_count * sizeof(struct hold_pipe));
    layout.joins = put(&at, shape->joins_count * sizeof(struct hold_join));
    layout.queues = put(&at, shape->queues_count * sizeof(struct hold_queue));
    layout.buffers = put(&at, shape->buffers_count * sizeof(struct hold_buffer));
    layout.region_bytes = sizeof(struct hold_region) + shape->rings_max * sizeof(uint64_t);
    layout.regions = put(&at, shape->regions_max * layout.region_bytes);
    layout.state_bytes = at;

    size_t copy_bytes = yarder_align_up(sizeof(struct hold_commit) + at, PAGE_BYTES);
    at = yarder_align_up(sizeof(struct hold_header), PAGE_BYTES);
    layout.copy[0] = at;
    layout.copy[1] = at + copy_bytes;
    layout.names = layout.copy[1] + copy_bytes;
    at = yarder_align_up(
        layout.names + (size_t)shape->queues_count * YARDER_PATH_BYTES_MAX, PAGE_BYTES);
    layout.pipes_at = at;
    at += (size_t)shape->pipes_count * (PIPE_LIVE_BYTES + 2ul * shape->pipe_half_bytes);
    layout.joins_at = at;
    at = yarder_align_up(at + (size_t)shape->joins_count * shape->join_bytes, PAGE_BYTES);
    for (uint32_t i = 0; i < shape->outputs_count; i++) {
        layout.buffers_at[i] = at;
        at += (size_t)shape->outputs[i].buffers_count * shape->outputs[i].buffer_bytes;
    }
    layout.size_bytes = yarder_align_up(at, PAGE_BYTES);
    return layout;
}

static void point(struct hold *hold, const struct layout *layout)
{
    struct state_head *head = (void *)hold->state;
    hold->router = &head->router;
    hold->regions_used = &head->regions_used;
    hold->inputs = (void *)(hold->state + layout->inputs);
    hold->outputs = (void *)(hold->state + layout->outputs);
    hold->pipes = (void *)(hold->state + layout->pipes);
    hold->joins = (void *)(hold->state + layout->joins);
    hold->queues = (void *)(hold->state + layout->queues);
    hold->buffers = (void *)(hold->state + layout->buffers);
    hold->regions = hold->state + layout->regions;
    hold->size_bytes = layout->size_bytes;
    hold->state_bytes = (uint32_t)layout->state_bytes;
    memcpy(hold->copy_at, layout->copy, sizeof(hold->copy_at));
    hold->names_at = layout->names;
    hold->pipes_at = layout->pipes_at;
    hold->joins_at = layout->joins_at;
    memcpy(hold->buffers_at, layout->buffers_at, sizeof(hold->buffers_at));
}

/* Regions stand last, so that a commit ends with the last one in use. */
static size_t live_bytes(const struct hold *hold)
{
    size_t region_bytes = sizeof(struct hold_region) + hold->shape.rings_max * sizeof(uint64_t);
    return (size_t)(hold->regions - hold->state) + *hold->regions_used * region_bytes;
}

static struct hold_commit *copy_of(const struct hold *hold, uint64_t generation)
{
    return (void *)(hold->base + hold->copy_at[generation & 1]);
}

/* Each output's queues and buffers lie one behind the other's, and none beyond their number. */
static bool shape_is_possible(const struct hold_shape *shape)
{
    uint64_t queues = 0;
    uint64_t buffers = 0;
    bool good = shape->outputs_count <= YARDER_OUTPUTS_MAX &&
                shape->inputs_count <= YARDER_INPUTS_MAX && shape->rings_max <= HOLD_RINGS_MAX;
    for (uint32_t i = 0; good && i < shape->outputs_count; i++) {
        const struct hold_shape_output *output = &shape->outputs[i];
        good = output->first_queue == queues && output->first_buffer == buffers &&
               output->buffer_bytes % PAGE_BYTES == 0;
        queues += output->queues_count;
        buffers += output->buffers_count;
    }
    return good && queues == shape->queues_count && buffers == shape->buffers_count;
}

static void format_empty(struct hold *hold)
{
    for (uint32_t i = 0; i < hold->shape.queues_count; i++) {
        hold->queues[i].first_buffer = HOLD_NONE;
        hold->queues[i].last_buffer = HOLD_NONE;
    }
    for (uint32_t output = 0; output < hold->shape.outputs_count; output++) {
        const struct hold_shape_output *shape = &hold->shape.outputs[output];
        for (uint32_t i = 0; i < shape->queues_count; i++) {
            hold->queues[shape->first_queue + i].output = output;
        }
    }
    hold_commit(hold);
}

/* The clock may be set back while the supervisor lives: its epochs grow all the same. */
static uint64_t next_epoch_ns(void)
{
    static uint64_t last_ns; /* one thread of the supervisor makes holds */
    last_ns = yarder_max((uint64_t)os_realtime_ns(), last_ns + YARDER_OUTPUTS_MAX);
    return last_ns;
}

int hold_create(const struct hold_shape *shape, int *fd)
{
    YARDER_ASSERT(shape_is_possible(shape));
    struct layout layout = layout_of(shape);
    YARDER_OWN_FD int memory = -1;
    int r = os_memfd_create(&memory, "yarder-hold", layout.size_bytes);
    if (r < 0) {
        return r;
    }
    struct hold_header header = {.magic = HOLD_MAGIC,
        .version = HOLD_VERSION,
        .size_bytes = layout.size_bytes,
        .state_bytes = (uint32_t)layout.state_bytes,
        .shape = *shape,
        .epoch_ns = next_epoch_ns()};
    if (pwrite(memory, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return -EIO;
    }
    struct hold *hold = NULL;
    r = hold_open(&hold, memory);
    if (r < 0) {
        return r;
    }
    format_empty(hold);
    hold_close(hold);
    *fd = yarder_fd_take(&memory);
    return 0;
}

static int header_check(int fd, struct hold_header *header, struct layout *layout)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0) {
        return -errno;
    }
    if (pread(fd, header, sizeof(*header), 0) != (ssize_t)sizeof(*header)) {
        return -EBADMSG;
    }
    if (header->magic != HOLD_MAGIC || header->version != HOLD_VERSION ||
        !shape_is_possible(&header->shape)) {
        return -EBADMSG;
    }
    *layout = layout_of(&header->shape);
    bool same = layout->size_bytes == header->size_bytes &&
                layout->state_bytes == header->state_bytes &&
                (uint64_t)facts.st_size == header->size_bytes;
    return same ? 0 : -EBADMSG;
}

int hold_open(struct hold **out, int fd)
{
    struct hold_header header;
    struct layout layout = {0};
    int r = header_check(fd, &header, &layout);
    if (r < 0) {
        return r;
    }
    YARDER_OWN_HEAP struct hold *hold = calloc(1, sizeof(*hold));
    YARDER_OWN_HEAP char *state = calloc(1, layout.state_bytes);
    if (hold == NULL || state == NULL) {
        return -ENOMEM;
    }
    void *base = mmap(NULL, layout.size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        return -errno;
    }
    hold->base = base;
    hold->header = base;
    hold->shape = header.shape;
    hold->state = yarder_heap_take(&state);
    point(hold, &layout);
    *out = yarder_heap_take(&hold);
    return 0;
}

void hold_close(struct hold *hold)
{
    if (hold == NULL) {
        return;
    }
    (void)munmap(hold->base, hold->size_bytes);
    free(hold->state);
    free(hold);
}

/* A commit's bytes in the private state, to be checked. */
struct taken {
    uint64_t generation;
    uint32_t bytes, crc;
};

/* Takes the copy that should be this generation's. Another process may be writing it meanwhile. */
static struct taken copy_take(struct hold *hold, uint64_t generation)
{
    const struct hold_commit *copy = copy_of(hold, generation);
    struct taken taken = {.generation = __atomic_load_n(&copy->generation, __ATOMIC_RELAXED),
        .bytes = __atomic_load_n(&copy->state_bytes, __ATOMIC_RELAXED),
        .crc = __atomic_load_n(&copy->crc, __ATOMIC_RELAXED)};
    if (taken.bytes > hold->state_bytes) {
        return (struct taken){.generation = generation + 1}; /* which it is not */
    }
    memcpy(hold->state, copy + 1, taken.bytes);
    return taken;
}

/* 0 when what was taken is a whole commit of this generation. */
static int copy_check(struct hold *hold, const struct taken *taken, uint64_t generation)
{
    memset(hold->state + taken->bytes, 0, hold->state_bytes - taken->bytes);
    if (taken->generation != generation ||
        checksum_crc32c(hold->state, taken->bytes) != taken->crc) {
        return -EBADMSG;
    }
    hold->generation = generation;
    return 0;
}

static int copy_load(struct hold *hold, uint64_t generation)
{
    const struct taken taken = copy_take(hold, generation);
    return copy_check(hold, &taken, generation);
}

int hold_load(struct hold *hold)
{
    uint64_t generation = __atomic_load_n(&hold->header->generation, __ATOMIC_ACQUIRE);
    if (copy_load(hold, generation) == 0) {
        return 0;
    }
    hold->fallbacks++;
    return copy_load(hold, generation - 1); /* the next commit is `generation` once more */
}

void hold_commit(struct hold *hold)
{
    uint64_t generation = hold->generation + 1;
    struct hold_commit *copy = copy_of(hold, generation);
    size_t bytes = live_bytes(hold);
    YARDER_ASSERT(bytes <= hold->state_bytes);
    memcpy(copy + 1, hold->state, bytes);
    copy->state_bytes = (uint32_t)bytes;
    copy->crc = checksum_crc32c(hold->state, bytes);
    copy->generation = generation;
    /* release: the copy is filled before it is named; pairs with the acquire in hold_load. */
    __atomic_store_n(&hold->header->generation, generation, __ATOMIC_RELEASE);
    hold->generation = generation;
}

int hold_snapshot(struct hold *hold)
{
    for (unsigned tries = 0; tries < SNAPSHOT_TRIES_MAX; tries++) {
        uint64_t generation = __atomic_load_n(&hold->header->generation, __ATOMIC_ACQUIRE);
        const struct taken taken = copy_take(hold, generation);
        __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the copy is read before the generation again */
        if (__atomic_load_n(&hold->header->generation, __ATOMIC_RELAXED) == generation &&
            copy_check(hold, &taken, generation) == 0) {
            return 0;
        }
    }
    return -EBADMSG;
}

struct hold_region *hold_region_at(const struct hold *hold, uint32_t index)
{
    YARDER_ASSERT(index < hold->shape.regions_max);
    size_t region_bytes = sizeof(struct hold_region) + hold->shape.rings_max * sizeof(uint64_t);
    return (void *)(hold->regions + index * region_bytes);
}

char *hold_buffer_bytes(const struct hold *hold, uint32_t output, uint32_t buffer)
{
    const struct hold_shape_output *shape = &hold->shape.outputs[output];
    YARDER_ASSERT(buffer >= shape->first_buffer);
    YARDER_ASSERT(buffer < shape->first_buffer + shape->buffers_count);
    return hold->base + hold->buffers_at[output] +
           (size_t)(buffer - shape->first_buffer) * shape->buffer_bytes;
}

char *hold_queue_name(const struct hold *hold, uint32_t queue)
{
    YARDER_ASSERT(queue < hold->shape.queues_count);
    return hold->base + hold->names_at + (size_t)queue * YARDER_PATH_BYTES_MAX;
}

char *hold_join_bytes(const struct hold *hold, uint32_t join)
{
    YARDER_ASSERT(join < hold->shape.joins_count);
    return hold->base + hold->joins_at + (size_t)join * hold->shape.join_bytes;
}

uint64_t *hold_pipe_live(const struct hold *hold, uint32_t pipe)
{
    YARDER_ASSERT(pipe < hold->shape.pipes_count);
    size_t pipe_bytes = PIPE_LIVE_BYTES + 2ul * hold->shape.pipe_half_bytes;
    return (void *)(hold->base + hold->pipes_at + pipe * pipe_bytes);
}

char *hold_pipe_half(const struct hold *hold, uint32_t pipe, uint32_t half)
{
    YARDER_ASSERT(half < 2);
    return (char *)hold_pipe_live(hold, pipe) + PIPE_LIVE_BYTES +
           (size_t)half * hold->shape.pipe_half_bytes;
}

uint64_t hold_queue_held(const struct hold *hold, const struct hold_queue *queue)
{
    uint64_t held = 0;
    uint32_t steps = 0;
    for (uint32_t b = queue->first_buffer;
         b < hold->shape.buffers_count && steps < hold->shape.buffers_count;
         b = hold->buffers[b].next, steps++) {
        held += hold->buffers[b].records;
    }
    return held - (queue->first_buffer != HOLD_NONE ? queue->first_delivered : 0);
}

uint64_t hold_held(const struct hold *hold, uint32_t output)
{
    const struct hold_shape_output *shape = &hold->shape.outputs[output];
    uint64_t held = 0;
    for (uint32_t i = 0; i < shape->queues_count; i++) {
        held += hold_queue_held(hold, &hold->queues[shape->first_queue + i]);
    }
    return held;
}
