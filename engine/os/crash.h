/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash points: places where tests kill the process, to show that any one of them is survived.
 * YARDER_CRASH_POINT=NAME:N in the environment kills with SIGKILL at the N-th time that NAME is
 * passed. It may be a list, NAME:N,NAME:N: the first worker takes the first point, the one after
 * its death the next, and when the list is used up workers live. Unarmed a point costs one load and
 * a branch; they stand per pass or per call on a file, never per record.
 */
#ifndef YARDER_OS_CRASH_H
#define YARDER_OS_CRASH_H

#include "base/base.h"

extern bool crash_armed;
void crash_arm(void); /* reads the environment; once, at the start of a worker */
void crash_at(const char *name);
_Noreturn void crash_now(void);

/* The supervisor, when a worker was killed: those after it get the rest of the list. */
void crash_point_used(char *const *environment);

static inline void crash_point(const char *name)
{
    if (YARDER_UNLIKELY(crash_armed)) {
        crash_at(name);
    }
}

/*
 * For a call that can do less than it was asked: `count`, or when the point is hit an odd part of
 * it. Whoever gets a part makes the call with it and then crash_now.
 */
size_t crash_part_of(const char *name, size_t count);
static inline size_t crash_part(const char *name, size_t count)
{
    return YARDER_UNLIKELY(crash_armed) ? crash_part_of(name, count) : count;
}

#endif
