/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by append.c and append_rseq.c. */
#ifndef YARDER_RING_APPEND_PRIVATE_H
#define YARDER_RING_APPEND_PRIVATE_H

#include "ring/append.h"

enum { RSEQ_CPU_ID_OFFSET = 4, RSEQ_MM_CID_OFFSET = 24 };

/* Enough for a full ring whose tail moves at each look; the loop ends by itself long before. */
enum { REFRESHES_MAX = 64 };

/* Which limit holds for the entry: 1 up to INFO, 0 above. */
static inline unsigned entry_noise(const struct ring_entry *entry)
{
    return (uint8_t)(entry->word >> 40) <= YARDER_LEVEL_INFO;
}

/*
 * The ring looked full by the cached tail: whether it is worth another try. Two threads may store
 * different tails here; an old one is only too careful.
 */
bool append_refresh_tail(struct ring_producer *producer, uint32_t ring, unsigned noise);

enum ring_append_result append_rseq(struct ring_producer *producer, struct ring_entry *entry);

#endif
