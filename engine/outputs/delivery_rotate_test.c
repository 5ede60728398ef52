/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation as the writer sees it: cut positions, deaths at any pass, periods and their queues. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "os/memory.h"
#include "outputs/delivery_fixture.h"
#include "outputs/delivery_private.h"

enum { BUFFERS = 8, LINE = 100 };

static int64_t base_ns(void)
{
    return INT64_C(1795276800) * CALENDAR_SECOND_NS; /* 2026-11-21 16:00:00 */
}

/* A record of `bytes` with its newline that says its number, at so many seconds. */
static void put(struct world *world, unsigned number, size_t bytes, int64_t second)
{
    static char text[70000];
    assert_in_range(bytes, 12, sizeof(text));
    memset(text, 'x', bytes);
    (void)snprintf(text, sizeof(text), "%09u", number);
    text[9] = ' ';
    const struct yarder_record record = {.text = {text, bytes - 1},
        .time_ns = base_ns() + second * CALENDAR_SECOND_NS,
        .received_ns = base_ns() + INT64_C(100) * CALENDAR_SECOND_NS};
    output_put(&world->output, &record, 1, world->now_ns);
}

static uint64_t size_of(const struct world *world, const char *name)
{
    struct stat status;
    return stat(world_path(world, name), &status) < 0 ? UINT64_MAX : (uint64_t)status.st_size;
}

/* Of all files whose names begin so. */
static uint64_t bytes_of(const struct world *world, const char *prefix)
{
    uint64_t bytes = 0;
    DIR *folder = opendir(world->folder);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        bool counts = strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
        bytes += counts ? size_of(world, entry->d_name) : 0;
    }
    (void)closedir(folder);
    return bytes;
}

static unsigned files_in(const struct world *world)
{
    unsigned count = 0;
    DIR *folder = opendir(world->folder);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        count += entry->d_name[0] != '.';
        assert_null(strstr(entry->d_name, ROTATE_TEMPORARY));
    }
    (void)closedir(folder);
    return count;
}

static void test_exact_sizes(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, BUFFERS);
    world.config.rotate.size_bytes = 10 * LINE;
    world_start(&world);
    for (unsigned i = 0; i < 25; i++) {
        put(&world, i, LINE, 0);
    }
    world_deliver(&world);
    assert_int_equal(size_of(&world, "log.2"), 10 * LINE); /* exactly, and not one more */
    assert_int_equal(size_of(&world, "log.1"), 10 * LINE);
    assert_int_equal(size_of(&world, "log"), 5 * LINE);
    put(&world, 25, 5 * LINE + 1, 0); /* one byte too many */
    put(&world, 26, 11 * LINE, 0);    /* too long for any */
    put(&world, 27, LINE, 0);
    world_deliver(&world);
    assert_int_equal(size_of(&world, "log.3"), 5 * LINE);
    assert_int_equal(size_of(&world, "log.2"), 5 * LINE + 1);
    assert_int_equal(size_of(&world, "log.1"), 11 * LINE);
    assert_int_equal(size_of(&world, "log"), LINE);
    assert_int_equal(world.hold->outputs[0].rotations, 5);
    assert_int_equal(world.hold->outputs[0].moved, 0);
    assert_int_equal(files_in(&world), 6);
    world_check_ledger(&world);
    world_end(&world);
}

/* Records that go over the end of a buffer are not cut by a limit, nor are those before them late.
 */
static void test_long_records(void **state)
{
    (void)state;
    static const size_t sizes[] = {12000, 30000, 3000, 20000, 15000, 100, 40000, 200};
    static const uint64_t want[] = {45000, 35100, 40200};
    static const char *const names[] = {"log.2", "log.1", "log"};
    struct world world;
    world_init(&world, 1, BUFFERS);
    world.config.rotate.size_bytes = 45000;
    world_start(&world);
    for (unsigned i = 0; i < YARDER_COUNT_OF(sizes); i++) {
        put(&world, i, sizes[i], 0);
        if (i % 2 == 1) {
            world_deliver(&world);
        }
    }
    world_deliver(&world);
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        assert_int_equal(size_of(&world, names[i]), want[i]);
    }
    world_check_ledger(&world);
    world_end(&world);
}

/* The numbers of all files, oldest first, are those from 0 on; none is too long. */
static void check_all(const struct world *world, unsigned count, uint64_t limit)
{
    unsigned number = 0;
    char name[32];
    for (unsigned i = files_in(world) - 1; i + 1 > 0; i--) {
        (void)snprintf(name, sizeof(name), i == 0 ? "log" : "log.%u", i);
        size_t bytes = 0;
        const char *at = world_content(world, name, &bytes);
        assert_true(bytes <= limit);
        const char *end = at + bytes;
        for (; at < end; number++) {
            char *rest = NULL;
            assert_int_equal(strtoull(at, &rest, 10), number);
            at = memchr(at, '\n', (size_t)(end - at));
            assert_non_null(at);
            at++;
        }
    }
    assert_int_equal(number, count);
}

/* A worker dies after each step of a pass, wherever a rotation is then. */
static void test_deaths(void **state)
{
    (void)state;
    for (unsigned step = 0; step < 40; step++) {
        struct world world;
        world_init(&world, 1, BUFFERS);
        world.config.rotate.size_bytes = 7 * LINE;
        world_start(&world);
        unsigned put_count = 0;
        unsigned deaths = 0;
        for (unsigned pass = 0; put_count < 200; pass++) {
            world_reap(&world);
            bool dies = pass % 40 == step && deaths < 3;
            unsigned before = put_count;
            for (unsigned i = 0; i < 3; i++) {
                put(&world, put_count++, LINE, 0);
            }
            if (dies && step % 2 == 0) { /* before its commit: what it put is put again */
                put_count = before;
            } else {
                world_commit(&world, true);
                world_wait(&world);
            }
            if (dies) {
                world_die(&world);
                world_start(&world);
                deaths++;
            }
        }
        world_deliver(&world);
        check_all(&world, put_count, 7 * LINE);
        world_check_ledger(&world);
        world_end(&world);
    }
}

static void by_seconds(struct world *world)
{
    world_init(world, OUTPUT_PERIODS_OPEN, BUFFERS);
    (void)snprintf(world->target, sizeof(world->target), "%s/log", world->folder);
    world->config.rotate.when.unit = ROTATE_SECOND;
    world->config.rotate.utc = true;
    world->config.rotate.grace_ns = UINT64_C(200) * CALENDAR_SECOND_NS;
    world_start(world);
}

/* Records of the second before find its file, while it is open; nobody's order is changed in it. */
static void test_periods(void **state)
{
    (void)state;
    struct world world;
    by_seconds(&world);
    for (unsigned i = 0; i < 30; i++) {
        put(&world, i, LINE, 90 + i / 10 - (i % 10 == 3)); /* each tenth is a second late */
        if (i % 7 == 0) {
            world_pass(&world);
            world_wait(&world);
        }
        if (i % 11 == 0) {
            world_commit(&world, false);
            world_die(&world);
            world_start(&world);
        }
    }
    world_deliver(&world);
    /* Of the first late one; a death before the commit that names a file leaves it empty. */
    assert_int_equal(bytes_of(&world, "log.2026-11-21_16-01-29"), LINE);
    assert_int_equal(bytes_of(&world, "log.2026-11-21_16-01-30"), 10 * LINE);
    assert_int_equal(bytes_of(&world, "log.2026-11-21_16-01-31"), 10 * LINE);
    assert_int_equal(size_of(&world, "log"), 9 * LINE);
    world_check_ledger(&world);
    world_end(&world);
}

/* More periods than there may be files: the oldest give way, whatever grace they had left. */
static void test_many_periods(void **state)
{
    (void)state;
    struct world world;
    by_seconds(&world);
    for (unsigned i = 0; i < 40; i++) {
        put(&world, i, LINE, (int64_t)i);
        world_deliver(&world);
    }
    for (unsigned i = 0; i < 40; i++) { /* in one go: what finds no queue goes where there is one */
        put(&world, 40 + i, LINE, 40 + (int64_t)i);
    }
    world_deliver(&world);
    assert_int_equal(world.hold->outputs[0].delivered, 80);
    assert_int_equal(size_of(&world, "log.2026-11-21_16-00-05"), LINE);
    world_check_ledger(&world);
    world_end(&world);
}

/* A clock that was far ahead at the start: what comes after its correction is rotated all the same.
 */
static void test_clock_set_back(void **state)
{
    (void)state;
    struct world world;
    by_seconds(&world);
    world.config.rotate.grace_ns = CALENDAR_SECOND_NS;
    static const int64_t seconds[] = {86400, 97, 98, 99, 100};
    for (size_t i = 0; i < YARDER_COUNT_OF(seconds); i++) {
        int64_t time_ns = base_ns() + seconds[i] * CALENDAR_SECOND_NS;
        const struct yarder_record record = {
            .text = {"12345", 5}, .time_ns = time_ns, .received_ns = time_ns};
        output_put(&world.output, &record, 1, world.now_ns);
        world_deliver(&world);
    }
    world_deliver(&world);
    assert_int_equal(size_of(&world, "log.2026-11-21_16-01-37"), 12); /* and what came before */
    assert_int_equal(size_of(&world, "log.2026-11-21_16-01-38"), 6);
    assert_int_equal(size_of(&world, "log.2026-11-21_16-01-39"), 6);
    assert_int_equal(size_of(&world, "log"), 6);
    world_check_ledger(&world);
    world_end(&world);
}

/* Deaths before the commit that names a new file, whichever queue is the current one then. */
static void test_deaths_in_periods(void **state)
{
    (void)state;
    struct world world;
    by_seconds(&world);
    world.config.rotate.grace_ns = 1;
    for (unsigned i = 0; i < 100; i++) {
        put(&world, i, LINE, (int64_t)i);
        for (unsigned pass = 0; pass <= i % 7; pass++) {
            world_pass(&world);
            world_wait(&world);
        }
        world_reap(&world);
        world_die(&world);
        world_start(&world);
    }
    world_deliver(&world);
    assert_int_equal(world.hold->outputs[0].delivered, 100);
    assert_int_equal(size_of(&world, "log.2026-11-21_16-00-05"), LINE);
    world_check_ledger(&world);
    world_end(&world);
}

/* What cannot be renamed goes on; an empty file is nobody's. */
static void test_asked(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, BUFFERS);
    world_start(&world);
    output_ask_rotate(&world.output);
    world_deliver(&world);
    world_pass(&world);
    assert_int_equal(world.hold->outputs[0].rotations, 0); /* of an empty file */
    for (unsigned i = 0; i < 3; i++) {
        put(&world, i, LINE, 0);
        world_deliver(&world);
        output_ask_rotate(&world.output);
        world_pass(&world);
        world_wait(&world);
        world_pass(&world);
        world_wait(&world);
        world_pass(&world);
    }
    assert_int_equal(world.hold->outputs[0].rotations, 3);
    assert_int_equal(size_of(&world, "log.3"), LINE);
    assert_int_equal(size_of(&world, "log"), 0);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_sizes),
        cmocka_unit_test(test_long_records),
        cmocka_unit_test(test_deaths),
        cmocka_unit_test(test_periods),
        cmocka_unit_test(test_many_periods),
        cmocka_unit_test(test_clock_set_back),
        cmocka_unit_test(test_deaths_in_periods),
        cmocka_unit_test(test_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
