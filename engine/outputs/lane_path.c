/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a path to a descriptor that is ours to append to. A regular file is opened for reading too,
 * because recovery compares what stands in it. Anything else is opened without waiting: a FIFO
 * nobody reads answers -ENXIO, and is never opened for reading, for then we would be its reader and
 * never hear that the real one has gone.
 */
#include "outputs/lane_path.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

enum {
    OPEN_FLAGS = O_APPEND | O_CLOEXEC | O_NOCTTY,
    OPEN_TRIES = 8, /* when the path names something else at each look */
    FOLDER_MODE = 0755,
    PRIVATE_MODE = 0700, /* of a new file's mode, until it has its owner */
};

/* A descriptor on its way to the job. */
struct opened {
    int fd;
    bool created; /* by us, for certain: only then it is given an owner and a mode */
    struct stat status;
};

static int open_call(struct lane_files *files, const char *path, int flags, mode_t mode)
{
    lane_enter(files, "open");
    int fd = open(path, OPEN_FLAGS | flags, mode);
    int r = fd < 0 ? -errno : fd;
    lane_leave(files);
    return r;
}

/* Makes each missing folder above the path. 0 or -errno. */
static int make_folders(struct lane_files *files, const char *path)
{
    char folder[YARDER_PATH_BYTES_MAX];
    size_t length = strlen(path);
    if (length >= sizeof(folder)) {
        return -ENAMETOOLONG;
    }
    memcpy(folder, path, length + 1);
    for (char *slash = strchr(folder + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        lane_enter(files, "mkdir");
        int r = mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST ? -errno : 0;
        lane_leave(files);
        if (r < 0) {
            return r;
        }
        *slash = '/';
    }
    return 0;
}

/*
 * Makes the file. If the name is taken after all, another process made it just now, or it is a link
 * to a missing file; whose file that is cannot be told, so its owner and mode are left alone: a
 * link planted in a log folder must not make us give a file away.
 */
static int create(struct lane_files *files, const char *path, bool *created)
{
    const struct output_config *config = files->options.config;
    int flags = O_RDWR | O_CREAT;
    mode_t mode = config->mode & PRIVATE_MODE;
    int fd = open_call(files, path, flags | O_EXCL, mode);
    if (fd == -ENOENT && config->mkdir) {
        int r = make_folders(files, path);
        if (r < 0) {
            return r;
        }
        fd = open_call(files, path, flags | O_EXCL, mode);
    }
    *created = fd >= 0;
    return fd == -EEXIST ? open_call(files, path, flags, config->mode) : fd;
}

static int open_existing(struct lane_files *files, const char *path, bool regular)
{
    if (!regular) {
        return open_call(files, path, O_WRONLY | O_NONBLOCK, 0);
    }
    int fd = open_call(files, path, O_RDWR, 0);
    return fd == -EACCES ? open_call(files, path, O_WRONLY, 0) : fd;
}

/* 0 with `out`, which then owns a descriptor; or -errno with the failed call. */
static int open_once(
    struct lane_files *files, const char *path, struct opened *out, const char **failed_call)
{
    struct stat named;
    *failed_call = "stat";
    lane_enter(files, "stat");
    int r = stat(path, &named) < 0 ? -errno : 0;
    lane_leave(files);
    if (r < 0 && r != -ENOENT) {
        return r;
    }
    bool regular = r == -ENOENT || S_ISREG(named.st_mode);
    bool created = false;
    *failed_call = "open";
    YARDER_OWN_FD int fd =
        r == -ENOENT ? create(files, path, &created) : open_existing(files, path, regular);
    if (fd < 0) {
        return fd;
    }
    *failed_call = "fstat";
    lane_enter(files, "fstat");
    r = fstat(fd, &out->status) < 0 ? -errno : 0;
    lane_leave(files);
    if (r < 0) {
        return r;
    }
    if (S_ISREG(out->status.st_mode) != regular) {
        return -ESTALE; /* replaced between the two looks: opened in the wrong way */
    }
    out->created = created;
    out->fd = yarder_fd_take(&fd);
    return 0;
}

/* What a failure leaves wrong is told, but a log with the wrong owner is better than no log. */
static int give_owner(struct lane_files *files, int fd)
{
    const struct lane_options *options = &files->options;
    int r = 0;
    lane_enter(files, "fchown");
    if ((options->owner_uid != (uid_t)-1 || options->owner_gid != (gid_t)-1) &&
        fchown(fd, options->owner_uid, options->owner_gid) < 0) {
        r = -errno;
    }
    if (fchmod(fd, options->config->mode) < 0 && r == 0) {
        r = -errno; /* exact: the umask is for files nobody gave a mode for */
    }
    lane_leave(files);
    return r;
}

/* The process that locked the file, as the kernel lists it; 0: not listed, or gone since. */
static pid_t lock_holder(const struct stat *status)
{
    YARDER_OWN_FILE FILE *locks = fopen("/proc/locks", "re");
    char line[256];
    while (locks != NULL && fgets(line, sizeof(line), locks) != NULL) {
        int pid = 0;
        unsigned major_number = 0;
        unsigned minor_number = 0;
        unsigned long inode = 0;
        if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid, &major_number, &minor_number,
                &inode) != 4) {
            continue;
        }
        if (inode == status->st_ino && major_number == major(status->st_dev) &&
            minor_number == minor(status->st_dev)) {
            bool gone = pid <= 0 || (kill(pid, 0) < 0 && errno == ESRCH);
            return gone ? 0 : pid;
        }
    }
    return 0;
}

/* 0; -EAGAIN: another description holds it. A file system without locks is written unlocked. */
static int lock(struct lane_files *files, struct lane_job *job, const struct opened *opened)
{
    lane_enter(files, "flock");
    int r = flock(opened->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    lane_leave(files);
    if (r != -EWOULDBLOCK) {
        return 0;
    }
    job->locked_elsewhere = true;
    job->locked_by = lock_holder(&opened->status);
    return -EAGAIN;
}

static int empty(struct lane_files *files, struct opened *opened)
{
    lane_enter(files, "ftruncate");
    int r = ftruncate(opened->fd, 0) < 0 ? -errno : 0;
    lane_leave(files);
    opened->status.st_size = r < 0 ? opened->status.st_size : 0;
    return r;
}

/*
 * A file that ends in half a line, from a power loss or a daemon that died with its supervisor: the
 * line is closed, so that no record is glued to it. Doing it twice changes nothing.
 */
static int close_line(struct lane_files *files, struct lane_job *job, struct opened *opened)
{
    int r = lane_file_close_line(files, opened->fd, opened->status.st_size, &job->line_closed);
    opened->status.st_size += job->line_closed;
    return r;
}

/* What a regular file gets that others do not. 0, or -errno with the failed call. */
static int make_ours(struct lane_files *files, struct lane_job *job, struct opened *opened,
    bool truncate, const char **failed_call)
{
    *failed_call = "flock";
    int r = lock(files, job, opened);
    if (r < 0) {
        return r;
    }
    if (opened->created) {
        job->owner_error = give_owner(files, opened->fd);
    }
    *failed_call = "ftruncate";
    if (truncate) {
        return empty(files, opened);
    }
    *failed_call = "write";
    return close_line(files, job, opened);
}

bool lane_path_open(struct lane_files *files, struct lane_job *job, bool truncate)
{
    struct opened opened = {.fd = -1};
    const char *failed_call = NULL;
    int r = -ESTALE;
    for (int tries = 0; r == -ESTALE && tries < OPEN_TRIES; tries++) {
        r = open_once(files, job->path, &opened, &failed_call);
    }
    YARDER_OWN_FD int fd = opened.fd;
    bool regular = r == 0 && S_ISREG(opened.status.st_mode);
    if (regular) {
        r = make_ours(files, job, &opened, truncate, &failed_call);
    }
    if (r < 0) {
        lane_job_failed(job, failed_call, r);
        return false;
    }
    job->fd = yarder_fd_take(&fd);
    job->dev = opened.status.st_dev;
    job->ino = opened.status.st_ino;
    job->size = regular ? (uint64_t)opened.status.st_size : 0;
    job->modified_s = job->size > 0 ? opened.status.st_mtim.tv_sec : 0;
    job->regular = regular;
    return true;
}
