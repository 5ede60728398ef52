/* SPDX-License-Identifier: Apache-2.0 */
/* The control thread of a worker: see docs/control.md. */
#ifndef YARDER_WORKER_STATUS_H
#define YARDER_WORKER_STATUS_H

#include "worker/worker_private.h"

/* Starts it. What the worker began with is what its hold says now. 0 or -errno. */
YARDER_MUST_USE int status_open(struct worker *worker, int control_fd);
/* No more questions: they are the next worker's to answer. Does not wait. */
void status_stop(struct status *status);
void status_close(struct status *status);

#endif
