/* SPDX-License-Identifier: Apache-2.0 */
/* The restartable sequence, uninterrupted: every size, wrap-around, limits, and its descriptor. */
#include "ring/sequence_testing.h"

#if RING_HAS_RSEQ

static void sizes(void **state)
{
    (void)state;
    open_both(RSEQ_MM_CID_OFFSET);
    for (size_t bytes = 0; bytes <= RING_APPEND_BYTES_MAX; bytes += bytes < 600 ? 1 : 211) {
        size_t part = bytes < 600 ? bytes % 67 : 4321 % bytes;
        const size_t extras[] = {0, part, bytes};
        for (unsigned i = 0; i < YARDER_COUNT_OF(extras); i++) {
            struct ring_entry entry = make_entry(YARDER_LEVEL_ERROR, bytes - extras[i], extras[i]);
            assert_int_equal(append_both(entry), RING_APPENDED);
            do {
                pair_take(tested); /* again, if it was stamped at this very tick */
            } while (tested->batch.count == 0);
            assert_int_equal(tested->batch.count, 1);
            struct yarder_text text = tested->records[0].record.text;
            assert_int_equal(text.length, entry.text_bytes);
            assert_memory_equal(text.at, entry.text, text.length);
        }
        (void)take_all();
        if (bytes % 16 == 0) {
            same();
        }
    }
    same();
    close_both();
}

/* Through the ring's end many times, and against its limits; by either id. */
static void wraps(void **state)
{
    (void)state;
    uint64_t random = testing_seed();
    const uint32_t offsets[] = {RSEQ_MM_CID_OFFSET, RSEQ_CPU_ID_OFFSET};
    for (unsigned i = 0; i < YARDER_COUNT_OF(offsets); i++) {
        open_both(offsets[i]);
        uint32_t appended = 0;
        uint32_t full = 0;
        uint32_t taken = 0;
        for (unsigned step = 0; step < 20000; step++) {
            uint64_t roll = testing_random(&random);
            size_t bytes = roll / 16 % ((roll & 15) == 0 ? RING_APPEND_BYTES_MAX : 400);
            size_t extra = (roll >> 40) % 3 == 0 ? (roll >> 44) % (bytes + 1) : 0;
            uint8_t level = (roll >> 60) % 2 == 0 ? YARDER_LEVEL_ERROR : YARDER_LEVEL_INFO;
            if (append_both(make_entry(level, bytes - extra, extra)) == RING_APPENDED) {
                appended++;
            } else {
                full++;
                ring_lose(tested->producer, 0, 1);
                ring_lose(plain, 0, 1);
            }
            if (roll >> 56 == 0) {
                taken += take_all();
                same();
            }
        }
        taken += take_all();
        same();
        assert_int_equal(taken, appended);
        assert_true(full > 0 && region_ring(&plain->map, 0)->head > 8 * RING_BYTES_MIN);
        close_both();
    }
}

/* What the kernel checks before it sends a thread to the abort handler. */
static void descriptors(void **state)
{
    (void)state;
#if defined(__x86_64__)
    const uint32_t wanted = 0x53053053;
#else
    const uint32_t wanted = 0xd428bc00;
#endif
    const struct descriptor *end = __stop___rseq_cs;
    assert_true(sequence < end);
    for (const struct descriptor *at = sequence; at < end; at++) {
        assert_int_equal(at->version, 0);
        assert_int_equal(at->flags, 0);
        assert_true(at->bytes > 100 && at->bytes < 1000);
        assert_true(at->aborted - at->start >= at->bytes);
        uint32_t signature;
        memcpy(&signature, (const char *)(uintptr_t)at->aborted - 4, sizeof(signature));
        assert_int_equal(signature, wanted);
    }
    open_both(RSEQ_MM_CID_OFFSET);
    assert_int_equal(append_both(make_entry(YARDER_LEVEL_ERROR, 9, 0)), RING_APPENDED);
    assert_true(area.descriptor >= (uintptr_t)sequence && area.descriptor < (uintptr_t)end);
    close_both();
}

static void no_ring(void **state)
{
    (void)state;
    open_both(RSEQ_MM_CID_OFFSET);
    struct ring_entry entry = make_entry(YARDER_LEVEL_ERROR, 9, 0);
    area.mm_cid = 2;
    assert_int_equal(ring_append(tested->producer, &entry), RING_NONE);
    area.mm_cid = 0;
    area.cpu = UINT32_MAX;
    assert_int_equal(ring_append(tested->producer, &entry), RING_NONE);
    area.cpu = 0;
    assert_int_equal(append_both(entry), RING_APPENDED);
    same();
    close_both();
}

int main(void)
{
    fill_pattern();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors),
        cmocka_unit_test(sizes),
        cmocka_unit_test(wraps),
        cmocka_unit_test(no_ring),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void)
{
    return 77; /* no restartable sequence for this architecture */
}

#endif
