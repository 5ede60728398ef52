/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From stamps (ticks of the cpu's counter, or ns of CLOCK_MONOTONIC) to time of day. Opened once,
 * refreshed once in a pass; between two refreshes the mapping is fixed, so it never reorders a
 * pass.
 */
#ifndef YARDER_RING_CLOCK_H
#define YARDER_RING_CLOCK_H

#include "base/base.h"
#include "ring/layout.h"

struct ring_clock {
    uint64_t first_ticks; /* the pair the frequency is measured from */
    int64_t first_ns;
    uint64_t now_ticks; /* as of the last refresh: ticks, monotonic and real time of one moment */
    int64_t now_ns;
    int64_t real_ns;
    int64_t measured_ns;
    bool settled;         /* the frequency was measured since the last jump */
    uint64_t ns_per_tick; /* 32.32 fixed point */
    uint64_t ticks_per_s;
};

/* The counter of REGION_CLOCK_TSC: x86-64's TSC, aarch64's virtual count; elsewhere none. */
static inline uint64_t ring_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t ticks;
    /* isb: not read ahead of what stands before it */
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
#else
    return 0;
#endif
}

/* The same, and every load that follows is made after the counter was read. */
static inline uint64_t ring_ticks_then_loads(void)
{
    uint64_t ticks = ring_ticks();
#if defined(__x86_64__)
    __builtin_ia32_lfence();
#elif defined(__aarch64__)
    /* A load whose address needs the count, and a fence that holds up others until that is done. */
    uint64_t nothing;
    __asm__ volatile("eor %0, %1, %1\n\t"
                     "ldr %0, [%2, %0]\n\t"
                     "dmb ishld"
                     : "=&r"(nothing)
                     : "r"(ticks), "r"(&ticks), "m"(ticks)
                     : "memory");
#endif
    return ticks;
}

/* Which clock this machine's regions shall use: the counter if the kernel keeps time by it. */
enum region_clock ring_clock_choice(void);

/* Measures the TSC for about 2 ms; aarch64 states a frequency, which holds for a second. */
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
