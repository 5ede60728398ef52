/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that write to a descriptor, and those after which it may be another file. (send goes to
 * sockets, which the log's descriptors are not.)
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "preload/preload.h"

enum { GATHER_BYTES = 1024, GATHER_BYTES_MAX = 1 << 20 };

/*
 * Most programs that a script runs write once: a region would cost them 1.5 ms. So the first write
 * of a process goes to the pipe, save that of the wrapped program itself; the second waits a moment
 * until that has been read, for the sake of their order.
 */
static bool is_worth_a_ring(int fd)
{
    enum { READ_TRIES = 50, READ_SLICE_NS = 100000 };
    uint32_t *writes = owned_writes();
    uint32_t before = __atomic_load_n(writes, __ATOMIC_RELAXED);
    if (YARDER_LIKELY(before >= WRITES_OF_A_CHILD)) {
        return true;
    }
    __atomic_store_n(writes, before + 1, __ATOMIC_RELAXED);
    int error = errno;
    int unread = 0;
    for (unsigned i = 0; before == 1 && i < READ_TRIES; i++) {
        const struct timespec slice = {.tv_nsec = READ_SLICE_NS};
        if (ioctl(fd, FIONREAD, &unread) < 0 || unread == 0) {
            break;
        }
        (void)nanosleep(&slice, NULL);
    }
    errno = error;
    return before == 1;
}

static ssize_t write_pipe(int fd, struct road *road, const char *bytes, size_t bytes_count)
{
    ssize_t written = real()->write(fd, bytes, bytes_count);
    if (written > 0) {
        __atomic_store_n(&road->pipe_open, bytes[written - 1] != '\n', __ATOMIC_RELAXED);
    }
    return written;
}

/* How much of this is to follow a line that is under way in the pipe. */
static size_t rest_of_pipe(const struct road *road, const char *bytes, size_t bytes_count)
{
    if (YARDER_LIKELY(__atomic_load_n(&road->pipe_open, __ATOMIC_RELAXED) == 0)) {
        return 0;
    }
    const char *end = memchr(bytes, '\n', bytes_count);
    return end == NULL ? bytes_count : (size_t)(end - bytes) + 1;
}

ssize_t preload_write(int fd, const void *bytes, size_t bytes_count)
{
    enum yarder_stream stream = owned_stream(fd);
    if (YARDER_LIKELY(stream == YARDER_STREAM_NONE) || bytes_count == 0 ||
        bytes_count > SSIZE_MAX) {
        return real()->write(fd, bytes, bytes_count);
    }
    pthread_testcancel(); /* as in any write; the ring's road has no such point */
    struct road *road = owned_road(stream);
    const char *from = bytes;
    size_t done = is_worth_a_ring(fd) ? rest_of_pipe(road, from, bytes_count) : bytes_count;
    if (done > 0) {
        ssize_t written = write_pipe(fd, road, from, done);
        if (written < (ssize_t)done) {
            return written;
        }
    }
    const struct yarder_message like = {.level = preload_level, .stream = (uint8_t)stream};
    done += lines_put(&road->line, &like, from + done, bytes_count - done);
    if (done == bytes_count) {
        return (ssize_t)done;
    }
    ssize_t written = write_pipe(fd, road, from + done, bytes_count - done);
    return written >= 0 ? (ssize_t)done + written : done > 0 ? (ssize_t)done : written;
}

PRELOAD_CALL ssize_t write(int fd, const void *bytes, size_t bytes_count)
{
    return preload_write(fd, bytes, bytes_count);
}

/* 0: too much for one piece, or some are no lengths. */
static size_t sum_of(const struct iovec *parts, int count)
{
    size_t sum = 0;
    for (int i = 0; i < count; i++) {
        if (__builtin_add_overflow(sum, parts[i].iov_len, &sum) || sum > GATHER_BYTES_MAX) {
            return 0;
        }
    }
    return sum;
}

static void gather(char *to, const struct iovec *parts, int count)
{
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > 0) {
            memcpy(to, parts[i].iov_base, parts[i].iov_len);
            to += parts[i].iov_len;
        }
    }
}

/* What is no length is the kernel's to refuse. */
static ssize_t write_each(int fd, const struct iovec *parts, int count)
{
    size_t done = 0;
    for (int i = 0; i < count; i++) {
        if (parts[i].iov_len > SSIZE_MAX - done) {
            return real()->writev(fd, parts, count);
        }
        done += parts[i].iov_len;
    }
    done = 0;
    for (int i = 0; i < count; i++) {
        ssize_t written = preload_write(fd, parts[i].iov_base, parts[i].iov_len);
        if (written < 0) {
            return done > 0 ? (ssize_t)done : written;
        }
        done += (size_t)written;
        if ((size_t)written < parts[i].iov_len) {
            break;
        }
    }
    return (ssize_t)done;
}

void *preload_memory(size_t bytes)
{
    int error = errno;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = error;
    return memory == MAP_FAILED ? NULL : memory;
}

void preload_memory_free(void *memory, size_t bytes)
{
    int error = errno;
    (void)munmap(memory, bytes);
    errno = error;
}

/* Apart from writev, which strangers call on the small stacks of signal handlers. */
__attribute__((noinline)) static ssize_t write_parts(int fd, const struct iovec *parts, int count)
{
    char small[GATHER_BYTES];
    size_t sum = sum_of(parts, count);
    char *bytes = sum > sizeof(small) ? preload_memory(sum) : small;
    if (sum == 0 || bytes == NULL) {
        return write_each(fd, parts, count);
    }
    gather(bytes, parts, count);
    ssize_t written = preload_write(fd, bytes, sum);
    if (bytes != small) {
        preload_memory_free(bytes, sum);
    }
    return written;
}

/* In one piece, as it would come to the pipe: no other thread's line comes between. */
PRELOAD_CALL ssize_t writev(int fd, const struct iovec *parts, int count)
{
    if (count <= 0 || count > IOV_MAX || owned_stream(fd) == YARDER_STREAM_NONE) {
        return real()->writev(fd, parts, count);
    }
    return write_parts(fd, parts, count);
}

/* What -D_FORTIFY_SOURCE makes of them, which with a flag of 0 are as those without. */
PRELOAD_CALL int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));
PRELOAD_CALL int __dprintf_chk(int fd, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int __vsnprintf_chk(char *to, size_t bytes, int flag, size_t room, const char *format,
    va_list arguments) __attribute__((format(printf, 5, 0)));

static int write_all(int fd, const char *bytes, int count)
{
    int done = 0;
    while (done < count) {
        ssize_t written = preload_write(fd, bytes + done, (size_t)(count - done));
        if (written < 0) {
            return -1;
        }
        done += (int)written;
    }
    return done;
}

__attribute__((noinline, format(printf, 3, 0))) static int print(
    int fd, int flag, const char *format, va_list arguments)
{
    char small[GATHER_BYTES];
    va_list again;
    va_copy(again, arguments);
    int count = __vsnprintf_chk(small, sizeof(small), flag, sizeof(small), format, again);
    va_end(again);
    if (count < (int)sizeof(small)) {
        return count < 0 ? count : write_all(fd, small, count);
    }
    size_t bytes = (size_t)count + 1;
    char *large = preload_memory(bytes);
    if (large == NULL) {
        return real()->vdprintf_chk(fd, flag, format, arguments);
    }
    count = __vsnprintf_chk(large, bytes, flag, bytes, format, arguments);
    int result =
        count < 0 ? count : write_all(fd, large, (int)yarder_min((size_t)count, bytes - 1));
    preload_memory_free(large, bytes);
    return result;
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list arguments)
{
    if (owned_stream(fd) == YARDER_STREAM_NONE) {
        return real()->vdprintf_chk(fd, flag, format, arguments);
    }
    return print(fd, flag, format, arguments);
}

PRELOAD_CALL int vdprintf(int fd, const char *format, va_list arguments)
{
    return __vdprintf_chk(fd, 0, format, arguments);
}

int __dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = __vdprintf_chk(fd, flag, format, arguments);
    va_end(arguments);
    return result;
}

PRELOAD_CALL int dprintf(int fd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = __vdprintf_chk(fd, 0, format, arguments);
    va_end(arguments);
    return result;
}

/* Forgotten before and after: another thread may use the number as soon as it is free. */
PRELOAD_CALL int close(int fd)
{
    owned_forget(fd);
    int result = real()->close(fd);
    owned_forget(fd);
    return result;
}

PRELOAD_CALL int dup2(int from, int to)
{
    owned_forget(to);
    int result = real()->dup2(from, to);
    owned_forget(to);
    return result;
}

PRELOAD_CALL int dup3(int from, int to, int flags)
{
    owned_forget(to);
    int result = real()->dup3(from, to, flags);
    owned_forget(to);
    return result;
}

PRELOAD_CALL int close_range(unsigned first, unsigned last, int flags)
{
    owned_forget_range(first, last);
    int result = -1;
    if (real()->close_range != NULL) {
        result = real()->close_range(first, last, flags);
    } else {
        errno = ENOSYS;
    }
    owned_forget_range(first, last);
    return result;
}

PRELOAD_CALL void closefrom(int first)
{
    unsigned from = first < 0 ? 0 : (unsigned)first;
    owned_forget_range(from, UINT32_MAX);
    if (real()->closefrom != NULL) {
        real()->closefrom(first);
    }
    owned_forget_range(from, UINT32_MAX);
}

/* /dev/null takes the places of all three inside libc. */
PRELOAD_CALL int daemon(int keep_folder, int keep_files)
{
    int result = real()->daemon(keep_folder, keep_files);
    owned_forget_range(STDIN_FILENO, STDERR_FILENO);
    return result;
}
