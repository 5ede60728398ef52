/* SPDX-License-Identifier: Apache-2.0 */
#include "os/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

#include "base/limits.h"

enum { MEMFD_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

int os_memfd_create(int *out, const char *name, uint64_t size_bytes)
{
    YARDER_OWN_FD int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)size_bytes) < 0 || fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) < 0) {
        return -errno;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

int os_memfd_check(int fd, uint64_t *size_bytes)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & MEMFD_SEALS) != MEMFD_SEALS || (seals & F_SEAL_WRITE) != 0) {
        return -EPERM;
    }
    struct statfs file_system;
    struct stat file;
    if (fstatfs(fd, &file_system) < 0 || fstat(fd, &file) < 0) {
        return -errno;
    }
    if (file_system.f_type != TMPFS_MAGIC || !S_ISREG(file.st_mode) || file.st_size < 0) {
        return -EPERM; /* huge pages could be punched out under us */
    }
    *size_bytes = (uint64_t)file.st_size;
    return 0;
}

int os_map_twice(int fd, uint64_t offset, size_t size_bytes, uint8_t *at)
{
    for (unsigned copy = 0; copy < 2; copy++) {
        void *wanted = at + copy * size_bytes;
        if (mmap(wanted, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                (off_t)offset) == MAP_FAILED) {
            return -errno;
        }
    }
    return 0;
}

static int futex_wait(const uint32_t *word, int call, uint32_t expected, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    return syscall(SYS_futex, word, call, expected, &timeout, NULL, 0) < 0 ? -errno : 0;
}

static int futex_wake(const uint32_t *word, int call, int count)
{
    long woken = syscall(SYS_futex, word, call, count, NULL, NULL, 0);
    return woken < 0 ? -errno : (int)woken;
}

int os_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    return futex_wait(word, FUTEX_WAIT, expected, timeout_ns);
}

int os_futex_wake(const uint32_t *word, int count)
{
    return futex_wake(word, FUTEX_WAKE, count);
}

int os_futex_wait_private(const uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
    return futex_wait(word, FUTEX_WAIT_PRIVATE, expected, timeout_ns);
}

int os_futex_wake_private(const uint32_t *word, int count)
{
    return futex_wake(word, FUTEX_WAKE_PRIVATE, count);
}

union fds_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(YARDER_FDS_PER_MESSAGE_MAX * sizeof(int))];
};

int os_send_fds(
    int socket_fd, const void *bytes, size_t bytes_count, const int *fds, uint32_t fds_count)
{
    if (fds_count > YARDER_FDS_PER_MESSAGE_MAX) {
        return -EINVAL;
    }
    union fds_control control;
    struct iovec part = {.iov_len = bytes_count};
    memcpy(&part.iov_base, &bytes, sizeof(bytes)); /* only read from; iovec has no const */
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (fds_count > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(fds_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fds_count * sizeof(int));
    }
    ssize_t sent = sendmsg(socket_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        return -errno;
    }
    return (size_t)sent == bytes_count ? 0 : -EIO;
}

/* Moves every descriptor of the message to fds; those over the limit are closed. Returns how many
 * came. */
static uint32_t take_fds(struct msghdr *message, int *fds, uint32_t fds_max)
{
    uint32_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t bytes = header->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
            if (count < fds_max) {
                fds[count] = fd;
            } else {
                (void)close(fd);
            }
            count++;
        }
    }
    return count;
}

int os_receive_fds(int socket_fd, void *bytes, size_t bytes_max, size_t *bytes_count, int *fds,
    uint32_t fds_max, uint32_t *fds_count)
{
    union fds_control control;
    struct iovec part = {bytes, bytes_max};
    struct msghdr message = {.msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control)};
    ssize_t received = recvmsg(socket_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (received < 0) {
        return -errno;
    }
    uint32_t count = take_fds(&message, fds, fds_max);
    bool cut = (message.msg_flags & MSG_TRUNC) != 0;
    if (cut || count > fds_max || (message.msg_flags & MSG_CTRUNC) != 0) {
        for (uint32_t i = 0; i < yarder_min(count, fds_max); i++) {
            (void)close(fds[i]);
        }
        *bytes_count = (size_t)received;
        return cut ? -EMSGSIZE : -EMFILE;
    }
    *bytes_count = (size_t)received;
    *fds_count = count;
    return 0;
}

int os_pidfd_open(int *out, pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return -errno;
    }
    *out = (int)fd;
    return 0;
}

int os_file_id(int fd, struct os_file_id *out)
{
    struct stat file;
    if (fstat(fd, &file) < 0) {
        return -errno;
    }
    *out = (struct os_file_id){file.st_dev, file.st_ino};
    return 0;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};
    (void)clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t os_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t os_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t os_monotonic_coarse_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC_COARSE);
}
