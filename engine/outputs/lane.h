/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: the one thread that makes every call on the files of one output (open, stat, write,
 * fsync, close), or on its backend, so that a file system or a peer that hangs holds this lane and
 * nothing else. What it does for a job is its lane_ops: of files, here and in lane_file.c; of a
 * backend, lane_offload.h.
 *
 *   writer thread                                lane thread ("lane-INDEX", found by its name in
 *     lane_submit(job) ---- submission ring ---->   /proc/PID/task when a dead worker is fenced)
 *     lane_done()      <--- completion ring -----   + one wake-up of the writer's event
 *
 * A job belongs to the lane from lane_submit until lane_done returns it. At most one job of a file
 * is under way at a time. Jobs are answered in the order they were handed over. The writer never
 * waits for a lane.
 *
 * A WRITE looks before it leaps: whether the path still names the file and whether the file has the
 * expected size. If what it finds changes what must be written, it writes nothing and says so,
 * because what to do next (write the open record again whole, begin again in a cut file) is the
 * writer's to decide and must be in a commit before any byte is written. A file that has only grown
 * is no such case while no record is open: recovery needs a lower bound of where our bytes begin,
 * and a batch that waited until nobody else appends between commit and write might wait for ever
 * (measured: 6 of 3000 writes came through beside a process that appends without a pause). It is
 * written, and `size` tells.
 *
 * The lock. Each regular file is flock()ed right after it is opened, so a second yarder is refused
 * and told by whom. Such a lock belongs to the open file description: it is shared by every
 * descriptor made from it and ends when the last of them is closed, also across processes. Nobody
 * unlocks; what follows from that:
 *   - A worker died: the supervisor's kept descriptor holds the lock on. The new worker writes
 *     through that descriptor. It never OPENs a path of which it was given a kept descriptor: the
 *     daemon would refuse itself.
 *   - Reload: old and new worker hold the same description, hence the same lock; that is no
 *     conflict, and why CLOSE must not unlock: it would unlock for the other worker too. The old
 *     worker may CLOSE at leisure.
 *   - MOVED: another inode, another description, a lock of its own. The old file stays locked until
 *     the writer has closed it (after the commit that names the new one) and the supervisor too.
 *   - Opened again by path after an idle-close, or renamed back: free as soon as the supervisor has
 *     dropped its descriptor. Until then OPEN and MOVED answer locked_elsewhere, often with
 *     locked_by a process of this daemon or 0: the writer tries again later, as after any failure.
 */
#ifndef YARDER_OUTPUTS_LANE_H
#define YARDER_OUTPUTS_LANE_H

#include <sys/types.h>

#include "base/base.h"
#include "outputs/compare.h"
#include "outputs/output.h"
#include "outputs/rotate.h"

enum lane_request {
    LANE_OPEN,  /* open or create job->path for appending; nothing is written. STDIO: path is not
                   looked at, fd is a duplicate of the daemon's standard output or error */
    LANE_WRITE, /* look, append bytes in one write, sync by the policy; bytes_count 0: look and sync
                   only (so a new worker makes sure of what its predecessor had written) */
    LANE_CLOSE, /* sync if the policy says so, close job->fd */
    LANE_COMPARE, /* after a start: how much of job->batch stands in the file? Only reads */
    LANE_ROTATE, /* rotate.h: the file at the path is put aside, a new one made if rotate_open is */
};

enum lane_answer {
    LANE_DONE,    /* OPEN: fd, dev, ino, size, regular are the new file's. WRITE: `written` bytes
                     stand (may be short), `size` is where they end: more than expected_size +
                     written when another process appended before them. CLOSE: closed */
    LANE_MOVED,   /* WRITE: nothing written; the path names another file (or none: it was made), now
                     open as `fd` with dev, ino, size, regular; the old descriptor is still open
                     (old_fd) and wants a CLOSE of its own; of ROTATE also if DONE */
    LANE_RESIZED, /* WRITE: nothing written; the file has `size` bytes: less than expected_size, or
                     more while record_open */
    LANE_FAILED,  /* `error` (negative errno) with `failed_call`; nothing written; what was open
                     still is */
};

struct lane_job {
    /* the writer's words */
    enum lane_request request;
    const char *path; /* stays valid until the answer */
    int fd;           /* from an OPEN, a MOVED or the supervisor; closed by CLOSE only */
    const char *bytes;
    uint32_t bytes_count;
    struct compare_batch batch;   /* COMPARE; of a backend's WRITE bytes and ends alone */
    struct yarder_id again_until; /* backend: these and older records may have been sent before */
    bool truncate;    /* OPEN: empty the file, once its lock is ours (first open of the daemon) */
    bool record_open; /* the bytes continue a record: do not follow a rename now */
    bool reopen;      /* follow a rename even so (USR1); the same file is not opened twice */
    bool detached;    /* the file was put aside: no path leads to it, none is followed */
    bool rotate_open; /* ROTATE */
    int64_t period_s; /* ROTATE: of its name */
    bool close_line;  /* WRITE: first a newline, if the file ends in half a line */
    uint64_t expected_size; /* of the file right before the write; regular files */
    uint64_t dev, ino;      /* of fd; a WRITE asks the descriptor itself */
    void *owner;
    /* the lane's answer */
    enum lane_answer answer;
    int error;
    const char *failed_call; /* "open", "write", ...: a text that lives for ever */
    const char *failed_text; /* backend: the failure in its words; NULL: none. Until the next job */
    const char *refusal; /* backend: why the last refused record was; NULL: none was. Likewise */
    const char *note;    /* backend: what failed though all is settled; NULL: nothing. Likewise */
    struct compare_result found; /* COMPARE */
    uint32_t written;
    uint32_t delivered; /* backend: of the records that end in `written`; the others are dead */
    uint64_t delivered_bytes; /* backend: of their texts */
    uint32_t doubles;         /* spool: records of `written` that were stored before */
    uint32_t lost;            /* spool: records of `written` that cannot be stored, ever */
    uint64_t stored_end;      /* spool: place behind the last one stored; 0: none was */
    uint64_t size;            /* 0 for what is not a regular file */
    int old_fd;
    int sync_error;     /* the bytes stand, but could not be forced to the disk (fsync=batch), or
                           close reported a lost write: negative errno, said once */
    int owner_error;    /* a new file was made, but not given to its owner: negative errno */
    bool line_closed;   /* OPEN, MOVED: the file ended in half a line, a newline was put behind it.
                           WRITE: the same, and `size` counts it */
    bool rotated;       /* ROTATE: a file was put aside, or opened there */
    int64_t modified_s; /* OPEN: of a file that is not empty, when it was; else 0 */
    bool regular;       /* OPEN, MOVED: the promise holds; false: FIFO, terminal, device */
    bool locked_elsewhere; /* OPEN, MOVED failed: another description holds the lock; error is
                              -EAGAIN */
    pid_t locked_by;       /* 0: not known, or the process that locked it has gone */
};

/* The call that a lane is in, for other threads to read: relaxed atomics, each on its own. */
struct lane_watch {
    uint64_t since_ns; /* 0: in none */
    const char *call;
};

/* What answers jobs. All but `want` are called by the lane's thread alone, start first. */
struct lane_ops {
    int (*start)(void *self, struct lane_watch *watch); /* 0, or -errno: lane_open answers it */
    void (*answer)(void *self, struct lane_job *job);   /* fills the answer */
    /*
     * What is due beside jobs, between them: 0, or the -errno of what no job tells. *next_ns: how
     * long until the next is due. `leaving`: all of it is due now.
     */
    int (*tend)(void *self, bool leaving, uint64_t *next_ns);
    void (*leave)(void *self);
    /* Any thread: the lane's is wanted back soon, or no longer. NULL: it never stays long. */
    void (*want)(void *self, bool wanted);
};

struct lane_options {
    const struct output_config *config; /* kind FILE or STDIO, unless there are ops */
    const struct lane_ops *ops;         /* NULL: those of files */
    void *self;                         /* of ops: the caller's, as long as the lane lives */
    uint32_t index;                     /* for the thread's name */
    int event_fd;                  /* eventfd of the writer; the lane writes 1 when it sleeps */
    const uint32_t *writer_sleeps; /* non-zero while the writer sleeps or is about to */
    uid_t owner_uid;               /* of new files; (uid_t)-1: unchanged */
    gid_t owner_gid;
    struct rotation *rotation; /* kind FILE */
};

struct lane;

/*
 * Starts the thread, and waits until it runs. Allocates. 0; -errno, also when file_io is URING and
 * io_uring cannot be had. What options points to outlives the lane, or the process when lane_close
 * timed out.
 */
YARDER_MUST_USE int lane_open(struct lane **out, const struct lane_options *options);

const char *lane_io_name(const struct lane *lane); /* how it writes: "write" or "io_uring" */

/* Hands a job over; there is always room (at most LANE_JOBS_MAX are under way). */
void lane_submit(struct lane *lane, struct lane_job *job);

/*
 * The next answered job, or NULL. Before it sleeps the writer sets *writer_sleeps, executes a full
 * fence, and asks once more: then either it finds the job or the lane finds the flag.
 */
struct lane_job *lane_done(struct lane *lane);

/* How long the call that the lane is in has taken, 0 when it is in none; its name, or NULL. Any
 * thread. */
uint64_t lane_stuck_ns(const struct lane *lane);
const char *lane_call(const struct lane *lane);

/* See lane_ops.want; lane_close wants it, too. */
void lane_want(struct lane *lane, bool wanted);

/*
 * Takes the error of an fsync=interval that failed since it was asked last (negative errno), or 0.
 * There is no job to say it with; the writer is woken. Writer only.
 */
int lane_take_sync_error(struct lane *lane);

/*
 * Asks the thread to leave after the jobs it has, and waits up to wait_ns. 0: every job was
 * answered (and is the writer's, without lane_done), what fsync=interval still owed is done (who
 * wants to hear of its failure CLOSEs each file before), the lane is freed. -ETIMEDOUT: it is stuck
 * in a call; its memory, its jobs and all that its options point to are then left alone until the
 * process ends.
 */
YARDER_MUST_USE int lane_close(struct lane *lane, uint64_t wait_ns);

/* Of each file two at the most: its job, and the CLOSE of the file its path named before. */
enum { LANE_JOBS_MAX = 2048 };

#endif
