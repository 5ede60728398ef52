/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of processors as text, "0,2-3", and what of a process goes by them. */
#ifndef YARDER_OS_PROCESSORS_H
#define YARDER_OS_PROCESSORS_H

#include <sched.h>

#include "base/base.h"

enum { PROCESSORS_TEXT_BYTES = 256, NICE_LEAST = -20, NICE_MOST = 19 };

/* Numbers and ranges with commas between: 0; -EINVAL; -ERANGE: over CPU_SETSIZE - 1. */
YARDER_MUST_USE int processors_parse(const char *text, cpu_set_t *out);

/* The way back, as short as it can be said; what has no room is left out: ",...". Returns `at`. */
const char *processors_text(const cpu_set_t *set, char at[PROCESSORS_TEXT_BYTES]);

/* Those of this machine that are on, by sysfs. 0 or -errno: it cannot be asked here. */
YARDER_MUST_USE int processors_online(cpu_set_t *out);

/* What a thread is given, and hands on to what it starts. NULL of either: as it is. */
struct processors_share {
    const cpu_set_t *cpus;
    const int *nice;
};

/*
 * Takes as much of it as the kernel allows, for the calling thread; whoever wants to know what that
 * was asks with processors_refused. Async-signal-safe.
 */
void processors_take(const struct processors_share *share);

enum { PROCESSORS_CPUS_REFUSED = 1 << 0, PROCESSORS_NICE_REFUSED = 1 << 1 };

/* What of the share the calling thread has not, as bits, with what it has instead. */
unsigned processors_refused(const struct processors_share *share, cpu_set_t *cpus, int *nice);

#endif
