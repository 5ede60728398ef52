/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters as they were during the last minute, so that one question tells what is lost now. The
 * control thread's alone.
 */
#ifndef YARDER_WORKER_RECENT_H
#define YARDER_WORKER_RECENT_H

#include "base/limits.h"
#include "queue/hold.h"

enum { RECENT_EVERY_MS = 5000, RECENT_SAMPLES = 13 }; /* the oldest is 60 to 65 s old */

struct recent_sample {
    uint64_t at_ms; /* monotonic */
    struct hold_input inputs[YARDER_INPUTS_MAX];
    struct hold_output outputs[YARDER_OUTPUTS_MAX];
};

struct recent {
    uint32_t count; /* at least 1 once anybody asks */
    uint32_t next;
    struct recent_sample samples[RECENT_SAMPLES];
};

void recent_add(struct recent *recent, const struct hold *hold, uint64_t now_ms);

/* The oldest sample: what has grown since has grown in the last minute. */
const struct recent_sample *recent_oldest(const struct recent *recent);

#endif
