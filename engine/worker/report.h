/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger and the state as JSON (docs/control.md): what `yarder status --json` prints. */
#ifndef YARDER_WORKER_REPORT_H
#define YARDER_WORKER_REPORT_H

#include <cjson/cJSON.h>

#include "worker/recent.h"
#include "worker/worker_private.h"

/*
 * One object from a snapshot; NULL when there is no memory. Of the worker only what never changes
 * after its setup, and what outputs and patterns tell any thread.
 */
cJSON *report_status(const struct hold *hold, const struct worker *worker,
    const struct recent_sample *before, uint64_t now_ms);

#endif
