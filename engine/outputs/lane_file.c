/* SPDX-License-Identifier: Apache-2.0 */
/* Look, append, close. Opening by path is lane_path.c; what is owed to the disk is lane_sync.c. */
#include "outputs/lane_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/lane_path.h"
#include "outputs/lane_uring.h"
#include "outputs/sweep.h"

enum { INTERRUPTED_TRIES = 8 };

void lane_watch_enter(struct lane_watch *watch, const char *call)
{
    /* relaxed: lane_stuck_ns and lane_call only tell a person; nothing is ordered by them */
    __atomic_store_n(&watch->call, call, __ATOMIC_RELAXED);
    __atomic_store_n(&watch->since_ns, (uint64_t)os_monotonic_ns(), __ATOMIC_RELAXED);
}

void lane_watch_leave(struct lane_watch *watch)
{
    __atomic_store_n(&watch->since_ns, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&watch->call, NULL, __ATOMIC_RELAXED);
}

void lane_job_failed(struct lane_job *job, const char *call, int error)
{
    YARDER_ASSERT(error < 0);
    job->answer = LANE_FAILED;
    job->failed_call = call;
    job->error = error;
}

int lane_file_close_line(struct lane_files *files, int fd, off_t size, bool *closed)
{
    char last = '\n';
    *closed = false;
    if (size == 0 || files->options.config->unlined) {
        return 0;
    }
    lane_enter(files, "write");
    ssize_t r = pread(fd, &last, 1, size - 1);
    if (r == 1 && last != '\n') {
        r = write(fd, "\n", 1);
        *closed = r == 1;
    }
    r = r < 0 && errno != EBADF ? -errno : 0; /* EBADF: opened for writing only */
    lane_leave(files);
    return (int)r;
}

/* Opening */

static void open_stdio(struct lane_files *files, struct lane_job *job)
{
    bool is_error = strcmp(files->options.config->target, "stderr") == 0;
    int fd = fcntl(is_error ? STDERR_FILENO : STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        lane_job_failed(job, fd < 0 ? "dup" : "fstat", -errno);
        yarder_fd_drop(&fd);
        return;
    }
    job->fd = fd;
    job->dev = status.st_dev;
    job->ino = status.st_ino;
    job->regular = S_ISREG(status.st_mode);
    off_t at = job->regular ? lseek(fd, 0, SEEK_CUR) : 0;
    job->size = at < 0 ? 0 : (uint64_t)at;
    job->answer = LANE_DONE;
}

void lane_file_open(struct lane_files *files, struct lane_job *job)
{
    if (files->options.config->kind == OUTPUT_STDIO) {
        open_stdio(files, job);
    } else if (lane_path_open(files, job, job->truncate)) {
        job->answer = LANE_DONE;
        if (files->options.rotation != NULL) {
            sweeper_add(files->options.rotation->sweeper, files->options.rotation, job->path);
        }
    }
}

/* Writing */

/* One write. An interrupted one wrote nothing, so it is tried again at once, a few times. */
static ssize_t write_once(struct lane_files *files, int fd, const char *bytes, size_t bytes_count)
{
    ssize_t r = -EINTR;
    lane_enter(files, "write");
    for (int tries = 0; r == -EINTR && tries < INTERRUPTED_TRIES; tries++) {
        r = write(fd, bytes, bytes_count);
        r = r < 0 ? -errno : r;
    }
    lane_leave(files);
    return r == 0 ? -EIO : r; /* only some odd device takes nothing and gives no reason */
}

static void wait_writable(struct lane_files *files, int fd)
{
    struct pollfd waiting = {.fd = fd, .events = POLLOUT};
    lane_enter(files, "poll");
    (void)poll(&waiting, 1, -1); /* whatever comes, the next write says it */
    lane_leave(files);
}

/*
 * All bytes into a pipe, terminal or inherited descriptor, which may be non-blocking because
 * whoever shares it made it so. What stands when the reader goes is answered as a short write.
 */
static ssize_t write_all(struct lane_files *files, int fd, const char *bytes, size_t bytes_count)
{
    size_t written = 0;
    while (written < bytes_count) {
        ssize_t r = write_once(files, fd, bytes + written, bytes_count - written);
        if (r == -EAGAIN) {
            wait_writable(files, fd);
        } else if (r < 0) {
            return written > 0 ? (ssize_t)written : r;
        } else {
            written += (size_t)r;
        }
    }
    return (ssize_t)written;
}

/* Appends to a regular file: what write(2) answers. *synced: an fdatasync came with it. */
static ssize_t append(struct lane_files *files, struct lane_job *job, bool sync, bool *synced)
{
    *synced = false;
    if (files->uring == NULL) {
        return write_once(files, job->fd, job->bytes, job->bytes_count);
    }
    struct lane_uring_result result;
    lane_enter(files, sync ? "write and fdatasync" : "write");
    lane_uring_append(files->uring, job->fd, job->bytes, job->bytes_count, sync, &result);
    lane_leave(files);
    if (result.broken) {
        lane_uring_close(files->uring);
        files->uring = NULL; /* from now on plainly */
    }
    *synced = result.synced && result.written > 0;
    job->sync_error = *synced ? result.sync_error : 0;
    return result.written == 0 ? -EIO : result.written;
}

/*
 * Where the bytes just written end. The position says it exactly, whatever others append meanwhile;
 * but io_uring does not move it when a full disk cuts a write short (seen on 6.18). Then the file's
 * size has to do: if it takes in a stranger's bytes, the answer says so by being too large.
 */
static uint64_t end_of(struct lane_files *files, const struct lane_job *job)
{
    struct stat status;
    off_t end = -1;
    if (job->written == job->bytes_count) {
        end = lseek(job->fd, 0, SEEK_CUR);
    } else {
        lane_enter(files, "fstat");
        end = fstat(job->fd, &status) < 0 ? -1 : status.st_size;
        lane_leave(files);
    }
    return end < 0 ? job->expected_size + job->written : (uint64_t)end;
}

/* After a write, and after a mere look: what an earlier worker wrote may not be on the disk yet. */
static int sync_by_policy(struct lane_files *files, int fd)
{
    switch (files->options.config->fsync.policy) {
    case OUTPUT_SYNC_BATCH:
        return lane_sync_file(files, fd);
    case OUTPUT_SYNC_INTERVAL:
        return lane_sync_later(files, fd);
    case OUTPUT_SYNC_NONE:
        break;
    }
    return 0;
}

static void crash_in_write(const struct lane_job *job)
{
    crash_point("before-write");
    size_t part = crash_part("partial-write", job->bytes_count);
    if (part < job->bytes_count) {
        (void)!write(job->fd, job->bytes, part);
        crash_now();
    }
}

static void write_regular(struct lane_files *files, struct lane_job *job)
{
    bool synced = false;
    if (job->bytes_count > 0) {
        bool sync = files->options.config->fsync.policy == OUTPUT_SYNC_BATCH;
        crash_in_write(job);
        ssize_t r = append(files, job, sync, &synced);
        crash_point("after-write");
        if (r < 0) {
            lane_job_failed(job, "write", (int)r);
            return;
        }
        job->written = (uint32_t)r;
        job->size = end_of(files, job);
    }
    if (!synced) {
        job->sync_error = sync_by_policy(files, job->fd);
    }
    job->answer = LANE_DONE;
}

static void write_other(struct lane_files *files, struct lane_job *job)
{
    ssize_t r = write_all(files, job->fd, job->bytes, job->bytes_count);
    if (r < 0) {
        lane_job_failed(job, "write", (int)r);
        return;
    }
    job->answer = LANE_DONE;
    job->written = (uint32_t)r;
    off_t end = lseek(job->fd, 0, SEEK_CUR); /* standard output may be a regular file */
    job->size = end < 0 ? 0 : (uint64_t)end;
}

/*
 * Whether the path names another file, or none. If it cannot be looked up (a folder we may no
 * longer enter) the file we have is still good, and nothing better is to be had; unless no name
 * leads to it any more, for then nobody will find what is written.
 */
static bool has_moved(struct lane_files *files, const char *path, const struct stat *ours)
{
    struct stat named;
    lane_enter(files, "stat");
    int r = stat(path, &named) < 0 ? -errno : 0;
    lane_leave(files);
    if (r < 0) {
        return r == -ENOENT || r == -ENOTDIR || ours->st_nlink == 0;
    }
    return named.st_dev != ours->st_dev || named.st_ino != ours->st_ino;
}

static void write_file(struct lane_files *files, struct lane_job *job)
{
    struct stat ours;
    lane_enter(files, "fstat");
    int r = fstat(job->fd, &ours) < 0 ? -errno : 0;
    lane_leave(files);
    if (r < 0) {
        lane_job_failed(job, "fstat", r);
        return;
    }
    if (job->detached && ours.st_nlink == 0) { /* removed already: late records get another file */
        lane_file_rotate(files, job);
        job->answer = job->answer == LANE_DONE ? LANE_MOVED : job->answer;
        return;
    }
    bool may_follow = !job->detached && (!job->record_open || job->reopen);
    if (may_follow && has_moved(files, job->path, &ours)) {
        int old_fd = job->fd;
        if (lane_path_open(files, job, false)) {
            job->old_fd = old_fd;
            job->answer = LANE_MOVED;
        }
        return;
    }
    bool regular = S_ISREG(ours.st_mode);
    job->size = regular ? (uint64_t)ours.st_size : 0;
    bool cut = regular && job->size < job->expected_size;
    bool grown = regular && job->size > job->expected_size;
    r = 0;
    if (cut || (grown && job->record_open)) {
        job->answer = LANE_RESIZED;
        return;
    }
    if (regular && job->close_line) {
        r = lane_file_close_line(files, job->fd, ours.st_size, &job->line_closed);
    }
    if (r < 0) {
        lane_job_failed(job, "write", r);
    } else if (regular) {
        write_regular(files, job);
    } else {
        write_other(files, job);
    }
}

void lane_file_write(struct lane_files *files, struct lane_job *job)
{
    YARDER_ASSERT(job->fd >= 0);
    if (files->options.config->kind == OUTPUT_STDIO) {
        write_other(files, job);
    } else {
        write_file(files, job);
    }
}

/* Recovery */

void lane_file_compare(struct lane_files *files, struct lane_job *job)
{
    lane_enter(files, "read");
    int r = compare_file(job->fd, &job->batch, &job->found);
    lane_leave(files);
    if (r < 0) {
        lane_job_failed(job, "read", r);
        return;
    }
    job->answer = LANE_DONE;
}

/* Closing */

void lane_file_close(struct lane_files *files, struct lane_job *job)
{
    YARDER_ASSERT(job->fd >= 0);
    job->sync_error = lane_sync_owed(files, job->fd);
    lane_enter(files, "close");
    int r = close(job->fd) < 0 && errno != EINTR ? -errno : 0;
    lane_leave(files);
    job->sync_error = job->sync_error == 0 ? r : job->sync_error;
    job->fd = -1;
    job->answer = LANE_DONE;
}

/* The lane's own calls */

/* The ring is made in the thread that uses it: the kernel holds it to that. */
static int start(void *self, struct lane_watch *watch)
{
    struct lane_files *files = self;
    const struct output_config *config = files->options.config;
    files->watch = watch;
    bool wanted = config->file_io == OUTPUT_FILE_IO_URING;
    bool wins = config->file_io == OUTPUT_FILE_IO_AUTO && config->kind == OUTPUT_FILE &&
                config->fsync.policy == OUTPUT_SYNC_BATCH;
    int r = wanted || wins ? lane_uring_open(&files->uring) : 0;
    files->by_uring = files->uring != NULL;
    return wanted ? r : 0;
}

static void answer(void *self, struct lane_job *job)
{
    switch (job->request) {
    case LANE_OPEN:
        lane_file_open(self, job);
        return;
    case LANE_WRITE:
        lane_file_write(self, job);
        return;
    case LANE_CLOSE:
        lane_file_close(self, job);
        return;
    case LANE_COMPARE:
        lane_file_compare(self, job);
        return;
    case LANE_ROTATE:
        lane_file_rotate(self, job);
        return;
    }
}

static int tend(void *self, bool leaving, uint64_t *next_ns)
{
    struct lane_files *files = self;
    if (files->unsynced_count == 0) {
        return 0;
    }
    return lane_sync_due(files, (uint64_t)os_monotonic_ns(), leaving, next_ns);
}

static void leave(void *self)
{
    struct lane_files *files = self;
    lane_uring_close(files->uring);
}

const struct lane_ops lane_files_ops = {
    .start = start, .answer = answer, .tend = tend, .leave = leave};
