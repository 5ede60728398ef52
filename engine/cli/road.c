/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "base/text.h"
#include "cli/send.h"

enum {
    OUT_BYTES = 128 << 10,
    FACILITY_USER = 1,
    TAG_BYTES_MAX = 64,
    TRAIN_BYTES_MAX = 65507 - 20, /* what an IPv4 datagram holds, with room for an option */
    TRAIN_SEGMENTS_MAX = 64,      /* the kernel's limit; it has been raised since */
};

static int open_ring(const struct send_plan *plan)
{
    enum { TRIES = 1000 };
    static const struct timespec pause = {.tv_nsec = 1000000};
    const struct yarder_options options = {.options_bytes = sizeof(options),
        .block_ms = plan->block ? SEND_BLOCK_MS : 0,
        .run_dir = plan->run_dir,
        .program = plan->tag};
    int r = yarder_configure(&options);
    if (r < 0) {
        return -ENAMETOOLONG;
    }
    r = yarder_attach();
    for (int i = 0; i < TRIES && (r == -ETIMEDOUT || r == -EBUSY); i++) {
        (void)nanosleep(&pause, NULL); /* a busy daemon, or another thread of ours at it */
        r = yarder_attach();
    }
    return r == -ENOMEM ? 0 : r; /* without memory for a region it goes by the daemon's socket */
}

static int open_unix(struct send_road *road)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = road->plan->address;
    size_t length = strlen(path);
    if (length >= sizeof(address.sun_path)) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, length);
    size_t address_bytes = sizeof(address);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
        address_bytes = offsetof(struct sockaddr_un, sun_path) + length;
    }
    static const int types[] = {SOCK_DGRAM, SOCK_STREAM}; /* whichever the other side is */
    int r = -EPROTOTYPE;
    for (size_t i = 0; i < YARDER_COUNT_OF(types) && r == -EPROTOTYPE; i++) {
        YARDER_OWN_FD int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            return -errno;
        }
        r = connect(fd, (const struct sockaddr *)(const void *)&address, (socklen_t)address_bytes) <
                    0
                ? -errno
                : 0;
        if (r == 0) {
            road->fd = yarder_fd_take(&fd);
            road->stream = types[i] == SOCK_STREAM;
        }
    }
    return r;
}

/* HOST:PORT or [HOST]:PORT, taken apart in place. */
static bool split_address(char *address, char **host, char **port)
{
    char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0') {
        return false;
    }
    *colon = '\0';
    *host = address;
    *port = colon + 1;
    size_t length = strlen(address);
    if (address[0] == '[' && address[length - 1] == ']') {
        address[length - 1] = '\0';
        *host = address + 1;
    }
    return true;
}

static int open_network(struct send_road *road, int type)
{
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = type};
    YARDER_OWN_HEAP char *address = strdup(road->plan->address);
    char *host = NULL;
    char *port = NULL;
    if (address == NULL) {
        return -ENOMEM;
    }
    if (!split_address(address, &host, &port)) {
        return -EINVAL;
    }
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        return -EADDRNOTAVAIL;
    }
    int r = -EADDRNOTAVAIL;
    for (const struct addrinfo *at = found; at != NULL && road->fd < 0; at = at->ai_next) {
        YARDER_OWN_FD int fd =
            socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
        r = fd < 0 || connect(fd, at->ai_addr, at->ai_addrlen) < 0 ? -errno : 0;
        if (r == 0) {
            road->fd = yarder_fd_take(&fd);
        }
    }
    freeaddrinfo(found);
    road->stream = type == SOCK_STREAM;
    return r;
}

/* A kernel without UDP_SEGMENT would send a train as one datagram. */
static bool knows_trains(int fd)
{
    int bytes = 0;
    socklen_t size = sizeof(bytes);
    return getsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, &size) == 0;
}

int road_open(struct send_road *road, const struct send_plan *plan)
{
    *road = (struct send_road){.plan = plan, .fd = -1};
    if (plan->syslog_head) {
        int length = snprintf(road->head, sizeof(road->head),
            "<%d>%.*s[%d]: ", FACILITY_USER << 3 | level_to_severity(plan->message.level),
            TAG_BYTES_MAX, plan->tag, (int)getpid());
        road->head_bytes = (size_t)length;
    }
    int r = 0;
    switch (plan->way) {
    case SEND_RING:
        return open_ring(plan);
    case SEND_UNIX:
        r = open_unix(road);
        break;
    case SEND_UDP:
    case SEND_TCP:
        r = open_network(road, plan->way == SEND_UDP ? SOCK_DGRAM : SOCK_STREAM);
        break;
    }
    road->trains = r == 0 && plan->trains && knows_trains(road->fd);
    if (r == 0 && (road->stream || road->trains)) {
        road->out = malloc(OUT_BYTES);
        r = road->out == NULL ? -ENOMEM : 0;
    }
    if (r < 0) {
        yarder_fd_drop(&road->fd);
    }
    return r;
}

static int send_all(int fd, const char *at, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR && send_stopped == 0) {
            continue;
        }
        if (sent < 0) {
            return -errno;
        }
        at += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static void count(struct send_tally *tally, bool sent, size_t bytes)
{
    tally->sent += sent ? 1 : 0;
    tally->lost += sent ? 0 : 1;
    tally->bytes += sent ? bytes : 0;
}

static int put_ring(
    const struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally)
{
    struct yarder_message message = road->plan->message;
    message.text = text;
    message.text_bytes = text_bytes;
    int r = yarder_put(&message);
    if (r < 0) {
        return r;
    }
    if (r == YARDER_FILTERED) {
        tally->filtered++;
    } else {
        count(tally, r == YARDER_APPENDED, text_bytes);
    }
    return 0;
}

static int put_stream(
    struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally)
{
    size_t need = road->head_bytes + text_bytes + 1;
    int r = need > OUT_BYTES - road->out_bytes ? road_flush(road) : 0;
    if (r < 0) {
        return r;
    }
    if (need > OUT_BYTES) {
        r = send_all(road->fd, road->head, road->head_bytes);
        r = r < 0 ? r : send_all(road->fd, text, text_bytes);
        r = r < 0 ? r : send_all(road->fd, "\n", 1);
    } else {
        char *at = road->out + road->out_bytes;
        memcpy(at, road->head, road->head_bytes);
        memcpy(at + road->head_bytes, text, text_bytes);
        at[need - 1] = '\n';
        road->out_bytes += need;
    }
    count(tally, r == 0, text_bytes);
    return r;
}

/* 0, or the errno of sendmsg. */
static int send_message(const struct send_road *road, const struct msghdr *message)
{
    ssize_t sent;
    do {
        sent = sendmsg(road->fd, message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR && send_stopped == 0);
    return sent < 0 ? errno : 0;
}

/* The next datagram may get through again, except to a unix socket that is gone. */
static int passing(const struct send_road *road, int error)
{
    bool passes = error == 0 || error == ENOBUFS || error == EINTR || error == EMSGSIZE ||
                  (error == ECONNREFUSED && road->plan->way == SEND_UDP);
    return passes ? 0 : -error;
}

static int put_datagram(
    const struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally)
{
    struct iovec parts[2] = {{NULL, road->head_bytes}, {NULL, text_bytes}};
    const char *head = road->head;
    memcpy(&parts[0].iov_base, &head, sizeof(head)); /* both are only read from */
    memcpy(&parts[1].iov_base, &text, sizeof(text));
    const struct msghdr datagram = {.msg_iov = parts, .msg_iovlen = 2};
    int error = send_message(road, &datagram);
    count(tally, error == 0, text_bytes);
    return passing(road, error);
}

/* One call for all of the train. The errno of it. */
static int send_train(const struct send_road *road)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(uint16_t))];
    } control = {.room = {0}};
    struct iovec bytes = {road->out, road->out_bytes};
    const struct msghdr message = {.msg_iov = &bytes,
        .msg_iovlen = 1,
        .msg_control = road->segments > 1 ? &control : NULL,
        .msg_controllen = road->segments > 1 ? sizeof(control.room) : 0};
    const uint16_t segment = (uint16_t)road->segment_bytes;
    control.header.cmsg_level = IPPROTO_UDP;
    control.header.cmsg_type = UDP_SEGMENT;
    control.header.cmsg_len = CMSG_LEN(sizeof(segment));
    memcpy(CMSG_DATA(&control.header), &segment, sizeof(segment));
    return send_message(road, &message);
}

/* Refused as a train: over the path's MTU, a device that cannot make checksums. */
static int send_singly(struct send_road *road)
{
    int error = 0;
    for (size_t at = 0; at < road->out_bytes; at += road->segment_bytes) {
        size_t rest = road->out_bytes - at;
        struct iovec bytes = {road->out + at, yarder_min(rest, road->segment_bytes)};
        const struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
        error = send_message(road, &message);
        count(road->tally, error == 0, bytes.iov_len - road->head_bytes);
        if (passing(road, error) < 0) {
            break;
        }
    }
    return passing(road, error);
}

static int flush_train(struct send_road *road)
{
    if (road->segments == 0) {
        return 0;
    }
    int error = send_train(road);
    int r = passing(road, error);
    if (road->segments > 1 && (error == EINVAL || error == EMSGSIZE || error == EIO)) {
        road->trains = false; /* for good; what comes goes as it would without */
        r = send_singly(road);
    } else {
        uint64_t text_bytes = road->out_bytes - road->segments * road->head_bytes;
        road->tally->sent += error == 0 ? road->segments : 0;
        road->tally->lost += error == 0 ? 0 : road->segments;
        road->tally->bytes += error == 0 ? text_bytes : 0;
    }
    road->segments = 0;
    road->out_bytes = 0;
    return r;
}

/* All datagrams of a train but the last have the size of the first. */
static int put_train(
    struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally)
{
    size_t bytes = road->head_bytes + text_bytes;
    int r = 0;
    if (bytes > road->segment_bytes || bytes > TRAIN_BYTES_MAX - road->out_bytes || bytes == 0) {
        r = flush_train(road);
    }
    if (r < 0 || bytes == 0 || bytes > TRAIN_BYTES_MAX || !road->trains) {
        return r < 0 ? r : put_datagram(road, text, text_bytes, tally);
    }
    road->segment_bytes = road->segments == 0 ? bytes : road->segment_bytes;
    road->tally = tally;
    memcpy(road->out + road->out_bytes, road->head, road->head_bytes);
    memcpy(road->out + road->out_bytes + road->head_bytes, text, text_bytes);
    road->out_bytes += bytes;
    road->segments++;
    bool last = bytes < road->segment_bytes || road->segments == TRAIN_SEGMENTS_MAX;
    return last ? flush_train(road) : 0;
}

int road_flush(struct send_road *road)
{
    if (!road->stream) {
        return flush_train(road);
    }
    size_t length = road->out_bytes;
    road->out_bytes = 0;
    return length > 0 ? send_all(road->fd, road->out, length) : 0;
}

int road_close(struct send_road *road)
{
    int r = road_flush(road);
    yarder_fd_drop(&road->fd);
    free(road->out);
    road->out = NULL;
    return r;
}

int road_put(struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally)
{
    if (road->plan->way == SEND_RING) {
        return put_ring(road, text, text_bytes, tally);
    }
    if (road->stream) {
        return put_stream(road, text, text_bytes, tally);
    }
    return road->trains ? put_train(road, text, text_bytes, tally)
                        : put_datagram(road, text, text_bytes, tally);
}
