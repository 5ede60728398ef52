/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's work for a backend. OPEN opens it (fd is -1), WRITE is one try to deliver the packed
 * records of a seal: DONE with `written` bytes settled, all of them or those before the first that
 * must be tried again, which `error` explains. There is neither COMPARE nor CLOSE; the backend is
 * closed when the thread leaves.
 *
 * A seal never spans two buffers, so a record that does comes in pieces (lane_job.record_open).
 * They are gathered here and answered as written at once; the last one carries the whole record,
 * and is answered when that is settled. The gathered pieces die with the process: the queue's base
 * has not moved, and whoever takes it up again rewinds to it.
 */
#ifndef YARDER_OUTPUTS_LANE_OFFLOAD_H
#define YARDER_OUTPUTS_LANE_OFFLOAD_H

#include "outputs/lane.h"

struct lane_offload;
extern const struct lane_ops lane_offload_ops;

/* Allocates; starts nothing. `host` is this machine's name. 0, or -errno with `why`. */
YARDER_MUST_USE int lane_offload_open(struct lane_offload **out, const struct output_config *config,
    const char *host, char *why, size_t why_bytes);
void lane_offload_close(struct lane_offload *offload); /* after the lane; NULL is none */

#endif
