/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel calls that shared memory and its hand-over need, with results as 0 or -errno. All of
 * them are async-signal-safe (plain system calls, no allocation), so the producer library may use
 * them in a signal handler or a forked child.
 */
#ifndef YARDER_OS_MEMORY_H
#define YARDER_OS_MEMORY_H

#include <sys/types.h>

#include "base/base.h"

/* A memfd of this size, sealed SHRINK | GROW | SEAL: nobody can cut a mapping short. */
YARDER_MUST_USE int os_memfd_create(int *out, const char *name, uint64_t size_bytes);

/* Size of a memfd on tmpfs that carries those seals and belongs to us; -EPERM: it is not such. */
YARDER_MUST_USE int os_memfd_check(int fd, uint64_t *size_bytes);

/*
 * Maps bytes [offset, offset + size) of fd twice in a row at `at` (reserved by the caller, twice
 * size), so that whatever begins in the first copy is contiguous. size: a multiple of the page.
 */
YARDER_MUST_USE int os_map_twice(int fd, uint64_t offset, size_t size_bytes, uint8_t *at);

/* Waits while *word == expected, at most timeout_ns: 0 (woken), -EAGAIN, -EINTR, -ETIMEDOUT. */
int os_futex_wait(const uint32_t *word, uint32_t expected, int64_t timeout_ns);
/* Wakes up to `count` waiters on a word that processes share. Returns how many, or -errno. */
int os_futex_wake(const uint32_t *word, int count);
/* The same for a word that only threads of this process wait on: cheaper. */
int os_futex_wait_private(const uint32_t *word, uint32_t expected, int64_t timeout_ns);
int os_futex_wake_private(const uint32_t *word, int count);

/*
 * One message of exactly bytes_count bytes with up to YARDER_FDS_PER_MESSAGE_MAX descriptors. Never
 * blocks (MSG_DONTWAIT), raises no SIGPIPE. -EAGAIN, -EPIPE ... as the kernel says.
 */
YARDER_MUST_USE int os_send_fds(
    int socket_fd, const void *bytes, size_t bytes_count, const int *fds, uint32_t fds_count);
/*
 * Receives one message of at most bytes_max bytes, without blocking. *bytes_count 0 is the peer's
 * end. Descriptors arrive with close-on-exec. -EMSGSIZE: longer than bytes_max; -EMFILE: more
 * descriptors than fds_max or than our limit allows: all of them were closed again, the bytes
 * stand.
 */
YARDER_MUST_USE int os_receive_fds(int socket_fd, void *bytes, size_t bytes_max,
    size_t *bytes_count, int *fds, uint32_t fds_max, uint32_t *fds_count);

/* A descriptor that becomes readable when the process is gone. -ESRCH, -EINVAL, -EMFILE. */
YARDER_MUST_USE int os_pidfd_open(int *out, pid_t pid);

/* What tells one open file from another even after its number was reused. */
struct os_file_id {
    uint64_t device;
    uint64_t inode;
};
YARDER_MUST_USE int os_file_id(int fd, struct os_file_id *out);
static inline bool os_file_id_equal(struct os_file_id a, struct os_file_id b)
{
    return a.device == b.device && a.inode == b.inode;
}

int64_t os_monotonic_ns(void);
int64_t os_realtime_ns(void);
/* The same clock to a tick of the kernel (1 to 10 ms), a fifth of the price. */
int64_t os_monotonic_coarse_ns(void);

#endif
