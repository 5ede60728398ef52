/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The append of threads with a restartable-sequence area (glibc registers one for each thread). The
 * kernel sends a thread that was preempted, migrated or entered a signal handler in the middle of
 * the sequence to its abort label, so head is read and stored by one uninterrupted owner of the
 * ring, without an atomic read and write; and nothing is visible before its last instruction.
 *
 * An architecture's file has try_rseq(), which tries once: RING_APPENDED, RING_FULL, RING_ABORTED
 * (interrupted, or the thread's id is no longer the one given).
 */
#include "ring/append_private.h"

#if RING_HAS_RSEQ

#if defined(__x86_64__)
#include "ring/append_rseq_x86_64.h"
#else
#include "ring/append_rseq_arm64.h"
#endif

static_assert(
    offsetof(struct ring_slot, header) == 0 && offsetof(struct ring_slot, data) == 8, "assembly");
static_assert(
    offsetof(struct ring_entry, word) == 0 && offsetof(struct ring_entry, text) == 8, "assembly");
static_assert(offsetof(struct ring_entry, text_bytes) == 16, "assembly");
static_assert(offsetof(struct ring_entry, extra) == 24, "assembly");
static_assert(offsetof(struct ring_entry, extra_bytes) == 32, "assembly");
static_assert(offsetof(struct ring_entry, need_bytes) == 40, "assembly");
static_assert(offsetof(struct ring_entry, ring) == 52, "assembly");
static_assert(
    offsetof(struct ring_entry, tid) == 48 && offsetof(struct ring_entry, stamp) == 56, "assembly");
static_assert(offsetof(struct ring_entry, limit_bytes) == 64, "assembly");
static_assert(
    offsetof(struct ring_slot, mask) == 16 && sizeof(struct ring_record_header) == 24, "assembly");

/* The thread's rseq area, registered with the kernel by libc. */
static const char *rseq_area(const struct ring_producer *producer)
{
    return (const char *)(thread_pointer() + (uintptr_t)producer->rseq_offset);
}

uint32_t ring_here(const struct ring_producer *producer)
{
    if (producer->kind != REGION_RSEQ) {
        return 0;
    }
    const uint32_t *id_at = (const void *)(rseq_area(producer) + producer->id_offset);
    uint32_t id = __atomic_load_n(id_at, __ATOMIC_RELAXED);
    return id < producer->rings ? id : 0;
}

enum { TROUBLE_ABORT = 1, TROUBLE_REFRESH = 1 << 8, TROUBLE_END = -1 };
static_assert((int)RING_ABORTS_MAX < (int)TROUBLE_REFRESH, "two counts in one number");

/* After a try that did not append: the counts of both kinds of trouble, or that it is the end. */
static __attribute__((noinline, cold)) int append_trouble(struct ring_producer *producer,
    const struct ring_entry *entry, enum ring_append_result result, int trouble)
{
    if (result == RING_ABORTED) {
        trouble += TROUBLE_ABORT;
        return trouble % TROUBLE_REFRESH == RING_ABORTS_MAX ? TROUBLE_END : trouble;
    }
    if (trouble / TROUBLE_REFRESH == REFRESHES_MAX ||
        !append_refresh_tail(producer, entry->ring, entry_noise(entry))) {
        return TROUBLE_END;
    }
    return trouble + TROUBLE_REFRESH;
}

/* Few values are alive at a time: what the compiler must save is most of what an append stores. */
enum ring_append_result append_rseq(struct ring_producer *producer, struct ring_entry *entry)
{
    int trouble = 0;
    for (;;) {
        const char *rseq = rseq_area(producer);
        const uint32_t *cpu_at = (const void *)(rseq + RSEQ_CPU_ID_OFFSET);
        const uint32_t *id_at = (const void *)(rseq + producer->id_offset);
        uint32_t id = __atomic_load_n(id_at, __ATOMIC_RELAXED);
        entry->ring = id;
        /* A thread without a registration has a negative cpu. */
        if (id >= producer->rings || (__atomic_load_n(cpu_at, __ATOMIC_RELAXED) & 1u << 31) != 0) {
            entry->ring = 0;
            return RING_NONE;
        }
        const struct ring_slot *slot = &producer->slots[id];
        entry->limit_bytes = __atomic_load_n(&slot->limit[entry_noise(entry)], __ATOMIC_RELAXED);
        enum ring_append_result result = try_rseq(rseq, id_at, slot, entry);
        if (YARDER_LIKELY(result == RING_APPENDED)) {
            return result;
        }
        trouble = append_trouble(producer, entry, result, trouble);
        if (trouble == TROUBLE_END) {
            return result;
        }
    }
}

#else

uint32_t ring_here(const struct ring_producer *producer)
{
    (void)producer;
    return 0;
}

enum ring_append_result append_rseq(struct ring_producer *producer, struct ring_entry *entry)
{
    (void)producer;
    entry->ring = 0;
    return RING_NONE;
}

#endif
