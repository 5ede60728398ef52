/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's work for a backend. OPEN opens it (fd is -1), WRITE is one try to deliver the packed
 * records of a seal: DONE with `written` bytes settled, all of them or those before the first that
 * must be tried again, which `error` explains. There is neither COMPARE nor CLOSE; the backend is
 * closed when the thread leaves.
 */
#ifndef YARDER_OUTPUTS_LANE_OFFLOAD_H
#define YARDER_OUTPUTS_LANE_OFFLOAD_H

#include "offload/courier.h"
#include "outputs/lane.h"

struct lane_offload;

extern const struct lane_ops lane_offload_ops;

/* The courier of an output as configured; `host` is this machine's name. */
struct courier_options lane_courier_options(const struct output_config *config, const char *host);

/* Allocates; starts nothing. `host` is this machine's name. 0, or -errno with `why`. */
YARDER_MUST_USE int lane_offload_open(struct lane_offload **out, const struct output_config *config,
    const char *host, char *why, size_t why_bytes);
void lane_offload_close(struct lane_offload *offload); /* after the lane; NULL is none */

#endif
