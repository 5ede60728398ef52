/* SPDX-License-Identifier: Apache-2.0 */
/* How yarder starts a thread of its own. */
#ifndef YARDER_OS_THREAD_H
#define YARDER_OS_THREAD_H

#include <pthread.h>

#include "base/base.h"

/*
 * Starts main_of(self) on a stack of stack_bytes beside what the C library needs of it. Every
 * signal is blocked there: they are for the thread that waits for them, and no call is interrupted.
 * Joined by the caller. -EAGAIN (limits), -EINVAL, -ENOMEM.
 */
YARDER_MUST_USE int os_thread_start(
    pthread_t *out, size_t stack_bytes, void *(*main_of)(void *), void *self);

#endif
