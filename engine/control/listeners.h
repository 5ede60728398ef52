/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every socket that others find us by: those of the unix, udp and tcp inputs, the one that ring
 * clients connect to, and the control socket. They are bound here, in the supervisor, with its
 * privileges, and outlive every worker.
 *
 * Start and reload are one road: listeners_prepare binds what the next configuration adds and
 * changes nothing of what is there; then listeners_adopt makes that set the current one (options of
 * kept sockets change, sockets no longer wanted are closed), or listeners_cancel drops it. A socket
 * is kept when kind, type and address are the same. A unix path that changes its type is bound
 * under another name beside it and renamed over it, so the path always names a living socket.
 */
#ifndef YARDER_CONTROL_LISTENERS_H
#define YARDER_CONTROL_LISTENERS_H

#include "inputs/input.h"
#include "os/identity.h"

struct listeners; /* opaque */

/*
 * Takes the descriptors of socket activation ($LISTEN_FDS, $LISTEN_PID, $LISTEN_FDNAMES; removed
 * from the environment) when they are meant for this process: they serve the inputs that have their
 * address. 0 or -ENOMEM.
 */
YARDER_MUST_USE int listeners_open(struct listeners **out);

/* Closes all; removes the paths that still are our sockets. NULL is fine. */
void listeners_close(struct listeners *listeners);

/*
 * Binds what is missing: RUN_DIR/ring.sock when a ring input is configured, RUN_DIR/control.sock,
 * and each input's own. run_dir exists. The control socket is open to the daemon's user and, where
 * one was named, to its group. Returns the number of sockets that could not be had:
 * listeners_problem says which and why; the others are bound, the caller decides whether to go on.
 * The configuration is borrowed until adopt or cancel.
 */
YARDER_MUST_USE int listeners_prepare(struct listeners *listeners,
    const struct input_config *inputs, uint32_t inputs_count, const char *run_dir,
    const struct identity *identity);
void listeners_cancel(struct listeners *listeners);
void listeners_adopt(struct listeners *listeners);

/*
 * Lines for the operator about the last prepare and adopt: what, where (file:line), and the cure.
 * `error` tells a socket that could not be had from a mere warning. NULL after the last one.
 */
const char *listeners_problem(const struct listeners *listeners, uint32_t index, bool *error);

/* The socket of an input, of the current set or of the next one; -1: none. They stay ours. */
int listeners_input(const struct listeners *listeners, bool next, uint32_t input);
int listeners_ring(const struct listeners *listeners, bool next);
int listeners_control(const struct listeners *listeners, bool next);

#endif
