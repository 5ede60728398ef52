/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's folders, and the lock in the run directory: one daemon for each. The default place
 * of an ordinary user may lie under /tmp, where anybody can make a folder of that name first, with
 * links and sockets in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "control/supervisor_private.h"

#define LOCK_NAME "pid" /* the daemon's pid stands in it, for people and scripts */

static int fail(const char *what, int error)
{
    supervisor_say("%s: %s", what, strerror(-error));
    return error;
}

static int make_folder(const char *path, mode_t mode)
{
    char part[YARDER_PATH_BYTES_MAX];
    (void)snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0755);
        *slash = '/';
    }
    return mkdir(part, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* Whoever owns a folder, or a link to it, says what is in there. */
static int check_owner(const struct supervisor *supervisor, const char *path, const char *key,
    const struct stat *facts)
{
    bool ours = facts->st_uid == 0 || facts->st_uid == geteuid() ||
                (supervisor->identity.change && facts->st_uid == supervisor->identity.uid);
    if (ours) {
        return 0;
    }
    supervisor_say("%s belongs to another user (uid %u), who could put anything in there: remove "
                   "it, give it to the daemon's user, or name another folder with --%s",
        path, (unsigned)facts->st_uid, key);
    return -EPERM;
}

static int open_folder(
    const struct supervisor *supervisor, const char *path, const char *key, mode_t mode, int *out)
{
    struct stat facts;
    int r = make_folder(path, mode);
    if (r == 0 && lstat(path, &facts) < 0) {
        r = -errno;
    }
    if (r < 0) {
        return fail(path, r);
    }
    bool is_link = S_ISLNK(facts.st_mode);
    r = is_link ? check_owner(supervisor, path, key, &facts) : 0;
    if (r < 0) {
        return r;
    }
    YARDER_OWN_FD int fd =
        open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | (is_link ? 0 : O_NOFOLLOW));
    if (fd < 0 || fstat(fd, &facts) < 0) {
        return fail(path, -errno);
    }
    r = check_owner(supervisor, path, key, &facts);
    if (r < 0) {
        return r;
    }
    if ((facts.st_mode & S_IWOTH) != 0) {
        supervisor_say("%s: anybody may write there, and so answer in the daemon's place", path);
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static int open_run_dir(struct supervisor *supervisor)
{
    return open_folder(
        supervisor, supervisor->current->config->run_dir, "run-dir", 0755, &supervisor->run_dir_fd);
}

static int open_state_dir(const struct supervisor *supervisor)
{
    const char *path = supervisor->current->config->state_dir;
    const struct identity *identity = &supervisor->identity;
    YARDER_OWN_FD int fd = -1;
    int r = open_folder(supervisor, path, "state-dir", 0750, &fd);
    if (r == 0 && identity->change &&
        fchownat(fd, "", identity->uid, identity->gid, AT_EMPTY_PATH) < 0 && geteuid() == 0) {
        return fail(path, -errno);
    }
    return r;
}

static int say_running(const struct supervisor *supervisor, int fd)
{
    char pid[32];
    ssize_t n = read(fd, pid, sizeof(pid) - 1);
    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    supervisor_say("a daemon already runs in %s (pid %s); another one needs another --run-dir",
        supervisor->current->config->run_dir, pid);
    return -EBUSY;
}

/* 0 with the lock; -EAGAIN: a daemon that leaves has just removed the file. */
static int try_lock(const struct supervisor *supervisor, const char *path, int *out)
{
    struct stat facts;
    YARDER_OWN_FD int fd = openat(supervisor->run_dir_fd, LOCK_NAME,
        O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0 || fstat(fd, &facts) < 0) {
        return fail(path, -errno);
    }
    if (!S_ISREG(facts.st_mode) || facts.st_nlink > 1) {
        supervisor_say("%s is no file of the daemon's own: remove it", path);
        return -EPERM;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? say_running(supervisor, fd) : fail(path, -errno);
    }
    if (fstat(fd, &facts) < 0 || facts.st_nlink == 0) {
        return -EAGAIN;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static int take_lock(struct supervisor *supervisor)
{
    char path[YARDER_PATH_BYTES_MAX + sizeof(LOCK_NAME)];
    char pid[32];
    int r = -EAGAIN;
    (void)snprintf(path, sizeof(path), "%s/" LOCK_NAME, supervisor->current->config->run_dir);
    while (r == -EAGAIN) {
        r = try_lock(supervisor, path, &supervisor->lock_fd);
    }
    if (r < 0) {
        return r;
    }
    supervisor->succeeds_killed = pread(supervisor->lock_fd, pid, sizeof(pid), 0) > 0;
    int length = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(supervisor->lock_fd, 0) < 0 ||
        pwrite(supervisor->lock_fd, pid, (size_t)length, 0) != length) {
        return fail(path, -errno);
    }
    return 0;
}

int place_open(struct supervisor *supervisor)
{
    int r = open_run_dir(supervisor);
    if (r == 0) {
        r = open_state_dir(supervisor);
    }
    if (r == 0) {
        r = take_lock(supervisor);
    }
    if (r == 0) {
        supervisor_settle_epoch(supervisor->current);
    }
    return r;
}

void place_close(const struct supervisor *supervisor)
{
    if (supervisor->lock_fd >= 0) {
        (void)unlinkat(supervisor->run_dir_fd, LOCK_NAME, 0);
    }
}
