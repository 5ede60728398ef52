/* SPDX-License-Identifier: Apache-2.0 */
#ifndef YARDER_WORKER_QUEUE_MOVE_H
#define YARDER_WORKER_QUEUE_MOVE_H

#include "worker/prepare.h"

/*
 * What an output's queues in the old hold still have, and its counters, into the new hold's state:
 * record by record, for the buffers may have another size. queue_from[our queue] = the old queue.
 * What finds no room (a smaller queue) is dropped and counted. 0 or -ENOMEM.
 */
YARDER_MUST_USE int queues_move(struct hold *old, uint32_t old_output, struct hold *hold,
    uint32_t output, uint32_t *queue_from);

#endif
