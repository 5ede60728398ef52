/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoch of a hold is half of its records' ids, and grows from hold to hold; STATE_DIR/epoch
 * remembers the last, so that it does so over daemons too, should the clock go back between them.
 */
#ifndef YARDER_CONTROL_EPOCH_H
#define YARDER_CONTROL_EPOCH_H

#include "queue/hold.h"
#include "worker/config.h"

enum { EPOCH_WHY_BYTES = YARDER_PATH_BYTES_MAX + 128 };

/*
 * Before a worker has the hold. Does nothing where no output makes ids. What is wrong with the file
 * is written to `why` ("" for nothing) and is no reason not to start: the clock is mostly right.
 */
void epoch_settle(
    const struct daemon_config *config, struct hold *hold, char *why, size_t why_bytes);

#endif
