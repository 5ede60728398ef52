/* SPDX-License-Identifier: Apache-2.0 */
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PIECES_MAX = 64 };

static enum lines_way way_of_socket(int fd)
{
    int type = 0;
    socklen_t length = sizeof(type);
    (void)getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length);
    return type == SOCK_STREAM ? LINES_STREAM : LINES_DATAGRAMS;
}

int lines_init(struct lines *lines, int fd)
{
    struct stat facts;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fstat(fd, &facts) < 0) {
        return -errno;
    }
    if ((flags & O_ACCMODE) == O_RDONLY || (flags & O_PATH) != 0) {
        return -EBADF;
    }
    *lines = (struct lines){.fd = fd, .way = LINES_NOWAIT};
    if (S_ISSOCK(facts.st_mode)) {
        lines->way = way_of_socket(fd);
    } else if (S_ISREG(facts.st_mode) || (flags & O_NONBLOCK) != 0) {
        lines->way = LINES_PLAIN;
    }
    return 0;
}

void lines_block_sigpipe(void)
{
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &pipe, NULL);
}

static void take_sigpipe(void)
{
    const struct timespec at_once = {0};
    sigset_t pipe;
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    (void)sigtimedwait(&pipe, NULL, &at_once);
}

/* All at once that the way allows. */
static ssize_t put(struct lines *lines, struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
    switch (lines->way) {
    case LINES_PLAIN:
        return writev(lines->fd, pieces, count);
    case LINES_NOWAIT: {
        ssize_t r = pwritev2(lines->fd, pieces, count, -1, RWF_NOWAIT);
        if (r >= 0 || errno != EOPNOTSUPP) {
            return r;
        }
        lines->way = LINES_POLLED;
        errno = EAGAIN;
        return -1;
    }
    case LINES_POLLED: {
        struct pollfd ready = {.fd = lines->fd, .events = POLLOUT};
        if (poll(&ready, 1, 0) <= 0) {
            errno = EAGAIN;
            return -1;
        }
        size_t length = pieces[0].iov_len;
        return write(lines->fd, pieces[0].iov_base, length < PIPE_BUF ? length : PIPE_BUF);
    }
    case LINES_DATAGRAMS:
        message.msg_iovlen = 1;
        return sendmsg(lines->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    case LINES_STREAM:
        return sendmsg(lines->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    errno = EINVAL;
    return -1;
}

static size_t whole_bytes(const struct yarder_item *item)
{
    return item->text.length + item->newline;
}

static bool is_begun(const struct lines *lines, const struct yarder_item *item)
{
    return lines->part > 0 && lines->begun.number == item->id.number &&
           lines->begun.epoch_ns == item->id.epoch_ns;
}

/* The next items from `at` on, empty and answered ones left out; how many pieces. */
static int gather(const struct lines *lines, struct yarder_batch *batch, uint32_t at,
    struct iovec pieces[PIECES_MAX])
{
    int count = 0;
    for (; at < batch->count && count < PIECES_MAX; at++) {
        struct yarder_item *item = &batch->items[at];
        size_t gone = is_begun(lines, item) ? lines->part : 0;
        size_t whole = whole_bytes(item);
        if (item->result == YARDER_LATER && whole > gone) {
            char *begin = (char *)(uintptr_t)item->text.at; /* iovec has no const */
            pieces[count++] = (struct iovec){begin + gone, whole - gone};
        }
    }
    return count;
}

/* Books `gone` bytes from item `at` on; returns the first item that has not gone whole. */
static uint32_t book(struct lines *lines, struct yarder_batch *batch, uint32_t at, size_t gone)
{
    for (; at < batch->count; at++) {
        struct yarder_item *item = &batch->items[at];
        if (item->result != YARDER_LATER) {
            continue;
        }
        size_t before = is_begun(lines, item) ? lines->part : 0;
        size_t left = whole_bytes(item) - before;
        if (gone == 0 && left > 0) {
            return at;
        }
        if (gone < left) {
            lines->begun = item->id;
            lines->part = before + gone;
            return at;
        }
        gone -= left;
        lines->part = left > 0 ? 0 : lines->part;
        item->result = YARDER_DELIVERED;
    }
    return at;
}

/* A record that was begun and is not given again (the host gave it up) ends its line here. */
static ssize_t end_line(struct lines *lines, const struct yarder_item *next)
{
    if (lines->part == 0 || is_begun(lines, next)) {
        return 0;
    }
    char newline = '\n';
    struct iovec piece = {&newline, 1};
    ssize_t r = put(lines, &piece, 1);
    lines->part = r < 0 ? lines->part : 0;
    return r;
}

int lines_write(
    struct lines *lines, struct yarder_host *host, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct iovec pieces[PIECES_MAX];
    uint32_t at = book(lines, batch, 0, 0);
    while (at < batch->count) {
        ssize_t r = end_line(lines, &batch->items[at]);
        if (r >= 0) {
            r = put(lines, pieces, gather(lines, batch, at, pieces));
            at = book(lines, batch, at, r > 0 ? (size_t)r : 0);
        }
        int error = r < 0 ? -errno : 0;
        if (error == -EPIPE) {
            take_sigpipe();
        }
        if (error == -EAGAIN) {
            int waited = host->wait(host, lines->fd, POLLOUT, deadline_ns);
            error = waited > 0 ? 0 : waited == 0 ? -ETIMEDOUT : waited;
        }
        if (error != 0 && error != -EINTR) {
            return error;
        }
        if (at < batch->count && monotonic_ns() >= deadline_ns) {
            return -ETIMEDOUT;
        }
    }
    return 0;
}
