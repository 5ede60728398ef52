/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor sent before GO, kept until the lease is ours. Private to room worker. */
#ifndef YARDER_WORKER_PREPARE_H
#define YARDER_WORKER_PREPARE_H

#include "worker/worker_private.h"

/* A descriptor that the supervisor kept for a queue, of this hold or of the old one. */
struct preparation_file {
    uint32_t queue;
    bool old;
    int fd; /* -1: taken */
    struct channel_file file;
};

/* A connection of the worker before. */
struct preparation_stream {
    int fd;          /* -1: taken */
    uint32_t pid;    /* of the worker that gave it */
    uint64_t offset; /* of its entry in that worker's baton */
};

struct preparation {
    int hold_fd, old_hold_fd, control_fd, board_fd, baton_fd;
    struct daemon_config *old_config;
    int sockets[YARDER_INPUTS_MAX];
    int pipes[YARDER_PIPES_MAX][3];
    int settled[YARDER_PIPES_MAX]; /* of a source */
    struct preparation_file *files;
    uint32_t files_count, files_room;
    struct channel_message *regions; /* their messages, as they came */
    uint32_t regions_count;
    struct preparation_stream *streams;
    uint32_t streams_count, streams_room, baton_pid;
    uint64_t fenced; /* outputs whose file a dead worker's lane still holds */
    /* made by handover_take: which queue of ours continues which of the old hold */
    uint32_t *queue_from; /* by our queue; HOLD_NONE: a new one. NULL: all are */
};

void preparation_init(struct preparation *preparation);

/* Takes what a message brings. 0, or -errno: this worker cannot start. */
YARDER_MUST_USE int preparation_put(struct worker *worker, struct preparation *preparation,
    const struct worker_options *options, struct channel_message *message);

/* The kept descriptor of a queue's file (the caller's now), or -1. */
int preparation_file(struct preparation *preparation, uint32_t queue, uint64_t dev, uint64_t ino);
/* Whether another regular file is kept for the queue: its lock would refuse us. */
bool preparation_keeps_more(const struct preparation *preparation, uint32_t queue);
/* The queue of the old hold that ours continues; HOLD_NONE: none. */
static inline uint32_t preparation_from(const struct preparation *preparation, uint32_t queue)
{
    return preparation->queue_from == NULL ? HOLD_NONE : preparation->queue_from[queue];
}

/* Opens every input: sockets, pipes, regions, connections; the control thread. 0 or -errno. */
YARDER_MUST_USE int preparation_inputs(struct worker *worker, struct preparation *preparation);

/* handover.c: state of the old hold into ours. */
YARDER_MUST_USE int handover_take(struct worker *worker, struct preparation *preparation);
/* The connections that came with the baton. */
YARDER_MUST_USE int handover_take_streams(struct worker *worker, struct preparation *preparation);

#endif
