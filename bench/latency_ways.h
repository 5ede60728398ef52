/* SPDX-License-Identifier: Apache-2.0 */
/* The ways to log that bench/latency.c measures: one call each. */
#ifndef BENCH_LATENCY_WAYS_H
#define BENCH_LATENCY_WAYS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

enum { LATENCY_SIZE_MAX = 32 << 10 };

struct caller {
    const char *target;
    char *places; /* memcpy's */
    size_t place;
    FILE *file;
    pthread_mutex_t mutex;
    int fd;
    size_t size;
    char line[LATENCY_SIZE_MAX + 1]; /* the record and a newline */
};

struct way {
    const char *name;
    bool (*open)(struct caller *caller); /* errno ENOSYS: it was built without */
    bool (*call)(struct caller *caller);
    bool (*close)(struct caller *caller); /* what lies in the process's own buffers is written */
};

/* NULL: there is no such way. */
const struct way *way_find(const char *name);

#endif
