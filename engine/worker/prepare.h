/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor sent before GO, kept until the lease is ours. Private to room worker. */
#ifndef YARDER_WORKER_PREPARE_H
#define YARDER_WORKER_PREPARE_H

#include "worker/worker.h"

enum {
    WORKER_SOURCES_MAX = 16384,
    PREPARATION_FILES_MAX = 4096,
    PREPARATION_REGIONS_MAX = 4096,
    PREPARATION_STREAMS_MAX = 16384,
};

/* A descriptor that the supervisor kept for a queue, of this hold or of the old one. */
struct preparation_file {
    uint32_t queue;
    bool old;
    int fd; /* -1: taken */
};

struct preparation {
    int hold_fd, old_hold_fd, control_fd, board_fd, baton_fd;
    struct daemon_config *old_config;
    int sockets[YARDER_INPUTS_MAX];
    int pipes[YARDER_PIPES_MAX][3];
    struct preparation_file files[PREPARATION_FILES_MAX];
    uint32_t files_count;
    struct channel_message *regions; /* their messages, as they came */
    uint32_t regions_count;
    int *streams; /* connections of the worker before, in the baton's order */
    uint32_t streams_count;
    uint64_t fenced; /* outputs whose file a dead worker's lane still holds */
    /* made by handover_take: which queue of ours continues which of the old hold */
    uint32_t queue_from[PREPARATION_FILES_MAX]; /* by our queue; HOLD_NONE: a new one */
};

void preparation_init(struct preparation *preparation);

/* Takes what a message brings. 0, or -errno: this worker cannot start. */
YARDER_MUST_USE int preparation_put(struct worker *worker, struct preparation *preparation,
    const struct worker_options *options, struct channel_message *message);

/* The kept descriptor of a queue's file (the caller's now), or -1. */
int preparation_file(struct preparation *preparation, uint32_t queue, uint64_t dev, uint64_t ino);

/* Opens every input: sockets, pipes, regions, connections; the control thread. 0 or -errno. */
YARDER_MUST_USE int preparation_inputs(struct worker *worker, struct preparation *preparation);

/* What the router is made of, from the configuration; the arrays are the caller's. */
struct route_spec worker_route_spec(const struct daemon_config *config,
    struct route_output outputs[YARDER_OUTPUTS_MAX], const char *input_names[YARDER_INPUTS_MAX]);

/* handover.c: state of the old hold into ours. */
YARDER_MUST_USE int handover_take(struct worker *worker, struct preparation *preparation);
/* The connections that came with the baton. */
YARDER_MUST_USE int handover_take_streams(struct worker *worker, struct preparation *preparation);

#endif
