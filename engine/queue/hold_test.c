/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a commit stored is what is loaded, whatever was killed or flipped meanwhile. Method:
 * random shapes and states, a hold's memory put together from before and after a commit, a snapshot
 * beside a thread that commits. HOLD_SEED in the environment replays a run.
 */
#include "queue/hold.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/test_random.h"

enum { PAGE = 4096, SHAPES = 60, CUTS = 400, FLIPS = 3000, SNAPSHOTS = 20000 };

static struct hold_shape random_shape(void)
{
    struct hold_shape shape = {.inputs_count = below(5),
        .outputs_count = 1 + below(4),
        .pipes_count = below(4),
        .joins_count = below(4),
        .regions_max = below(6),
        .rings_max = 1 + below(9),
        .pipe_half_bytes = PAGE * (1 + below(3)),
        .join_bytes = PAGE * (1 + below(2))};
    for (uint32_t i = 0; i < shape.outputs_count; i++) {
        struct hold_shape_output *output = &shape.outputs[i];
        output->first_queue = shape.queues_count;
        output->first_buffer = shape.buffers_count;
        output->queues_count = below(4);
        output->buffers_count = output->queues_count == 0 ? 0 : 1 + below(5);
        output->buffer_bytes = output->queues_count == 0 ? 0 : PAGE * (1 + below(3));
        shape.queues_count += output->queues_count;
        shape.buffers_count += output->buffers_count;
    }
    return shape;
}

static struct hold *open_new(const struct hold_shape *shape, int *fd)
{
    struct hold *hold = NULL;
    assert_int_equal(hold_create(shape, fd), 0);
    assert_int_equal(hold_open(&hold, *fd), 0);
    assert_int_equal(hold_load(hold), 0);
    return hold;
}

static struct hold *open_again(int fd)
{
    struct hold *hold = NULL;
    assert_int_equal(hold_open(&hold, fd), 0);
    return hold;
}

/* With an output's index added, so that no two outputs count in the same epoch. */
static void each_hold_begins_a_later_epoch(void **state)
{
    (void)state;
    uint64_t before_ns = 0;
    const struct hold_shape shape = {.outputs_count = 1};
    for (int i = 0; i < 20; i++) {
        int fd = -1;
        struct hold *hold = open_new(&shape, &fd);
        uint64_t epoch_ns = hold->header->epoch_ns;
        assert_true(epoch_ns >= before_ns + (i == 0 ? 0 : YARDER_OUTPUTS_MAX));
        before_ns = epoch_ns;
        hold_close(hold);
        (void)close(fd);
    }
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    assert_in_range(before_ns / 1000000000, (uint64_t)now.tv_sec - 60, (uint64_t)now.tv_sec + 1);
}

/* Areas of a hold's memory, each filled with a number of its own. */
struct painter {
    uint8_t *number;
    bool check;
};

static void paint(struct painter *painter, char *at, size_t bytes)
{
    (*painter->number)++;
    for (size_t i = 0; i < bytes; i++) {
        if (painter->check) {
            assert_int_equal((uint8_t)at[i], *painter->number);
        } else {
            at[i] = (char)*painter->number;
        }
    }
}

static void paint_all(const struct hold *hold, bool check)
{
    uint8_t number = 0;
    struct painter painter = {&number, check};
    const struct hold_shape *shape = &hold->shape;
    for (uint32_t i = 0; i < shape->queues_count; i++) {
        paint(&painter, hold_queue_name(hold, i), YARDER_PATH_BYTES_MAX);
    }
    for (uint32_t i = 0; i < shape->pipes_count; i++) {
        paint(&painter, (char *)hold_pipe_live(hold, i), sizeof(uint64_t));
        paint(&painter, hold_pipe_half(hold, i, 0), shape->pipe_half_bytes);
        paint(&painter, hold_pipe_half(hold, i, 1), shape->pipe_half_bytes);
    }
    for (uint32_t i = 0; i < shape->joins_count; i++) {
        paint(&painter, hold_join_bytes(hold, i), shape->join_bytes);
    }
    for (uint32_t output = 0; output < shape->outputs_count; output++) {
        const struct hold_shape_output *own = &shape->outputs[output];
        for (uint32_t i = 0; i < own->buffers_count; i++) {
            paint(&painter, hold_buffer_bytes(hold, output, own->first_buffer + i),
                own->buffer_bytes);
        }
    }
}

static void paint_state(struct hold *hold)
{
    const struct hold_shape *shape = &hold->shape;
    size_t region_bytes = sizeof(struct hold_region) + shape->rings_max * sizeof(uint64_t);
    memset(hold->router, 0x11, sizeof(*hold->router));
    memset(hold->inputs, 0x12, shape->inputs_count * sizeof(*hold->inputs));
    memset(hold->outputs, 0x13, shape->outputs_count * sizeof(*hold->outputs));
    memset(hold->pipes, 0x14, shape->pipes_count * sizeof(*hold->pipes));
    memset(hold->joins, 0x15, shape->joins_count * sizeof(*hold->joins));
    memset(hold->queues, 0x16, shape->queues_count * sizeof(*hold->queues));
    memset(hold->buffers, 0x17, shape->buffers_count * sizeof(*hold->buffers));
    *hold->regions_used = shape->regions_max;
    for (uint32_t i = 0; i < shape->regions_max; i++) {
        memset(hold_region_at(hold, i), 0x18, region_bytes);
    }
}

static void each_part_of_a_hold_is_its_own(void **state)
{
    (void)state;
    for (unsigned round = 0; round < SHAPES; round++) {
        const struct hold_shape shape = random_shape();
        YARDER_OWN_FD int fd = -1;
        struct hold *hold = open_new(&shape, &fd);
        paint_all(hold, false);
        paint_state(hold);
        hold_commit(hold);
        hold_commit(hold);
        paint_all(hold, true); /* no commit and no other part wrote here */
        struct hold *again = open_again(fd);
        assert_int_equal(hold_load(again), 0);
        assert_int_equal(again->generation, hold->generation);
        assert_memory_equal(again->state, hold->state, hold->state_bytes);
        paint_all(again, true);
        hold_close(again);
        hold_close(hold);
    }
}

static void fill_random(struct hold *hold)
{
    uint32_t used = below(hold->shape.regions_max + 1);
    char *regions = hold->regions;
    for (char *at = hold->state; at < regions; at += sizeof(uint64_t)) {
        uint64_t value = random_next();
        memcpy(at, &value, sizeof(value));
    }
    size_t region_bytes = sizeof(struct hold_region) + hold->shape.rings_max * sizeof(uint64_t);
    memset(regions, 0, hold->shape.regions_max * region_bytes);
    for (uint32_t i = 0; i < used; i++) {
        memset(hold_region_at(hold, i), (int)below(255), region_bytes);
    }
    *hold->regions_used = used;
}

static char *copy_of_state(const struct hold *hold)
{
    char *copy = malloc(hold->state_bytes);
    assert_non_null(copy);
    memcpy(copy, hold->state, hold->state_bytes);
    return copy;
}

/* A kill in the middle of a commit: some of its bytes stand, the generation is still the old one.
 */
static void a_half_commit_changes_nothing(void **state)
{
    (void)state;
    const struct hold_shape shape = random_shape();
    YARDER_OWN_FD int fd = -1;
    struct hold *hold = open_new(&shape, &fd);
    YARDER_OWN_HEAP char *before = malloc(hold->size_bytes);
    YARDER_OWN_HEAP char *after = malloc(hold->size_bytes);
    assert_true(before != NULL && after != NULL);
    for (unsigned round = 0; round < CUTS; round++) {
        YARDER_OWN_HEAP char *old_state = copy_of_state(hold);
        uint64_t generation = hold->generation;
        memcpy(before, hold->base, hold->size_bytes);
        fill_random(hold);
        hold_commit(hold);
        memcpy(after, hold->base, hold->size_bytes);
        size_t copy_bytes = sizeof(struct hold_commit) + hold->state_bytes;
        size_t from = hold->copy_at[hold->generation & 1];
        memcpy(hold->base, before, hold->size_bytes);
        size_t cut = below((uint32_t)copy_bytes + 1);
        memcpy(hold->base + from, after + from, cut); /* in order, or only a later part of it */
        size_t hole = below((uint32_t)copy_bytes + 1);
        memcpy(hold->base + from, before + from, hole > cut ? 0 : hole);
        struct hold *next = open_again(fd);
        assert_int_equal(hold_load(next), 0);
        assert_int_equal(next->generation, generation);
        assert_int_equal(next->fallbacks, 0);
        assert_memory_equal(next->state, old_state, hold->state_bytes);
        hold_close(next);
        memcpy(hold->base, after, hold->size_bytes);
    }
    hold_close(hold);
}

static void a_flipped_byte_is_found_and_the_older_copy_taken(void **state)
{
    (void)state;
    const struct hold_shape shape = random_shape();
    YARDER_OWN_FD int fd = -1;
    struct hold *hold = open_new(&shape, &fd);
    fill_random(hold);
    hold_commit(hold);
    YARDER_OWN_HEAP char *older = copy_of_state(hold);
    uint64_t older_generation = hold->generation;
    fill_random(hold);
    hold_commit(hold);
    char *newest = hold->base + hold->copy_at[hold->generation & 1];
    struct hold_commit commit;
    memcpy(&commit, newest, sizeof(commit));
    uint32_t bytes = (uint32_t)sizeof(commit) + commit.state_bytes;
    for (unsigned round = 0; round < FLIPS; round++) {
        uint32_t at = round < sizeof(commit) ? round : below(bytes);
        char bit = (char)(1 << below(8));
        newest[at] = (char)(newest[at] ^ bit);
        struct hold *next = open_again(fd);
        assert_int_equal(hold_load(next), 0);
        assert_int_equal(next->fallbacks, 1);
        assert_int_equal(next->generation, older_generation);
        assert_memory_equal(next->state, older, hold->state_bytes);
        hold_close(next);
        newest[at] = (char)(newest[at] ^ bit);
    }
    hold_close(hold);
}

/* After a fallback a kill in the next commit must not cost the one good copy. */
static void a_fallback_keeps_the_good_copy(void **state)
{
    (void)state;
    const struct hold_shape shape = random_shape();
    YARDER_OWN_FD int fd = -1;
    struct hold *hold = open_new(&shape, &fd);
    fill_random(hold);
    hold_commit(hold);
    YARDER_OWN_HEAP char *good = copy_of_state(hold);
    fill_random(hold);
    hold_commit(hold);
    hold->base[hold->copy_at[hold->generation & 1] + sizeof(struct hold_commit)] ^= 1;
    assert_int_equal(hold_load(hold), 0);
    assert_memory_equal(hold->state, good, hold->state_bytes);
    fill_random(hold);
    hold_commit(hold);
    YARDER_OWN_HEAP char *next_state = copy_of_state(hold);
    struct hold *next = open_again(fd);
    assert_int_equal(hold_load(next), 0);
    assert_int_equal(next->fallbacks, 0);
    assert_memory_equal(next->state, next_state, hold->state_bytes);
    /* As if that commit had been killed on its way. */
    hold->base[hold->copy_at[hold->generation & 1] + sizeof(struct hold_commit)] ^= 1;
    assert_int_equal(hold_load(next), 0);
    assert_memory_equal(next->state, good, hold->state_bytes);
    /* Neither copy: said, not guessed. */
    hold->base[hold->copy_at[0] + sizeof(struct hold_commit) + 1] ^= 2;
    hold->base[hold->copy_at[1] + sizeof(struct hold_commit) + 1] ^= 2;
    assert_int_equal(hold_load(next), -EBADMSG);
    assert_int_equal(hold_snapshot(next), -EBADMSG);
    hold_close(next);
    hold_close(hold);
}

struct committer {
    struct hold *hold;
    uint32_t stop;
};

/* Every counter of a state is the same number. */
static void state_number(struct hold *hold, uint64_t number)
{
    hold->router->accepted = number;
    for (uint32_t i = 0; i < hold->shape.inputs_count; i++) {
        hold->inputs[i].received = number;
    }
    for (uint32_t i = 0; i < hold->shape.outputs_count; i++) {
        hold->outputs[i].last_progress_ns = number;
    }
    *hold->regions_used = (uint32_t)(number % (hold->shape.regions_max + 1));
    for (uint32_t i = 0; i < *hold->regions_used; i++) {
        hold_region_at(hold, i)->id = number;
    }
}

static void *commit_on(void *argument)
{
    struct committer *committer = argument;
    uint64_t number = 0;
    while (__atomic_load_n(&committer->stop, __ATOMIC_ACQUIRE) == 0) {
        state_number(committer->hold, ++number);
        hold_commit(committer->hold);
    }
    return NULL;
}

/* A snapshot reads what may be written meanwhile, and checks: not for a build that seeks races. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_SOUGHT true
#endif
#elif defined(__SANITIZE_THREAD__)
#define RACES_ARE_SOUGHT true
#endif
#if !defined(RACES_ARE_SOUGHT)
#define RACES_ARE_SOUGHT false
#endif

static void a_snapshot_beside_commits_is_one_commit(void **state)
{
    (void)state;
    if (RACES_ARE_SOUGHT) {
        skip();
    }
    struct hold_shape shape = {
        .inputs_count = 64, .outputs_count = 1, .regions_max = 50, .rings_max = 16};
    YARDER_OWN_FD int fd = -1;
    struct committer committer = {.hold = open_new(&shape, &fd)};
    state_number(committer.hold, 0);
    hold_commit(committer.hold);
    struct hold *reader = open_again(fd);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, commit_on, &committer), 0);
    uint64_t last = 0;
    uint32_t moved = 0;
    for (unsigned round = 0; round < SNAPSHOTS; round++) {
        assert_int_equal(hold_snapshot(reader), 0);
        uint64_t number = reader->router->accepted;
        assert_true(number >= last);
        moved += number > last;
        last = number;
        for (uint32_t i = 0; i < shape.inputs_count; i++) {
            assert_int_equal(reader->inputs[i].received, number);
        }
        assert_int_equal(reader->outputs[0].last_progress_ns, number);
        assert_int_equal(*reader->regions_used, number % (shape.regions_max + 1));
        for (uint32_t i = 0; i < *reader->regions_used; i++) {
            assert_int_equal(hold_region_at(reader, i)->id, number);
        }
    }
    __atomic_store_n(&committer.stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(thread, NULL), 0);
    print_message("%u snapshots, %u of them new\n", SNAPSHOTS, moved);
    assert_true(moved > 0);
    hold_close(reader);
    hold_close(committer.hold);
}

static void refuse(int fd, const struct hold_header *header, size_t at, uint32_t value)
{
    assert_int_equal(pwrite(fd, &value, sizeof(value), (off_t)at), sizeof(value));
    struct hold *hold = NULL;
    assert_int_equal(hold_open(&hold, fd), -EBADMSG);
    assert_null(hold);
    assert_int_equal(pwrite(fd, header, sizeof(*header), 0), sizeof(*header));
}

static void what_is_no_hold_is_refused(void **state)
{
    (void)state;
    struct hold_shape shape = {.inputs_count = 1,
        .outputs_count = 1,
        .queues_count = 1,
        .buffers_count = 4,
        .outputs = {{.queues_count = 1, .buffers_count = 4, .buffer_bytes = PAGE}}};
    YARDER_OWN_FD int fd = -1;
    assert_int_equal(hold_create(&shape, &fd), 0);
    struct hold_header header;
    assert_int_equal(pread(fd, &header, sizeof(header), 0), sizeof(header));
    refuse(fd, &header, offsetof(struct hold_header, magic), 1);
    refuse(fd, &header, offsetof(struct hold_header, version), HOLD_VERSION + 1);
    refuse(fd, &header, offsetof(struct hold_header, shape.outputs_count), 1000);
    refuse(fd, &header, offsetof(struct hold_header, shape.inputs_count), 65);
    refuse(fd, &header, offsetof(struct hold_header, shape.queues_count), 2);
    refuse(fd, &header, offsetof(struct hold_header, shape.outputs[0].buffers_count), 400);
    refuse(fd, &header, offsetof(struct hold_header, shape.outputs[0].first_buffer), 1);
    refuse(fd, &header, offsetof(struct hold_header, shape.outputs[0].buffer_bytes), 100);
    refuse(fd, &header, offsetof(struct hold_header, state_bytes), 64);
    struct hold *hold = NULL;
    assert_int_equal(hold_open(&hold, fd), 0);
    hold_close(hold);
    /* Nobody can cut it under whoever has it mapped; another file may be too short. */
    assert_int_equal(ftruncate(fd, (off_t)(header.size_bytes - 1)), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(ftruncate(fd, (off_t)(header.size_bytes + PAGE)), -1);
    YARDER_OWN_FD int cut = memfd_create("cut", MFD_CLOEXEC);
    assert_int_equal(pwrite(cut, &header, sizeof(header), 0), sizeof(header));
    assert_int_equal(ftruncate(cut, (off_t)(header.size_bytes - 1)), 0);
    assert_int_equal(hold_open(&hold, cut), -EBADMSG);
    assert_int_equal(ftruncate(cut, 10), 0);
    assert_int_equal(hold_open(&hold, cut), -EBADMSG);
}

/* A worker out of order may write anything into the memory that the supervisor looks at. */
static void a_scribbled_header_does_not_lead_astray(void **state)
{
    (void)state;
    const struct hold_shape shape = random_shape();
    YARDER_OWN_FD int fd = -1;
    struct hold *hold = open_new(&shape, &fd);
    fill_random(hold);
    hold_commit(hold);
    struct hold *watcher = open_again(fd);
    uint64_t generation = hold->generation;
    memset(hold->header, 0xff, offsetof(struct hold_header, generation));
    hold->header->generation = generation;
    assert_int_equal(hold_load(watcher), 0);
    assert_memory_equal(watcher->state, hold->state, hold->state_bytes);
    for (uint32_t i = 0; i < shape.outputs_count; i++) {
        (void)hold_held(watcher, i); /* links are random numbers: it ends, inside the arrays */
    }
    hold_close(watcher); /* unmaps what was mapped, not what the header says now */
    assert_int_equal(hold_load(hold), 0);
    hold_close(hold);
}

int main(void)
{
    random_begin("HOLD_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_of_a_hold_is_its_own),
        cmocka_unit_test(each_hold_begins_a_later_epoch),
        cmocka_unit_test(a_half_commit_changes_nothing),
        cmocka_unit_test(a_flipped_byte_is_found_and_the_older_copy_taken),
        cmocka_unit_test(a_fallback_keeps_the_good_copy),
        cmocka_unit_test(a_snapshot_beside_commits_is_one_commit),
        cmocka_unit_test(what_is_no_hold_is_refused),
        cmocka_unit_test(a_scribbled_header_does_not_lead_astray),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
