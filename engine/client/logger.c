/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loggers by name. The table is the process's own, so an id means the same before the first
 * attachment, in every region and in forked children; each region gets a copy.
 */
#include <sched.h>
#include <string.h>

#include "client/client.h"

static struct region_name names[REGION_LOGGERS_MAX]; /* untouched pages cost nothing */
static uint32_t names_count = 1;                     /* 0 is the root */

static uint32_t find(const char *name, size_t bytes, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (names[i].bytes == bytes && memcmp(names[i].at, name, bytes) == 0) {
            return i;
        }
    }
    return 0;
}

static void give_name(struct client_attachment *attachment, uint32_t id)
{
    struct region_name *shared = &attachment->producer->map.names[id];
    memcpy(shared->at, names[id].at, names[id].bytes);
    __atomic_store_n(&shared->bytes, names[id].bytes, __ATOMIC_RELEASE); /* acquire: learn_name */
}

void client_names_copy(struct client_attachment *attachment)
{
    uint32_t count = __atomic_load_n(&names_count, __ATOMIC_ACQUIRE); /* release: add_name */
    for (uint32_t id = 1; id < count; id++) {
        if (attachment->producer->map.names[id].bytes == 0) {
            give_name(attachment, id);
        }
    }
}

/* The lock is held. */
static uint32_t add_name(
    struct client_page *page, const char *name, size_t bytes, uint32_t searched)
{
    uint32_t count = __atomic_load_n(&names_count, __ATOMIC_ACQUIRE);
    uint32_t id = find(name, bytes, searched, count);
    if (id != 0 || count == REGION_LOGGERS_MAX) {
        return id;
    }
    memcpy(names[count].at, name, bytes);
    names[count].bytes = (uint8_t)bytes;
    __atomic_store_n(&names_count, count + 1, __ATOMIC_RELEASE);
    __atomic_thread_fence(
        __ATOMIC_SEQ_CST); /* we see the attachment, or it sees the name: attach_region */
    struct client_attachment *attachment = client_attached(page);
    if (attachment != NULL) {
        give_name(attachment, count);
    }
    return count;
}

int yarder_logger(const char *name)
{
    enum { TRIES_MAX = 1000 };
    size_t bytes = name == NULL ? 0 : strnlen(name, REGION_NAME_BYTES);
    if (bytes == 0 || bytes > YARDER_LOGGER_BYTES_MAX) {
        return 0;
    }
    uint32_t searched = __atomic_load_n(&names_count, __ATOMIC_ACQUIRE);
    uint32_t id = find(name, bytes, 1, searched);
    struct client_page *page = id == 0 ? client_page_get() : NULL;
    /* A signal handler inside the holder gets the root rather than hang. */
    for (int i = 0; id == 0 && page != NULL && i < TRIES_MAX; i++) {
        uint32_t free_word = 0;
        if (__atomic_compare_exchange_n(
                &page->names_lock, &free_word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            id = add_name(page, name, bytes, searched);
            __atomic_store_n(&page->names_lock, 0, __ATOMIC_RELEASE);
            return (int)id;
        }
        (void)sched_yield();
    }
    return (int)id;
}
