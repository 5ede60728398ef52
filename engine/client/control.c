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
    return 0;
}

int yarder_attach(void)
{
    struct client_page *page = client_page_get();
    return page == NULL ? -ENOMEM : client_attach(page, true);
}

/* Whether the daemon has taken the ring up to `target`. */
static bool is_taken(const struct ring_producer *producer, uint32_t ring, uint64_t target)
{
    /* acquire: what the daemon did before it published */
    uint64_t tail = __atomic_load_n(&producer->slots[ring].header->tail, __ATOMIC_ACQUIRE);
    return (int64_t)(target - tail) <= 0;
}

static int flush_ring(struct client_page *page, struct client_attachment *attachment, uint32_t ring,
    int64_t deadline_ns)
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
            client_ring_bell(page);
            (void)client_check(page, attachment);
            check_ns = now_ns + FLUSH_CHECK_NS;
        }
        struct timespec slice = {.tv_nsec = FLUSH_SLICE_NS};
        (void)nanosleep(&slice, NULL);
    }
    return 0;
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
    struct client_attachment *attachment = client_attached(page);
    int result = attachment == NULL ? -ENOTCONN : 0;
    for (uint32_t ring = 0; result == 0 && ring < attachment->producer->rings; ring++) {
        result = flush_ring(page, attachment, ring, deadline_ns);
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

int yarder_counters(struct yarder_counts *out)
{
    if (out == NULL || out->counters_bytes != sizeof(*out)) {
        return -EINVAL;
    }
    struct yarder_counts counters = {.counters_bytes = sizeof(counters)};
    struct client_page *page = client_page_get();
    if (page != NULL) {
        struct client_attachment *attachment = client_attached(page);
        bool has_socket = __atomic_load_n(&page->fallback_ready, __ATOMIC_RELAXED) != 0;
        counters.attached = attachment != NULL ? 1 : has_socket ? 2 : 0;
        counters.appended = page->appended_closed;
        for (; attachment != NULL; attachment = attachment->older) {
            counters.appended += client_appended(attachment);
        }
        counters.sent = __atomic_load_n(&page->sent, __ATOMIC_RELAXED);
        counters.lost_bytes = __atomic_load_n(&page->lost_bytes, __ATOMIC_RELAXED);
        counters.lost_full = __atomic_load_n(&page->lost_full, __ATOMIC_RELAXED);
        counters.lost_detached = __atomic_load_n(&page->lost_detached, __ATOMIC_RELAXED);
        counters.lost_socket = __atomic_load_n(&page->lost_socket, __ATOMIC_RELAXED);
        counters.lost_other = __atomic_load_n(&page->lost_other, __ATOMIC_RELAXED);
        counters.lost = counters.lost_full + counters.lost_detached + counters.lost_socket +
                        counters.lost_other;
    }
    *out = counters;
    return 0;
}
