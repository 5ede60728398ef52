/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: a region with both of its ends, seeds, and waiting. */
#ifndef YARDER_RING_TESTING_H
#define YARDER_RING_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ring/append.h"
#include "ring/reader.h"

enum { TESTING_SCRATCH_BYTES = 256 << 10, TESTING_RECORDS = 256 };

struct pair {
    int fd;
    struct region_shape shape;
    struct ring_producer *producer;
    struct region_reader *reader;
    struct ring_clock clock;
    struct ring_batch batch;
    struct ring_record records[TESTING_RECORDS];
    _Alignas(64) char scratch[TESTING_SCRATCH_BYTES];
};

/* Static: too large for a stack, and one for each test program is enough. */
static struct pair testing_pair;

static inline struct pair *pair_open_clock(
    enum region_kind kind, uint32_t rings, enum region_clock clock)
{
    struct pair *pair = &testing_pair;
    memset(pair, 0, sizeof(*pair));
    ring_clock_open(&pair->clock);
    pair->shape = (struct region_shape){
        .kind = kind, .clock = clock, .generation = 7, .ticks_per_s = pair->clock.ticks_per_s};
    region_shape_set(&pair->shape, 0, rings);
    assert_int_equal(region_create(&pair->fd, &pair->shape), 0);
    struct region_reader_options options = {.pid = 42, .input = 3, .tag = {"tester", 6}};
    assert_int_equal(region_reader_open(&pair->reader, pair->fd, &options), 0);
    assert_int_equal(ring_producer_open(&pair->producer, pair->fd, &pair->shape), 0);
    pair->batch = (struct ring_batch){.records = pair->records,
        .records_max = TESTING_RECORDS,
        .scratch = pair->scratch,
        .scratch_bytes = TESTING_SCRATCH_BYTES};
    return pair;
}

static inline struct pair *pair_open(enum region_kind kind, uint32_t rings)
{
    return pair_open_clock(
        kind, rings, kind == REGION_RSEQ ? REGION_CLOCK_TSC : ring_clock_choice());
}

static inline void pair_close(struct pair *pair)
{
    ring_producer_close(pair->producer);
    region_reader_close(pair->reader);
    (void)close(pair->fd);
}

static inline void pair_take(struct pair *pair)
{
    ring_clock_refresh(&pair->clock);
    assert_int_equal(region_reader_take(pair->reader, &pair->clock, &pair->batch), 0);
}

static inline enum ring_append_result pair_append(
    struct pair *pair, uint8_t level, const char *text, size_t text_bytes)
{
    struct ring_entry entry = {.text = text, .text_bytes = text_bytes, .tid = 5};
    ring_entry_seal(&entry, 0, level, 0);
    return ring_append(pair->producer, &entry);
}

/* The seed of this run: the one given in the environment, else a new one; always printed. */
static inline uint64_t testing_seed(void)
{
    const char *given = getenv("YARDER_TEST_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)os_realtime_ns();
    print_message("seed %llu\n", (unsigned long long)seed);
    return seed | 1;
}

static inline uint64_t testing_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#endif
