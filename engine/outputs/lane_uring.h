/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's own ring, never shared with another lane: io_uring queues buffered writes of different
 * files behind each other, and one frozen file would hold the rest.
 */
#ifndef YARDER_OUTPUTS_LANE_URING_H
#define YARDER_OUTPUTS_LANE_URING_H

#include <sys/types.h>

#include "base/base.h"

struct lane_uring;

struct lane_uring_result {
    ssize_t written; /* as write(2), or -errno */
    bool synced;     /* the fdatasync was carried out; a short write cancels it */
    int sync_error;  /* its failure, negative */
    bool broken;     /* the ring takes no more: close it. `written` is right all the same */
};

/* In the thread that will use it. Checked with a linked pair. 0, or -errno: write plainly then. */
YARDER_MUST_USE int lane_uring_open(struct lane_uring **out);
void lane_uring_close(struct lane_uring *uring); /* takes NULL */

/*
 * Appends bytes to a file opened with O_APPEND and waits, with an fdatasync in the same submission
 * if `sync`. The file position moves as after write(2), but not after a short write.
 */
void lane_uring_append(struct lane_uring *uring, int fd, const char *bytes, uint32_t bytes_count,
    bool sync, struct lane_uring_result *result);

#endif
