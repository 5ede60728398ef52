/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a full queue follows its policy to the record. Method: an output whose lane is held back
 * (fenced), and a clock of the test's.
 */
#include "outputs/delivery_fixture.h"

static const uint64_t second_ns = 1000000000;

static void block_waits_as_long_as_it_may(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 4);
    world.block_limit_ns = 2 * second_ns;
    world_start(&world);
    world.output.fenced = true;
    uint64_t number = 0;
    while (world_put_number(&world, number)) {
        number++;
    }
    assert_true(number > 1000);
    world.now_ns += 2 * second_ns - 1;
    assert_false(world_put_number(&world, number));
    world.now_ns += 1; /* patience ends: the newest are dropped */
    for (int i = 0; i < 5; i++) {
        assert_true(world_put_number(&world, number));
    }
    assert_int_equal(world.hold->outputs[0].dropped[HOLD_DROPPED_FULL], 5);
    world_check_ledger(&world);
    world.output.fenced = false;
    world_deliver(&world);
    assert_true(world_put_number(&world, number)); /* and comes back with the first delivery */
    world.output.fenced = true;
    for (number++; world_put_number(&world, number); number++) {
    }
    assert_int_equal(world.hold->outputs[0].dropped[HOLD_DROPPED_FULL], 5);
    world.output.fenced = false;
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "log", 0, 1), number);
    world_end(&world);
}

/* Puts until the queue is full: the number that found no room. */
static uint64_t fill(struct world *world, uint64_t number)
{
    while (world_put_number(world, number)) {
        number++;
    }
    return number;
}

/* Inputs faster than a good disk wait for it again and again, and for as long as they like. */
static void a_sparing_output_does_not_count_short_stretches(void **state)
{
    (void)state;
    struct world world;
    bool hurts = false;
    world_init(&world, 1, 4);
    world.block_limit_ns = 2 * second_ns;
    world.waiting_hurts = &hurts;
    world_start(&world);
    uint64_t number = 0;
    for (int round = 0; round < 100; round++) {
        world.output.fenced = true;
        number = fill(&world, number);
        world.now_ns += second_ns / 20;
        assert_false(world_put_number(&world, number));
        world.output.fenced = false;
        world_deliver(&world);
        assert_true(world_put_number(&world, number++));
    }
    assert_int_equal(world.hold->outputs[0].dropped[HOLD_DROPPED_FULL], 0);
    world_deliver(&world);
    world_check_ledger(&world);
    world_end(&world);
}

/* Auto, of several outputs: never while that costs others, and two seconds in a minute. */
static void a_sparing_output_has_two_seconds_a_minute(void **state)
{
    (void)state;
    struct world world;
    bool hurts = true;
    world_init(&world, 1, 4);
    world.block_limit_ns = 2 * second_ns;
    world.waiting_hurts = &hurts;
    world_start(&world);
    const uint64_t *dropped = &world.hold->outputs[0].dropped[HOLD_DROPPED_FULL];
    world.output.fenced = true;
    uint64_t number = 0;
    while (*dropped == 0) { /* it does not wait at all */
        assert_true(world_put_number(&world, number++));
    }
    hurts = false; /* what went wrong once is not tried again */
    assert_true(world_put_number(&world, number));
    world.output.fenced = false;
    world_deliver(&world);
    assert_true(world_put_number(&world, number++));
    world.output.fenced = true;
    world.now_ns += 60 * second_ns;
    number = fill(&world, number);
    for (int round = 0; round < 4; round++) { /* slow, not dead: four times half a second */
        assert_false(world_put_number(&world, number));
        world.now_ns += second_ns / 2;
        world.output.fenced = false;
        world_deliver(&world);
        assert_true(world_put_number(&world, number++));
        world.output.fenced = true;
        number = fill(&world, number);
    }
    world.now_ns += second_ns / 10; /* what came back meanwhile is over, and nothing is left */
    assert_true(world_put_number(&world, number));
    world.output.fenced = false;
    world_deliver(&world);
    assert_true(world_put_number(&world, number++));
    world.output.fenced = true;
    world.now_ns += 60 * second_ns;
    number = fill(&world, number);
    world.now_ns += 2 * second_ns - second_ns / 10;
    assert_false(world_put_number(&world, number));
    world.now_ns += second_ns / 5;
    assert_true(world_put_number(&world, number));
    world.output.fenced = false;
    world_deliver(&world);
    world_check_ledger(&world);
    world_end(&world);
}

static void drop_newest_keeps_the_oldest(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 4);
    world.block_limit_ns = 0;
    world.config.on_full = (struct output_on_full){OUTPUT_FULL_DROP_NEWEST, 0};
    world_start(&world);
    world.output.fenced = true;
    for (uint64_t number = 0; number < 10000; number++) {
        assert_true(world_put_number(&world, number));
        world_commit(&world, true);
    }
    uint64_t dropped = world.hold->outputs[0].dropped[HOLD_DROPPED_FULL];
    assert_true(dropped > 1000);
    world.output.fenced = false;
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "log", 0, 1), 10000 - dropped);
    world_check_ledger(&world);
    world_end(&world);
}

/* No more is dropped than room is needed, and never the newest. */
static void drop_oldest_keeps_the_newest(void **state)
{
    (void)state;
    struct world world;
    world_init(&world, 1, 8);
    world.block_limit_ns = 0;
    world.config.on_full = (struct output_on_full){OUTPUT_FULL_DROP_OLDEST, 0};
    world_start(&world);
    world.output.fenced = true;
    uint64_t most = 0;
    for (uint64_t number = 0; number < 20000; number++) {
        while (
            !world_put_number(&world, number)) { /* it waits for the commit, and for nothing else */
            world_commit(&world, true);
            assert_true(world.output.pool.free_count > 0);
        }
        uint64_t held = hold_held(world.hold, 0);
        most = yarder_max(most, held);
        assert_true(number < most || held + most / 8 + 1 >= most - most / 8);
    }
    const struct hold_output *counts = &world.hold->outputs[0];
    assert_int_equal(counts->dropped[HOLD_DROPPED_FULL], 0);
    uint64_t dropped = counts->dropped[HOLD_DROPPED_OLDEST];
    assert_int_equal(dropped + hold_held(world.hold, 0), 20000);
    world.output.fenced = false;
    world_deliver(&world);
    assert_int_equal(world_check_numbers(&world, "log", dropped, 1), 20000 - dropped);
    world_check_ledger(&world);
    world_end(&world);
}

/* It can never have room: nobody waits for that. */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_waits_as_long_as_it_may),
        cmocka_unit_test(a_sparing_output_does_not_count_short_stretches),
        cmocka_unit_test(a_sparing_output_has_two_seconds_a_minute),
        cmocka_unit_test(drop_newest_keeps_the_oldest),
        cmocka_unit_test(drop_oldest_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
