/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gelf, graylog as inputs: messages of uWSGI's graylog2, graypy, go-gelf, docker, by UDP (chunks,
 * zlib, gzip) or by TCP, a NUL behind each. What is no GELF is a record all the same, flagged as
 * not parsed; what cannot be told from noise, as a chunk whose others never came, is counted.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "gelf_chunks.h"
#include "gelf_read.h"
#include "receive.h"

enum { CONNECTIONS_MAX = 1024, EVENTS_MAX = 64, READ_BYTES = 64 << 10, ACCEPTS_EACH = 16 };
enum { UNFINISHED_BYTES_MAX = 64 << 20 }; /* room for what all connections have under way */
static const uint64_t look_every_ns = UINT64_C(1000000000);

struct connection {
    int fd; /* 0: free */
    struct bytes bytes;
    size_t looked; /* how many of these have no NUL */
    bool skips;    /* the rest of a message that was too long */
    char peer[GELF_PEER_BYTES];
};

struct gelf_source {
    const char *address;
    bool stream;

    struct yarder_source_host *host;
    struct receive *receive;     /* udp */
    struct connection *accepted; /* tcp: CONNECTIONS_MAX of them */
    uint32_t accepted_count;
    size_t unfinished_bytes; /* what the connections' bytes have room for */
    char *read;              /* tcp: READ_BYTES */
    int epoll_fd;            /* tcp; 0: not open */
    struct gelf_chunks chunks;
    struct gelf_message message;
};

static const struct yarder_option options[] = {{.kind = YARDER_OPTION_END}};

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct gelf_source *self = self_;
    self->stream = strncmp(text, "tcp://", 6) == 0;
    self->address = self->stream || strncmp(text, "udp://", 6) == 0 ? text + 6 : text;
    if (strchr(self->address, ':') == NULL) {
        (void)snprintf(why, why_bytes, "expected HOST:PORT, udp://HOST:PORT or tcp://HOST:PORT");
        return -EINVAL;
    }
    return 0;
}

static void show(const void *self_, char *at, size_t room)
{
    const struct gelf_source *self = self_;
    (void)snprintf(at, room, "%s%s", self->stream ? "tcp://" : "udp://", self->address);
}

static const char *listens(const void *self_, bool *stream)
{
    const struct gelf_source *self = self_;
    *stream = self->stream;
    return self->address;
}

static int open_stream(struct gelf_source *self)
{
    struct yarder_host *host = &self->host->host;
    if (self->host->socket_fd < 0) {
        return host->fail(host, -EADDRNOTAVAIL, "its socket could not be had");
    }
    self->accepted = calloc(CONNECTIONS_MAX, sizeof(*self->accepted));
    self->read = malloc(READ_BYTES);
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (self->accepted == NULL || self->read == NULL || self->epoll_fd < 0 ||
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, self->host->socket_fd, &event) < 0) {
        self->epoll_fd = self->epoll_fd < 0 ? 0 : self->epoll_fd;
        return host->fail(host, -ENOMEM, "no memory for connections");
    }
    return 0;
}

static int open_source(void *self_, struct yarder_source_host *host)
{
    struct gelf_source *self = self_;
    self->host = host;
    if (gelf_chunks_open(&self->chunks) < 0) {
        return host->host.fail(&host->host, -ENOMEM, "no memory for zlib");
    }
    return self->stream ? open_stream(self) : receive_open(&self->receive, host);
}

static void forget(struct gelf_source *self, struct connection *connection)
{
    self->unfinished_bytes -= connection->bytes.room;
    bytes_free(&connection->bytes);
    connection->looked = 0;
}

static void drop(struct gelf_source *self, struct connection *connection)
{
    (void)close(connection->fd);
    forget(self, connection);
    *connection = (struct connection){0};
    self->accepted_count--;
}

static void close_source(void *self_)
{
    struct gelf_source *self = self_;
    receive_close(self->receive);
    for (uint32_t i = 0; self->accepted != NULL && i < CONNECTIONS_MAX; i++) {
        if (self->accepted[i].fd > 0) {
            drop(self, &self->accepted[i]);
        }
    }
    free(self->accepted);
    free(self->read);
    if (self->epoll_fd > 0) {
        (void)close(self->epoll_fd);
    }
    gelf_chunks_close(&self->chunks);
    bytes_free(&self->message.joined);
}

/* Its bytes are ours to change. */
static void put(
    struct gelf_source *self, char *at, size_t length, struct yarder_text peer, uint32_t flags)
{
    struct yarder_record *record = &self->message.record;
    if (flags != 0 || gelf_read(at, length, &self->message) < 0) {
        *record = (struct yarder_record){.text = {at, length},
            .flags = flags | YARDER_FLAG_UNPARSED | YARDER_FLAG_NETWORK,
            .facility = YARDER_FACILITY_NONE};
    }
    record->peer = peer;
    self->host->put(self->host, record);
}

static void count_lost(struct gelf_source *self)
{
    if (self->chunks.lost > 0) {
        self->host->refuse(self->host, self->chunks.lost);
        self->chunks.lost = 0;
    }
}

static void take_datagram(void *self_, const struct received *datagram)
{
    struct gelf_source *self = self_;
    char *text = NULL;
    size_t length = 0;
    int r = gelf_chunks_take(&self->chunks, datagram->at, datagram->length, datagram->peer,
        monotonic_ns(), &text, &length);
    if (r == 1) {
        put(self, text, length, datagram->peer, 0);
    }
    count_lost(self);
}

static void look(void *self_, uint64_t now_ns)
{
    struct gelf_source *self = self_;
    gelf_chunks_look(&self->chunks, now_ns);
    count_lost(self);
}

static struct yarder_text peer_of(const struct connection *connection)
{
    return (struct yarder_text){connection->peer, strlen(connection->peer)};
}

/*
 * Whole messages out of a connection's bytes; what is left moves to the front. No byte is looked at
 * twice, and of a message that is too long none is kept.
 */
static void take_messages(struct gelf_source *self, struct connection *connection, bool end)
{
    struct bytes *bytes = &connection->bytes;
    const struct yarder_text peer = peer_of(connection);
    size_t done = 0;
    while (done < bytes->length) {
        char *from = bytes->at + done;
        size_t left = bytes->length - done;
        const char *nul = memchr(from + connection->looked, '\0', left - connection->looked);
        if (nul == NULL && !end && !connection->skips && left < GELF_MESSAGE_BYTES_MAX) {
            connection->looked = left;
            break;
        }
        connection->looked = 0;
        size_t length = nul != NULL ? (size_t)(nul - from) : left;
        bool cut = nul == NULL && !end;
        if (!connection->skips && length > 0 && !(length == 1 && from[0] == '\n')) {
            put(self, from, length, peer, cut ? YARDER_FLAG_TRUNCATED : 0);
        }
        connection->skips = cut;
        done += length + (nul != NULL);
    }
    if (done == bytes->length) {
        forget(self, connection);
    } else if (done > 0) {
        memmove(bytes->at, bytes->at + done, bytes->length - done);
        bytes->length -= done;
    }
}

/* The longest message that is under way is too long: what has come of it is all there will be. */
static void cut_longest(struct gelf_source *self)
{
    struct connection *longest = self->accepted;
    for (uint32_t i = 1; i < CONNECTIONS_MAX; i++) {
        struct connection *other = &self->accepted[i];
        longest = other->bytes.room > longest->bytes.room ? other : longest;
    }
    put(self, longest->bytes.at, longest->bytes.length, peer_of(longest), YARDER_FLAG_TRUNCATED);
    longest->skips = true;
    forget(self, longest);
}

static void read_connection(struct gelf_source *self, struct connection *connection)
{
    struct bytes *bytes = &connection->bytes;
    ssize_t r = recv(connection->fd, self->read, READ_BYTES, MSG_DONTWAIT);
    if (r < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    size_t room_before = bytes->room;
    bytes_put(bytes, self->read, r > 0 ? (size_t)r : 0);
    self->unfinished_bytes += bytes->room - room_before;
    bool end = r <= 0 || bytes->lacks;
    if (bytes->length > 0) {
        take_messages(self, connection, end);
    }
    while (self->unfinished_bytes > UNFINISHED_BYTES_MAX) {
        cut_longest(self);
    }
    if (end) {
        drop(self, connection);
    }
}

static void accept_one(struct gelf_source *self, int fd, const struct sockaddr_storage *from)
{
    struct connection *connection = self->accepted;
    while (connection->fd > 0) {
        connection++;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        (void)close(fd);
        return;
    }
    connection->fd = fd;
    receive_peer(from, connection->peer);
    self->accepted_count++;
}

static void accept_some(struct gelf_source *self)
{
    for (int i = 0; i < ACCEPTS_EACH; i++) {
        struct sockaddr_storage from;
        socklen_t bytes = sizeof(from);
        int fd = accept4(
            self->host->socket_fd, (struct sockaddr *)&from, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            return;
        }
        if (self->accepted_count == CONNECTIONS_MAX) {
            (void)close(fd);
            (void)self->host->host.fail(&self->host->host, -EMFILE,
                "more than %d connections: one is refused", CONNECTIONS_MAX);
        } else {
            accept_one(self, fd, &from);
        }
    }
}

static int serve_stream(struct gelf_source *self)
{
    struct yarder_host *host = &self->host->host;
    int r = 0;
    while (r >= 0) {
        struct epoll_event events[EVENTS_MAX];
        r = host->wait(host, self->epoll_fd, POLLIN, monotonic_ns() + look_every_ns);
        int count = epoll_wait(self->epoll_fd, events, EVENTS_MAX, 0);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL) {
                accept_some(self);
            } else {
                read_connection(self, events[i].data.ptr);
            }
        }
    }
    return r;
}

static int run(void *self_)
{
    static const struct receive_ops ops = {take_datagram, look};
    struct gelf_source *self = self_;
    return self->stream ? serve_stream(self) : receive_serve(self->receive, &ops, self);
}

YARDER_EXPORT extern const struct yarder_source yarder_source;
const struct yarder_source yarder_source = {
    .abi = YARDER_SOURCE_ABI,
    .struct_bytes = sizeof(struct yarder_source),
    .name = "gelf",
    .help = "gelf:HOST:PORT, tcp://HOST:PORT: GELF, as Graylog takes it, by UDP or TCP",
    .self_bytes = sizeof(struct gelf_source),
    .options = options,
    .target = take_target,
    .shown = show,
    .listens = listens,
    .open = open_source,
    .run = run,
    .close = close_source,
};
