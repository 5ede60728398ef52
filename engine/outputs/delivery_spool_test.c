/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an output with a queue on disk loses no record and counts each once, whoever dies, and
 * whatever its backend does. Method: a backend that mixes its answers, behind a real lane and a
 * real carrier; deaths between any two steps of a pass, with and without the hold. SPOOLED_SEED in
 * the environment replays a run.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test_random.h"
#include "offload/fake_backend.h"
#include "outputs/delivery_fixture.h"
#include "outputs/lane_spool.h"

enum { RECORDS = 3000, LONG_BYTES = 40000, DEATHS = 60, PASSES_MAX = 10000000 };
static const uint64_t second_ns = 1000000000;

static uint32_t long_every; /* one of so many records fits no buffer; 0: none */

static void begin(struct world *world)
{
    long_every = 0;
    fake_reset();
    fake.seed = random_next();
    world_init(world, 1, 8);
    world->config.kind = OUTPUT_OFFLOAD;
    world->config.backend = &fake_records;
    world->config.settings = calloc(1, fake_records.self_bytes);
    world->config.format = NULL;
    world->config.queue.disk_bytes = 64 << 20;
    world->config.retry = (struct output_retry){.base_ns = 2000000, .limit_ns = 10000000};
    world->config.give_up_ns = UINT64_MAX;
    world->config.timeout_ns = 20 * second_ns;
    world_start(world);
}

static void end(struct world *world)
{
    world_check_ledger(world);
    assert_int_equal(fake.surprises, 0);
    assert_int_equal(fake.disorder, 0);
    assert_int_equal(fake.changed_ids, 0);
    free(world->config.settings);
    world_end(world);
    assert_int_equal(fake.opens, fake.closes);
    fake_forget();
}

static const struct hold_output *counts(const struct world *world)
{
    return &world->hold->outputs[0];
}

static bool put_number(struct world *world, uint64_t number)
{
    static char text[LONG_BYTES];
    int head = snprintf(text, 32, "%llu ", (unsigned long long)number);
    bool is_long = long_every != 0 && below(long_every) == 0;
    size_t bytes = is_long ? 17000 + below(LONG_BYTES - 17000) : 20 + below(400);
    memset(text + head, 'x', bytes - (size_t)head);
    const struct yarder_record record = {.text = {text, bytes}};
    if (output_blocks(&world->output, &record, world->now_ns)) {
        return false;
    }
    output_put(&world->output, &record, 1, world->now_ns);
    return true;
}

static void put_numbers(struct world *world, uint64_t first, uint64_t past)
{
    for (uint64_t number = first; number < past;) {
        if (put_number(world, number)) {
            number++;
        } else {
            world_pass(world);
            world_wait(world);
        }
    }
}

/* All that waits is on the disk. */
static void store(struct world *world)
{
    for (unsigned i = 0; !output_is_idle(&world->output) || !world->output.offload.spool_found;
         i++) {
        assert_true(i < PASSES_MAX);
        world_reap(world);
        world_commit(world, true);
        world_wait(world);
    }
    world_pass(world);
}

/* And then it is answered. A worker more: until the carrier has left, what is seen is its own. */
static void deliver(struct world *world)
{
    store(world);
    for (unsigned i = 0; counts(world)->spooled > 0; i++) {
        assert_true(i < PASSES_MAX);
        world_pass(world);
        (void)sched_yield();
    }
    world_die(world);
    world_start(world);
    world_check_ledger(world);
}

static void goes_through_in_order(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    long_every = 50;
    put_numbers(&world, 0, RECORDS);
    deliver(&world);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(fake.seen[i].taken, 1);
        assert_true(i == 0 || fake.seen[i].id.number > fake.seen[i - 1].id.number);
    }
    assert_int_equal(counts(&world)->delivered, RECORDS);
    assert_int_equal(counts(&world)->found, 0);
    assert_true(counts(&world)->delivered_bytes > 20 * RECORDS);
    assert_true(counts(&world)->last_progress_ns > 0);
    end(&world);
}

/* What was stored, and answered, by those that died is booked once by those that come. */
static void deaths_at_any_step(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    long_every = 50;
    uint64_t put = 0;
    fake_be(FAKE_MIXES);
    for (int death = 0; death < DEATHS; death++) {
        for (uint32_t steps = 1 + below(12); steps > 0; steps--) {
            uint64_t committed = put;
            for (uint32_t i = below(60); i > 0 && put_number(&world, put); i--) {
                put++;
            }
            world_reap(&world);
            if (steps == 1) { /* what this pass took is taken again after the death */
                put = committed;
                break;
            }
            world_commit(&world, below(2) == 0);
            if (below(2) == 0) {
                world_wait(&world);
            }
            world_check_ledger(&world);
        }
        world_die(&world);
        world_start(&world);
        world_check_ledger(&world);
    }
    fake_be(FAKE_TAKES);
    deliver(&world);
    for (uint64_t i = 0; i < put; i++) {
        assert_true(fake.seen[i].taken + fake.seen[i].refused > 0);
    }
    assert_int_equal(counts(&world)->copies, put);
    assert_int_equal(counts(&world)->delivered + counts(&world)->dead, put);
    assert_int_equal(counts(&world)->found, 0);
    assert_int_equal(counts(&world)->uncertain, 0);
    print_message("%llu records, %llu dead\n", (unsigned long long)put,
        (unsigned long long)counts(&world)->dead);
    end(&world);
}

/* Another daemon: a new hold, and the spool that the one before has left. */
static void is_found_by_the_next_daemon(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 500);
    store(&world);
    while (counts(&world)->errors == 0) {
        world_pass(&world);
        (void)sched_yield();
    }
    assert_int_equal(counts(&world)->spooled, 500);
    struct output_look look;
    output_look_at(&world.output, &look);
    assert_true(look.failure.error == -ECONNREFUSED && look.stalled_ns > 0);
    world_die(&world);
    const struct hold_shape shape = {.inputs_count = 1,
        .outputs_count = 1,
        .queues_count = 1,
        .buffers_count = 8,
        .outputs = {{.queues_count = 1, .buffers_count = 8, .buffer_bytes = 16 << 10}}};
    (void)close(world.hold_fd);
    assert_int_equal(hold_create(&shape, &world.hold_fd), 0);
    fake_be(FAKE_TAKES);
    world_start(&world);
    put_numbers(&world, 500, 700);
    deliver(&world);
    assert_int_equal(counts(&world)->found, 500);
    assert_int_equal(counts(&world)->copies, 200);
    assert_int_equal(counts(&world)->delivered, 700);
    for (uint32_t i = 0; i < 700; i++) {
        assert_int_equal(fake.seen[i].taken, 1);
    }
    end(&world);
}

static bool is_free(const struct world *world)
{
    static struct spool_shared shared;
    const struct spool_options options = {.state_dir = world->folder,
        .name = world->config.name,
        .limit_bytes = 64 << 20,
        .record_bytes_max = 64 << 10,
        .shared = &shared};
    struct spool *spool = NULL;
    char why[256];
    int r = spool_open(&spool, &options, why, sizeof(why));
    assert_true(r == 0 || r == -EAGAIN);
    spool_close(spool);
    return r == 0;
}

/* A reload wants the lane back: the spool is free for the next worker, and can be had again. */
static void is_given_back_when_wanted(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    fake_be(FAKE_HANGS);
    put_numbers(&world, 0, 300);
    store(&world);
    assert_false(is_free(&world));
    output_want(&world.output, true, world.now_ns);
    while (!is_free(&world)) {
        (void)sched_yield();
    }
    output_want(&world.output, false, world.now_ns);
    fake_be(FAKE_TAKES);
    put_numbers(&world, 300, 400);
    deliver(&world);
    assert_int_equal(counts(&world)->delivered, 400);
    assert_int_equal(counts(&world)->found, 0);
    end(&world);
}

/* The segments of a worker that died are removed before another comes: counted, never awaited. */
static void what_is_gone_is_counted(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 300);
    store(&world);
    world_die(&world);
    world_remove(world_path(&world, "spool"));
    fake_be(FAKE_TAKES);
    world_start(&world);
    put_numbers(&world, 300, 310);
    deliver(&world);
    assert_int_equal(counts(&world)->delivered, 10);
    assert_int_equal(counts(&world)->dropped[HOLD_DROPPED_LEFT], 300);
    end(&world);
}

/* From disk to memory: what lies on the disk is out of reach, and said so. */
static void another_kind_of_queue(void **state)
{
    (void)state;
    struct world world;
    begin(&world);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 100);
    store(&world);
    world_die(&world);
    world.config.queue.disk_bytes = 0;
    fake_be(FAKE_TAKES);
    world_start(&world);
    put_numbers(&world, 100, 110);
    world_deliver(&world);
    assert_int_equal(counts(&world)->delivered, 10);
    assert_int_equal(counts(&world)->dropped[HOLD_DROPPED_LEFT], 100);
    end(&world);
}

int main(void)
{
    random_begin("SPOOLED_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_through_in_order),
        cmocka_unit_test(deaths_at_any_step),
        cmocka_unit_test(is_found_by_the_next_daemon),
        cmocka_unit_test(is_given_back_when_wanted),
        cmocka_unit_test(what_is_gone_is_counted),
        cmocka_unit_test(another_kind_of_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
