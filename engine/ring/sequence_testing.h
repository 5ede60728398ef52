/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The restartable sequence without the kernel's part in it, so that it is executed also where no
 * thread has an area (emulators, other libcs): an area of our own stands for libc's. Beside it the
 * same records go to a ring by the append in C; the two rings must be the same, byte for byte.
 */
#ifndef YARDER_RING_SEQUENCE_TESTING_H
#define YARDER_RING_SEQUENCE_TESTING_H

#include "ring/append_private.h"
#include "ring/testing.h"

#if RING_HAS_RSEQ

/* As the kernel defines them. */
struct descriptor {
    _Alignas(32) uint32_t version;
    uint32_t flags;
    uint64_t start;
    uint64_t bytes;
    uint64_t aborted;
};
struct area {
    _Alignas(32) uint32_t cpu_start;
    uint32_t cpu;
    uint64_t descriptor;
    uint32_t flags;
    uint32_t node;
    uint32_t mm_cid;
};
static_assert(offsetof(struct area, cpu) == RSEQ_CPU_ID_OFFSET, "the kernel's");
static_assert(offsetof(struct area, mm_cid) == RSEQ_MM_CID_OFFSET, "the kernel's");

/* From the linker: what the section __rseq_cs holds. */
extern const struct descriptor __start___rseq_cs[] __attribute__((visibility("hidden")));
extern const struct descriptor __stop___rseq_cs[] __attribute__((visibility("hidden")));
static const struct descriptor *const sequence = __start___rseq_cs;

static __thread struct area area;
static struct pair *tested;
static struct ring_producer *plain; /* of one ring, with the same records */
static char pattern[RING_APPEND_BYTES_MAX + 512];
static char field[RING_APPEND_BYTES_MAX]; /* the last entry's, if 6 bytes suffice */

static inline void open_both(uint32_t id_offset)
{
    tested = pair_open_clock(REGION_PLAIN, 2, REGION_CLOCK_TSC);
    tested->producer->kind = REGION_RSEQ;
    tested->producer->id_offset = id_offset;
    tested->producer->rseq_offset = (ptrdiff_t)((uintptr_t)&area - thread_pointer());
    area = (struct area){0};
    struct region_shape shape = {.kind = REGION_LOCKED, .clock = REGION_CLOCK_TSC};
    region_shape_set(&shape, 0, 1);
    YARDER_OWN_FD int fd = -1;
    assert_int_equal(region_create(&fd, &shape), 0);
    assert_int_equal(ring_producer_open(&plain, fd, &shape), 0);
    assert_int_equal(shape.ring_bytes, tested->shape.ring_bytes);
}

static inline void close_both(void)
{
    pair_close(tested);
    ring_producer_close(plain);
}

static inline struct ring_entry make_entry(uint8_t level, size_t text_bytes, size_t extra_bytes)
{
    if (extra_bytes >= 6) {
        uint32_t value_bytes = (uint32_t)extra_bytes - 6;
        memcpy(field + 2, &value_bytes, sizeof(value_bytes));
    }
    struct ring_entry entry = {.text = pattern + text_bytes % 251,
        .text_bytes = text_bytes,
        .extra = field,
        .extra_bytes = extra_bytes,
        .tid = 5};
    ring_entry_seal(&entry, 1, level, (uint16_t)(text_bytes * 3));
    return entry;
}

/* The same record by the append in C; the stamp that the sequence took put in its place. */
static inline enum ring_append_result append_plain(struct ring_entry entry, uint64_t stamp)
{
    uint64_t head = region_ring(&plain->map, 0)->head;
    enum ring_append_result result = ring_append(plain, &entry);
    if (result == RING_APPENDED) {
        memcpy(region_data(&plain->map, 0) + (head & (plain->map.shape.ring_bytes - 1)) + 8, &stamp,
            sizeof(stamp));
    }
    return result;
}

static inline enum ring_append_result append_both(struct ring_entry entry)
{
    struct ring_entry given = entry;
    uint64_t before = ring_ticks();
    enum ring_append_result result = ring_append(tested->producer, &entry);
    uint64_t after = ring_ticks();
    assert_int_equal(entry.ring, 0);
    if (result == RING_APPENDED) {
        assert_true(before <= entry.stamp && entry.stamp <= after);
    }
    assert_int_equal(append_plain(given, entry.stamp), result);
    return result;
}

static inline void same(void)
{
    const struct ring_header *a = region_ring(&tested->producer->map, 0);
    const struct ring_header *b = region_ring(&plain->map, 0);
    assert_int_equal(a->head, b->head);
    assert_int_equal(a->records, b->records);
    assert_int_equal(a->lost, b->lost);
    assert_memory_equal(region_data(&tested->producer->map, 0), region_data(&plain->map, 0),
        plain->map.shape.ring_bytes);
}

/* Makes all the room that there can be, in both. */
static inline uint32_t take_all(void)
{
    uint32_t taken = 0;
    while (!region_reader_idle(tested->reader)) {
        pair_take(tested);
        taken += tested->batch.count;
    }
    region_reader_publish(tested->reader);
    region_ring(&plain->map, 0)->tail = region_ring(&tested->producer->map, 0)->tail;
    return taken;
}

static inline void fill_pattern(void)
{
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)('a' + i % 23 + i / 256 % 3);
    }
    field[0] = YARDER_FIELD_TEXT;
    memcpy(field + 6, pattern, sizeof(field) - 6);
}

#endif

#endif
