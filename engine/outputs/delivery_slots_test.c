/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: files that records name come and go without a record lost, doubled or in another's file.
 * Method: more names than may be open, and deaths between them.
 * SLOTS_SEED replays a run.
 */
#include "outputs/delivery_fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/test_random.h"

enum { NAMES = WORLD_TAGS, SLOTS = 6, ROUNDS = 3000 };

static const uint64_t second_ns = 1000000000;

static void a_record_larger_than_its_queue(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 4);
    world_start(&world);
    static char text[100 << 10];
    memset(text, 'x', sizeof(text));
    const struct yarder_record record = {.text = {text, sizeof(text)}};
    assert_false(output_blocks(&world.output, &record, world.now_ns));
    output_put(&world.output, &record, 1, world.now_ns);
    assert_int_equal(world.hold->outputs[0].dropped[HOLD_DROPPED_FULL], 1);
    assert_true(world_put_number(&world, 0));
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "log", 0, 1), 1);
    world_check_ledger(&world);
    world_end(&world);
}

/* Names of the queues in use, as a commit would have them: no two alike. */
static void check_names_differ(const struct world *world)
{
    for (uint32_t q = 0; q < world->queues; q++) {
        for (uint32_t other = q + 1; other < world->queues; other++) {
            assert_true(
                (world->hold->queues[q].flags & HOLD_QUEUE_ACTIVE) == 0 ||
                (world->hold->queues[other].flags & HOLD_QUEUE_ACTIVE) == 0 ||
                strcmp(hold_queue_name(world->hold, q), hold_queue_name(world->hold, other)) != 0);
        }
    }
}

static void put_some(struct world *world)
{
    for (uint32_t puts = below(12); puts > 0; puts--) {
        if (!world_put_number(world, world->hold->router->accepted)) {
            return;
        }
        world->hold->router->accepted++;
    }
}

static uint32_t kept_count(const struct world *world)
{
    uint32_t count = 0;
    for (uint32_t q = 0; q < world->queues; q++) {
        count += world->kept[q][0].fd >= 0;
    }
    return count;
}

static void check_names(const struct world *world)
{
    uint64_t all = 0;
    for (uint64_t name = 0; name < NAMES; name++) {
        char file[16];
        (void)snprintf(file, sizeof(file), "t%llu", (unsigned long long)name);
        all += world_check_numbers(world, file, name, NAMES);
    }
    assert_int_equal(all, world->hold->router->accepted);
}

static void more_names_than_may_be_open(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, SLOTS, 3 * SLOTS);
    world_start(&world);
    uint32_t deaths = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        world_reap(&world);
        put_some(&world);
        bool dies = below(15) == 0;
        if (!dies || below(2) == 0) {
            world_commit(&world, below(3) == 0);
        }
        if (below(2) == 0) {
            world_wait(&world);
        }
        if (dies) {
            world_die(&world);
            world_start(&world);
            deaths++;
        }
        assert_true(kept_count(&world) <= SLOTS);
        check_names_differ(&world);
    }
    world_deliver(&world);
    check_names(&world);
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_int_equal(counts->delivered, counts->copies);
    assert_int_equal(counts->uncertain, 0);
    print_message("%llu records, %u deaths\n", (unsigned long long)counts->copies, deaths);
    world_end(&world);
}

static void files_close_when_nothing_comes(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, SLOTS, 3 * SLOTS);
    world.config.idle_close_ns = 10 * second_ns;
    world_start(&world);
    for (uint64_t number = 0; number < 3; number++) {
        assert_true(world_put_number(&world, number));
    }
    world_deliver(&world);
    assert_int_equal(kept_count(&world), 3);
    assert_true(output_deadline_ns(&world.output) <= world.now_ns + 10 * second_ns);
    world.now_ns += 11 * second_ns;
    while (kept_count(&world) > 0) {
        world_pass(&world);
        world_wait(&world);
    }
    assert_int_equal(output_deadline_ns(&world.output), UINT64_MAX);
    assert_true(world_put_number(&world, NAMES)); /* the first name again, in any slot */
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "t0", 0, NAMES), 2);
    world_end(&world);
}

/* Records in a row for one file are put at once, up to the first that is not for it. */
static void a_run_ends_with_its_file(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 2, 6);
    world_start(&world);
    static const char *const tags[] = {"a", "a", "a", "b", "b", "a"};
    static const uint32_t runs[] = {0, 2, 1, 0, 1, 0};
    struct yarder_record records[YARDER_COUNT_OF(tags)];
    for (size_t i = 0; i < YARDER_COUNT_OF(tags); i++) {
        records[i] = (struct yarder_record){.text = {&"123456"[i], 1},
            .tag = {tags[i], 1},
            .flags = i == 1 ? YARDER_FLAG_NETWORK : 0};
    }
    uint32_t count = YARDER_COUNT_OF(tags);
    for (uint32_t at = 0; at < count;) {
        uint32_t run = output_run_begin(&world.output, &records[at], count - at, world.now_ns);
        assert_int_equal(run, runs[at]);
        if (run == 0) {
            assert_false(output_blocks(&world.output, &records[at], world.now_ns));
            output_put(&world.output, &records[at], 1, world.now_ns);
            run = 1;
        } else {
            output_run_end(&world.output, run, world.now_ns);
        }
        at += run;
    }
    assert_int_equal(world.hold->outputs[0].copies, count);
    world_deliver(&world);
    size_t bytes = 0;
    assert_string_equal(world_content(&world, "a", &bytes), "1\n2\n3\n6\n");
    assert_string_equal(world_content(&world, "b", &bytes), "4\n5\n");
    world_end(&world);
}

/* What fits goes in one by one or at once: to the same record, and policies hold in between. */
static void a_run_fills_the_queue_and_no_more(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 4);
    world.block_limit_ns = 2 * second_ns;
    world_start(&world);
    world.output.fenced = true;
    static char text[1000];
    memset(text, 'x', sizeof(text));
    struct yarder_record records[10];
    for (uint32_t i = 0; i < YARDER_COUNT_OF(records); i++) {
        records[i] = (struct yarder_record){.text = {text, 900 + i}};
    }
    uint32_t all = 0;
    uint32_t run = 1;
    while (run > 0) {
        run = output_run_begin(&world.output, records, YARDER_COUNT_OF(records), world.now_ns);
        output_run_end(&world.output, run, world.now_ns);
        all += run;
    }
    assert_true(output_blocks(&world.output, &records[0], world.now_ns));
    assert_in_range(all, 4 * 16, 4 * 18);
    world.now_ns += 3 * second_ns;
    assert_false(output_blocks(&world.output, &records[0], world.now_ns));
    assert_int_equal(output_run_begin(&world.output, records, 10, world.now_ns), 10);
    output_run_end(&world.output, 3, world.now_ns); /* another output took no more of them */
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_int_equal(counts->dropped[HOLD_DROPPED_FULL], 3);
    world_check_ledger(&world);
    world.output.fenced = false;
    world_deliver(&world);
    assert_int_equal(counts->delivered, all);
    world_check_ledger(&world);
    world_end(&world);
}

/* A file is closed while a record of its name comes: that is another queue's, and the only one. */
static void a_name_that_comes_back_while_its_file_is_closed(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, SLOTS, 3 * SLOTS);
    world_start(&world);
    assert_true(world_put_number(&world, 0));
    world_deliver(&world);
    world.now_ns += world.config.idle_close_ns;
    (void)output_seal(&world.output, world.now_ns, false); /* hands over the CLOSE */
    assert_true(world_put_number(&world, NAMES));
    hold_commit(world.hold);
    check_names_differ(&world);
    world_die(&world);
    world_start(&world);
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "t0", 0, NAMES), 2);
    assert_int_equal(kept_count(&world), 1);
    world_end(&world);
}

/* Every file follows a rename at once: two jobs for each are under way. */
static void every_file_moves_at_once(void **state)
{
    (void)state;
    enum { FILES = OUTPUT_OPEN_MAX - 20 }; /* none is closed to keep some spare */
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < 5 * FILES) {
        skip();
    }
    struct world world;
    world_init(&world, OUTPUT_OPEN_MAX, 2 * OUTPUT_OPEN_MAX);
    world_start(&world);
    for (int round = 0; round < 2; round++) {
        for (uint32_t name = 0; name < FILES; name++) {
            char tag[16];
            (void)snprintf(tag, sizeof(tag), "f%u", name);
            world_put(&world, tag, strlen(tag), tag);
        }
        if (round == 0) {
            world_deliver(&world);
        }
    }
    char away[sizeof(world.folder) + 8];
    (void)snprintf(away, sizeof(away), "%s.away", world.folder);
    assert_int_equal(rename(world.folder, away), 0);
    world_commit(&world, true);
    while (world.output.under_way > 0) { /* all MOVED are known before the next pass */
        world_wait(&world);
        world_reap(&world);
    }
    world_commit(&world, true);
    assert_true(world.output.under_way > FILES);
    world_deliver(&world);
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_int_equal(counts->moved, FILES);
    assert_int_equal(counts->delivered, 2 * FILES);
    assert_int_equal(counts->delivered, counts->copies);
    world_end(&world);
    world_remove(away);
}

/* A name that can be no file costs its own records, and nobody else's time. */
static void a_name_that_can_be_no_file(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 4, 12);
    assert_int_equal(mkdir(world_path(&world, "t1"), 0755), 0);
    world_start(&world);
    assert_true(world_put_number(&world, 1));
    for (uint64_t number = 0; number < 100; number++) {
        world_pass(&world);
        world_wait(&world);
        if (number % NAMES != 1 && number % NAMES < 6) {
            while (!world_put_number(&world, number)) {
                world_pass(&world);
                world_wait(&world);
            }
        }
        world.now_ns += second_ns / 10;
    }
    world_deliver(&world);
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_int_equal(counts->dropped[HOLD_DROPPED_PATH], 1);
    assert_true(counts->errors >= 5 && counts->errors < 12);
    assert_int_equal(counts->delivered + 1, counts->copies);
    world_check_ledger(&world);
    world_end(&world);
}

static void a_path_that_is_too_long(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, SLOTS, 3 * SLOTS);
    static char target[1300];
    (void)snprintf(target, sizeof(target), "%s/%0900d/${tag}/${tag}/${tag}", world.folder, 0);
    world.config.target = target;
    world_start(&world);
    char tag[100];
    memset(tag, 'x', sizeof(tag));
    const struct yarder_record record = {.text = {"text", 4}, .tag = {tag, sizeof(tag)}};
    assert_false(output_blocks(&world.output, &record, world.now_ns));
    output_put(&world.output, &record, 1, world.now_ns);
    assert_int_equal(world.hold->outputs[0].dropped[HOLD_DROPPED_PATH], 1);
    assert_true(output_is_idle(&world.output));
    world_end(&world);
}

int main(void)
{
    random_begin("SLOTS_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_larger_than_its_queue),
        cmocka_unit_test(more_names_than_may_be_open),
        cmocka_unit_test(files_close_when_nothing_comes),
        cmocka_unit_test(a_run_ends_with_its_file),
        cmocka_unit_test(a_run_fills_the_queue_and_no_more),
        cmocka_unit_test(a_name_that_comes_back_while_its_file_is_closed),
        cmocka_unit_test(every_file_moves_at_once),
        cmocka_unit_test(a_name_that_can_be_no_file),
        cmocka_unit_test(a_path_that_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
