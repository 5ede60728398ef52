/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is lost, jumped over or not looked at: gaps told once across takes that are taken back and
 * readers that die, records that make no sense counted, rings that were never used left alone.
 */
#include "ring/testing.h"

/* Every loss is told once, whoever takes a record back or dies before or after it has published. */
static void gaps_are_told_once(void **state)
{
    (void)state;
    uint64_t random = testing_seed();
    struct pair *pair = pair_open(REGION_PLAIN, 3);
    const struct region_reader_options options = {
        .pid = 42, .input = 3, .tag = {"tester", 6}, .strikes_max = UINT32_MAX};
    uint64_t lost = 0;
    uint64_t told = 0;      /* by records that were placed */
    uint64_t committed = 0; /* likewise, as of the commit */
    uint64_t cursors[3] = {0};
    uint32_t committed_told = region_reader_told(pair->reader);
    for (unsigned step = 0; step < 20000; step++) {
        for (uint64_t i = testing_random(&random) % 4; i > 0; i--) {
            uint32_t loss = (uint32_t)(testing_random(&random) % 3);
            struct ring_entry entry = {
                .text = "x", .text_bytes = 1, .tid = (uint32_t)(testing_random(&random) % 3)};
            ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
            ring_lose(pair->producer, (uint32_t)(testing_random(&random) % 3), loss);
            lost += loss;
            assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
        }
        pair_take(pair);
        uint32_t placed = (uint32_t)(testing_random(&random) % (pair->batch.count + 1));
        for (uint32_t i = 0; i < placed; i++) {
            told += pair->records[i].record.lost_before;
        }
        if (placed < pair->batch.count && testing_random(&random) % 2 == 0) {
            told += pair->records[placed].record.lost_before; /* the gap alone found room */
            pair->records[placed].record.lost_before = 0;
        }
        for (uint32_t i = pair->batch.count; i > placed; i--) {
            region_reader_rewind(pair->reader, &pair->records[i - 1]);
        }
        uint64_t fate = testing_random(&random) % 8;
        if (fate != 0) {
            for (uint32_t i = 0; i < 3; i++) {
                cursors[i] = region_reader_cursor(pair->reader, i);
            }
            committed_told = region_reader_told(pair->reader);
            committed = told;
        }
        if (fate > 1) {
            region_reader_publish(pair->reader);
        } else { /* killed before the commit, or between it and publishing */
            told = committed;
            region_reader_close(pair->reader);
            assert_int_equal(region_reader_open(&pair->reader, pair->fd, &options), 0);
            region_reader_resume(pair->reader, cursors, committed_told);
        }
    }
    assert_int_equal(
        pair_append(pair, YARDER_LEVEL_ERROR, "the last tells the rest", 23), RING_APPENDED);
    for (unsigned i = 0; i < 2; i++) { /* a loss is seen before, and another record may tell it */
        pair_take(pair);
        for (uint32_t k = 0; k < pair->batch.count; k++) {
            told += pair->records[k].record.lost_before;
        }
        assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "x", 1), RING_APPENDED);
    }
    pair_take(pair);
    told += pair->records[0].record.lost_before;
    assert_int_equal(told, lost);
    struct ring_losses losses;
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.lost, lost);
    assert_int_equal(losses.refused, 0);
    pair_close(pair);
}

/* What a jump leaves out is counted as far as the producer's count of its records goes. */
static void jumps_are_counted(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    struct ring_losses losses;
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "abcd", 4), RING_APPENDED);
    }
    uint32_t impossible = 7;
    memcpy(region_data(&pair->producer->map, 0) + 3 * 32, &impossible, sizeof(impossible));
    pair_take(pair);
    assert_int_equal(pair->batch.count, 3);
    assert_true(pair->batch.skipped);
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 7);
    /* Taken back and taken again: counted once. */
    for (unsigned i = 3; i > 1; i--) {
        region_reader_rewind(pair->reader, &pair->records[i - 1]);
    }
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 0);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 2);
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 7);
    /* A payload that contradicts its length is one record; what follows comes out. */
    uint64_t at = region_reader_cursor(pair->reader, 0);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "abcd", 4), RING_APPENDED);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "good", 4), RING_APPENDED);
    uint32_t text_bytes = 5;
    memcpy(region_data(&pair->producer->map, 0) + at + 24, &text_bytes, sizeof(text_bytes));
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    assert_memory_equal(pair->records[0].record.text.at, "good", 4);
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 8);
    /* Nobody can say how many: one. A head that stays crooked is one jump. */
    region_ring(&pair->producer->map, 0)->head += (UINT64_C(1) << 40) + 1;
    for (unsigned i = 0; i < 3; i++) {
        pair_take(pair);
    }
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 9);
    pair_close(pair);
}

/* Only rings in use are looked at; one whose producer does not say so is found before a sleep. */
static void rings_in_use(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 100);
    struct region_header *header = pair->producer->map.header;
    for (uint32_t tid = 99; tid > 0; tid -= 33) {
        struct ring_entry entry = {.text = "x", .text_bytes = 1, .tid = tid};
        ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
        assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
        assert_int_equal(header->used[tid / 64] >> tid % 64 & 1, 1);
        if (tid != 33) {
            pair_take(pair);
            assert_int_equal(pair->batch.count, 1);
            assert_int_equal(pair->records[0].ring, tid);
        }
    }
    header->used[0] = 0;
    pair_take(pair);
    assert_int_equal(pair->batch.count, 0);
    assert_false(region_reader_idle(pair->reader));
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    assert_int_equal(pair->records[0].ring, 33);
    header->used[1] = UINT64_MAX; /* rings that there are not */
    pair_take(pair);
    region_reader_publish(pair->reader);
    assert_true(region_reader_idle(pair->reader));
    pair_close(pair);
}

/* A loss in a ring that then stays silent shows in the next record of another. */
static void gap_elsewhere(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 2);
    ring_lose(pair->producer, 0, 9);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 0);
    assert_int_equal(
        pair_append(pair, YARDER_LEVEL_ERROR, "x", 1), RING_APPENDED); /* tid 5: ring 1 */
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "y", 1), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].ring, 1);
    assert_int_equal(pair->records[0].record.lost_before, 9);
    assert_int_equal(pair->records[1].record.lost_before, 0);
    pair_close(pair);
}

/* Over half full is pressing, unless somebody waits: then nothing is lost by being left there. */
static void a_ring_presses(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 1);
    struct ring_entry entry = {.text = "x", .text_bytes = 1, .tid = 1};
    ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
    struct ring_header *shared = region_ring(&pair->producer->map, 0);
    while (shared->head <= pair->producer->map.shape.ring_bytes / 2) {
        assert_false(region_reader_presses(pair->reader));
        assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    }
    assert_true(region_reader_presses(pair->reader));
    shared->space_waiters = 1;
    assert_false(region_reader_presses(pair->reader));
    shared->space_waiters = 0;
    while (!region_reader_idle(pair->reader)) {
        pair_take(pair);
    }
    assert_true(region_reader_presses(pair->reader)); /* taken, but its room not yet given back */
    region_reader_publish(pair->reader);
    assert_false(region_reader_presses(pair->reader));
    pair_close(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_are_told_once),
        cmocka_unit_test(jumps_are_counted),
        cmocka_unit_test(rings_in_use),
        cmocka_unit_test(gap_elsewhere),
        cmocka_unit_test(a_ring_presses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
