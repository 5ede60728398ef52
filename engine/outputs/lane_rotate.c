/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file is put aside and a new one stands at its path. The new one is made before the old one is
 * touched, under a name of its own: a folder that takes no file, or a full disk, leaves everything
 * as it was. No name is ever taken from another file.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/lane_path.h"
#include "outputs/lane_private.h"
#include "outputs/sweep.h"

enum { COUNTER_MAX = 1000000, COUNTER_BYTES = sizeof(".1000000"), MODE_BITS = 07777 };

/* Names for a file that is put aside, one after the other. */
struct aside {
    struct lane_files *files;
    const struct output_rotate *rotate;
    const char *base; /* what they begin with */
    char suffix[ROTATE_SUFFIX_BYTES];
    uint64_t counter;
    char name[ROTATE_NAME_BYTES];
};

static int rename_new(struct lane_files *files, const char *from, const char *to)
{
    struct stat taken;
    lane_enter(files, "rename");
    int r = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (r == -EINVAL || r == -ENOSYS) { /* a file system that cannot promise it */
        r = lstat(to, &taken) == 0 ? -EEXIST : 0;
        r = r == 0 && rename(from, to) < 0 ? -errno : r;
    }
    lane_leave(files);
    return r;
}

static void numbered(
    const struct aside *aside, char out[ROTATE_NAME_BYTES], uint64_t number, const char *extension)
{
    (void)snprintf(
        out, ROTATE_NAME_BYTES, "%s.%llu%s", aside->base, (unsigned long long)number, extension);
}

/* -ENOENT: it is free, also of what was compressed since; 0: it is taken; or -errno. */
static int look_up(const struct aside *aside, const char *name)
{
    char whole[ROTATE_NAME_BYTES + 8];
    struct stat status;
    int r = -ENOENT;
    lane_enter(aside->files, "stat");
    for (size_t i = 0; i < ROTATE_COMPRESSIONS && r == -ENOENT; i++) {
        (void)snprintf(whole, sizeof(whole), "%s%s", name, rotate_extensions[i]);
        r = lstat(whole, &status) < 0 ? -errno : 0;
    }
    lane_leave(aside->files);
    return r;
}

/* From the first number that is free downwards: a kill on the way leaves a gap, and no file lost.
 */
static int shift_numbers(const struct aside *aside)
{
    char from[ROTATE_NAME_BYTES];
    char to[ROTATE_NAME_BYTES];
    uint64_t free_number = 1;
    int looked = 0;
    for (;; free_number++) {
        numbered(aside, from, free_number, "");
        looked = free_number > COUNTER_MAX ? -EEXIST : look_up(aside, from);
        if (looked < 0) {
            break;
        }
    }
    if (looked != -ENOENT) {
        return looked;
    }
    for (uint64_t number = free_number - 1; number > 0; number--) {
        for (size_t i = 0; i < ROTATE_COMPRESSIONS; i++) {
            numbered(aside, from, number, rotate_extensions[i]);
            numbered(aside, to, number + 1, rotate_extensions[i]);
            int r = rename_new(aside->files, from, to);
            if (r < 0 && r != -ENOENT) {
                return r;
            }
        }
        crash_point("rotate-shifted");
    }
    return 0;
}

static int next_name(struct aside *aside)
{
    if (rotate_names(aside->rotate) == ROTATE_NUMBERS) {
        int r = aside->counter++ > 0 ? -EEXIST : shift_numbers(aside);
        numbered(aside, aside->name, 1, "");
        return r;
    }
    int length = snprintf(aside->name, sizeof(aside->name), "%s%s", aside->base, aside->suffix);
    if (length < 0 || (size_t)length + COUNTER_BYTES > sizeof(aside->name)) {
        return -ENAMETOOLONG;
    }
    for (; aside->counter < COUNTER_MAX; aside->counter++) {
        if (aside->counter > 0) {
            (void)snprintf(aside->name + length, sizeof(aside->name) - (size_t)length, ".%llu",
                (unsigned long long)aside->counter);
        }
        int r = look_up(aside, aside->name);
        if (r < 0) {
            return r == -ENOENT ? 0 : r;
        }
    }
    return -EEXIST;
}

static int move_aside(struct aside *aside, const char *path)
{
    int r = -EEXIST;
    while (r == -EEXIST) { /* ends: each time another name, of so many */
        r = next_name(aside);
        if (r < 0) {
            return r;
        }
        r = rename_new(aside->files, path, aside->name);
        aside->counter += r == -EEXIST;
    }
    return r;
}

/* A new file of ours, locked before anybody can know it. A descriptor, or -errno. */
static int make(struct lane_files *files, const char *name)
{
    lane_enter(files, "open");
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOCTTY,
        files->options.config->mode & 0700);
    int r = fd < 0 ? -errno : fd;
    if (fd >= 0) {
        (void)flock(fd, LOCK_EX | LOCK_NB); /* where there are no locks it is written without */
    }
    lane_leave(files);
    return r;
}

/* What the one before had, whoever has given it that. */
static int like(struct lane_files *files, int fd, int before_fd)
{
    struct stat before;
    struct stat now;
    int r = 0;
    lane_enter(files, "fchown");
    if (before_fd < 0 || fstat(before_fd, &before) < 0 || fstat(fd, &now) < 0) {
        r = fchmod(fd, files->options.config->mode) < 0 ? -errno : 0;
    } else {
        if ((before.st_uid != now.st_uid || before.st_gid != now.st_gid) &&
            fchown(fd, before.st_uid, before.st_gid) < 0) {
            r = -errno;
        }
        if (fchmod(fd, before.st_mode & MODE_BITS) < 0 && r == 0) {
            r = -errno;
        }
    }
    lane_leave(files);
    return r;
}

/* The job's file from now on. */
static int take(struct lane_files *files, struct lane_job *job, int *fd)
{
    struct stat status;
    lane_enter(files, "fstat");
    int r = fstat(*fd, &status) < 0 ? -errno : 0;
    lane_leave(files);
    if (r == 0) {
        job->old_fd = job->fd;
        job->fd = yarder_fd_take(fd);
        job->dev = status.st_dev;
        job->ino = status.st_ino;
        job->size = 0;
        job->regular = true;
        job->answer = LANE_DONE;
    }
    return r;
}

/* One more file of a period that is over. */
static int open_another(struct lane_files *files, struct lane_job *job, struct aside *aside)
{
    YARDER_OWN_FD int fd = -EEXIST;
    while (fd == -EEXIST) { /* as in move_aside */
        int r = next_name(aside);
        if (r < 0) {
            return r;
        }
        fd = make(files, aside->name);
        aside->counter += fd == -EEXIST;
    }
    if (fd < 0) {
        return fd;
    }
    job->owner_error = like(files, fd, job->fd);
    job->rotated = true;
    return take(files, job, &fd);
}

/* What stands there is ours. A name that a kill has left belongs to us alone, who have the lock. */
static int replace(
    struct lane_files *files, struct lane_job *job, struct aside *aside, const char *path)
{
    char name[ROTATE_NAME_BYTES];
    (void)snprintf(name, sizeof(name), "%s.0%s", path, ROTATE_TEMPORARY);
    YARDER_OWN_FD int fd = make(files, name);
    if (fd == -EEXIST && unlink(name) == 0) {
        fd = make(files, name);
    }
    if (fd < 0) {
        return fd;
    }
    job->owner_error = like(files, fd, job->fd);
    crash_point("rotate-made");
    int r = move_aside(aside, path);
    if (r < 0) {
        (void)unlink(name);
        return r;
    }
    crash_point("rotate-aside");
    job->rotated = true;
    if (rename_new(files, name, path) == 0) {
        crash_point("rotate-placed");
        return take(files, job, &fd);
    }
    (void)unlink(name); /* somebody was faster: that file is followed */
    return 1;
}

static bool is_ours(struct lane_files *files, const struct lane_job *job, const char *path)
{
    struct stat named;
    lane_enter(files, "stat");
    bool found = path != NULL && stat(path, &named) == 0;
    lane_leave(files);
    return found && named.st_dev == job->dev && named.st_ino == job->ino;
}

/* 0; 1: the path names another file, or none; or -errno. */
static int rotate(struct lane_files *files, struct lane_job *job, const char *path)
{
    const struct output_rotate *rotate = &files->options.config->rotate;
    struct calendar_zone zone = {0};
    struct aside aside = {.files = files, .rotate = rotate};
    aside.base = rotate->to != NULL ? rotate->to : path != NULL ? path : job->path;
    int64_t now_s = os_realtime_ns() / CALENDAR_SECOND_NS;
    bool period = rotate_by_time(rotate) && rotate_names(rotate) == ROTATE_DATES;
    rotate_suffix(rotate, &zone, period ? job->period_s : now_s, aside.suffix);
    crash_point("rotate-begin");
    if (job->detached) {
        return open_another(files, job, &aside);
    }
    if (!is_ours(files, job, path)) {
        return 1;
    }
    if (job->rotate_open) {
        return replace(files, job, &aside, path);
    }
    int r = move_aside(&aside, path);
    if (r == 0) {
        crash_point("rotate-aside");
        job->rotated = true;
        job->answer = LANE_DONE;
    }
    return r;
}

void lane_file_rotate(struct lane_files *files, struct lane_job *job)
{
    struct rotation *rotation = files->options.rotation;
    lane_enter(files, "realpath"); /* through links: what they name is put aside, not they */
    YARDER_OWN_HEAP char *path = realpath(job->path, NULL);
    lane_leave(files);
    (void)pthread_mutex_lock(&rotation->names);
    int r = path != NULL && strlen(path) >= YARDER_PATH_BYTES_MAX ? -ENAMETOOLONG
                                                                  : rotate(files, job, path);
    (void)pthread_mutex_unlock(&rotation->names);
    if (r < 0) {
        lane_job_failed(job, "rotate", r);
        return;
    }
    int old_fd = job->fd;
    if (r == 1 && !job->rotate_open) {
        job->answer = LANE_DONE;
    } else if (r == 1 && lane_path_open(files, job, false)) {
        job->old_fd = old_fd;
        job->answer = LANE_MOVED;
    }
    sweeper_add(rotation->sweeper, rotation, job->path);
}
