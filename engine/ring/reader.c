/* SPDX-License-Identifier: Apache-2.0 */
/* A reader's life, its tails, and the words it has for its producers. Taking records: take.c. */
#include "ring/reader.h"

#include <errno.h>
#include <limits.h>
#include <linux/membarrier.h>
#include <string.h>
#include <sys/syscall.h>

#include "ring/reader_private.h"

enum { STRIKES_MAX_DEFAULT = 1000 };

void reader_list(struct region_reader *reader, uint32_t index)
{
    uint64_t bit = UINT64_C(1) << index % 64;
    if ((reader->used[index / 64] & bit) == 0) {
        reader->used[index / 64] |= bit;
        reader->list[reader->list_count++] = (uint16_t)index;
    }
}

static uint64_t head_of(const struct ring_header *shared)
{
    return __atomic_load_n(&shared->head, __ATOMIC_ACQUIRE); /* release: the append's commit */
}

/* The ring goes on at this cursor, or at its head when that cannot be. */
static void start_at(struct region_reader *reader, uint32_t index, uint64_t cursor)
{
    struct reader_ring *ring = &reader->rings[index];
    const struct ring_header *shared = region_ring(&reader->map, index);
    uint64_t records = __atomic_load_n(&shared->records, __ATOMIC_RELAXED);
    uint64_t head = head_of(shared);
    ring->cursor = cursor;
    ring->head = cursor;
    ring->settled = cursor;
    ring->records_before = records;
    ring->records_known = head == cursor;
    if (!reader_head_possible(reader, cursor, head)) {
        reader_resync(reader, ring, head, records);
    }
}

static void start_ring(struct region_reader *reader, uint32_t index)
{
    struct reader_ring *ring = &reader->rings[index];
    const struct ring_header *shared = region_ring(&reader->map, index);
    uint64_t lost = __atomic_load_n(&shared->lost, __ATOMIC_RELAXED);
    ring->published = __atomic_load_n(&shared->tail, __ATOMIC_RELAXED);
    ring->woken = ring->published;
    ring->lost_published = __atomic_load_n(&shared->lost_seen, __ATOMIC_RELAXED);
    reader_lost_set(reader, ring, ring->lost_published);
    ring->lost = lost - reader_lost_growth(ring, (uint32_t)lost); /* what is new since is counted */
    reader->lost += ring->lost;
    start_at(reader, index, ring->published);
}

int region_reader_open_on(struct region_reader **out, const struct region_map *map,
    const struct region_reader_options *options)
{
    YARDER_ASSERT(map->header != NULL && map->shape.rings >= 1);
    size_t bytes = sizeof(struct region_reader) +
                   map->shape.rings * (sizeof(struct reader_ring) + sizeof(uint16_t));
    YARDER_OWN_HEAP struct region_reader *reader = calloc(1, bytes);
    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->names = calloc(REGION_LOGGERS_MAX, REGION_NAME_BYTES);
    if (reader->names == NULL) {
        return -ENOMEM;
    }
    int result = formats_open(&reader->formats);
    if (result < 0) {
        free(reader->names);
        return result;
    }
    reader->map = *map;
    reader->pid = options->pid;
    reader->input = options->input;
    reader->tag_bytes = (uint8_t)yarder_min(options->tag.length, sizeof(reader->tag) - 1);
    if (reader->tag_bytes > 0) {
        memcpy(reader->tag, options->tag.at, reader->tag_bytes);
    }
    reader->strikes_max = options->strikes_max == 0 ? STRIKES_MAX_DEFAULT : options->strikes_max;
    reader->epoch = __atomic_load_n(&map->header->sleep, __ATOMIC_RELAXED) >> RING_EPOCH_SHIFT;
    reader->list = (uint16_t *)(void *)(reader->rings + map->shape.rings);
    for (uint32_t i = 0; i < map->shape.rings; i++) {
        start_ring(reader, i);
    }
    reader->told = reader->lost_seen;
    (void)region_reader_idle(reader); /* lists what has something */
    *out = yarder_heap_take(&reader);
    return 0;
}

int region_reader_open(
    struct region_reader **out, int region_fd, const struct region_reader_options *options)
{
    struct region_shape shape;
    struct os_file_id id;
    struct region_map map;
    int result = region_inspect(region_fd, &shape, &id);
    if (result == 0) {
        result = region_map(&map, region_fd, &shape);
    }
    if (result < 0) {
        return result;
    }
    struct region_reader *reader = NULL;
    result = region_reader_open_on(&reader, &map, options);
    if (result < 0) {
        region_unmap(&map);
        return result;
    }
    reader->owns_map = true;
    *out = reader;
    return 0;
}

void region_reader_close(struct region_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    if (reader->owns_map) {
        region_unmap(&reader->map);
    }
    formats_close(reader->formats);
    free(reader->names);
    free(reader);
}

uint32_t region_reader_rings(const struct region_reader *reader)
{
    return reader->map.shape.rings;
}

uint64_t region_reader_cursor(const struct region_reader *reader, uint32_t ring)
{
    YARDER_ASSERT(ring < reader->map.shape.rings);
    return reader->rings[ring].cursor;
}

uint32_t region_reader_told(const struct region_reader *reader)
{
    return reader->told;
}

void region_reader_resume(struct region_reader *reader, const uint64_t *cursors, uint32_t told)
{
    reader->refused = 0; /* what the tails looked like does not matter */
    for (uint32_t i = 0; i < reader->map.shape.rings; i++) {
        reader->rings[i].refused = 0;
        start_at(reader, i, cursors[i]);
    }
    reader->told = told;
    (void)region_reader_idle(reader);
}

/*
 * A waiter that sets its flag between our store and our load is missed; it looks again by itself
 * within 2 ms, which is cheaper than a full fence in every publish.
 */
static void wake_waiters(
    struct region_reader *reader, struct reader_ring *ring, struct ring_header *shared)
{
    bool enough = ring->cursor - ring->woken >= reader->map.shape.ring_bytes / 8 ||
                  ring->cursor == ring->head;
    if (!enough || __atomic_load_n(&shared->space_waiters, __ATOMIC_RELAXED) == 0) {
        return;
    }
    ring->woken = ring->cursor;
    __atomic_store_n(&shared->space_waiters, 0, __ATOMIC_RELAXED);
    __atomic_fetch_add(&shared->space_seq, 1, __ATOMIC_RELEASE); /* acquire: ring_wait_space */
    (void)os_futex_wake(&shared->space_seq, INT_MAX);
}

void region_reader_rewind(struct region_reader *reader, const struct ring_record *record)
{
    YARDER_ASSERT(record->ring < reader->map.shape.rings);
    struct reader_ring *ring = &reader->rings[record->ring];
    /* Positions come from the producer's head: a resync may have put the cursor anywhere. */
    if (ring->cursor - record->before > reader->map.shape.ring_bytes) {
        return;
    }
    ring->cursor = record->before;
    ring->last_stamp = 0; /* else it would push the stamps of what is taken again */
    ring->given--;
    reader->refused -= ring->refused - record->refused_before_it;
    ring->refused = record->refused_before_it;
    reader_strikes_set(reader, ring, record->strikes_before_it);
    reader_lost_set(reader, ring, record->lost_before_it);
    reader->told -= record->record.lost_before;
}

void region_reader_publish(struct region_reader *reader)
{
    for (uint32_t i = 0; i < reader->list_count; i++) {
        struct reader_ring *ring = &reader->rings[reader->list[i]];
        if (ring->cursor == ring->published && ring->lost_seen == ring->lost_published) {
            continue;
        }
        struct ring_header *shared = region_ring(&reader->map, reader->list[i]);
        __atomic_store_n(&shared->lost_seen, ring->lost_seen, __ATOMIC_RELAXED);
        ring->lost_published = ring->lost_seen;
        /* release: our reads are done; pairs with the acquire in append_refresh_tail */
        __atomic_store_n(&shared->tail, ring->cursor, __ATOMIC_RELEASE);
        ring->published = ring->cursor;
        wake_waiters(reader, ring, shared);
    }
}

bool region_reader_idle(struct region_reader *reader)
{
    if (reader->dead) {
        return true;
    }
    bool idle = true;
    for (uint32_t i = 0; i < reader->map.shape.rings; i++) {
        /* A crooked head is no reason to stay awake: the next take strikes it. */
        if ((head_of(region_ring(&reader->map, i)) & ~UINT64_C(7)) != reader->rings[i].cursor) {
            reader_list(reader, i); /* its producer may not have said so */
            idle = false;
        }
    }
    return idle;
}

bool region_reader_presses(const struct region_reader *reader)
{
    for (uint32_t i = 0; i < reader->map.shape.rings; i++) {
        const struct ring_header *shared = region_ring(&reader->map, i);
        uint64_t used =
            __atomic_load_n(&shared->head, __ATOMIC_RELAXED) - reader->rings[i].published;
        if (used > reader->map.shape.ring_bytes / 2 &&
            __atomic_load_n(&shared->space_waiters, __ATOMIC_RELAXED) == 0) {
            return true;
        }
    }
    return false;
}

bool region_reader_waits(const struct region_reader *reader)
{
    return __atomic_load_n(&reader->map.header->waits, __ATOMIC_RELAXED) != 0;
}

void region_reader_losses(const struct region_reader *reader, struct ring_losses *out)
{
    *out = (struct ring_losses){.lost = reader->lost, .refused = reader->refused};
}

bool region_reader_look_at_losses(struct region_reader *reader)
{
    uint64_t before = reader->lost;
    for (uint32_t i = 0; i < reader->list_count; i++) {
        struct reader_ring *ring = &reader->rings[reader->list[i]];
        const struct ring_header *shared = region_ring(&reader->map, reader->list[i]);
        uint64_t lost = __atomic_load_n(&shared->lost, __ATOMIC_RELAXED);
        reader->lost += lost - ring->lost;
        ring->lost = lost;
    }
    return reader->lost != before;
}

void region_reader_sleep(struct region_reader *reader, enum ring_sleep state)
{
    YARDER_ASSERT(state <= RING_DEEP);
    if (state != RING_AWAKE) {
        reader->epoch++;
    }
    uint32_t word = reader->epoch << RING_EPOCH_SHIFT | (uint32_t)state;
    /* Ordered against the producers' heads by ring_membarrier, not here. */
    __atomic_store_n(&reader->map.header->sleep, word, __ATOMIC_RELAXED);
}

int ring_membarrier(void)
{
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) < 0 ? -errno : 0;
}

void region_reader_announce(struct region_reader *reader, uint64_t worker, bool shutdown)
{
    __atomic_store_n(&reader->map.header->worker, worker, __ATOMIC_RELAXED);
    __atomic_store_n(&reader->map.header->shutdown, shutdown, __ATOMIC_RELAXED);
}

/* Copies a name once; its producer can change its own only before we first saw it. */
static void learn_name(char *copy, const struct region_name *shared)
{
    uint8_t bytes =
        __atomic_load_n(&shared->bytes, __ATOMIC_ACQUIRE); /* release: the client's name */
    if (bytes == 0 || bytes >= REGION_NAME_BYTES) {
        return;
    }
    for (uint8_t i = 0; i < bytes; i++) {
        unsigned char byte = (unsigned char)__atomic_load_n(&shared->at[i], __ATOMIC_RELAXED);
        copy[1 + i] = (char)(byte < ' ' || byte == 0x7f ? '_' : byte);
    }
    copy[0] = (char)bytes;
}

struct yarder_text region_reader_logger(struct region_reader *reader, uint32_t logger)
{
    if (logger == 0 || logger >= REGION_LOGGERS_MAX) {
        return (struct yarder_text){0}; /* the root has no name */
    }
    char *copy = reader->names[logger];
    if (copy[0] == 0) {
        learn_name(copy, &reader->map.names[logger]);
    }
    return (struct yarder_text){copy + 1, (size_t)copy[0]};
}
