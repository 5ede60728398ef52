/* SPDX-License-Identifier: Apache-2.0 */
/* The short way of a record, inlined into each public function that takes it. */
#ifndef YARDER_CLIENT_PUT_H
#define YARDER_CLIENT_PUT_H

#include "client/client.h"

/* The ring is full and the process wants to wait: until there is room, the limit, or no daemon. */
enum ring_append_result client_append_blocking(
    struct client_page *page, struct client_attachment *attachment, struct ring_entry *entry);

/* Counts a record that was not appended: YARDER_DROPPED. */
int client_lose_in_ring(struct client_page *page, struct client_attachment *attachment,
    uint32_t ring, enum ring_append_result why, size_t bytes);

/* One append, with all that follows from it. */
static inline enum ring_append_result client_append(
    struct client_page *page, struct client_attachment *attachment, struct ring_entry *entry)
{
    struct ring_producer *producer = attachment->producer;
    enum ring_append_result result = ring_append(producer, entry);
    if (YARDER_UNLIKELY(result == RING_FULL && client_settings.block_ms > 0)) {
        result = client_append_blocking(page, attachment, entry);
    }
    if (YARDER_UNLIKELY(ring_sleeping(producer)) && ring_must_ring(producer, entry->ring)) {
        client_ring_bell(page);
    }
    uint64_t stamp = YARDER_LIKELY(result == RING_APPENDED) ? entry->stamp : ring_stamp(producer);
    if (YARDER_UNLIKELY(stamp >= __atomic_load_n(&attachment->check_at, __ATOMIC_RELAXED))) {
        (void)client_check(page, attachment);
    }
    return result;
}

/*
 * The way of nearly all records: no fields, one append, checked by the caller. Inlined, and the
 * entry not zeroed (its other members are results): what lies in memory between a call and the ring
 * is most of a short record's price.
 */
static inline __attribute__((always_inline)) int client_put_short(struct client_page *page,
    struct client_attachment *attachment, const void *text, size_t text_bytes, int logger,
    uint8_t level, uint8_t kind)
{
    struct ring_entry entry;
    entry.text = text;
    entry.text_bytes = text_bytes;
    entry.extra_bytes = 0;
    entry.tid = client_tid(attachment);
    ring_entry_seal(&entry, kind, level, (uint16_t)logger);
    enum ring_append_result result = client_append(page, attachment, &entry);
    return YARDER_LIKELY(result == RING_APPENDED)
               ? YARDER_APPENDED
               : client_lose_in_ring(page, attachment, entry.ring, result, text_bytes);
}

#endif
