/* SPDX-License-Identifier: Apache-2.0 */
/* Sending and receiving on a connected link. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>

#include "link_private.h"

enum {
    PARTS_MAX = 64,
    DATAGRAMS_MAX = 64,
    UNHEARD_BYTES = 4096,
    UNHEARD_READS_MAX = 16,
    UNANSWERED_TRIES = 3 /* each after twice the time of the one before */
};
static const uint64_t memory_pause_ns = 2ull * 1000 * 1000;

/* sendmsg takes what is to be read without const. */
static void *readable(const void *at)
{
    union {
        const void *constant;
        void *plain;
    } both = {.constant = at};
    return both.plain;
}

/* The parts from byte `skip` on, as far as there is room. */
static size_t rest_of(
    const struct iovec *parts, int parts_count, size_t skip, struct iovec *out, size_t room)
{
    size_t count = 0;
    for (int i = 0; i < parts_count && count < room; i++) {
        if (skip >= parts[i].iov_len) {
            skip -= parts[i].iov_len;
            continue;
        }
        out[count++] = (struct iovec){
            .iov_base = (char *)parts[i].iov_base + skip, .iov_len = parts[i].iov_len - skip};
        skip = 0;
    }
    return count;
}

static size_t length_of(const struct iovec *parts, int parts_count)
{
    size_t length = 0;
    for (int i = 0; i < parts_count; i++) {
        length += parts[i].iov_len;
    }
    return length;
}

/* What one record of TLS takes of the parts, into the chunk. */
static size_t gather(struct link *link, const struct iovec *parts, size_t count)
{
    char *chunk = link_tls_chunk(link);
    size_t used = 0;
    for (size_t i = 0; i < count && used < LINK_CHUNK_BYTES; i++) {
        size_t room = LINK_CHUNK_BYTES - used;
        size_t bytes = parts[i].iov_len < room ? parts[i].iov_len : room;
        memcpy(chunk + used, parts[i].iov_base, bytes);
        used += bytes;
    }
    return used;
}

/* How many bytes of the parts are those that were begun and not counted; 0: they are others. */
static size_t known_bytes(
    const struct link *link, const struct iovec *parts, size_t count, const char *chunk)
{
    size_t at = link->begun_counted;
    for (size_t i = 0; i < count && at < link->begun; i++) {
        size_t left = link->begun - at;
        size_t bytes = parts[i].iov_len < left ? parts[i].iov_len : left;
        if (memcmp(chunk + at, parts[i].iov_base, bytes) != 0) {
            return 0;
        }
        at += bytes;
    }
    return at - link->begun_counted;
}

/* As send_some, where a deadline came in the middle of a record of TLS. */
static ssize_t finish_begun(
    struct link *link, const struct iovec *parts, size_t count, short *events)
{
    const char *chunk = link_tls_chunk(link);
    size_t known = known_bytes(link, parts, count, chunk);
    if (known == 0) {
        return link_broken(link, "what was begun is not given again", ESTALE);
    }
    while (link->begun_sent < link->begun) {
        ssize_t n =
            link_tls_send(link, chunk + link->begun_sent, link->begun - link->begun_sent, events);
        if (n < 0) {
            return n;
        }
        link->begun_sent += (size_t)n;
    }
    link->begun_counted += known;
    if (link->begun_counted == link->begun) {
        link->begun = link->begun_sent = link->begun_counted = 0;
    }
    return (ssize_t)known;
}

/* Part of a stream: > 0, or -errno; -EAGAIN with the events to wait for. */
static ssize_t send_some(
    struct link *link, const struct iovec *parts, int parts_count, size_t skip, short *events)
{
    struct iovec rest[PARTS_MAX];
    size_t count = rest_of(parts, parts_count, skip, rest, PARTS_MAX);
    *events = POLLOUT;
    if (link->kind != LINK_TLS) {
        const struct msghdr message = {.msg_iov = rest, .msg_iovlen = count};
        ssize_t r = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        return r < 0 ? -errno : r;
    }
    if (link->begun > 0) {
        return finish_begun(link, rest, count, events);
    }
    if (rest[0].iov_len >= LINK_CHUNK_BYTES) {
        return link_tls_send(link, rest[0].iov_base, LINK_CHUNK_BYTES, events);
    }
    size_t used = gather(link, rest, count);
    return link_tls_send(link, link_tls_chunk(link), used, events);
}

/*
 * At a deadline: a peer that only reads nothing says so each time it is asked, and keeps its
 * connection; one whose machine does not answer at all loses it, for it may be elsewhere by now.
 */
static int give_way(struct link *link)
{
    struct tcp_info info = {0};
    socklen_t info_bytes = sizeof(info);
    bool inet = link->kind == LINK_TCP || link->kind == LINK_TLS;
    if (inet && getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &info_bytes) == 0 &&
        info.tcpi_retransmits >= UNANSWERED_TRIES) {
        return link_broken(link, "no answer to what was sent", ETIMEDOUT);
    }
    return link_late(link, "the peer takes nothing");
}

/* What to do about an error of a call that sends: 0: the same again. */
static int recover(struct link *link, int error, short events, uint64_t deadline_ns)
{
    if (error == -EINTR) {
        return 0;
    }
    int r = error;
    if (error == -EAGAIN) {
        r = link_wait(link, link->fd, events, deadline_ns);
    } else if (error == -ENOBUFS || error == -ENOMEM) { /* no event tells of memory */
        uint64_t until_ns = link_now_ns() + memory_pause_ns;
        r = link_wait(link, -1, 0, until_ns < deadline_ns ? until_ns : deadline_ns);
        r = r == -ETIMEDOUT && until_ns < deadline_ns ? 0 : r;
    } else if (error != -EMSGSIZE) {
        return link_broken(link, "send", error);
    }
    return r == -ETIMEDOUT ? give_way(link) : r;
}

/* TLS: a record is half on the way, and only whole ones count. Who is only late gets its rest. */
static void keep_begun(
    struct link *link, const struct iovec *parts, int parts_count, size_t sent, int error)
{
    if (link->kind != LINK_TLS || link->fd < 0) {
        return;
    }
    if (error != -ETIMEDOUT) {
        link_drop(link);
    } else if (link->begun == 0) {
        struct iovec rest[PARTS_MAX];
        link->begun = gather(link, rest, rest_of(parts, parts_count, sent, rest, PARTS_MAX));
    }
}

static int send_stream(struct link *link, const struct iovec *parts, int parts_count,
    uint64_t deadline_ns, size_t *sent)
{
    size_t length = length_of(parts, parts_count);
    while (*sent < length) {
        short events = 0;
        ssize_t n = send_some(link, parts, parts_count, *sent, &events);
        if (n > 0) {
            *sent += (size_t)n;
            continue;
        }
        bool told = link->kind == LINK_TLS && n != -EAGAIN;
        int r = told ? (int)n : recover(link, (int)n, events, deadline_ns);
        if (r < 0) {
            keep_begun(link, parts, parts_count, *sent, r);
            return r;
        }
    }
    return 0;
}

/*
 * The port of an earlier datagram is closed. That one is lost; the next goes to the next address of
 * the name, else to the same one: it may be open again.
 */
static int answer_refusal(struct link *link, uint64_t deadline_ns)
{
    (void)link->host->fail(link->host, -ECONNREFUSED,
        "%s: nobody listens there, what was sent last is lost", link->shown);
    if (link->places_count < 2) {
        return 0;
    }
    return link_connect_place(link, (link->place + 1) % link->places_count, deadline_ns);
}

int link_send_many(struct link *link, const struct iovec *datagrams, size_t count,
    uint64_t deadline_ns, size_t *sent)
{
    struct mmsghdr messages[DATAGRAMS_MAX];
    *sent = 0;
    while (*sent < count) {
        size_t some = count - *sent < DATAGRAMS_MAX ? count - *sent : DATAGRAMS_MAX;
        for (size_t i = 0; i < some; i++) {
            messages[i] = (struct mmsghdr){
                .msg_hdr = {.msg_iov = readable(&datagrams[*sent + i]), .msg_iovlen = 1}};
        }
        int n = sendmmsg(link->fd, messages, (unsigned)some, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            *sent += (size_t)n;
            continue;
        }
        int error = n < 0 ? -errno : -EAGAIN;
        bool refused = error == -ECONNREFUSED && link->kind == LINK_UDP;
        int r = refused ? answer_refusal(link, deadline_ns)
                        : recover(link, error, POLLOUT, deadline_ns);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* One datagram of several parts. */
static int send_datagram(
    struct link *link, const struct iovec *parts, int parts_count, uint64_t deadline_ns)
{
    if (parts_count > PARTS_MAX) {
        return -EMSGSIZE;
    }
    const struct msghdr message = {.msg_iov = readable(parts), .msg_iovlen = (size_t)parts_count};
    while (sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        int error = -errno;
        bool refused = error == -ECONNREFUSED && link->kind == LINK_UDP;
        int r = refused ? answer_refusal(link, deadline_ns)
                        : recover(link, error, POLLOUT, deadline_ns);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int link_send(struct link *link, const struct iovec *parts, int parts_count, uint64_t deadline_ns,
    size_t *sent)
{
    *sent = 0;
    if (link->fd < 0) {
        return -ENOTCONN;
    }
    if (!link_sends_datagrams(link)) {
        return send_stream(link, parts, parts_count, deadline_ns, sent);
    }
    int r = send_datagram(link, parts, parts_count, deadline_ns);
    *sent = r == 0 ? length_of(parts, parts_count) : 0;
    return r;
}

static ssize_t receive_some(struct link *link, void *at, size_t room, bool peek, short *events)
{
    *events = POLLIN;
    if (link->kind == LINK_TLS) {
        return link_tls_receive(link, at, room, peek, events);
    }
    ssize_t n = recv(link->fd, at, room, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
    return n < 0 ? -errno : n;
}

ssize_t link_receive(struct link *link, void *at, size_t room, uint64_t deadline_ns)
{
    if (link->fd < 0) {
        return -ENOTCONN;
    }
    for (;;) {
        short events = 0;
        ssize_t n = receive_some(link, at, room, false, &events);
        if (n >= 0) {
            return n;
        }
        if (n == -EAGAIN) {
            n = link_wait(link, link->fd, events, deadline_ns);
            if (n == -ETIMEDOUT) {
                return -EAGAIN;
            }
        } else if (n != -EINTR) {
            bool told = link->kind == LINK_TLS;
            link_drop(link);
            return told ? n : link_broken(link, "receive", (int)n);
        }
        if (n == -ECANCELED) {
            return n;
        }
    }
}

/* What recv finds without waiting, `n`, of a peer that should be there. */
static bool is_end(struct link *link, ssize_t n)
{
    if (n > 0 || n == -EAGAIN || n == -EINTR) {
        return false;
    }
    if (n == 0) {
        (void)link->host->fail(
            link->host, -EPIPE, "%s: the peer has closed the connection", link->shown);
        link_drop(link);
    } else if (link->kind == LINK_TLS) {
        link_drop(link); /* told already */
    } else {
        (void)link_broken(link, "receive", (int)n);
    }
    return true;
}

bool link_is_dead(struct link *link)
{
    char byte;
    short events = 0;
    if (link->fd < 0 || link_sends_datagrams(link)) {
        return link->fd < 0;
    }
    return is_end(link, receive_some(link, &byte, 1, true, &events));
}

bool link_is_dead_unheard(struct link *link)
{
    char said[UNHEARD_BYTES];
    short events = 0;
    if (link->fd < 0 || link_sends_datagrams(link)) {
        return link->fd < 0;
    }
    ssize_t n = receive_some(link, said, sizeof(said), false, &events);
    for (int i = 0; i < UNHEARD_READS_MAX && n > 0; i++) {
        n = receive_some(link, said, sizeof(said), false, &events);
    }
    return is_end(link, n);
}
