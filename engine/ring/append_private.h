/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by append.c, append_rseq.c and what that includes. */
#ifndef YARDER_RING_APPEND_PRIVATE_H
#define YARDER_RING_APPEND_PRIVATE_H

#include "ring/append.h"

/* Whether this architecture has a restartable sequence: append_rseq_x86_64.h, append_rseq_arm64.h.
 */
#if defined(__LP64__) && (defined(__x86_64__) || defined(__AARCH64EL__))
#define RING_HAS_RSEQ 1
#else
#define RING_HAS_RSEQ 0
#endif

/* What a thread's rseq area lies at an offset from. */
static inline uintptr_t thread_pointer(void)
{
    uintptr_t thread = 0;
#if defined(__x86_64__)
    __asm__("movq %%fs:0, %0" : "=r"(thread));
#elif defined(__aarch64__)
    __asm__("mrs %0, tpidr_el0" : "=r"(thread));
#endif
    return thread;
}

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
