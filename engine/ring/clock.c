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
    YARDER_OWN_FD int fd = open(
        "/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
    char name[8] = "";
    if (fd >= 0 && read(fd, name, sizeof(name) - 1) == 4 && memcmp(name, "tsc\n", 4) == 0) {
        return REGION_CLOCK_TSC;
    }
#endif
    return REGION_CLOCK_NS;
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
 * The frequency over all the time since the start. A result over 1 % off means that the TSC jumped
 * (a suspend, a machine moved to another host): then it is measured from here, and the next result
 * counts.
 */
static void measure(struct ring_clock *clock)
{
    uint64_t ticks = clock->now_ticks - clock->first_ticks;
    uint64_t ns = (uint64_t)(clock->now_ns - clock->first_ns);
    if (ticks == 0 || ns == 0) {
        return; /* no TSC here */
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
