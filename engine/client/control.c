/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions that do not log: options, attaching, flushing, counters. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "client/client.h"

enum { FLUSH_SLICE_NS = 200000, FLUSH_CHECK_NS = 50000000 };

int yarder_configure(const struct yarder_options *options)
{
    if (options == NULL || options->options_bytes != sizeof(*options)) {
        return -EINVAL;
    }
    struct client_settings settings = {
        .block_ms = options->block_ms, .ring_bytes = options->ring_bytes};
    if (options->run_dir != NULL) {
        size_t bytes = strlen(options->run_dir);
        if (bytes >= sizeof(settings.run_dir)) {
            return -EINVAL;
        }
        memcpy(settings.run_dir, options->run_dir, bytes);
    }
    if (options->program != NULL) {
        memcpy(settings.program, options->program,
            strnlen(options->program, sizeof(settings.program) - 1));
    }
    client_settings = settings;
    struct client_page *page = client_page_get();
    struct client_attachment *attachment = page == NULL ? NULL : client_attached(page);
    if (attachment != NULL) {
        client_tell_waits(attachment);
    }
    return 0;
}

int yarder_attach(void)
{
    struct client_page *page = client_page_get();
    return page == NULL ? -ENOMEM : client_attach(page, true);
}

static bool is_given_up(const struct client_attachment *attachment)
{
    return __atomic_load_n(&attachment->given_up, __ATOMIC_ACQUIRE) != 0;
}

/* Whether the daemon has taken the ring up to `target`. */
static bool is_taken(const struct ring_producer *producer, uint32_t ring, uint64_t target)
{
    /* acquire: what the daemon did before it published */
    uint64_t tail = __atomic_load_n(&producer->slots[ring].header->tail, __ATOMIC_ACQUIRE);
    return (int64_t)(target - tail) <= 0;
}

/* An attachment that another has replaced is waited for too: its daemon may read on. */
static int flush_ring(struct client_page *page, const struct client_attachment *attachment,
    uint32_t ring, int64_t deadline_ns)
{
    const struct ring_producer *producer = attachment->producer;
    uint64_t target = __atomic_load_n(&producer->slots[ring].header->head, __ATOMIC_ACQUIRE);
    int64_t check_ns = 0;
    while (!is_taken(producer, ring, target)) {
        int64_t now_ns = os_monotonic_ns();
        if (now_ns >= deadline_ns) {
            return -ETIMEDOUT;
        }
        if (now_ns >= check_ns) {
            struct client_attachment *current = client_attached(page);
            client_ring_bell(page);
            if (current != NULL) {
                (void)client_check(page, current);
            }
            if (client_attached(page) == NULL || is_given_up(attachment)) {
                return -ENOTCONN;
            }
            check_ns = now_ns + FLUSH_CHECK_NS;
        }
        struct timespec slice = {.tv_nsec = FLUSH_SLICE_NS};
        (void)nanosleep(&slice, NULL);
    }
    return 0;
}

static int flush_region(
    struct client_page *page, const struct client_attachment *attachment, int64_t deadline_ns)
{
    int result = 0;
    for (uint32_t ring = 0; result == 0 && ring < attachment->producer->rings; ring++) {
        result = flush_ring(page, attachment, ring, deadline_ns);
    }
    return result;
}

int yarder_flush(uint32_t deadline_ms)
{
    struct client_page *page = client_page_get();
    if (page == NULL) {
        return -ENOTCONN;
    }
    int error = errno;
    int64_t deadline_ns = os_monotonic_ns() + (int64_t)deadline_ms * 1000000;
    (void)client_attach(page, true);
    int result = client_attached(page) == NULL ? -ENOTCONN : 0;
    /* acquire: pairs with attach_region */
    const struct client_attachment *attachment = __atomic_load_n(&page->newest, __ATOMIC_ACQUIRE);
    for (; result == 0 && attachment != NULL; attachment = attachment->older) {
        if (!is_given_up(attachment)) { /* what is lost is counted, and not waited for again */
            result = flush_region(page, attachment, deadline_ns);
        }
    }
    errno = error;
    return result;
}

uint64_t client_appended(const struct client_attachment *attachment)
{
    uint64_t records = 0;
    for (uint32_t ring = 0; ring < attachment->producer->rings; ring++) {
        records +=
            __atomic_load_n(&attachment->producer->slots[ring].header->records, __ATOMIC_RELAXED);
    }
    return records;
}

/* The ring is the process's to scribble over: what can be no record ends the count. */
static void unread_in_ring(const struct ring_slot *slot, struct client_unread *unread)
{
    uint64_t head = __atomic_load_n(&slot->header->head, __ATOMIC_ACQUIRE);
    uint64_t at = __atomic_load_n(&slot->header->tail, __ATOMIC_ACQUIRE);
    while (head - at >= RING_RECORD_BYTES_MIN && head - at <= slot->mask + 1) {
        struct ring_record_header header;
        uint32_t text_bytes;
        const uint8_t *record = slot->data + (at & slot->mask);
        memcpy(&header, record, sizeof(header));
        memcpy(&text_bytes, record + sizeof(header), sizeof(text_bytes));
        uint64_t need = yarder_align_up(header.bytes, 8);
        if (header.bytes < RING_RECORD_BYTES_MIN || need > head - at) {
            return;
        }
        unread->records += (header.kind & RING_MORE) == 0;
        unread->bytes += yarder_min(text_bytes, header.bytes);
        at += need;
    }
}

struct client_unread client_unread(const struct client_attachment *attachment)
{
    struct client_unread unread = {0};
    for (uint32_t ring = 0; ring < attachment->producer->rings; ring++) {
        unread_in_ring(&attachment->producer->slots[ring], &unread);
    }
    return unread;
}

struct client_unread client_unread_left(const struct client_page *page)
{
    struct client_unread left = {0};
    const struct client_attachment *attachment = page->newest;
    for (; attachment != NULL; attachment = attachment->older) {
        if (attachment != page->attachment && attachment != page->parked) {
            struct client_unread unread = client_unread(attachment);
            left.records += unread.records;
            left.bytes += unread.bytes;
        }
    }
    return left;
}

int yarder_counters(struct yarder_counts *out)
{
    if (out == NULL || out->counters_bytes != sizeof(*out)) {
        return -EINVAL;
    }
    struct yarder_counts counters = {.counters_bytes = sizeof(counters)};
    struct client_page *page = client_page_get();
    if (page != NULL) {
        const struct client_attachment *attachment = page->newest;
        struct client_unread left = client_unread_left(page);
        bool has_socket = __atomic_load_n(&page->fallback_ready, __ATOMIC_RELAXED) != 0;
        counters.attached = client_attached(page) != NULL ? 1 : has_socket ? 2 : 0;
        counters.appended = page->appended_closed;
        for (; attachment != NULL; attachment = attachment->older) {
            counters.appended += client_appended(attachment);
        }
        counters.sent = __atomic_load_n(&page->sent, __ATOMIC_RELAXED);
        counters.lost_bytes = __atomic_load_n(&page->lost_bytes, __ATOMIC_RELAXED) + left.bytes;
        counters.lost_full = __atomic_load_n(&page->lost_full, __ATOMIC_RELAXED);
        counters.lost_detached =
            __atomic_load_n(&page->lost_detached, __ATOMIC_RELAXED) + left.records;
        counters.lost_socket = __atomic_load_n(&page->lost_socket, __ATOMIC_RELAXED);
        counters.lost_other = __atomic_load_n(&page->lost_other, __ATOMIC_RELAXED);
        counters.lost = counters.lost_full + counters.lost_detached + counters.lost_socket +
                        counters.lost_other;
    }
    *out = counters;
    return 0;
}
