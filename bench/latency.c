/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one call costs the program that logs. bench/latency.py runs it.
 *
 *     latency HOW TARGET RATE SECONDS SIZE paced|burst
 *     latency HOW TARGET RATE SECONDS SIZE landed FILE
 *
 * HOW  memcpy        the record is copied, nothing else: what measuring itself costs
 *      ring          yarder_log_bytes, TARGET is the daemon's run directory
 *      write         write(2) to TARGET
 *      fwrite        fwrite under a mutex to TARGET
 *      unix          a datagram to the unix socket TARGET, waiting for room
 *      spdlog        spdlog writes to TARGET, the caller itself
 *      spdlog-async  or spdlog's own thread
 *      lttng         a tracepoint of LTTng-UST, recorded by a session that runs already
 *      Status 77 where it was not built.
 *
 * paced: record i is due at start + i / RATE. The caller spins until then: a sleep would add its
 * own lateness. Prints one JSON object with two distributions, in ns:
 *
 *     call   from just before the call to its return
 *     due    from when the record was due to the return of its call: a call that takes long makes
 *            those behind it late, and here they say so (else one stall of 10 ms counts once,
 *            though 2 000 records waited for it)
 *
 * landed: the same, and
 *
 *     landed from when the record was due until it could be read in FILE (latency_follow.h);
 *            `missing` are those that never could
 *
 * burst: BURST calls back to back, RATE calls a second on average; the clock is read before and
 * behind the burst alone.
 *
 *     burst  time of a burst / its calls; ns with a fraction
 *
 * The first twentieth of the records is not counted. `failed` are calls that did not take a record.
 * Status 1, below the figures: not all of it was taken in the end.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "histogram.h"
#include "latency_follow.h"
#include "latency_ways.h"

enum { WARM_SHARE = 20, BURST = 1000, PS_PER_NS = 1000, NOT_BUILT = 77 };

static struct histogram own;
static struct histogram since_due;
static struct follower follower;

struct plan {
    const struct way *way;
    uint64_t rate;
    uint64_t count;
    bool burst;
    const char *landing; /* NULL: nobody looks */
};

static uint64_t wait_until(uint64_t due)
{
    uint64_t now = now_ns();
    while (now < due) {
        now = now_ns();
    }
    return now;
}

/* Returns how many calls failed. */
static uint64_t run_paced(struct caller *caller, const struct plan *plan)
{
    uint64_t failed = 0;
    uint64_t rate = plan->rate;
    uint64_t start = now_ns();
    uint64_t counted_from = plan->count / WARM_SHARE;
    follower.count_from_ns = start + counted_from * 1000000000 / rate;
    for (uint64_t i = 0; i < plan->count; i++) {
        uint64_t due = start + i / rate * 1000000000 + i % rate * 1000000000 / rate;
        if (plan->landing != NULL) {
            follow_stamp(caller->line, due);
        }
        uint64_t before = wait_until(due);
        failed += !plan->way->call(caller);
        uint64_t after = now_ns();
        if (i >= counted_from) {
            histogram_add(&own, after - before);
            histogram_add(&since_due, after - due);
        }
    }
    return failed;
}

static uint64_t run_bursts(struct caller *caller, const struct plan *plan)
{
    uint64_t failed = 0;
    uint64_t start = now_ns();
    uint64_t bursts = plan->count / BURST;
    for (uint64_t i = 0; i < bursts; i++) {
        uint64_t before = wait_until(start + i * BURST * 1000000000 / plan->rate);
        for (unsigned k = 0; k < BURST; k++) {
            failed += !plan->way->call(caller);
        }
        uint64_t after = now_ns();
        if (i >= bursts / WARM_SHARE) {
            histogram_add(&own, (after - before) * PS_PER_NS / BURST);
        }
    }
    return failed;
}

static void print(const char *name, const struct histogram *histogram, double unit)
{
    static const struct {
        const char *name;
        uint64_t of_million;
    } points[] = {
        {"p50", 500000}, {"p90", 900000}, {"p99", 990000}, {"p99.9", 999000}, {"p99.99", 999900}};
    (void)printf(", \"%s\": {", name);
    for (size_t i = 0; i < sizeof(points) / sizeof(*points); i++) {
        (void)printf("\"%s\": %.15g, ", points[i].name,
            (double)histogram_at(histogram, points[i].of_million) / unit);
    }
    (void)printf("\"max\": %.15g}", (double)histogram->max / unit);
}

static bool read_number(const char *text, double least, double most, double *number)
{
    char *end = NULL;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number >= least && *number <= most;
}

static bool read_plan(int argc, char **argv, struct caller *caller, struct plan *plan)
{
    double rate = 0;
    double seconds = 0;
    double size = 0;
    if (argc < 7 || !read_number(argv[3], 1, 1e9, &rate) ||
        !read_number(argv[4], 0, 3600, &seconds) ||
        !read_number(argv[5], FOLLOW_STAMP_BYTES, LATENCY_SIZE_MAX, &size)) {
        return false;
    }
    plan->way = way_find(argv[1]);
    plan->rate = (uint64_t)rate;
    plan->count = (uint64_t)(rate * seconds);
    plan->burst = strcmp(argv[6], "burst") == 0;
    plan->landing = argc == 8 ? argv[7] : NULL;
    caller->target = argv[2];
    caller->size = (size_t)size;
    memset(caller->line, 'x', caller->size);
    caller->line[caller->size] = '\n';
    const char *what = plan->landing != NULL ? "landed" : plan->burst ? "burst" : "paced";
    return plan->way != NULL && argc <= 8 && strcmp(argv[6], what) == 0;
}

int main(int argc, char **argv)
{
    static struct caller caller = {.mutex = PTHREAD_MUTEX_INITIALIZER, .fd = -1};
    struct plan plan;
    if (!read_plan(argc, argv, &caller, &plan)) {
        (void)fprintf(stderr, "usage: latency HOW TARGET RATE SECONDS SIZE paced|burst\n"
                              "       latency HOW TARGET RATE SECONDS SIZE landed FILE\n");
        return 2;
    }
    if (!plan.way->open(&caller) ||
        (plan.landing != NULL && !follow_start(&follower, plan.landing))) {
        int error = errno;
        (void)fprintf(stderr, "latency: %s %s: %s\n", argv[1], argv[2], strerror(error));
        return error == ENOSYS ? NOT_BUILT : 1;
    }
    uint64_t failed = plan.burst ? run_bursts(&caller, &plan) : run_paced(&caller, &plan);
    bool taken = plan.way->close(&caller);
    (void)printf("{\"calls\": %llu, \"failed\": %llu",
        (unsigned long long)(plan.burst ? own.total * BURST : own.total),
        (unsigned long long)failed);
    print(plan.burst ? "burst" : "call", &own, plan.burst ? PS_PER_NS : 1);
    if (!plan.burst) {
        print("due", &since_due, 1);
    }
    if (plan.landing != NULL) {
        uint64_t missing = follow_end(&follower, plan.count - failed);
        print("landed", &follower.landed, 1);
        (void)printf(", \"missing\": %llu", (unsigned long long)missing);
    }
    (void)printf("}\n");
    if (!taken) {
        (void)fprintf(stderr, "latency: not all of it was taken in the end\n");
    }
    return taken ? 0 : 1;
}
