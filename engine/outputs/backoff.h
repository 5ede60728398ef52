/* SPDX-License-Identifier: Apache-2.0 */
/* The pauses between tries of a destination that fails: they double, and are spread at random. */
#ifndef YARDER_OUTPUTS_BACKOFF_H
#define YARDER_OUTPUTS_BACKOFF_H

#include "base/base.h"

enum { BACKOFF_LEAST_NS = 1000 * 1000 };

/* How long the pause after one of `last_ns` (0: there was none) may be. */
static inline uint64_t backoff_next(uint64_t last_ns, uint64_t first_ns, uint64_t limit_ns)
{
    uint64_t next_ns = last_ns == 0 ? first_ns : yarder_min(last_ns * 2, limit_ns);
    return yarder_max(next_ns, (uint64_t)BACKOFF_LEAST_NS);
}

/*
 * Full jitter: a pause between the least and most_ns, so that many yarders that lost one peer do
 * not come back at once. xorshift64*; the state is never 0.
 */
static inline uint64_t backoff_jitter(uint64_t *state, uint64_t most_ns)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    uint64_t random = *state * UINT64_C(0x2545F4914F6CDD1D);
    return yarder_max(random % most_ns, (uint64_t)BACKOFF_LEAST_NS);
}

#endif
