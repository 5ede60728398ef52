/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Follows a file that grows by lines and notes when each could be read: a line begins with the time
 * at which it was due. A thread of its own asks for what is new and sleeps FOLLOW_LOOK_NS where
 * nothing is: it takes part of a processor and no lock that a writer wants, and what it notes is
 * late by up to one look.
 */
#ifndef BENCH_LATENCY_FOLLOW_H
#define BENCH_LATENCY_FOLLOW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "histogram.h"

enum {
    FOLLOW_STAMP_BYTES = 20, /* digits of a line's beginning: ns of CLOCK_MONOTONIC */
    FOLLOW_LOOK_NS = 20000,
    FOLLOW_BUFFER_BYTES = 1 << 20
};

struct follower {
    pthread_t thread;
    int fd;
    uint64_t count_from_ns; /* what was due earlier is not counted */
    uint64_t expected;      /* lines: UINT64_MAX until the last one was logged; atomic */
    uint64_t seen;
    struct histogram landed;
    char buffer[FOLLOW_BUFFER_BYTES];
};

static inline uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Makes the file if it is not there. False: errno. */
bool follow_start(struct follower *follower, const char *path);
/* Waits until so many lines have been seen, or for ten seconds none. Those that are missing. */
uint64_t follow_end(struct follower *follower, uint64_t expected);

void follow_stamp(char *line, uint64_t due_ns);

#endif
