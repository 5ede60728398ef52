/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "os/memory.h"

enum { OPEN_NS = 2000000, MEASURE_NS = 1000000000, PAIR_TRIES = 5 };

enum region_clock ring_clock_choice(void)
{
#if defined(__x86_64__)
    static const char wanted[] = "tsc\n";
#elif defined(__aarch64__)
    static const char wanted[] = "arch_sys_counter\n";
#else
    static const char wanted[] = "";
#endif
    char name[32] = "";
    YARDER_OWN_FD int fd = open(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    bool there = fd >= 0 && read(fd, name, sizeof(name) - 1) > 0;
    return there && strcmp(name, wanted) == 0 ? REGION_CLOCK_TSC : REGION_CLOCK_NS;
}

/* The counter's frequency where the machine states one, else 0. */
static uint64_t stated_ticks_per_s(void)
{
    uint64_t ticks_per_s = 0;
#if defined(__aarch64__)
    __asm__("mrs %0, cntfrq_el0" : "=r"(ticks_per_s));
#endif
    return ticks_per_s;
}

/* Both clocks at one moment: the try that took the shortest, so an interruption does not count. */
static void take_pair(struct ring_clock *clock)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < PAIR_TRIES; i++) {
        uint64_t before = ring_ticks();
        int64_t monotonic_ns = os_monotonic_ns();
        uint64_t took = ring_ticks() - before;
        if (took < best) {
            best = took;
            clock->now_ticks = before + took / 2;
            clock->now_ns = monotonic_ns;
        }
    }
    clock->real_ns = os_realtime_ns() - (os_monotonic_ns() - clock->now_ns);
}

static void restart(struct ring_clock *clock)
{
    clock->first_ticks = clock->now_ticks;
    clock->first_ns = clock->now_ns;
    clock->measured_ns = clock->now_ns;
}

/*
 * The frequency over all the time since the start. A result over 1 % off means that the count
 * jumped (a suspend, a machine moved to another host): then it is measured from here, and the next
 * result counts.
 */
static void measure(struct ring_clock *clock)
{
    uint64_t ticks = clock->now_ticks - clock->first_ticks;
    uint64_t ns = (uint64_t)(clock->now_ns - clock->first_ns);
    if (ticks == 0 || ns == 0) {
        return; /* no counter here */
    }
    uint64_t ns_per_tick = (uint64_t)(((__extension__(unsigned __int128) ns) << 32) / ticks);
    uint64_t apart = (uint64_t)llabs((int64_t)(ns_per_tick - clock->ns_per_tick));
    if (clock->settled && apart > clock->ns_per_tick / 100) {
        restart(clock);
        clock->settled = false;
        return;
    }
    clock->ns_per_tick = ns_per_tick;
    clock->ticks_per_s = (uint64_t)((__extension__(unsigned __int128) ticks) * 1000000000 / ns);
    clock->measured_ns = clock->now_ns;
    clock->settled = true;
}

void ring_clock_open(struct ring_clock *clock)
{
    *clock = (struct ring_clock){.ns_per_tick = UINT64_C(1) << 32, .ticks_per_s = 1000000000};
    take_pair(clock);
    restart(clock);
    uint64_t stated = stated_ticks_per_s();
    if (stated != 0) {
        clock->ticks_per_s = stated;
        clock->ns_per_tick = (UINT64_C(1000000000) << 32) / stated;
        return; /* what is measured later replaces it, however far off it was */
    }
    struct timespec rest = {.tv_nsec = OPEN_NS};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR) {
    }
    take_pair(clock);
    measure(clock);
}

void ring_clock_refresh(struct ring_clock *clock)
{
    clock->now_ticks = ring_ticks();
    clock->now_ns = os_monotonic_ns();
    clock->real_ns = os_realtime_ns();
    if (clock->now_ns - clock->measured_ns >= MEASURE_NS) {
        take_pair(clock);
        measure(clock);
    }
}
