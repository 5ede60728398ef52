/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that has nothing to do with logs and keeps a processor busy: a fixed number of steps,
 * each of arithmetic and of one look into a table that fits a second-level cache. How much longer
 * it takes beside somebody is what that one costs it. bench/curves.py runs it.
 *
 *     neighbour STEPS        prints the nanoseconds it took
 */
#include <time.h>

#include "base/text.h"

enum { TABLE_WORDS = 1 << 15 };

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Each step needs the one before: neither the compiler nor the processor can leave one out. */
static uint64_t walk(const uint64_t *table, uint64_t steps)
{
    uint64_t state = 88172645463325252;
    for (uint64_t i = 0; i < steps; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state += table[state % TABLE_WORDS];
    }
    return state;
}

int main(int argc, char **argv)
{
    static uint64_t table[TABLE_WORDS];
    uint64_t steps = 0;
    if (argc != 2 || text_to_u64(text_of(argv[1]), &steps) < 0) {
        (void)fprintf(stderr, "usage: neighbour STEPS\n");
        return 2;
    }
    for (uint64_t i = 0; i < TABLE_WORDS; i++) {
        table[i] = i * 0x9e3779b97f4a7c15;
    }
    uint64_t start_ns = now_ns();
    uint64_t state = walk(table, steps);
    uint64_t end_ns = now_ns();
    (void)printf("%llu\n", (unsigned long long)(end_ns - start_ns));
    return state == 0 ? 1 : 0; /* never: its result is used */
}
