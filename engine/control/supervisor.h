/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor: the small process that lives as long as the daemon. It owns what must survive a
 * worker (sockets, regions, the hold, the descriptors of files, children and their pipes) and
 * replaces workers that die. It parses its own configuration and nothing that comes from outside.
 *
 *   supervisor.c   signals, the poll loop, the way in and out
 *   workers.c      starting a worker, telling it what there is, its death, fencing
 *   reload.c       a second worker takes over
 */
#ifndef YARDER_CONTROL_SUPERVISOR_H
#define YARDER_CONTROL_SUPERVISOR_H

#include "control/config.h"
#include "control/preload.h"

struct supervisor_options {
    /*
     * Reads all sources anew (file, includes, command line): at the start and at each reload.
     * 0 and *settings the caller's; -EINVAL with the report; -ENOMEM.
     */
    int (*read_settings)(void *context, struct settings **settings, struct config_report *report);
    void *context;
    char *const *environment;      /* of exec children */
    const struct preload *preload; /* of the exec child that inherits stdin; NULL: none */
    bool quiet;                    /* no banner */
    /* exec with outputs of its own: leave when the child of the only exec input has ended. */
    bool leave_with_child;
};

/*
 * Runs the daemon in the foreground until a signal (or the end of its inputs) ends it. Returns the
 * exit status: 0; 1 could not start or a worker cannot; 2 configuration; with leave_with_child the
 * child's.
 */
int supervisor_run(const struct supervisor_options *options);

/* `yarder worker`: what supervisor_run executes. channel_fd is open. */
int supervisor_worker(int channel_fd);

/* `yarder source`: the process of an input with a source, from what spawn_source gave it. */
int supervisor_source(uint32_t input);

#endif
