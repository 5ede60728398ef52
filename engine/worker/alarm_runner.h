/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands and signals of alarms, by a thread of their own: who starts a process or opens a file
 * may wait for a disk, and no record must wait with it.
 *
 *   writer --job--> ring of jobs --> thread --> sh -c COMMAND   at most RUNNING_MAX at a time
 *                                          \--> kill(pid in FILE)
 *
 * A command is a child of the worker in a process group of its own, with the worker's rights,
 * standard error in the place of its output, and the message as a file on its standard input: so
 * it may read that or not, and nobody waits for it. What has not ended by the limit is killed with
 * its group. A job that finds the ring full has failed.
 */
#ifndef YARDER_WORKER_ALARM_RUNNER_H
#define YARDER_WORKER_ALARM_RUNNER_H

#include "api/record.h"
#include "worker/alarm_config.h"

/* Of one alarm; any thread may ask. */
struct alarm_counts {
    uint64_t raised;     /* by the writer */
    uint64_t suppressed; /* by the writer */
    uint64_t failed;     /* by both */
    int trouble;         /* of a failure that is counted, or of a later one */
};

static inline void alarm_count(uint64_t *count)
{
    (void)__atomic_fetch_add(count, 1, __ATOMIC_RELEASE); /* pairs with alarm_counted */
}
static inline uint64_t alarm_counted(const uint64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_ACQUIRE); /* pairs with alarm_count */
}
static inline int alarm_trouble(const struct alarm_counts *counts)
{
    return __atomic_load_n(&counts->trouble, __ATOMIC_RELAXED); /* ordered by `failed` */
}

/* Negative: -errno. */
enum alarm_trouble {
    ALARM_EXITED = 0,   /* + the status */
    ALARM_KILLED = 256, /* + the signal */
    ALARM_TOO_LONG = 512,
    ALARM_TOO_MANY,
    ALARM_NO_PROCESS, /* the file names none */
};
enum { ALARM_WORDS_BYTES = 128 };
const char *alarm_trouble_words(int trouble, char at[ALARM_WORDS_BYTES]);

struct alarm_runner;

/* Starts the thread; counts has one for each alarm. 0 or -errno. */
YARDER_MUST_USE int alarm_runner_open(
    struct alarm_runner **out, const struct alarms_config *config, struct alarm_counts *counts);
/* Copies the message for the thread. Never waits; a failure is counted. */
void alarm_runner_put(struct alarm_runner *runner, uint32_t alarm, struct yarder_text message);
/* Lets commands that run end, for two seconds at most; then kills them. NULL is none. */
void alarm_runner_close(struct alarm_runner *runner);

#endif
