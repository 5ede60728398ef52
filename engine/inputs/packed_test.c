/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a source put comes out as the same record; its tallies are booked once, however often
 * their frames are scanned; what is no packed record is kept, flagged; of a write that a kill cut
 * nothing comes out. Method: frames made by hand, through a real pipe.
 */
#include "inputs/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/test_random.h"
#include "base/text.h"
#include "codec/pack.h"
#include "os/memory.h"

struct scene {
    struct hold *hold;
    struct pipe_input pipe;
    struct input_config config;
    struct input input;
    struct batch *batch;
    int source[2], staging[2], page;
};

static struct scene scene;

static int open_scene(void **state)
{
    (void)state;
    const struct hold_shape shape = {
        .inputs_count = 1, .pipes_count = 1, .pipe_half_bytes = PIPE_HALF_BYTES};
    int hold_fd = -1;
    static char own[] = "own";
    scene = (struct scene){.config = {.kind = INPUT_SOURCE, .tag = own}};
    assert_int_equal(hold_create(&shape, &hold_fd), 0);
    assert_int_equal(hold_open(&scene.hold, hold_fd), 0);
    (void)close(hold_fd);
    assert_int_equal(hold_load(scene.hold), 0);
    assert_int_equal(pipe2(scene.source, O_CLOEXEC), 0);
    assert_int_equal(pipe2(scene.staging, O_CLOEXEC), 0);
    assert_int_equal(os_memfd_create(&scene.page, "settled", 4096), 0);
    scene.batch = calloc(1, sizeof(*scene.batch));
    assert_non_null(scene.batch);
    input_init(&scene.input, &scene.config, 0, scene.hold, 1000);
    const int fds[3] = {scene.source[0], scene.staging[0], scene.staging[1]};
    pipe_open(&scene.pipe, &scene.input, scene.hold, 0, YARDER_STREAM_NONE, fds);
    pipe_settle_in(&scene.pipe, scene.page);
    return 0;
}

static int close_scene(void **state)
{
    (void)state;
    const int fds[] = {
        scene.source[0], scene.source[1], scene.staging[0], scene.staging[1], scene.page};
    for (size_t i = 0; i < YARDER_COUNT_OF(fds); i++) {
        (void)close(fds[i]);
    }
    (void)munmap(scene.pipe.settled, sizeof(uint64_t));
    hold_close(scene.hold);
    free(scene.batch);
    return 0;
}

static void write_bytes(const void *at, size_t count)
{
    assert_int_equal(write(scene.source[1], at, count), count);
}

static void write_frame(const void *at, size_t count)
{
    uint32_t length = __builtin_bswap32((uint32_t)count);
    write_bytes(&length, sizeof(length));
    write_bytes(at, count);
}

static void write_record(const struct yarder_record *record, uint64_t number)
{
    char packed[2048];
    const struct yarder_id id = {.number = number};
    write_frame(packed, pack_record(record, id, packed));
}

static void write_tally(const struct packed_tally *tally, uint64_t number)
{
    const struct yarder_record record = {
        .kind = PACKED_TALLY, .text = {(const char *)tally, sizeof(*tally)}};
    write_record(&record, number);
}

static uint32_t take(void)
{
    batch_clear(scene.batch);
    scene.batch->limit = YARDER_BATCH_RECORDS;
    assert_true(pipe_intake(&scene.pipe) >= 0);
    return pipe_frame(&scene.pipe, scene.batch);
}

static void test_record(void **state)
{
    (void)state;
    const int64_t five = 5;
    const struct yarder_field field = {.key = text_of("n"),
        .value = {(const char *)&five, sizeof(five)},
        .type = YARDER_FIELD_INT};
    const struct yarder_record record = {.text = text_of("hello"),
        .host = text_of("h"),
        .peer = text_of("10.0.0.1"),
        .logger = text_of("l"),
        .fields = &field,
        .fields_count = 1,
        .time_ns = 7,
        .received_ns = 8,
        .level = YARDER_LEVEL_ERROR,
        .facility = 3,
        .flags = YARDER_FLAG_NETWORK,
        .input = 99};
    write_record(&record, 1);
    assert_int_equal(take(), 1);
    const struct yarder_record *got = &scene.batch->records[0];
    assert_true(text_is(got->text, "hello") && text_is(got->peer, "10.0.0.1"));
    assert_true(text_is(got->host, "h") && text_is(got->logger, "l") && text_is(got->tag, "own"));
    assert_int_equal(got->fields_count, 1);
    assert_true(text_is(got->fields[0].key, "n"));
    assert_memory_equal(got->fields[0].value.at, &five, sizeof(five));
    assert_int_equal(got->time_ns, 7);
    assert_int_equal(got->level, YARDER_LEVEL_ERROR);
    assert_int_equal(got->input, 0);
    assert_int_equal(got->flags, YARDER_FLAG_NETWORK);
}

static void test_tallies(void **state)
{
    (void)state;
    const struct yarder_record record = {.text = text_of("x")};
    const struct packed_tally first = {.refused = 3, .drops = 10, .has_drops = 1};
    const struct packed_tally second = {.refused = 2, .drops = 14, .has_drops = 1};
    write_record(&record, 1);
    write_tally(&first, 2);
    write_record(&record, 3);
    for (uint64_t number = 4; number < 104; number++) { /* more than are framed at once */
        write_tally(&(struct packed_tally){.refused = 1}, number);
    }
    write_record(&record, 104);
    write_tally(&second, 105);
    const struct hold_input *counts = scene.input.counts;
    for (uint32_t placed = 0; placed < 3; placed++) {
        assert_int_equal(take(), 3 - (placed > 0 ? placed - 1 : 0));
        pipe_rewind(&scene.pipe, placed > 0 ? 1 : 0);
        assert_int_equal(scene.hold->pipes[0].reached, placed == 0 ? 0 : placed == 1 ? 1 : 3);
        assert_int_equal(counts->refused[HOLD_REFUSED_CORRUPT], 105);
        assert_int_equal(counts->received, 105);
        assert_int_equal(counts->lost_kernel, 14);
    }
    assert_int_equal(take(), 1);
    assert_int_equal(*scene.pipe.settled, 0);
    pipe_settle(&scene.pipe);
    assert_int_equal(*scene.pipe.settled, 105);
}

/* Nothing of a new process is settled, and none of its tallies booked already, before they are. */
static void test_clock_set_back(void **state)
{
    (void)state;
    const uint64_t day_ns = UINT64_C(86400) * 1000000000;
    const uint64_t now_ns = 20000 * day_ns;
    const struct yarder_record record = {.text = text_of("one")};
    assert_int_equal(packed_number_first((int64_t)now_ns, 0), now_ns);
    assert_int_equal(packed_number_first((int64_t)now_ns, now_ns - day_ns), now_ns);
    write_record(&record, now_ns + 1);
    write_tally(&(struct packed_tally){.refused = 3}, now_ns + 2);
    assert_int_equal(take(), 1);
    pipe_settle(&scene.pipe);
    uint64_t first = packed_number_first((int64_t)(now_ns - day_ns), *scene.pipe.settled);
    assert_true(first > *scene.pipe.settled);
    write_tally(&(struct packed_tally){.refused = 2}, first + 1);
    assert_int_equal(take(), 0);
    assert_int_equal(scene.input.counts->refused[HOLD_REFUSED_CORRUPT], 5);
}

static void test_nonsense(void **state)
{
    (void)state;
    char long_one[sizeof(struct pack_head) + 8] = "not a record";
    write_frame("short", 5);
    write_frame(long_one, sizeof(long_one));
    assert_int_equal(take(), 2);
    assert_true(text_is(scene.batch->records[0].text, "short"));
    for (int i = 0; i < 2; i++) {
        assert_true((scene.batch->records[i].flags & YARDER_FLAG_UNPARSED) != 0);
    }
}

static void test_torn(void **state)
{
    (void)state;
    const struct yarder_record record = {.text = text_of("whole")};
    uint32_t length = __builtin_bswap32(500);
    write_bytes(&length, sizeof(length));
    write_bytes("half", 4);
    pipe_child_ended(&scene.pipe, false);
    assert_int_equal(take(), 0);
    assert_int_equal(pipe_finish(&scene.pipe, scene.batch), 0);
    pipe_finish_placed(&scene.pipe);
    assert_int_equal(scene.input.counts->received, 1);
    assert_int_equal(scene.input.counts->refused[HOLD_REFUSED_CORRUPT], 1);
    write_record(&record, 1); /* the next process */
    assert_int_equal(take(), 1);
    assert_true(text_is(scene.batch->records[0].text, "whole"));
}

static void test_syslog(void **state)
{
    (void)state;
    scene.config.parse = INPUT_PARSE_SYSLOG;
    const struct yarder_record record = {
        .text = text_of("<11>Jan  1 00:00:00 box app[5]: hello"), .peer = text_of("10.0.0.1")};
    write_record(&record, 1);
    assert_int_equal(take(), 1);
    const struct yarder_record *got = &scene.batch->records[0];
    assert_true(text_is(got->text, "hello") && text_is(got->tag, "app"));
    assert_true(text_is(got->host, "box") && text_is(got->peer, "10.0.0.1"));
    assert_int_equal(got->level, YARDER_LEVEL_ERROR);
    assert_int_equal(got->pid, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_record, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(test_tallies, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(test_clock_set_back, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(test_nonsense, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(test_torn, open_scene, close_scene),
        cmocka_unit_test_setup_teardown(test_syslog, open_scene, close_scene),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
