/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/host.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

#include "os/memory.h"

enum { RAW_BYTES = 512, ESCAPE_BYTES = 4 };

static const char no_reason[] = "refused";

static struct host *host_of(struct yarder_host *face)
{
    return face->owner;
}

void host_print(char *at, size_t room, const char *format, va_list arguments)
{
    char raw[RAW_BYTES];
    int length = vsnprintf(raw, sizeof(raw), format, arguments);
    size_t end = yarder_min(length < 0 ? 0 : (size_t)length, sizeof(raw) - 1);
    size_t put = 0;
    for (size_t i = 0; i < end && put + ESCAPE_BYTES < room; i++) {
        unsigned char byte = (unsigned char)raw[i];
        if (byte < ' ' || byte == 0x7F) {
            put += (size_t)snprintf(at + put, room - put, "\\x%02x", byte);
        } else {
            at[put++] = raw[i];
        }
    }
    at[put] = '\0';
}

bool host_is_wanted(const struct host *host)
{
    return __atomic_load_n(&host->wanted, __ATOMIC_RELAXED) != 0;
}

void host_want(struct host *host, bool wanted)
{
    uint64_t count = 1;
    __atomic_store_n(&host->wanted, wanted, __ATOMIC_RELAXED);
    if (wanted) {
        (void)!write(host->want_fd, &count, sizeof(count));
    } else {
        (void)!read(host->want_fd, &count, sizeof(count));
    }
}

static int wait_for(struct yarder_host *face, int fd, short events, uint64_t deadline_ns)
{
    const struct host *host = host_of(face);
    struct pollfd ready[] = {{.fd = host->want_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    int r = -1;
    do {
        uint64_t now_ns = (uint64_t)os_monotonic_ns();
        uint64_t left_ns = deadline_ns <= now_ns ? 0 : deadline_ns - now_ns;
        const struct timespec left = {.tv_sec = (time_t)yarder_min(left_ns / 1000000000, INT32_MAX),
            .tv_nsec = (long)(left_ns % 1000000000)};
        r = host_is_wanted(host) ? -ECANCELED : ppoll(ready, YARDER_COUNT_OF(ready), &left, NULL);
    } while (r == -1 && errno == EINTR);
    if (r == -1) {
        return -errno;
    }
    return r == -ECANCELED || ready[0].revents != 0 ? -ECANCELED : ready[1].revents;
}

YARDER_PRINTF(3, 4)
static int fail(struct yarder_host *face, int error, const char *format, ...)
{
    struct host *host = host_of(face);
    va_list arguments;
    va_start(arguments, format);
    host_print(host->text, sizeof(host->text), format, arguments);
    va_end(arguments);
    host->error = error < 0 ? error : -EIO;
    return host->error;
}

/* Where the reason stands; the one before is shared, for a batch is often refused for one. */
static uint32_t keep_reason(struct host *host, const char *reason)
{
    size_t bytes = strlen(reason) + 1;
    if (strcmp(host->words + host->last_reason, reason) == 0) {
        return host->last_reason;
    }
    if (bytes > sizeof(host->words) - host->words_bytes) {
        return 0;
    }
    host->last_reason = host->words_bytes;
    memcpy(host->words + host->last_reason, reason, bytes);
    host->words_bytes += (uint32_t)bytes;
    return host->last_reason;
}

YARDER_PRINTF(3, 4)
static void refuse(struct yarder_host *face, struct yarder_item *item, const char *format, ...)
{
    struct host *host = host_of(face);
    char reason[HOST_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    host_print(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    item->result = YARDER_REFUSED;
    if (item >= host->items && item < host->items + host->items_count) {
        host->reasons[item - host->items] = keep_reason(host, reason);
    }
}

void host_begin(struct host *host, const struct yarder_item *items, uint32_t items_count)
{
    host->error = 0;
    host->text[0] = '\0';
    host->items = items;
    host->items_count = items_count;
    host->words_bytes = sizeof(no_reason);
    host->last_reason = 0;
    memset(host->reasons, 0, items_count * sizeof(*host->reasons));
}

const char *host_reason(const struct host *host, uint32_t item)
{
    YARDER_ASSERT(item < host->items_count);
    return host->words + host->reasons[item];
}

int host_open(struct host *host, const char *output_name, const char *hostname, uint32_t *reasons)
{
    *host = (struct host){.reasons = reasons,
        .face = {.struct_bytes = sizeof(host->face),
            .output_name = output_name,
            .hostname = hostname,
            .version = YARDER_VERSION,
            .owner = host,
            .wait = wait_for,
            .fail = fail,
            .refuse = refuse}};
    memcpy(host->words, no_reason, sizeof(no_reason));
    host_begin(host, NULL, 0);
    host->want_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return host->want_fd < 0 ? -errno : 0;
}

void host_close(struct host *host)
{
    yarder_fd_drop(&host->want_fd);
}
