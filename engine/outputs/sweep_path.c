/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One path's files, in this order: what a kill has left; what keep= no longer wants; what is still
 * to be compressed. A raw file is removed when the compressed one is on the disk and has its name:
 *
 *   X --read--> BASE.INODE.yarder-tmp    a kill: thrown away
 *     tmp --renamed--> X.gz              a kill: X and X.gz with one time of change: X is removed
 *     X --renamed--> tmp, removed        a kill: thrown away
 */
#include "outputs/sweep_path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/compress.h"

enum { FILES_MAX = 1 << 20, MODE_BITS = 07777 };

struct sweep {
    struct sweeper *sweeper;
    struct rotation *rotation;
    const struct output_rotate *rotate;
    const uint32_t *stop;
    const char *base; /* the name that all others begin with */
    int folder_fd;
    struct sweep_file *files;
    size_t count, room;
    enum sweep_result result;
};

static void failed(struct sweep *sweep, const char *call, int error, const char *name)
{
    sweep->result = SWEEP_FAILED;
    sweeper_failed(sweep->sweeper, sweep->rotation, call, error, name);
}

static void again(struct sweep *sweep)
{
    sweep->result = sweep->result == SWEEP_DONE ? SWEEP_AGAIN : sweep->result;
}

static bool stopped(const struct sweep *sweep)
{
    return __atomic_load_n(sweep->stop, __ATOMIC_RELAXED) != 0;
}

static bool grow(struct sweep *sweep)
{
    size_t room = yarder_max(2 * sweep->room, 64);
    struct sweep_file *larger =
        room > FILES_MAX ? NULL : reallocarray(sweep->files, room, sizeof(*larger));
    if (larger != NULL) {
        sweep->files = larger;
        sweep->room = room;
    }
    return larger != NULL;
}

static void take_entry(struct sweep *sweep, const char *entry)
{
    struct sweep_file file;
    if (!rotate_name_parse(sweep->rotate, sweep->base, entry, &file.name) ||
        fstatat(sweep->folder_fd, entry, &file.status, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(file.status.st_mode)) {
        return;
    }
    (void)snprintf(file.entry, sizeof(file.entry), "%s", entry);
    if (sweep->count < sweep->room || grow(sweep)) {
        sweep->files[sweep->count++] = file;
    }
}

/* What lies there now. 0 or -errno. */
static int list(struct sweep *sweep)
{
    sweep->count = 0;
    int fd = openat(sweep->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        int r = -errno;
        yarder_fd_drop(&fd);
        return r;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        take_entry(sweep, entry->d_name);
    }
    (void)closedir(folder);
    return 0;
}

static void temporary_name(
    const struct sweep *sweep, const struct stat *status, char out[NAME_MAX + 1])
{
    (void)snprintf(out, NAME_MAX + 1, "%s.%llu%s", sweep->base, (unsigned long long)status->st_ino,
        ROTATE_TEMPORARY);
}

/* Whether this name still leads to that file; with the names locked it then stays so. */
static bool is_still(const struct sweep *sweep, const char *name, const struct stat *status)
{
    struct stat now;
    return fstatat(sweep->folder_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           now.st_ino == status->st_ino && now.st_dev == status->st_dev;
}

/* Under a name that nobody looks at, so that nobody waits while a large file goes. */
static bool drop(struct sweep *sweep, const char *name, const struct stat *status)
{
    char temporary[NAME_MAX + 1];
    int fd = sweep->folder_fd;
    temporary_name(sweep, status, temporary);
    (void)pthread_mutex_lock(&sweep->rotation->names);
    bool same = is_still(sweep, name, status);
    int r = same && renameat(fd, name, fd, temporary) < 0 ? -errno : 0;
    (void)pthread_mutex_unlock(&sweep->rotation->names);
    crash_point("sweep-dropped");
    if (r == 0 && same && unlinkat(fd, temporary, 0) < 0) {
        r = -errno;
    }
    if (r < 0) {
        failed(sweep, "unlink", r, name);
    }
    return r == 0 && same;
}

/* A descriptor of a file that nobody writes any more; -1: somebody does, or it cannot be read. */
static int open_unwritten(struct sweep *sweep, const struct sweep_file *file)
{
    YARDER_OWN_FD int fd =
        openat(sweep->folder_fd, file->entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) {
        if (errno == ENOENT) {
            again(sweep);
        } else {
            failed(sweep, "open", -errno, file->entry);
        }
        return -1;
    }
    if (status.st_ino != file->status.st_ino || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        again(sweep);
        return -1;
    }
    return yarder_fd_take(&fd);
}

static bool same_change(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int by_entry(const void *a_, const void *b_)
{
    const struct sweep_file *a = a_;
    const struct sweep_file *b = b_;
    return strcmp(a->entry, b->entry);
}

/* What a file was compressed from, of a list that is sorted by entries; NULL: it is gone. */
static const struct sweep_file *raw_of(const struct sweep *sweep, const struct sweep_file *file)
{
    struct sweep_file raw = {0};
    size_t bytes = strlen(file->entry) - strlen(rotate_extensions[file->name.compressed]);
    memcpy(raw.entry, file->entry, bytes);
    return bsearch(&raw, sweep->files, sweep->count, sizeof(raw), by_entry);
}

/* Raw ones beside what they were compressed to, and temporary ones. */
static void clean(struct sweep *sweep)
{
    if (sweep->count > 1) {
        qsort(sweep->files, sweep->count, sizeof(*sweep->files), by_entry);
    }
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sweep_file *file = &sweep->files[i];
        const struct sweep_file *raw =
            file->name.compressed != ROTATE_RAW ? raw_of(sweep, file) : NULL;
        if (file->name.temporary) {
            (void)pthread_mutex_lock(&sweep->rotation->names); /* else it may be a lane's */
            (void)unlinkat(sweep->folder_fd, file->entry, 0);
            (void)pthread_mutex_unlock(&sweep->rotation->names);
        }
        if (raw != NULL && same_change(&raw->status, &file->status)) {
            (void)drop(sweep, raw->entry, &raw->status);
        }
    }
}

static void forget_temporary(struct sweep *sweep)
{
    size_t kept = 0;
    for (size_t i = 0; i < sweep->count; i++) {
        if (!sweep->files[i].name.temporary) {
            sweep->files[kept++] = sweep->files[i];
        }
    }
    sweep->count = kept;
}

/* An empty one was opened for late records right before a death. */
static void remove_old(struct sweep *sweep)
{
    size_t kept = sweep_kept(
        sweep->rotate, sweep->files, sweep->count, os_realtime_ns() / CALENDAR_SECOND_NS);
    for (size_t i = 0; i < sweep->count && !stopped(sweep); i++) {
        struct sweep_file *file = &sweep->files[i];
        if (i < kept && file->status.st_size > 0) {
            continue;
        }
        YARDER_OWN_FD int fd =
            file->name.compressed == ROTATE_RAW ? open_unwritten(sweep, file) : -1;
        if (file->name.compressed == ROTATE_RAW && fd < 0) {
            continue;
        }
        if (drop(sweep, file->entry, &file->status)) {
            __atomic_fetch_add(&sweep->rotation->swept.removed, 1, __ATOMIC_RELAXED);
        } else {
            again(sweep);
        }
    }
    sweep->count = kept;
}

/* Its name now: it may have another number since. With the names locked. */
static const char *name_now(struct sweep *sweep, const struct stat *status)
{
    if (list(sweep) < 0) {
        return NULL;
    }
    for (size_t i = 0; i < sweep->count; i++) {
        const struct sweep_file *file = &sweep->files[i];
        if (file->status.st_ino == status->st_ino && file->name.compressed == ROTATE_RAW &&
            !file->name.temporary) {
            return file->entry;
        }
    }
    return NULL;
}

static int rename_new(int folder_fd, const char *from, const char *to)
{
    struct stat taken;
    int r = renameat2(folder_fd, from, folder_fd, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (r == -EINVAL || r == -ENOSYS) { /* as in lane_rotate.c */
        r = fstatat(folder_fd, to, &taken, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST : 0;
        r = r == 0 && renameat(folder_fd, from, folder_fd, to) < 0 ? -errno : r;
    }
    return r;
}

/* The compressed file takes the name of the raw one, which goes. */
static int settle(struct sweep *sweep, const char *temporary, const struct stat *raw)
{
    char whole[NAME_MAX + 1];
    int fd = sweep->folder_fd;
    (void)pthread_mutex_lock(&sweep->rotation->names);
    const char *name = name_now(sweep, raw);
    int r = name == NULL ? -ENOENT : 0;
    if (r == 0 && snprintf(whole, sizeof(whole), "%s%s", name,
                      rotate_extensions[sweep->rotate->compress]) > NAME_MAX) {
        r = -ENAMETOOLONG;
    }
    r = r == 0 ? rename_new(fd, temporary, whole) : r;
    if (r == 0) {
        crash_point("sweep-named");
        r = renameat(fd, name, fd, temporary) < 0 ? -errno : 0;
    }
    (void)pthread_mutex_unlock(&sweep->rotation->names);
    crash_point("sweep-settled");
    (void)unlinkat(fd, temporary, 0);
    return r;
}

static int compress_into(struct sweep *sweep, int in, const struct stat *raw, const char *temporary)
{
    YARDER_OWN_FD int out = openat(
        sweep->folder_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (out < 0) {
        return -errno;
    }
    const struct timespec times[2] = {raw->st_atim, raw->st_mtim};
    int r = compress_file((enum rotate_compress)sweep->rotate->compress, in, out, sweep->stop);
    if (r < 0) {
        return r;
    }
    (void)!fchown(out, raw->st_uid, raw->st_gid); /* as far as we may */
    if (fchmod(out, raw->st_mode & MODE_BITS) < 0 || fsync(out) < 0 || futimens(out, times) < 0) {
        return -errno;
    }
    crash_point("sweep-written");
    return 0;
}

static void compress_one(struct sweep *sweep, const struct sweep_file *file)
{
    char temporary[NAME_MAX + 1];
    const struct stat raw = file->status;
    YARDER_OWN_FD int in = open_unwritten(sweep, file);
    if (in < 0) {
        return;
    }
    temporary_name(sweep, &raw, temporary);
    int r = compress_into(sweep, in, &raw, temporary);
    if (r < 0) {
        (void)unlinkat(sweep->folder_fd, temporary, 0);
    } else {
        r = settle(sweep, temporary, &raw);
    }
    if (r == 0) {
        __atomic_fetch_add(&sweep->rotation->swept.compressed, 1, __ATOMIC_RELAXED);
    } else if (r == -ENOENT) { /* somebody has taken it away */
        again(sweep);
    } else if (r != -ECANCELED) {
        failed(sweep, "compress", r, sweep->base);
    }
}

/* The oldest first; the list is made anew by each, so it is copied before. */
static void compress_all(struct sweep *sweep)
{
    struct sweep_file *files = sweep->files;
    size_t count = sweep->count;
    sweep->files = NULL;
    sweep->count = sweep->room = 0;
    for (size_t i = count; i > 0 && !stopped(sweep); i--) {
        if (files[i - 1].name.compressed == ROTATE_RAW) {
            compress_one(sweep, &files[i - 1]);
        }
    }
    free(files);
}

static void sweep_folder(struct sweep *sweep)
{
    int r = list(sweep);
    if (r < 0) {
        failed(sweep, "readdir", r, sweep->base);
        return;
    }
    clean(sweep);
    r = list(sweep);
    forget_temporary(sweep);
    sweep_sort(sweep->rotate, sweep->files, sweep->count);
    if (r == 0) {
        remove_old(sweep);
    }
    if (r == 0 && sweep->rotate->compress != ROTATE_RAW) {
        compress_all(sweep);
    }
    free(sweep->files);
}

enum sweep_result sweep_path(
    struct sweeper *sweeper, struct rotation *rotation, const char *path, const uint32_t *stop)
{
    const struct output_rotate *rotate = &rotation->config->rotate;
    struct sweep sweep = {
        .sweeper = sweeper, .rotation = rotation, .rotate = rotate, .stop = stop, .folder_fd = -1};
    char folder[YARDER_PATH_BYTES_MAX];
    YARDER_OWN_HEAP char *real = rotate->to == NULL ? realpath(path, NULL) : NULL;
    const char *first = rotate->to != NULL ? rotate->to : real != NULL ? real : path;
    const char *slash = strrchr(first, '/');
    if (slash == NULL || (size_t)(slash - first) >= sizeof(folder)) {
        return SWEEP_DONE;
    }
    memcpy(folder, first, (size_t)(slash - first));
    folder[slash - first] = '\0';
    sweep.base = slash + 1;
    YARDER_OWN_FD int fd = open(slash == first ? "/" : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        return SWEEP_DONE; /* nothing was put aside there */
    }
    if (fd < 0) {
        failed(&sweep, "open", -errno, folder);
        return SWEEP_FAILED;
    }
    sweep.folder_fd = fd;
    sweep_folder(&sweep);
    return sweep.result;
}
