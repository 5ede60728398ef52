/* SPDX-License-Identifier: Apache-2.0 */
#include "control/notify.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/text.h"

/* "/run/...", or "@name" for an abstract one. */
static int address_of(struct notify *notify, const char *path)
{
    size_t length = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || length < 2 ||
        length >= sizeof(notify->address.sun_path)) {
        return -EINVAL;
    }
    notify->address.sun_family = AF_UNIX;
    memcpy(notify->address.sun_path, path, length);
    size_t bytes = offsetof(struct sockaddr_un, sun_path) + length;
    if (path[0] == '@') {
        notify->address.sun_path[0] = '\0'; /* and no NUL at its end: length is all of the name */
    } else {
        bytes++;
    }
    notify->address_bytes = (socklen_t)bytes;
    return 0;
}

/* The watchdog is meant for us when it names our pid, or none. */
static int watchdog_of(uint64_t *watchdog_ns, const char *usec, const char *pid)
{
    if (usec == NULL) {
        return 0;
    }
    uint64_t value = 0;
    if (pid != NULL) {
        if (text_to_u64(text_of(pid), &value) < 0) {
            return -EINVAL;
        }
        if (value != (uint64_t)getpid()) {
            return 0;
        }
    }
    if (text_to_u64(text_of(usec), &value) < 0 || value == 0 || value > UINT64_MAX / 1000) {
        return -EINVAL;
    }
    *watchdog_ns = value * 1000 / 2; /* half of what the manager allows */
    return 0;
}

int notify_open(struct notify *notify)
{
    *notify = (struct notify){.fd = -1};
    int result = 0;
    const char *path = getenv("NOTIFY_SOCKET");
    if (path != NULL && path[0] != '\0') {
        result = address_of(notify, path);
        if (result == 0) {
            notify->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
            result = notify->fd < 0 ? -errno : 0;
        }
    }
    int watchdog =
        watchdog_of(&notify->watchdog_ns, getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    return result < 0 ? result : watchdog;
}

static void tell(struct notify *notify, const char *text)
{
    if (notify->fd >= 0) {
        (void)!sendto(notify->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL,
            (const struct sockaddr *)&notify->address, notify->address_bytes);
    }
}

void notify_ready(struct notify *notify)
{
    tell(notify, "READY=1");
}

void notify_reloading(struct notify *notify)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    char text[64];
    (void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%llu",
        (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000);
    tell(notify, text);
}

void notify_stopping(struct notify *notify)
{
    tell(notify, "STOPPING=1");
}

void notify_alive(struct notify *notify)
{
    if (notify->watchdog_ns != 0) {
        tell(notify, "WATCHDOG=1");
    }
}
