/* SPDX-License-Identifier: Apache-2.0 */
/* What the rooms above see of a worker: its life, and what the supervisor computes as it does. */
#ifndef YARDER_WORKER_WORKER_H
#define YARDER_WORKER_WORKER_H

#include "queue/hold.h"
#include "worker/config.h"

/* How large the hold of this configuration is. Shared with the supervisor, which makes it. */
struct hold_shape hold_shape_of(const struct daemon_config *config);

/*
 * The life of a worker process. config_of is how the packed settings become a configuration (room
 * control stands above). Returns the process's exit status.
 */
struct worker_options {
    int channel_fd;
    struct daemon_config *(*config_of)(int settings_fd, char *why, size_t why_bytes);
};
int worker_run(const struct worker_options *options);

/* Outputs of the old configuration (a bit each) that the new one does not continue. */
uint64_t handover_left(const struct daemon_config *old, const struct daemon_config *config);
/* Those of the new configuration that continue the given ones of the old. */
uint64_t handover_continued(
    const struct daemon_config *old, const struct daemon_config *config, uint64_t outputs);

#endif
