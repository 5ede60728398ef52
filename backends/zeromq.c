/* SPDX-License-Identifier: Apache-2.0 */
/*
 * zeromq: a message to a PULL or SUB socket for each record, as uWSGI's zeromq.
 *
 * "Delivered" is what libzmq took. It holds at most hwm= messages for a peer, and gives them to the
 * kernel by threads of its own; with its queue full, or with no peer yet that we are bound for,
 * records stay in ours. So what may be lost with us is hwm= messages, and with the peer what lay in
 * the two kernels' buffers; a PUSH that connects keeps the rest for the peer that comes again. A
 * peer on ipc that is full throws away, when we end, what it has not read (libzmq 4.3).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "zeromq_peer.h"

enum { HWM_MAX = 10000000, NS_IN_MS = 1000000 };
enum { HEARD_BYTES_MAX = 16 << 10 }; /* of a subscription, or of CURVE's handshake */
enum zeromq_type { ZEROMQ_PUSH, ZEROMQ_PUB };

struct zeromq {
    struct zeromq_peer peer;
    int type;     /* enum zeromq_type */
    bool newline; /* goes along: uWSGI's */
    uint64_t hwm;
    uint64_t linger_ns;
    char *topic;
};

static const char *const types[] = {"push", "pub", NULL};

static const struct yarder_option options[] = {
    {"socket", YARDER_OPTION_CHOICE, offsetof(struct zeromq, type), "push", 0, 0, types, NULL,
        "push|pub", "the kind of our socket: push waits for a peer, pub does not"},
    {"bind", YARDER_OPTION_BOOL, offsetof(struct zeromq, peer.bind), "no", 0, 0, NULL, NULL,
        "yes|no", "whether peers connect to us"},
    {"hwm", YARDER_OPTION_COUNT, offsetof(struct zeromq, hwm), "1000", 1, HWM_MAX, NULL, NULL,
        "NUMBER", "messages that libzmq may hold for a peer, which are lost with us"},
    {"linger", YARDER_OPTION_DURATION, offsetof(struct zeromq, linger_ns), "1s", 0,
        60ull * 1000 * NS_IN_MS, NULL, NULL, "TIME",
        "how long to wait at the end for what libzmq holds"},
    {"topic", YARDER_OPTION_TEXT, offsetof(struct zeromq, topic), NULL, 0, 0, NULL, NULL, "TEXT",
        "pub: a first frame for subscribers to choose by"},
    ZEROMQ_KEY_OPTIONS(struct zeromq, peer),
    {NULL, YARDER_OPTION_END, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct zeromq *self = self_;
    return zeromq_take_target(&self->peer, text, why, why_bytes);
}

static void show(const void *self_, char *at, size_t room)
{
    const struct zeromq *self = self_;
    (void)snprintf(at, room, "%s", self->peer.target);
}

static int check(void *self_, char *why, size_t why_bytes)
{
    const struct zeromq *self = self_;
    const char *wrong = self->topic != NULL && self->type != ZEROMQ_PUB
                            ? "topic= goes with socket=pub"
                            : zeromq_check(&self->peer);
    if (wrong != NULL) {
        (void)snprintf(why, why_bytes, "%s", wrong);
        return -EINVAL;
    }
    return 0;
}

static int take_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    struct zeromq *self = self_;
    self->newline = true;
    if (argument == NULL) {
        (void)snprintf(why, why_bytes, "expected %s:tcp://HOST:PORT", name);
        return -EINVAL;
    }
    return zeromq_take_target(&self->peer, argument, why, why_bytes);
}

static void close_zeromq(void *self_)
{
    struct zeromq *self = self_;
    zeromq_close(&self->peer);
}

/* A peer says at the most what it subscribes to; libzmq would hold all else, of any length. */
static bool set_limits(struct zeromq *self)
{
    const int64_t heard_bytes = HEARD_BYTES_MAX;
    bool pushes = self->type != ZEROMQ_PUB;
    return zmq_setsockopt(self->peer.socket, ZMQ_MAXMSGSIZE, &heard_bytes, sizeof(heard_bytes)) ==
               0 &&
           zeromq_set(&self->peer, ZMQ_SNDHWM, (int)self->hwm) &&
           (!pushes || zeromq_set(&self->peer, ZMQ_RCVHWM, 1));
}

static int open_zeromq(void *self_, struct yarder_host *host)
{
    struct zeromq *self = self_;
    int r = zeromq_open(&self->peer, host, self->type == ZEROMQ_PUB ? ZMQ_PUB : ZMQ_PUSH);
    if (r < 0) {
        return r;
    }
    if (!set_limits(self) ||
        !zeromq_set(&self->peer, ZMQ_LINGER, (int)(self->linger_ns / NS_IN_MS))) {
        return zeromq_fail(&self->peer, "socket of");
    }
    return zeromq_go(&self->peer);
}

/* Until libzmq has room. Its descriptor only tells that its state may have changed. */
static int wait_for_room(struct zeromq *self, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline */
        int events = 0;
        size_t events_bytes = sizeof(events);
        if (zmq_getsockopt(self->peer.socket, ZMQ_EVENTS, &events, &events_bytes) != 0) {
            return zeromq_fail(&self->peer, "look at");
        }
        if ((events & ZMQ_POLLOUT) != 0) {
            return 0;
        }
        int r = self->peer.host->wait(self->peer.host, self->peer.fd, POLLIN, deadline_ns);
        if (r == 0) {
            return self->peer.host->fail(self->peer.host, -ETIMEDOUT,
                "%s: no peer takes what there is, libzmq holds %llu messages or has no peer",
                self->peer.target, (unsigned long long)self->hwm);
        }
        if (r < 0) {
            return r;
        }
    }
}

/* As one message. 0, -EAGAIN when libzmq is full, or another errno of it. */
static int send_item(struct zeromq *self, const struct yarder_item *item)
{
    bool newline = self->newline && item->newline;
    if (self->topic != NULL && zmq_send(self->peer.socket, self->topic, strlen(self->topic),
                                   ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return -zmq_errno();
    }
    int count = zmq_send(
        self->peer.socket, item->text.at, item->text.length + (newline ? 1 : 0), ZMQ_DONTWAIT);
    return count < 0 ? -zmq_errno() : 0;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct zeromq *self = self_;
    uint32_t i = 0;
    while (i < batch->count) {
        struct yarder_item *item = &batch->items[i];
        int r = item->result != YARDER_LATER ? 0 : send_item(self, item);
        if (r == -EAGAIN) {
            r = wait_for_room(self, deadline_ns);
            if (r < 0) {
                return r;
            }
            continue;
        }
        if (r < 0 && r != -EINTR) {
            return zeromq_fail(&self->peer, "send to");
        }
        if (r == 0) {
            item->result = YARDER_DELIVERED;
            i++;
        }
    }
    return 0;
}

static const char *const uwsgi_names[] = {"zeromq", "zmq", NULL};

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "zeromq",
    .help = "zeromq:tcp://HOST:PORT, ipc://PATH: a ZeroMQ message for each record, PUSH or PUB",
    .means = YARDER_MEANS_STREAM,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct zeromq),
    .options = options,
    .target = take_target,
    .shown = show,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = take_uwsgi,
    .open = open_zeromq,
    .submit = submit,
    .close = close_zeromq,
};
