/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library that a program loads while it runs comes too late for LD_PRELOAD. But each object calls
 * other objects' functions through slots of its own, which the loader fills: these are turned to
 * us.
 *
 *     uwsgi ---- write ----+--x--> libc
 *     libpython - write ---+
 *                          +----> instead() ----> real()
 *
 * What calls past its slots is not seen: libc itself (so stdio), the system call instruction.
 */
#ifndef YARDER_CLIENTS_UWSGI_SLOTS_H
#define YARDER_CLIENTS_UWSGI_SLOTS_H

#include "base/base.h"

/* A function, who takes its calls, and where the first of all objects has it. */
struct slots_call {
    const char *name;
    void (*instead)(void);
    void (*real)(void); /* filled by slots_find */
};

/* False: not all of them are there. */
YARDER_MUST_USE bool slots_find(struct slots_call *calls, size_t calls_count);

/*
 * Turns the slots of all objects that are loaded now, save our own and those that have one of the
 * functions. One that somebody else has turned already is left as it is. How many were turned.
 * Under the loader's lock, so one thread after the other: not for signal handlers.
 */
size_t slots_turn(const struct slots_call *calls, size_t calls_count);

/* Changes with each object that is loaded. */
uint64_t slots_epoch(void);

#endif
