/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a region for appending, the kinds that need no assembly (claim a ring that is free,
 * append, give it up), and what is done when there is no room. The restartable sequence:
 * append_rseq.c.
 */
#include "ring/append.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "ring/append_private.h"

enum { RSEQ_MM_CID_END = 28, AUX_RSEQ_FEATURE_SIZE = 27 };

/* glibc 2.35 and up; not there with another libc, or with the tunable off (size 0). */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static bool rseq_usable(void)
{
#if RING_HAS_RSEQ
    return &__rseq_size != NULL && &__rseq_offset != NULL && __rseq_size > 0;
#else
    return false;
#endif
}

enum region_kind ring_producer_kind(void)
{
    return rseq_usable() ? REGION_RSEQ : REGION_PLAIN;
}

static size_t producer_bytes(uint32_t rings)
{
    return sizeof(struct ring_producer) + rings * sizeof(struct ring_slot);
}

int ring_producer_open(struct ring_producer **out, int region_fd, const struct region_shape *shape)
{
    /* Another libc may be loaded by now than the one that asked for this kind; TSC goes with rseq.
     */
    bool rseq = shape->kind == REGION_RSEQ;
    if (rseq && (!rseq_usable() || shape->clock != REGION_CLOCK_TSC)) {
        return -ENOTSUP;
    }
    struct region_map map;
    int result = region_map(&map, region_fd, shape);
    if (result < 0) {
        return result;
    }
    struct ring_producer *producer = mmap(NULL, producer_bytes(shape->rings),
        PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (producer == MAP_FAILED) {
        result = -errno;
        region_unmap(&map);
        return result;
    }
    region_set_dontfork(&map);
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
    producer->rings = shape->rings;
    producer->kind = shape->kind;
    producer->clock = shape->clock;
    producer->map = map;
    if (rseq) {
        bool has_mm_cid = getauxval(AUX_RSEQ_FEATURE_SIZE) >= RSEQ_MM_CID_END;
        producer->rseq_offset = __rseq_offset;
        producer->id_offset = has_mm_cid ? RSEQ_MM_CID_OFFSET : RSEQ_CPU_ID_OFFSET;
    }
    for (uint32_t i = 0; i < shape->rings; i++) {
        /* The limits stay 0 until the ring's pages are there: see append_refresh_tail. */
        producer->slots[i].header = region_ring(&map, i);
        producer->slots[i].data = region_data(&map, i);
        producer->slots[i].mask = shape->ring_bytes - 1;
    }
    *out = producer;
    return 0;
}

void ring_producer_close(struct ring_producer *producer)
{
    if (producer != NULL) {
        region_unmap(&producer->map);
        (void)munmap(producer, producer_bytes(producer->rings));
    }
}

/* Before a ring's first record is stamped: see layout.h. */
static void announce(struct ring_producer *producer, uint32_t ring)
{
    uint64_t *word = &producer->map.header->used[ring / 64];
    uint64_t bit = UINT64_C(1) << ring % 64;
    if ((__atomic_load_n(word, __ATOMIC_RELAXED) & bit) == 0) {
        (void)__atomic_fetch_or(word, bit, __ATOMIC_SEQ_CST);
    }
}

/*
 * First use of a ring: its pages now, so that no append waits for one; of a large ring only what
 * can be had in RING_POPULATE_NS.
 */
static void activate(struct ring_producer *producer, uint32_t ring)
{
    enum { STEP_BYTES = 2 << 20 };
    struct ring_slot *slot = &producer->slots[ring];
    uint64_t ring_bytes = slot->mask + 1;
    announce(producer, ring);
    int error = errno;
    int64_t end_ns = os_monotonic_ns() + RING_POPULATE_NS;
    uint64_t there = 0;
    while (there < ring_bytes && os_monotonic_ns() < end_ns) {
        uint64_t bytes = yarder_min(STEP_BYTES, ring_bytes - there);
        (void)madvise(slot->data + there, bytes, MADV_POPULATE_WRITE);
        there += bytes;
    }
    (void)madvise(slot->data + ring_bytes, there, MADV_POPULATE_WRITE); /* the same memory */
    errno = error;
    __atomic_store_n(&slot->limit[1], ring_bytes / 4 * 3, __ATOMIC_RELAXED);
    __atomic_store_n(&slot->limit[0], ring_bytes, __ATOMIC_RELAXED);
}

bool append_refresh_tail(struct ring_producer *producer, uint32_t ring, unsigned noise)
{
    struct ring_slot *slot = &producer->slots[ring];
    if (__atomic_load_n(&slot->limit[noise], __ATOMIC_RELAXED) == 0) {
        activate(producer, ring);
        return true;
    }
    /* acquire: the daemon has read what is before it; pairs with region_reader_publish */
    uint64_t tail = __atomic_load_n(&slot->header->tail, __ATOMIC_ACQUIRE);
    if (tail == __atomic_load_n(&slot->header->tail_cache, __ATOMIC_RELAXED)) {
        return false;
    }
    __atomic_store_n(&slot->header->tail_cache, tail, __ATOMIC_RELAXED);
    return true;
}

static void write_record(uint8_t *at, const struct ring_entry *entry, uint32_t lost)
{
    struct ring_record_header header = {.stamp = entry->stamp, .tid = entry->tid, .lost = lost};
    memcpy(&header, &entry->word, sizeof(entry->word));
    uint32_t text_bytes = (uint32_t)entry->text_bytes;
    memcpy(at, &header, sizeof(header));
    at += sizeof(header);
    memcpy(at, &text_bytes, sizeof(text_bytes));
    at += sizeof(text_bytes);
    if (entry->text_bytes > 0) {
        memcpy(at, entry->text, entry->text_bytes);
    }
    if (entry->extra_bytes > 0) {
        memcpy(at + entry->text_bytes, entry->extra, entry->extra_bytes);
    }
}

/* The ring is ours alone: nobody else is between reading head and storing it. */
static enum ring_append_result append_owned(
    struct ring_producer *producer, struct ring_entry *entry, uint32_t index)
{
    const struct ring_slot *slot = &producer->slots[index];
    struct ring_header *header = slot->header;
    unsigned noise = entry_noise(entry);
    uint64_t head = __atomic_load_n(&header->head, __ATOMIC_RELAXED);
    entry->ring = index;
    for (unsigned refreshes = 0;; refreshes++) {
        uint64_t used =
            head + entry->need_bytes - __atomic_load_n(&header->tail_cache, __ATOMIC_RELAXED);
        if (used <= __atomic_load_n(&slot->limit[noise], __ATOMIC_RELAXED)) {
            break;
        }
        if (refreshes == REFRESHES_MAX || !append_refresh_tail(producer, index, noise)) {
            return RING_FULL;
        }
    }
    entry->stamp = ring_stamp(producer);
    write_record(slot->data + (head & slot->mask), entry,
        (uint32_t)__atomic_load_n(&header->lost, __ATOMIC_RELAXED));
    /* release: payload before head; pairs with the reader's acquire */
    __atomic_store_n(&header->records, header->records + 1, __ATOMIC_RELAXED);
    __atomic_store_n(&header->head, head + entry->need_bytes, __ATOMIC_RELEASE);
    return RING_APPENDED;
}

/*
 * The first free ring from the thread's own on. A signal handler finds the ring of the append it
 * interrupted taken and goes to the next.
 */
static enum ring_append_result append_claimed(
    struct ring_producer *producer, struct ring_entry *entry)
{
    for (uint32_t i = 0; i < producer->rings; i++) {
        uint32_t index = (entry->tid + i) % producer->rings;
        uint32_t *claim = &producer->slots[index].header->claim;
        uint32_t free_word = 0;
        /* acquire and release: what the claimer before us wrote to head and data */
        if (__atomic_compare_exchange_n(
                claim, &free_word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            enum ring_append_result result = append_owned(producer, entry, index);
            __atomic_store_n(claim, 0, __ATOMIC_RELEASE);
            return result;
        }
    }
    entry->ring = 0;
    return RING_NONE;
}

enum ring_append_result ring_append(struct ring_producer *producer, struct ring_entry *entry)
{
    if (YARDER_LIKELY(producer->kind == REGION_RSEQ)) {
        return append_rseq(producer, entry);
    }
    return producer->kind == REGION_PLAIN ? append_claimed(producer, entry)
                                          : append_owned(producer, entry, 0);
}

void ring_lose(struct ring_producer *producer, uint32_t ring, uint64_t records)
{
    ring = ring < producer->rings ? ring : 0;
    announce(producer, ring);
    __atomic_fetch_add(&producer->slots[ring].header->lost, records, __ATOMIC_RELAXED);
}

void ring_wait_space(struct ring_producer *producer, uint32_t ring, int64_t wait_ns)
{
    struct ring_header *header = producer->slots[ring].header;
    /* acquire: pairs with wake_waiters; a tail that moved before it is seen by the look below */
    uint32_t seq = __atomic_load_n(&header->space_seq, __ATOMIC_ACQUIRE);
    __atomic_store_n(&header->space_waiters, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* the flag before the tail: the daemon does it the other way */
    uint64_t tail = __atomic_load_n(&header->tail, __ATOMIC_ACQUIRE);
    if (tail == __atomic_load_n(&header->tail_cache, __ATOMIC_RELAXED)) {
        (void)os_futex_wait(&header->space_seq, seq, wait_ns);
    }
}

bool ring_must_ring(struct ring_producer *producer, uint32_t ring)
{
    struct region_header *shared = producer->map.header;
    uint32_t word = __atomic_load_n(&shared->sleep, __ATOMIC_RELAXED);
    uint32_t state = word & RING_SLEEP_MASK;
    if (state == RING_AWAKE || __atomic_load_n(&shared->rung, __ATOMIC_RELAXED) == word) {
        return false;
    }
    if (state == RING_LIGHT) {
        const struct ring_header *header = producer->slots[ring].header;
        uint64_t used = __atomic_load_n(&header->head, __ATOMIC_RELAXED) -
                        __atomic_load_n(&header->tail, __ATOMIC_RELAXED);
        if (used <= (producer->slots[ring].mask + 1) / 2) {
            return false;
        }
    }
    /* Whoever changes the word rings; the others of this epoch need not. */
    return __atomic_exchange_n(&shared->rung, word, __ATOMIC_RELAXED) != word;
}

size_t ring_field_put(uint8_t *at, size_t room, const struct yarder_field *field)
{
    enum { FIELD_HEADER_BYTES = 6, KEY_BYTES_MAX = 255 };
    static const uint8_t number_bytes[] = {[YARDER_FIELD_INT] = 8,
        [YARDER_FIELD_UINT] = 8,
        [YARDER_FIELD_FLOAT] = 8,
        [YARDER_FIELD_BOOL] = 1};
    unsigned type = (unsigned)field->type;
    if (type < YARDER_FIELD_TEXT || type > YARDER_FIELD_BOOL || field->key.length > KEY_BYTES_MAX ||
        (type != YARDER_FIELD_TEXT && field->value.length != number_bytes[type])) {
        return 0;
    }
    size_t bytes = FIELD_HEADER_BYTES + field->key.length;
    if (bytes > room || field->value.length > room - bytes) {
        return 0;
    }
    uint32_t value_bytes = (uint32_t)field->value.length;
    at[0] = (uint8_t)type;
    at[1] = (uint8_t)field->key.length;
    memcpy(at + 2, &value_bytes, sizeof(value_bytes));
    if (field->key.length > 0) {
        memcpy(at + FIELD_HEADER_BYTES, field->key.at, field->key.length);
    }
    if (value_bytes > 0) {
        memcpy(at + bytes, field->value.at, value_bytes);
    }
    return bytes + value_bytes;
}
