/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zeromq as an input: a record for each message of PUSH or PUB peers, as uWSGI's zeromq logger is
 * one. Of several frames the last is the text, the first the tag.
 *
 * libzmq reads ahead, by threads of its own, up to hwm= messages of each peer: they are lost with
 * this process if it is killed. When it is told to end, what libzmq has read is taken first.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "api/source.h"
#include "bytes.h"
#include "zeromq_peer.h"

enum { HWM_MAX = 10000000, FRAMES_MAX = 16, TAKES_EACH = 1000, TAKES_LAST = 100000 };
enum { ZAP_FRAMES = 7, ZAP_FRAME_BYTES = 256, KEY_BYTES = 32, KEY_CHARS = 40 };
static const uint64_t look_every_ns = UINT64_C(1000000000);
static const char zap_address[] = "inproc://zeromq.zap.01";

enum zeromq_source_type { SOURCE_PULL, SOURCE_SUB };

struct zeromq_source {
    struct zeromq_peer peer;
    int type; /* enum zeromq_source_type */
    uint64_t hwm;
    uint64_t message_bytes_max;
    char *topic;
    struct yarder_texts client_keys;

    struct yarder_source_host *host;
    void *zap; /* asked by libzmq about each peer that has shown its key; NULL: all may come */
    int zap_fd;
    bool goes;    /* bound, or connecting for good */
    int epoll_fd; /* of both sockets; 0: not open */
};

static const char *const types[] = {"pull", "sub", NULL};

#define FIELD(member) offsetof(struct zeromq_source, member)

static const struct yarder_option options[] = {
    {"pattern", YARDER_OPTION_CHOICE, FIELD(type), "pull", 0, 0, types, NULL, "pull|sub",
        "the kind of our socket: for PUSH peers, or for PUB"},
    {"bind", YARDER_OPTION_BOOL, FIELD(peer.bind), "yes", 0, 0, NULL, NULL, "yes|no",
        "whether peers connect to us"},
    {"hwm", YARDER_OPTION_COUNT, FIELD(hwm), "1000", 1, HWM_MAX, NULL, NULL, "NUMBER",
        "messages of a peer that libzmq may read ahead, which a kill loses"},
    {"message-max", YARDER_OPTION_BYTES, FIELD(message_bytes_max), "8M", 1 << 10, 1ull << 30, NULL,
        NULL, "SIZE", "who sends a longer frame is shown out by libzmq, which counts none"},
    {"topic", YARDER_OPTION_TEXT, FIELD(topic), NULL, 0, 0, NULL, NULL, "TEXT",
        "sub: messages whose first frame begins so; else all"},
    ZEROMQ_KEY_OPTIONS(struct zeromq_source, peer),
    {"client-key", YARDER_OPTION_TEXTS, FIELD(client_keys), NULL, 0, 0, NULL, NULL, "KEY",
        "CURVE, bind=yes: a peer's public key; may repeat; else all with the server's key may "
        "come"},
    {.kind = YARDER_OPTION_END},
};

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct zeromq_source *self = self_;
    return zeromq_take_target(&self->peer, text, why, why_bytes);
}

static void show(const void *self_, char *at, size_t room)
{
    const struct zeromq_source *self = self_;
    (void)snprintf(at, room, "%s", self->peer.target);
}

static int check(void *self_, char *why, size_t why_bytes)
{
    const struct zeromq_source *self = self_;
    const char *wrong = zeromq_check(&self->peer);
    if (wrong == NULL && self->topic != NULL && self->type != SOURCE_SUB) {
        wrong = "topic= goes with pattern=sub";
    }
    if (wrong == NULL && self->client_keys.count > 0 &&
        (!self->peer.bind || self->peer.secret_key == NULL)) {
        wrong = "client-key= goes with bind=yes and secret-key=";
    }
    for (uint32_t i = 0; wrong == NULL && i < self->client_keys.count; i++) {
        wrong = zeromq_is_key(self->client_keys.at[i])
                    ? NULL
                    : "client-key: expected 40 characters of Z85, as zmq_curve_keypair makes them";
    }
    if (wrong != NULL) {
        (void)snprintf(why, why_bytes, "%s", wrong);
        return -EINVAL;
    }
    return 0;
}

static int watch(const struct zeromq_source *self, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Who may come is asked of a socket in the same context. */
static int open_zap(struct zeromq_source *self)
{
    size_t fd_bytes = sizeof(self->zap_fd);
    if (self->client_keys.count == 0) {
        return 0;
    }
    self->zap = zmq_socket(self->peer.context, ZMQ_REP);
    int linger_ms = 0;
    if (self->zap == NULL ||
        zmq_setsockopt(self->zap, ZMQ_LINGER, &linger_ms, sizeof(linger_ms)) != 0 ||
        zmq_bind(self->zap, zap_address) != 0 ||
        zmq_getsockopt(self->zap, ZMQ_FD, &self->zap_fd, &fd_bytes) != 0 ||
        watch(self, self->zap_fd) < 0 || !zeromq_set_text(&self->peer, ZMQ_ZAP_DOMAIN, "yarder")) {
        return zeromq_fail(&self->peer, "keys of");
    }
    return 0;
}

static int open_source(void *self_, struct yarder_source_host *host)
{
    struct zeromq_source *self = self_;
    self->host = host;
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0) {
        self->epoll_fd = 0;
        return host->host.fail(&host->host, -errno, "epoll: %s", strerror(errno));
    }
    int r = zeromq_open(&self->peer, &host->host, self->type == SOURCE_SUB ? ZMQ_SUB : ZMQ_PULL);
    r = r < 0 ? r : open_zap(self);
    if (r < 0) {
        return r;
    }
    const int64_t bytes_max = (int64_t)self->message_bytes_max;
    bool good =
        zmq_setsockopt(self->peer.socket, ZMQ_MAXMSGSIZE, &bytes_max, sizeof(bytes_max)) == 0 &&
        zeromq_set(&self->peer, ZMQ_RCVHWM, (int)self->hwm) &&
        zeromq_set(&self->peer, ZMQ_LINGER, 0) && watch(self, self->peer.fd) == 0 &&
        (self->type != SOURCE_SUB ||
            zeromq_set_text(&self->peer, ZMQ_SUBSCRIBE, self->topic != NULL ? self->topic : ""));
    return good ? 0 : zeromq_fail(&self->peer, "socket of");
}

static void close_source(void *self_)
{
    struct zeromq_source *self = self_;
    if (self->zap != NULL) {
        (void)zmq_close(self->zap);
        self->zap = NULL;
    }
    zeromq_close(&self->peer);
    if (self->epoll_fd > 0) {
        (void)close(self->epoll_fd);
    }
}

static bool may_come(const struct zeromq_source *self, const uint8_t *key, int key_bytes)
{
    char text[KEY_CHARS + 1];
    if (key_bytes != KEY_BYTES || zmq_z85_encode(text, key, KEY_BYTES) == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < self->client_keys.count; i++) {
        if (strcmp(self->client_keys.at[i], text) == 0) {
            return true;
        }
    }
    return false;
}

/* ZAP: version, request, domain, address, identity, mechanism, the peer's key. */
static bool answer_zap(struct zeromq_source *self)
{
    uint8_t frames[ZAP_FRAMES][ZAP_FRAME_BYTES];
    int bytes[ZAP_FRAMES] = {0};
    int more = 1;
    size_t more_bytes = sizeof(more);
    int count = 0;
    for (; more != 0 && count < ZAP_FRAMES; count++) {
        bytes[count] = zmq_recv(self->zap, frames[count], ZAP_FRAME_BYTES, ZMQ_DONTWAIT);
        if (bytes[count] < 0 || bytes[count] > ZAP_FRAME_BYTES ||
            zmq_getsockopt(self->zap, ZMQ_RCVMORE, &more, &more_bytes) != 0) {
            return false;
        }
    }
    bool good = count == ZAP_FRAMES && more == 0 &&
                may_come(self, frames[ZAP_FRAMES - 1], bytes[ZAP_FRAMES - 1]);
    const char *const answer[] = {
        "1.0", NULL, good ? "200" : "400", good ? "OK" : "not one of client-key", "", ""};
    for (size_t i = 0; i < sizeof(answer) / sizeof(answer[0]); i++) {
        bool is_last = i + 1 == sizeof(answer) / sizeof(answer[0]);
        const void *at = i == 1 ? (const void *)frames[1] : answer[i];
        size_t length = i == 1 ? (size_t)bytes[1] : strlen(answer[i]);
        if (zmq_send(self->zap, at, length, ZMQ_DONTWAIT | (is_last ? 0 : ZMQ_SNDMORE)) < 0) {
            return false;
        }
    }
    return true;
}

static struct yarder_text text_of_message(zmq_msg_t *message)
{
    return (struct yarder_text){zmq_msg_data(message), zmq_msg_size(message)};
}

static void put(struct zeromq_source *self, zmq_msg_t *frames, int count)
{
    bool local = strncmp(self->peer.target, "ipc:", 4) == 0;
    const char *peer = local ? NULL : zmq_msg_gets(&frames[0], "Peer-Address");
    struct yarder_record record = {.text = text_of_message(&frames[count - 1]),
        .flags = local ? 0 : YARDER_FLAG_NETWORK,
        .facility = YARDER_FACILITY_NONE};
    if (count > 1) {
        record.tag = text_of_message(&frames[0]);
    }
    if (peer != NULL) {
        record.peer = (struct yarder_text){peer, strlen(peer)};
    }
    self->host->put(self->host, &record);
}

/* One message, however many frames it has. 1; 0: none is there; or an errno of libzmq. */
static int take(struct zeromq_source *self)
{
    zmq_msg_t frames[FRAMES_MAX];
    int count = 0;
    int r = 1;
    bool more = true;
    while (more && r == 1) {
        if (count == FRAMES_MAX) { /* the last of all is the text */
            (void)zmq_msg_close(&frames[--count]);
        }
        (void)zmq_msg_init(&frames[count]);
        if (zmq_msg_recv(&frames[count], self->peer.socket, ZMQ_DONTWAIT) < 0) {
            r = zmq_errno() == EAGAIN || zmq_errno() == EINTR ? 0 : -zmq_errno();
        } else {
            more = zmq_msg_more(&frames[count]) != 0;
        }
        count++;
    }
    if (r == 1) {
        put(self, frames, count);
    }
    while (count > 0) {
        (void)zmq_msg_close(&frames[--count]);
    }
    return r;
}

static int take_some(struct zeromq_source *self, int most)
{
    int r = 1;
    for (int i = 0; i < most && r == 1; i++) {
        r = take(self);
    }
    return r;
}

static int run(void *self_)
{
    struct zeromq_source *self = self_;
    struct yarder_host *host = &self->host->host;
    int r = self->goes ? 0 : zeromq_go(&self->peer);
    if (r < 0) {
        return r;
    }
    self->goes = true;
    for (;;) { /* until the daemon wants it back, or libzmq fails */
        while (self->zap != NULL && answer_zap(self)) {
        }
        r = take_some(self, TAKES_EACH);
        if (r < 0) {
            return zeromq_fail(&self->peer, "receive from");
        }
        struct timespec now;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        r = host->wait(host, self->epoll_fd, POLLIN, r == 1 ? now_ns : now_ns + look_every_ns);
        if (r < 0) {
            (void)take_some(self, TAKES_LAST);
            return r;
        }
    }
}

YARDER_EXPORT extern const struct yarder_source yarder_source;
const struct yarder_source yarder_source = {
    .abi = YARDER_SOURCE_ABI,
    .struct_bytes = sizeof(struct yarder_source),
    .name = "zeromq",
    .help = "zeromq:tcp://HOST:PORT, ipc://PATH: messages of ZeroMQ peers, PUSH or PUB",
    .self_bytes = sizeof(struct zeromq_source),
    .options = options,
    .target = take_target,
    .shown = show,
    .check = check,
    .open = open_source,
    .run = run,
    .close = close_source,
};
