/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/recent.h"

#include <string.h>

void recent_add(struct recent *recent, const struct hold *hold, uint64_t now_ms)
{
    const struct hold_shape *shape = &hold->shape;
    struct recent_sample *sample = &recent->samples[recent->next];
    YARDER_ASSERT(shape->inputs_count <= YARDER_INPUTS_MAX);
    YARDER_ASSERT(shape->outputs_count <= YARDER_OUTPUTS_MAX);
    sample->at_ms = now_ms;
    memcpy(sample->inputs, hold->inputs, shape->inputs_count * sizeof(*sample->inputs));
    memcpy(sample->outputs, hold->outputs, shape->outputs_count * sizeof(*sample->outputs));
    recent->next = (recent->next + 1) % RECENT_SAMPLES;
    recent->count += recent->count < RECENT_SAMPLES;
}

const struct recent_sample *recent_oldest(const struct recent *recent)
{
    YARDER_ASSERT(recent->count > 0);
    return &recent->samples[recent->count < RECENT_SAMPLES ? 0 : recent->next];
}
