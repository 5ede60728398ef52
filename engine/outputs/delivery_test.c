/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every record that an output took stands in its file whole, once and in order, whatever
 * happens to the worker, the file and the disk; what does not is counted. Method: the output over
 * real files, its worker killed between any two steps of a pass. DELIVERY_SEED replays a run.
 */
#include "outputs/delivery_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/test_random.h"

enum { LONG_BYTES = 60000, ROUNDS = 1500 };

/* Record `number`: itself, its length and as many bytes; some are longer than a buffer. */
static size_t text_of_number(uint64_t number, char *text)
{
    uint32_t mixed = (uint32_t)(number * 2654435761u) >> 8;
    uint32_t spare = mixed % 97 == 0 ? LONG_BYTES - mixed % 30000 : mixed % 300;
    int head = snprintf(text, 40, "%llu %u ", (unsigned long long)number, spare);
    memset(text + head, 'a' + (int)(number % 26), spare);
    return (size_t)head + spare;
}

/* The number of the next record is part of the commit, as a ring's cursor is. */
static void put_next(struct world *world)
{
    static char text[LONG_BYTES + 100];
    size_t bytes = text_of_number(world->hold->router->accepted, text);
    const struct yarder_record record = {.text = {text, bytes}};
    if (!output_blocks(&world->output, &record, world->now_ns)) {
        world_put(world, text, bytes, NULL);
        world->hold->router->accepted++;
    }
}

/* The next few at once, as far as there is room; those that were rendered for nothing come again.
 */
static void put_run(struct world *world)
{
    enum { RUN_MAX = 8 };
    static char texts[RUN_MAX][LONG_BYTES + 100];
    struct yarder_record records[RUN_MAX];
    for (uint32_t i = 0; i < RUN_MAX; i++) {
        size_t bytes = text_of_number(world->hold->router->accepted + i, texts[i]);
        records[i] = (struct yarder_record){.text = {texts[i], bytes}};
    }
    uint32_t count = 1 + below(RUN_MAX);
    uint32_t fit = output_run_begin(&world->output, records, count, world->now_ns);
    assert_true(fit <= count);
    if (fit == 0) {
        put_next(world);
        return;
    }
    uint32_t taken = below(3) == 0 ? below(fit + 1) : fit;
    output_run_end(&world->output, taken, world->now_ns);
    world->hold->router->accepted += taken;
}

/* Bytes of a record that a stranger's line cut in two: its beginning, or what came after it. */
static bool is_piece(const char *at, size_t bytes, const char *record, size_t record_bytes)
{
    size_t filler = 0;
    while (filler < bytes && at[filler] == record[record_bytes - 1]) {
        filler++;
    }
    return bytes <= record_bytes && (filler == bytes || memcmp(at, record, bytes) == 0);
}

/* Reads on in a file from record *next; strangers' lines begin with '#'. Half lines: counted. */
static uint32_t check_file(const struct world *world, const char *name, uint64_t *next)
{
    static char wanted[LONG_BYTES + 100];
    size_t bytes = 0;
    uint32_t torn = 0;
    const char *at = world_content(world, name, &bytes);
    const char *end = at + bytes;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(newline); /* no file ends in half a line */
        size_t length = text_of_number(*next, wanted);
        if (*at == '#') {
            at = newline + 1;
        } else if ((size_t)(newline - at) == length && memcmp(at, wanted, length) == 0) {
            (*next)++;
            at = newline + 1;
        } else { /* a piece of the next record, which comes again whole */
            const char *strange = memchr(at, '#', (size_t)(newline - at));
            size_t piece = (size_t)((strange != NULL ? strange : newline) - at);
            assert_true(is_piece(at, piece, wanted, length));
            torn++;
            at = strange != NULL ? strange : newline + 1;
        }
    }
    return torn;
}

/* A kill in the middle of a write: only a part of the sealed batch reached the file. */
static void tear(const struct world *world)
{
    struct stat status;
    struct hold *seen = NULL;
    assert_int_equal(hold_open(&seen, world->hold_fd), 0);
    assert_int_equal(hold_load(seen), 0);
    const struct hold_queue *queue = &seen->queues[0];
    const char *path = world_path(world, "log");
    if (queue->seal_bytes > 0 && stat(path, &status) == 0 && status.st_ino == queue->ino &&
        (uint64_t)status.st_size == queue->expected_size + queue->seal_bytes) {
        off_t size = (off_t)(queue->expected_size + below(queue->seal_bytes + 1));
        assert_int_equal(truncate(path, size), 0);
    }
    hold_close(seen);
}

struct chances { /* one in so many; 0: never */
    uint32_t die, foreign, rename;
};

static bool happens(uint32_t chance)
{
    return chance != 0 && below(chance) == 0;
}

/* A pass, which may end early in a death. */
static void mortal_pass(struct world *world, const struct chances *chances)
{
    world_reap(world);
    bool dies = happens(chances->die);
    for (uint32_t puts = below(30); puts > 0 && !(dies && below(60) == 0); puts--) {
        if (below(4) == 0) {
            put_run(world);
        } else {
            put_next(world);
        }
    }
    world_check_ledger(world);
    if (!dies || below(2) == 0) {
        world_commit(world, below(2) == 0);
    }
    if (below(2) == 0) {
        world_wait(world);
    }
    if (dies) {
        world_die(world);
        if (below(2) == 0) {
            tear(world);
        }
        world_start(world);
    }
}

static void live(struct world *world, const struct chances *chances)
{
    uint32_t files = 0;
    uint32_t lines = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        mortal_pass(world, chances);
        bool there = access(world_path(world, "log"), F_OK) == 0;
        if (there && happens(chances->foreign)) {
            char line[32];
            (void)snprintf(line, sizeof(line), "#%u\n", lines++);
            world_append(world, "log", line);
        }
        if (there && happens(chances->rename)) {
            char name[32];
            (void)snprintf(name, sizeof(name), "log.%u", files++);
            assert_int_equal(rename(world_path(world, "log"), world_path(world, name)), 0);
        }
    }
    world_deliver(world);
    uint64_t next = 0;
    uint32_t torn = 0;
    for (uint32_t i = 0; i < files; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "log.%u", i);
        torn += check_file(world, name, &next);
    }
    torn += check_file(world, "log", &next);
    const struct hold_output *counts = &world->hold->outputs[0];
    assert_int_equal(next, world->hold->router->accepted);
    assert_int_equal(counts->delivered, next);
    assert_int_equal(counts->copies, next);
    assert_int_equal(counts->uncertain, 0);
    assert_true(torn <= 2 * counts->torn); /* a piece before the stranger's line, one behind it */
    world_check_ledger(world);
    print_message("%llu records, %u files, %u strange lines, %u half lines, torn %llu\n",
        (unsigned long long)next, files + 1, lines, torn, (unsigned long long)counts->torn);
}

static void run(const struct chances chances)
{
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    live(&world, &chances);
    world_end(&world);
}

static void records_reach_the_file(void **state)
{
    (void)state;
    run((struct chances){0});
}

static void a_worker_that_dies_again_and_again(void **state)
{
    (void)state;
    run((struct chances){.die = 3});
}

static void beside_a_stranger(void **state)
{
    (void)state;
    run((struct chances){.foreign = 4});
    run((struct chances){.die = 6, .foreign = 9});
}

static void renamed_under_way(void **state)
{
    (void)state;
    run((struct chances){.rename = 40});
    run((struct chances){.die = 8, .rename = 50});
}

/* USR1 may follow a rename in the middle of a record: it stands whole in the new file. */
static void reopened_inside_a_record(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    static char text[LONG_BYTES];
    memset(text, 'x', sizeof(text));
    world_put(&world, text, sizeof(text), NULL);
    while (!queue_record_open(&world.hold->queues[0])) {
        world_reap(&world);
        world_commit(&world, true);
        world_wait(&world);
    }
    assert_int_equal(rename(world_path(&world, "log"), world_path(&world, "old")), 0);
    output_reopen(&world.output);
    world_deliver(&world);
    size_t bytes = 0;
    const char *content = world_content(&world, "log", &bytes);
    assert_int_equal(bytes, sizeof(text) + 1);
    assert_memory_equal(content, text, sizeof(text));
    assert_int_equal(world.hold->outputs[0].torn, 1);
    assert_int_equal(world.hold->outputs[0].delivered, 1);
    assert_int_equal(world.kept[0][1].fd, -1); /* the old file is nobody's any more */
    world_end(&world);
}

static void a_disk_that_is_full_for_a_while(void **state)
{
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit small = {.rlim_cur = 100000, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const struct chances never = {0};
    for (unsigned i = 0; i < 2000; i++) { /* two seconds of its clock */
        mortal_pass(&world, &never);
        world_wait(&world);
    }
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_true(counts->errors >= 3 && counts->errors < 20); /* tried again, with pauses */
    assert_true(counts->errors >= world.complaints);
    assert_true(hold_held(world.hold, 0) > 0);
    uint64_t deadline_ns = output_deadline_ns(&world.output);
    assert_true(deadline_ns == UINT64_MAX || deadline_ns > world.now_ns - 2000000);
    world_die(&world); /* and nothing is lost with the worker */
    world_start(&world);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    world_deliver(&world);
    uint64_t next = 0;
    assert_int_equal(check_file(&world, "log", &next), 0);
    assert_int_equal(next, world.hold->router->accepted);
    world_end(&world);
}

static void a_file_that_was_cut(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    world_put(&world, "before", 6, NULL);
    world_deliver(&world);
    assert_int_equal(truncate(world_path(&world, "log"), 0), 0);
    world_put(&world, "after", 5, NULL);
    world_deliver(&world);
    size_t bytes = 0;
    assert_string_equal(world_content(&world, "log", &bytes), "after\n");
    assert_int_equal(world.hold->outputs[0].cut, 1);
    /* Cut while a batch was on its way: given again, and that is said. */
    world_put(&world, "one", 3, NULL);
    world_put(&world, "two", 3, NULL);
    world_commit(&world, true);
    world_die(&world);
    assert_int_equal(truncate(world_path(&world, "log"), 0), 0);
    world_start(&world);
    world_deliver(&world);
    assert_string_equal(world_content(&world, "log", &bytes), "one\ntwo\n");
    assert_int_equal(world.hold->outputs[0].uncertain, 2);
    world_check_ledger(&world);
    world_end(&world);
}

/* Only to write: what stands there cannot be compared, so it is given again and counted. */
static void a_file_that_cannot_be_read(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    world_put(&world, "before", 6, NULL);
    world_deliver(&world);
    world_put(&world, "again", 5, NULL);
    world_commit(&world, true);
    world_die(&world);
    int write_only = open(world_path(&world, "log"), O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(write_only >= 0);
    (void)close(world.kept[0][0].fd);
    world.kept[0][0].fd = write_only;
    world_start(&world);
    world_deliver(&world);
    size_t bytes = 0;
    assert_string_equal(world_content(&world, "log", &bytes), "before\nagain\nagain\n");
    assert_int_equal(world.hold->outputs[0].uncertain, 1);
    world_end(&world);
}

/* Killed between the newline that closes a half line and the write: that is not the record's. */
static void killed_behind_a_closed_line(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    static char text[LONG_BYTES];
    memset(text, 'x', sizeof(text));
    text[0] = '\n';
    world_put(&world, text, sizeof(text), NULL);
    while (!queue_record_open(&world.hold->queues[0])) {
        world_reap(&world);
        world_commit(&world, true);
        world_wait(&world);
    }
    world_append(&world, "log", "#half");
    while (queue_record_open(&world.hold->queues[0])) {
        world_commit(&world, true);
        world_wait(&world);
        world_reap(&world);
    }
    assert_true(output_seal(&world.output, world.now_ns, true));
    hold_commit(world.hold);
    assert_true(world.hold->queues[0].seal_bytes > 0);
    world_die(&world);
    world_append(&world, "log", "\n");
    world_start(&world);
    world_deliver(&world);
    size_t bytes = 0;
    const char *content = world_content(&world, "log", &bytes);
    const char *closed = strstr(content, "#half\n");
    assert_non_null(closed);
    assert_int_equal(content + bytes - (closed + 6), sizeof(text) + 1);
    assert_memory_equal(closed + 6, text, sizeof(text));
    assert_int_equal(world.hold->outputs[0].delivered, 1);
    world_end(&world);
}

/* A disk that fails: in the end what stands is not waited for any more. */
static void a_file_whose_reads_fail(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    world_put(&world, "before", 6, NULL);
    world_deliver(&world);
    world_put(&world, "again", 5, NULL);
    world_commit(&world, true);
    world_die(&world);
    int folder = open(world.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0); /* has a size, and gives no bytes: EISDIR */
    (void)close(world.kept[0][0].fd);
    world.kept[0][0].fd = folder;
    world_start(&world);
    const struct hold_output *counts = &world.hold->outputs[0];
    uint64_t start_ns = world.now_ns;
    while (counts->uncertain == 0) {
        assert_true(world.now_ns - start_ns < 60000000000);
        world_pass(&world);
        world_wait(&world);
    }
    assert_true(counts->errors >= 3 && counts->errors < 20); /* tried again, with pauses */
    world_deliver(&world);
    size_t bytes = 0;
    assert_string_equal(world_content(&world, "log", &bytes), "before\nagain\nagain\n");
    assert_int_equal(counts->uncertain, 1);
    assert_int_equal(counts->delivered, counts->copies);
    world_end(&world);
}

/* The supervisor has no time: files wait for it, the writer does not, and no death finds a batch
 * in a file that nobody keeps. */
static void a_supervisor_that_does_not_listen(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    world.deaf = 4;
    world_put(&world, "first", 5, NULL);
    while (world.deaf > 0) {
        assert_int_equal(world.hold->queues[0].seal_bytes, 0);
        assert_true(world.deaf == 4 || output_deadline_ns(&world.output) != UINT64_MAX);
        world_pass(&world);
        world_wait(&world);
    }
    world_deliver(&world);
    assert_true(world.kept[0][0].fd >= 0);
    assert_int_equal(rename(world_path(&world, "log"), world_path(&world, "old")), 0);
    world_put(&world, "second", 6, NULL);
    world.deaf = 3;
    world_deliver(&world);
    world_put(&world, "third", 5, NULL); /* the old file is told off after a later commit */
    world_deliver(&world);
    assert_int_equal(world.deaf, 0);
    assert_true(world.kept[0][0].fd >= 0);
    assert_int_equal(world.kept[0][1].fd, -1);
    world_put(&world, "fourth", 6, NULL);
    world_commit(&world, true);
    world_die(&world);
    world_start(&world);
    world_deliver(&world);
    size_t bytes = 0;
    assert_string_equal(world_content(&world, "old", &bytes), "first\n");
    assert_string_equal(world_content(&world, "log", &bytes), "second\nthird\nfourth\n");
    assert_int_equal(world.hold->outputs[0].uncertain, 0);
    world_end(&world);
}

int main(void)
{
    random_begin("DELIVERY_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_reach_the_file),
        cmocka_unit_test(a_worker_that_dies_again_and_again),
        cmocka_unit_test(beside_a_stranger),
        cmocka_unit_test(renamed_under_way),
        cmocka_unit_test(reopened_inside_a_record),
        cmocka_unit_test(a_disk_that_is_full_for_a_while),
        cmocka_unit_test(a_file_that_was_cut),
        cmocka_unit_test(a_file_that_cannot_be_read),
        cmocka_unit_test(killed_behind_a_closed_line),
        cmocka_unit_test(a_file_whose_reads_fail),
        cmocka_unit_test(a_supervisor_that_does_not_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
