/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager's protocol: one datagram of KEY=VALUE lines to the socket that $NOTIFY_SOCKET
 * names. Without that variable every call does nothing.
 */
#ifndef YARDER_CONTROL_NOTIFY_H
#define YARDER_CONTROL_NOTIFY_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/base.h"

struct notify {
    int fd; /* -1: nobody to tell */
    struct sockaddr_un address;
    socklen_t address_bytes;
    uint64_t watchdog_ns; /* half of the manager's limit between two notify_alive; 0: none */
};

/*
 * Reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID and takes them out of the environment, so
 * that no child speaks in our name. 0; -EINVAL for a variable that makes no sense (then as if it
 * were not there); -errno.
 */
YARDER_MUST_USE int notify_open(struct notify *notify);

/* Each never blocks and fails in silence: a manager that does not listen is no reason to stop. */
void notify_ready(struct notify *notify);
void notify_reloading(struct notify *notify); /* ends with the next notify_ready */
void notify_stopping(struct notify *notify);
void notify_alive(struct notify *notify); /* feeds its watchdog, if there is one */

#endif
