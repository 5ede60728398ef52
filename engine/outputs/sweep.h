/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sweeper: one thread of the worker, at the lowest priority, for all outputs that rotate. It
 * compresses files that were put aside, removes those that keep= no longer wants, and looks once a
 * second at files that are touched to ask for something. Nothing waits for it.
 *
 * A file that is still written is locked by whoever writes it (lane.h), also across processes; what
 * is locked is left for the next look. What a kill leaves is found by its name: a temporary file is
 * thrown away, an old file beside what it was compressed to (the same time of change, to the
 * nanosecond) is removed, a raw one is compressed.
 */
#ifndef YARDER_OUTPUTS_SWEEP_H
#define YARDER_OUTPUTS_SWEEP_H

#include "outputs/rotate.h"

/* Whether an output wants something of it. */
bool sweeper_wanted(const struct output_config *config);

/* Starts the thread; writers are woken as lanes wake them. 0 or -errno. */
YARDER_MUST_USE int sweeper_open(struct sweeper **out, int event_fd, const uint32_t *writer_sleeps);

/* Files of this path are to be looked after; NULL: nobody does. Any thread; allocates. */
void sweeper_add(struct sweeper *sweeper, struct rotation *rotation, const char *path);

/* From now on its touch files are watched: what of them was seen already, by kind of asking. */
void sweeper_watch(
    struct sweeper *sweeper, struct rotation *rotation, const uint64_t seen_ns[ROTATE_TOUCHES]);

/* Its last failure with files of this output. */
void sweeper_trouble(
    struct sweeper *sweeper, struct rotation *rotation, struct rotation_trouble *out);

/*
 * It ends what it is at, as soon as the call it is in returns, and leaves; that is waited for so
 * long. false: a disk hangs, and what it uses must stay until the process ends.
 */
bool sweeper_stop(struct sweeper *sweeper, uint64_t wait_ns);
/* After a stop that was good, and after all outputs are closed. */
void sweeper_close(struct sweeper *sweeper);

#endif
