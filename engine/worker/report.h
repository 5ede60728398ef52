/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger as JSON: what `yarder status --json` prints. */
#ifndef YARDER_WORKER_REPORT_H
#define YARDER_WORKER_REPORT_H

#include <cjson/cJSON.h>

#include "worker/worker_private.h"

/* One object from a snapshot; NULL when there is no memory. outputs may be NULL (nobody at work).
 */
cJSON *report_status(const struct hold *hold, const struct daemon_config *config,
    const struct output *outputs, const struct board *board, const char *io);

#endif
