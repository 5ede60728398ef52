/* SPDX-License-Identifier: Apache-2.0 */
/* What a lane does with files: each function makes calls that may hang, so only its thread calls.
 */
#ifndef YARDER_OUTPUTS_LANE_PRIVATE_H
#define YARDER_OUTPUTS_LANE_PRIVATE_H

#include <sys/stat.h>

#include "outputs/lane.h"

/* Around each call that can hang. `call` is a literal. */
void lane_watch_enter(struct lane_watch *watch, const char *call);
void lane_watch_leave(struct lane_watch *watch);

/* Whoever has stored something, seq_cst, that a sleeping writer looks for. */
void lane_wake_writer(int event_fd, const uint32_t *writer_sleeps);

struct lane_uring;

/* A file with bytes that fsync=interval has yet to force out, the longest waiting one first. */
struct lane_unsynced {
    int fd;
    uint64_t since_ns;
};

struct lane_files {
    struct lane_options options;
    struct lane_watch *watch;
    struct lane_uring *uring; /* NULL: plain writes */
    bool by_uring;            /* written by start: it began with one */
    uint32_t unsynced_count;
    struct lane_unsynced unsynced[LANE_JOBS_MAX];
};

extern const struct lane_ops lane_files_ops; /* self: struct lane_files, its options set */

static inline void lane_enter(struct lane_files *files, const char *call)
{
    lane_watch_enter(files->watch, call);
}
static inline void lane_leave(struct lane_files *files)
{
    lane_watch_leave(files->watch);
}

/* Fills the answer of a request. */
void lane_file_open(struct lane_files *files, struct lane_job *job);
void lane_file_write(struct lane_files *files, struct lane_job *job);
void lane_file_close(struct lane_files *files, struct lane_job *job);
void lane_file_compare(struct lane_files *files, struct lane_job *job);
void lane_file_rotate(struct lane_files *files, struct lane_job *job);

/* Puts a newline behind a file that ends in half a line, which doing it again does not do again. */
YARDER_MUST_USE int lane_file_close_line(
    struct lane_files *files, int fd, off_t size, bool *closed);

/* Sets a failed answer; error is negative. */
void lane_job_failed(struct lane_job *job, const char *call, int error);

/* fdatasync now. 0 or -errno. */
YARDER_MUST_USE int lane_sync_file(struct lane_files *files, int fd);

/* fsync=interval: a file was written. Returns the error of a sync made at once for lack of room. */
YARDER_MUST_USE int lane_sync_later(struct lane_files *files, int fd);

/* Syncs a file that is about to be closed, if it is owed. 0 or -errno. */
YARDER_MUST_USE int lane_sync_owed(struct lane_files *files, int fd);

/*
 * Syncs the files whose first unsynced write is an interval ago (`all`: every file that is owed),
 * and says how long until the next is due (UINT64_MAX: none is). 0, or the first failure.
 */
YARDER_MUST_USE int lane_sync_due(
    struct lane_files *files, uint64_t now_ns, bool all, uint64_t *next_ns);

#endif
