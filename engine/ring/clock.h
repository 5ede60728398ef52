/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From stamps (TSC ticks, or ns of CLOCK_MONOTONIC) to time of day. Opened once, refreshed once in
 * a pass; between two refreshes the mapping is fixed, so it never reorders a pass.
 */
#ifndef YARDER_RING_CLOCK_H
#define YARDER_RING_CLOCK_H

#include "base/base.h"
#include "ring/layout.h"

struct ring_clock {
    uint64_t first_ticks; /* the pair the frequency is measured from */
    int64_t first_ns;
    uint64_t now_ticks; /* as of the last refresh: TSC, monotonic and real time of one moment */
    int64_t now_ns;
    int64_t real_ns;
    int64_t measured_ns;
    bool settled;         /* the frequency was measured since the last jump */
    uint64_t ns_per_tick; /* 32.32 fixed point */
    uint64_t ticks_per_s;
};

static inline uint64_t ring_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0; /* no region has REGION_CLOCK_TSC here */
#endif
}

/* Which clock this machine's regions shall use: the TSC if the kernel itself keeps time by it. */
enum region_clock ring_clock_choice(void);

/* Measures the TSC for about 2 ms. */
void ring_clock_open(struct ring_clock *clock);

/* Takes the time anew (60 ns) and, once a second, the frequency over all the time since open. */
void ring_clock_refresh(struct ring_clock *clock);

/* A stamp as ns since 1970. Any value is safe; far ones come out meaningless. */
static inline int64_t ring_clock_time_ns(
    const struct ring_clock *clock, enum region_clock of, uint64_t stamp)
{
    if (of == REGION_CLOCK_NS) {
        return (int64_t)((uint64_t)clock->real_ns + stamp - (uint64_t)clock->now_ns);
    }
    bool past = stamp < clock->now_ticks;
    uint64_t apart = past ? clock->now_ticks - stamp : stamp - clock->now_ticks;
    uint64_t apart_ns =
        (uint64_t)(((__extension__(unsigned __int128) apart) * clock->ns_per_tick) >> 32);
    return (int64_t)((uint64_t)clock->real_ns + (past ? 0 - apart_ns : apart_ns));
}

#endif
