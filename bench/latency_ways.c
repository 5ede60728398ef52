/* SPDX-License-Identifier: Apache-2.0 */
#include "latency_ways.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/yarder.h"
#include "latency_lttng.h"
#include "latency_spdlog.h"

enum {
    RING_BYTES = 1 << 20, /* memcpy's: as much memory as a ring has, a record behind the other */
    RECORD_BYTES = 32,    /* of a record in a ring beside its text, about */
    FLUSH_MS = 10000,
    ATTACH_TRIES = 100
};

static bool call_memcpy(struct caller *caller)
{
    char *place = caller->places + caller->place;
    memcpy(place, caller->line, caller->size);
    __asm__ volatile("" : : "r"(place) : "memory"); /* somebody might read it */
    caller->place += caller->size + RECORD_BYTES;
    caller->place = caller->place < RING_BYTES ? caller->place : 0;
    return true;
}

static bool open_memcpy(struct caller *caller)
{
    caller->places = malloc(RING_BYTES + caller->size);
    if (caller->places != NULL) {
        memset(caller->places, 0, RING_BYTES + caller->size); /* its pages, as a ring's */
    }
    return caller->places != NULL;
}

static bool call_ring(struct caller *caller)
{
    return yarder_log_bytes(0, YARDER_LEVEL_INFO, caller->line, caller->size) == YARDER_APPENDED;
}

static bool open_ring(struct caller *caller)
{
    const struct yarder_options options = {
        .options_bytes = sizeof(options), .run_dir = caller->target};
    int result = yarder_configure(&options) < 0 ? -EINVAL : yarder_attach();
    for (unsigned tries = 0; result == -ETIMEDOUT && tries < ATTACH_TRIES; tries++) {
        result = yarder_attach(); /* each waits 20 ms at most: short on a busy machine */
    }
    errno = -result;
    return result == 0;
}

/* All of it is in the daemon's hands. */
static bool close_ring(struct caller *caller)
{
    (void)caller;
    return yarder_flush(FLUSH_MS) == 0;
}

static bool call_write(struct caller *caller)
{
    return write(caller->fd, caller->line, caller->size + 1) == (ssize_t)caller->size + 1;
}

static bool open_write(struct caller *caller)
{
    caller->fd = open(caller->target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    return caller->fd >= 0;
}

static bool call_fwrite(struct caller *caller)
{
    (void)pthread_mutex_lock(&caller->mutex);
    bool good = fwrite_unlocked(caller->line, caller->size + 1, 1, caller->file) == 1;
    (void)pthread_mutex_unlock(&caller->mutex);
    return good;
}

static bool open_fwrite(struct caller *caller)
{
    caller->file = fopen(caller->target, "ae");
    return caller->file != NULL;
}

static bool close_fwrite(struct caller *caller)
{
    return fclose(caller->file) == 0;
}

static bool call_unix(struct caller *caller)
{
    return send(caller->fd, caller->line, caller->size, MSG_NOSIGNAL) == (ssize_t)caller->size;
}

static bool open_unix(struct caller *caller)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path, sizeof(address.sun_path), "%s", caller->target);
    if (length < 0 || (size_t)length >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    caller->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    return caller->fd >= 0 && connect(caller->fd, (const struct sockaddr *)(const void *)&address,
                                  sizeof(address)) == 0;
}

static bool call_spdlog(struct caller *caller)
{
    return latency_spdlog_call(caller->line, caller->size);
}

static bool open_spdlog(struct caller *caller)
{
    return latency_spdlog_open(caller->target, false);
}

static bool open_spdlog_async(struct caller *caller)
{
    return latency_spdlog_open(caller->target, true);
}

static bool close_spdlog(struct caller *caller)
{
    (void)caller;
    latency_spdlog_close();
    return true;
}

static bool call_lttng(struct caller *caller)
{
    latency_lttng_call(caller->line, caller->size);
    return true;
}

static bool open_lttng(struct caller *caller)
{
    (void)caller;
    return latency_lttng_open();
}

static bool close_nothing(struct caller *caller)
{
    (void)caller;
    return true;
}

static const struct way ways[] = {
    {"memcpy", open_memcpy, call_memcpy, close_nothing},
    {"ring", open_ring, call_ring, close_ring},
    {"write", open_write, call_write, close_nothing},
    {"fwrite", open_fwrite, call_fwrite, close_fwrite},
    {"unix", open_unix, call_unix, close_nothing},
    {"spdlog", open_spdlog, call_spdlog, close_spdlog},
    {"spdlog-async", open_spdlog_async, call_spdlog, close_spdlog},
    {"lttng", open_lttng, call_lttng, close_nothing},
};

const struct way *way_find(const char *name)
{
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        if (strcmp(name, ways[i].name) == 0) {
            return &ways[i];
        }
    }
    return NULL;
}
