/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of values, true to 1.6 %: of what bench/latency.c measures. */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_STEPS_BITS = 6,
    HISTOGRAM_STEPS = 1 << HISTOGRAM_STEPS_BITS, /* for each power of two */
    HISTOGRAM_SLOTS = (64 - HISTOGRAM_STEPS_BITS + 1) * HISTOGRAM_STEPS
};

/* Slots grow with the values in them, steps of a power of two are even. */
struct histogram {
    uint64_t counts[HISTOGRAM_SLOTS];
    uint64_t total;
    uint64_t max;
};

static inline size_t histogram_slot(uint64_t value)
{
    if (value < HISTOGRAM_STEPS) {
        return (size_t)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEPS_BITS;
    return (size_t)shift * HISTOGRAM_STEPS + (size_t)(value >> shift);
}

/* The largest value of a slot. */
static inline uint64_t histogram_top(size_t slot)
{
    if (slot < HISTOGRAM_STEPS) {
        return slot;
    }
    unsigned shift = (unsigned)(slot / HISTOGRAM_STEPS) - 1;
    return ((((uint64_t)slot % HISTOGRAM_STEPS) + HISTOGRAM_STEPS + 1) << shift) - 1;
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_slot(value)]++;
    histogram->total++;
    histogram->max = value > histogram->max ? value : histogram->max;
}

/* The value that so many of a million do not exceed. */
static inline uint64_t histogram_at(const struct histogram *histogram, uint64_t of_million)
{
    uint64_t wanted = (histogram->total * of_million + 999999) / 1000000;
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted && seen > 0) {
            return histogram_top(i) < histogram->max ? histogram_top(i) : histogram->max;
        }
    }
    return histogram->max;
}

#endif
