/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: however a sealed batch stands in a file, recovery finds exactly how much of it. Method: the
 * rows of the recovery table one by one, then a file that is put together at random from what a
 * torn write and a stranger leave, where the answer is known. COMPARE_SEED replays a run.
 */
#include "outputs/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/test_random.h"

enum { ENDS_MAX = 140000, ROUNDS = 4000, BIG_BYTES = 1 << 20 };

/* A batch as its buffer has it: `skip` bytes of the buffer were delivered before. */
struct scene {
    char bytes[BIG_BYTES];
    uint32_t used;
    uint32_t ends_memory[ENDS_MAX];
    struct compare_batch batch;
    int fd;
};

static struct scene scene;

static void record(const char *text)
{
    size_t bytes = strlen(text);
    assert_true(scene.used + bytes <= sizeof(scene.bytes));
    memcpy(scene.bytes + scene.used, text, bytes);
    scene.used += (uint32_t)bytes;
    scene.batch.ends_count++;
    assert_true(scene.batch.ends_count < ENDS_MAX);
    scene.ends_memory[ENDS_MAX - scene.batch.ends_count] = scene.used;
}

static void file_is(const char *before, const char *after_it, size_t after_bytes)
{
    assert_int_equal(ftruncate(scene.fd, 0), 0);
    size_t before_bytes = strlen(before);
    assert_int_equal(pwrite(scene.fd, before, before_bytes, 0), before_bytes);
    assert_int_equal(
        pwrite(scene.fd, after_it, after_bytes, (off_t)before_bytes), (ssize_t)after_bytes);
    scene.batch.expected_size = before_bytes;
}

/* The batch begins `skip` bytes into the buffer. */
static struct compare_result compare(uint32_t skip)
{
    struct compare_result found;
    scene.batch.bytes = scene.bytes + skip;
    scene.batch.bytes_count = scene.used - skip;
    scene.batch.ends = scene.ends_memory + ENDS_MAX;
    scene.batch.ends_offset = skip;
    assert_int_equal(compare_file(scene.fd, &scene.batch, &found), 0);
    return found;
}

static int scene_setup(void **state)
{
    (void)state;
    memset(&scene, 0, sizeof(scene));
    scene.fd = memfd_create("compare", MFD_CLOEXEC);
    return scene.fd < 0 ? -1 : 0;
}

static int scene_teardown(void **state)
{
    (void)state;
    return close(scene.fd);
}

#define OLD "what stood before\n"
#define EXPECT(found, bytes, ends_at, end)                                                         \
    do {                                                                                           \
        assert_int_equal((found).standing, (bytes));                                               \
        assert_int_equal((found).size, (ends_at));                                                 \
        assert_int_equal((found).at_end, (end));                                                   \
    } while (0)

static void three_records(void)
{
    record("one\n");
    record("two with\na line end inside\n");
    record("three\n");
}

static void nothing_was_written(void **state)
{
    (void)state;
    three_records();
    file_is(OLD, "", 0);
    struct compare_result found = compare(0);
    EXPECT(found, 0, strlen(OLD), true);
    assert_false(found.cut);
}

static void a_torn_batch_goes_on_where_it_ends(void **state)
{
    (void)state;
    three_records();
    for (uint32_t stands = 1; stands <= scene.used; stands++) {
        file_is(OLD, scene.bytes, stands);
        struct compare_result found = compare(0);
        EXPECT(found, stands, strlen(OLD) + stands, true);
    }
}

static void a_whole_batch_before_foreign_bytes(void **state)
{
    (void)state;
    three_records();
    char file[256];
    int bytes = snprintf(file, sizeof(file), "%.*sforeign\n", (int)scene.used, scene.bytes);
    file_is(OLD, file, (size_t)bytes);
    struct compare_result found = compare(0);
    EXPECT(found, scene.used, strlen(OLD) + scene.used, false);
}

static void foreign_bytes_before_the_batch(void **state)
{
    (void)state;
    three_records();
    char file[256];
    for (uint32_t stands = 0; stands <= scene.used; stands++) {
        int bytes = snprintf(file, sizeof(file), "foreign\n%.*s", (int)stands, scene.bytes);
        file_is(OLD, file, (size_t)bytes);
        struct compare_result found = compare(0);
        EXPECT(found, stands, strlen(OLD) + (size_t)bytes, stands > 0);
    }
}

/* Only whole records count when somebody wrote behind the torn piece. */
static void foreign_bytes_behind_a_torn_batch(void **state)
{
    (void)state;
    three_records();
    const uint32_t ends[] = {0, 4, 31, 37};
    char file[256];
    for (uint32_t stands = 1; stands < scene.used; stands++) {
        uint32_t whole = 0;
        for (size_t i = 0; i < YARDER_COUNT_OF(ends); i++) {
            whole = ends[i] <= stands ? ends[i] : whole;
        }
        int bytes = snprintf(file, sizeof(file), "%.*sForeign\n", (int)stands, scene.bytes);
        file_is(OLD, file, (size_t)bytes);
        struct compare_result found = compare(0);
        assert_int_equal(found.standing, whole);
        assert_int_equal(found.size, strlen(OLD) + (whole > 0 ? whole : (uint32_t)bytes));
        assert_false(found.at_end);
    }
}

static void foreign_bytes_before_and_behind(void **state)
{
    (void)state;
    three_records();
    file_is(OLD, "stranger\none\ntwo with\na line end inside\nthrstranger\n", 52);
    struct compare_result found = compare(0);
    EXPECT(found, 31, strlen(OLD) + 9 + 31, false);
}

/* The batch is the rest of a record that began before: right behind it, or it counts for nothing.
 */
static void a_batch_that_goes_on_with_a_record(void **state)
{
    (void)state;
    record("zero begins here and ends\n");
    scene.batch.continues = true;
    const uint32_t skip = 5;
    file_is(OLD "zero ", scene.bytes + skip, 10);
    struct compare_result found = compare(skip);
    EXPECT(found, 10, strlen(OLD) + 5 + 10, true);
    file_is(OLD "zero ", "begins here and ends\nforeign\n", 29);
    found = compare(skip);
    EXPECT(found, 21, strlen(OLD) + 5 + 21, false);
    file_is(OLD "zero ", "x", 1);
    found = compare(skip);
    EXPECT(found, 0, strlen(OLD) + 5 + 1, false);
    file_is(OLD "zero ", "foreign\nbegins here and ends\n", 29);
    found = compare(skip);
    EXPECT(found, 0, strlen(OLD) + 5 + 29, false);
    file_is(OLD "zero ", "begins foreign\n", 15);
    found = compare(skip);
    EXPECT(found, 0, strlen(OLD) + 5 + 15, false);
    scene.batch.expected_size = 1000;
    assert_int_equal(compare_file(scene.fd, &scene.batch, &found), 0);
    EXPECT(found, 0, strlen(OLD) + 5 + 15, false);
    assert_true(found.cut);
}

/* Records of the buffer that were delivered before do not count. */
static void a_batch_from_the_middle_of_its_buffer(void **state)
{
    (void)state;
    three_records();
    file_is(OLD "one\n", "foreign\ntwo with\na line end inside\nth|", 38);
    struct compare_result found = compare(4);
    EXPECT(found, 27, strlen(OLD) + 4 + 8 + 27, false);
}

/* The newline that closes a half line is no record, though an empty one looks just like it. */
static void a_half_line_is_closed_before_an_empty_record(void **state)
{
    (void)state;
    record("\n");
    record("one\n");
    scene.batch.after_half = true;
    const uint32_t half = 5;
    for (uint32_t stands = 0; stands <= 1 + scene.used; stands++) {
        file_is("half ", "\n\none\n", stands);
        struct compare_result found = compare(0);
        EXPECT(found, stands == 0 ? 0 : stands - 1, half + stands, true);
    }
    for (uint32_t stands = 0; stands <= scene.used; stands++) { /* nothing was to be closed */
        file_is(OLD, "\none\n", stands);
        struct compare_result found = compare(0);
        EXPECT(found, stands, strlen(OLD) + stands, true);
    }
    file_is("half ", "\nforeign\n\none\n", 14);
    struct compare_result found = compare(0);
    EXPECT(found, 5, half + 14, true);
    file_is("", "", 0);
    found = compare(0);
    EXPECT(found, 0, 0, true);
}

static void a_file_that_was_cut(void **state)
{
    (void)state;
    three_records();
    file_is("", scene.bytes, 33);
    scene.batch.expected_size = 1000; /* cut to nothing, then our torn batch */
    struct compare_result found = compare(0);
    EXPECT(found, 33, 33, true);
    assert_true(found.cut);
    file_is(OLD, "", 0);
    scene.batch.expected_size = 1000;
    found = compare(0);
    EXPECT(found, 0, strlen(OLD), false);
    assert_true(found.cut);
    file_is("", "", 0);
    scene.batch.expected_size = 1000;
    found = compare(0);
    EXPECT(found, 0, 0, false);
    assert_true(found.cut);
}

static void what_cannot_be_read_is_an_error(void **state)
{
    (void)state;
    three_records();
    file_is(OLD, scene.bytes, 10);
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", scene.fd);
    YARDER_OWN_FD int write_only = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(write_only >= 0);
    struct compare_result found;
    scene.batch.bytes = scene.bytes;
    scene.batch.bytes_count = scene.used;
    assert_int_equal(compare_file(write_only, &scene.batch, &found), -EBADF);
    assert_int_equal(compare_file(-1, &scene.batch, &found), -EBADF);
}

/* Lines that are all alike, torn in the middle and followed by a stranger's: no quadratic search.
 */
static void many_equal_lines_take_no_time(void **state)
{
    (void)state;
    while (scene.used + 8 <= sizeof(scene.bytes)) {
        record("equal.\r\n");
    }
    YARDER_OWN_HEAP char *file = malloc(2 * (size_t)scene.used);
    assert_non_null(file);
    uint32_t stands = scene.used / 2 + 7;
    memcpy(file, scene.bytes, stands);
    memcpy(file + stands, "equal strangers' li\n", 20);
    file_is(OLD, file, stands + 20);
    struct timespec begin;
    struct timespec end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    struct compare_result found = compare(0);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    assert_int_equal(found.standing, stands - stands % 8);
    assert_true(end.tv_sec - begin.tv_sec < 5);
}

/* A stranger's lines: never equal to one of ours. */
static size_t strange(char *at)
{
    size_t bytes = 1 + below(20);
    memset(at, 'S', bytes);
    at[bytes++] = '\n';
    return bytes;
}

static void random_files(void **state)
{
    (void)state;
    static char file[BIG_BYTES];
    for (unsigned round = 0; round < ROUNDS; round++) {
        scene.used = scene.batch.ends_count = 0;
        uint32_t records = 1 + below(12);
        for (uint32_t i = 0; i < records; i++) {
            char text[64];
            (void)snprintf(text, sizeof(text), "%u%.*s%s\n", round * 100 + i, (int)below(20),
                "....................", below(5) == 0 ? "\nmore" : "");
            record(text);
        }
        size_t bytes = 0;
        bool before = below(2) != 0;
        bool behind = below(2) != 0;
        bytes += before ? strange(file) : 0;
        size_t at = bytes;
        uint32_t stands = below(scene.used + 1);
        memcpy(file + bytes, scene.bytes, stands);
        bytes += stands;
        uint32_t whole = 0;
        for (uint32_t i = 1; i <= scene.batch.ends_count; i++) {
            uint32_t end = scene.ends_memory[ENDS_MAX - i];
            whole = end <= stands ? end : whole;
        }
        bytes += behind ? strange(file + bytes) : 0;
        file_is(OLD, file, bytes);
        struct compare_result found = compare(0);
        bool all = stands == scene.used;
        assert_int_equal(found.standing, behind && !all ? whole : stands);
        if (found.standing > 0) {
            assert_int_equal(found.size, strlen(OLD) + at + found.standing);
            assert_int_equal(found.at_end, !behind);
        }
    }
}

int main(void)
{
    random_begin("COMPARE_SEED");
#define ROW(test) cmocka_unit_test_setup_teardown(test, scene_setup, scene_teardown)
    const struct CMUnitTest tests[] = {
        ROW(nothing_was_written),
        ROW(a_torn_batch_goes_on_where_it_ends),
        ROW(a_whole_batch_before_foreign_bytes),
        ROW(foreign_bytes_before_the_batch),
        ROW(foreign_bytes_behind_a_torn_batch),
        ROW(foreign_bytes_before_and_behind),
        ROW(a_batch_that_goes_on_with_a_record),
        ROW(a_batch_from_the_middle_of_its_buffer),
        ROW(a_half_line_is_closed_before_an_empty_record),
        ROW(a_file_that_was_cut),
        ROW(what_cannot_be_read_is_an_error),
        ROW(many_equal_lines_take_no_time),
        ROW(random_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
