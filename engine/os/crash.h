/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Crash points: places where tests kill the process, to show that any one of them is survived.
 * YARDER_CRASH_POINT=NAME:N in the environment kills with SIGKILL at the N-th time that NAME is
 * passed. Unarmed a point costs one load and a branch; they stand per pass, never per record.
 */
#ifndef YARDER_OS_CRASH_H
#define YARDER_OS_CRASH_H

#include "base/base.h"

extern bool crash_armed;
void crash_arm(void); /* reads the environment; once, at the start of a worker */
void crash_at(const char *name);

static inline void crash_point(const char *name)
{
    if (YARDER_UNLIKELY(crash_armed)) {
        crash_at(name);
    }
}

#endif
