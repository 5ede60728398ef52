/* SPDX-License-Identifier: Apache-2.0 */
/* Words for the operator. Private to room worker. */
#ifndef YARDER_WORKER_SAY_H
#define YARDER_WORKER_SAY_H

#include "base/base.h"

struct worker;

/*
 * A line on standard error, for the operator. Never waits: who reads it may have stopped.
 * Before worker_say_open, and when a thread cannot be had, it is written at once. worker_say_close
 * waits a moment for what is still to be said.
 */
void worker_say(struct worker *worker, const char *format, ...) YARDER_PRINTF(2, 3);
void worker_say_open(struct worker *worker);
void worker_say_close(struct worker *worker);

#endif
