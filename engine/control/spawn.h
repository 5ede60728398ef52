/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a program that inherits nothing from the daemon but what is said here. */
#ifndef YARDER_CONTROL_SPAWN_H
#define YARDER_CONTROL_SPAWN_H

#include <sys/resource.h>

#include "os/identity.h"

/* Where a source finds its descriptors. */
enum { SPAWN_SETTINGS_FD = 3, SPAWN_SETTLED_FD, SPAWN_SOCKET_FD, SPAWN_FDS = 3 };
struct spawn_own {
    int program_fd;
    int fds[SPAWN_FDS];
};

struct spawn_request {
    const char *command;      /* for sh -c; not looked at when there are arguments */
    char *const *arguments;   /* an argv looked up in $PATH; NULL: none */
    char *const *environment; /* ends with NULL */
    const struct identity *identity;
    const struct rlimit *files; /* RLIMIT_NOFILE; NULL: as it is here */
    bool in_our_place;          /* in our process group, with our ambient capabilities */
    int stdin_fd;               /* -1: /dev/null */
    int stdout_fd;              /* both above 2 */
    int stderr_fd;
    /*
     * A program of our own: run from program_fd by these arguments, with descriptors from 3 on (one
     * that is -1 is missing there). NULL: none.
     */
    const struct spawn_own *own;
};

/*
 * Starts it with default signals and no other descriptors. Its process group is its own, and our
 * ambient capabilities are not for it; but one that runs in our place is to its terminal and to its
 * shell what we are: in the foreground when we are, stopped and continued with us, asked by the
 * same keys. It does not die with us. Returns once the program runs: 0; or -errno of the step that
 * failed
 * (-ENOENT, -EACCES: of the program itself), with the process reaped.
 */
YARDER_MUST_USE int spawn(pid_t *out, const struct spawn_request *request);

#endif
