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
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "api/backend.h"

enum { KEY_CHARS = 40, HWM_MAX = 10000000, SHOWN_BYTES = 256, NS_IN_MS = 1000000 };
enum { HEARD_BYTES_MAX = 16 << 10 }; /* of a subscription, or of CURVE's handshake */
enum zeromq_type { ZEROMQ_PUSH, ZEROMQ_PUB };

struct zeromq {
    char *target;
    int type; /* enum zeromq_type */
    bool bind;
    bool newline; /* goes along: uWSGI's */
    uint64_t hwm;
    uint64_t linger_ns;
    char *topic;
    char *server_key, *public_key, *secret_key;

    struct yarder_host *host;
    void *context, *socket;
    int fd;
};

static const char *const types[] = {"push", "pub", NULL};

static const struct yarder_option options[] = {
    {"socket", YARDER_OPTION_CHOICE, offsetof(struct zeromq, type), "push", 0, 0, types, NULL,
        "push|pub", "the kind of our socket: push waits for a peer, pub does not"},
    {"bind", YARDER_OPTION_BOOL, offsetof(struct zeromq, bind), "no", 0, 0, NULL, NULL, "yes|no",
        "whether peers connect to us"},
    {"hwm", YARDER_OPTION_COUNT, offsetof(struct zeromq, hwm), "1000", 1, HWM_MAX, NULL, NULL,
        "NUMBER", "messages that libzmq may hold for a peer, which are lost with us"},
    {"linger", YARDER_OPTION_DURATION, offsetof(struct zeromq, linger_ns), "1s", 0,
        60ull * 1000 * NS_IN_MS, NULL, NULL, "TIME",
        "how long to wait at the end for what libzmq holds"},
    {"topic", YARDER_OPTION_TEXT, offsetof(struct zeromq, topic), NULL, 0, 0, NULL, NULL, "TEXT",
        "pub: a first frame for subscribers to choose by"},
    {"server-key", YARDER_OPTION_TEXT, offsetof(struct zeromq, server_key), NULL, 0, 0, NULL, NULL,
        "KEY", "CURVE: the peer's public key, 40 characters; bind=no"},
    {"public-key", YARDER_OPTION_TEXT, offsetof(struct zeromq, public_key), NULL, 0, 0, NULL, NULL,
        "KEY", "CURVE: ours; with server-key alone a pair is made for each start"},
    {"secret-key", YARDER_OPTION_SECRET, offsetof(struct zeromq, secret_key), NULL, 0, 0, NULL,
        NULL, "KEY|file:PATH|env:NAME", "CURVE: ours; with bind=yes it makes us the server"},
    {NULL, YARDER_OPTION_END, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct zeromq *self = self_;
    const char *colon = strrchr(text, ':');
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    unsigned long port =
        digits > 0 && digits < 6 && colon[1 + digits] == '\0' ? strtoul(colon + 1, NULL, 10) : 0;
    bool is_tcp = strncmp(text, "tcp://", 6) == 0 && colon > text + 6 && port > 0 && port < 65536;
    bool is_ipc = strncmp(text, "ipc://", 6) == 0 && text[6] != '\0';
    if (!is_tcp && !is_ipc) {
        (void)snprintf(why, why_bytes, "expected tcp://HOST:PORT or ipc://PATH");
        return -EINVAL;
    }
    self->target = text;
    return 0;
}

static void show(const void *self_, char *at, size_t room)
{
    const struct zeromq *self = self_;
    (void)snprintf(at, room, "%s", self->target);
}

/* Z85: 40 printable characters that mean 32 bytes. */
static bool is_key(const char *key)
{
    uint8_t bytes[KEY_CHARS / 5 * 4];
    return key == NULL || (strlen(key) == KEY_CHARS && zmq_z85_decode(bytes, key) != NULL);
}

static int check(void *self_, char *why, size_t why_bytes)
{
    struct zeromq *self = self_;
    const char *wrong = NULL;
    if (self->topic != NULL && self->type != ZEROMQ_PUB) {
        wrong = "topic= goes with socket=pub";
    } else if (!self->bind && strncmp(self->target, "tcp://*:", 8) == 0) {
        wrong = "tcp://*:PORT is to listen on: expected bind=yes beside it, or the peer's "
                "tcp://HOST:PORT";
    } else if (!is_key(self->server_key) || !is_key(self->public_key) ||
               !is_key(self->secret_key)) {
        wrong = "server-key, public-key, secret-key: expected 40 characters of Z85, as "
                "zmq_curve_keypair makes them";
    } else if (self->bind && self->server_key != NULL) {
        wrong = "server-key= is the peer's: with bind=yes we are the server, by secret-key=";
    } else if (!self->bind && self->secret_key != NULL &&
               (self->server_key == NULL || self->public_key == NULL)) {
        wrong = "secret-key= goes with public-key= and server-key=";
    } else if (self->public_key != NULL && self->secret_key == NULL) {
        wrong = "public-key= goes with secret-key=";
    } else if (self->server_key != NULL && zmq_has("curve") == 0) {
        wrong = "this libzmq knows no CURVE";
    }
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
    return take_target(self, argument, why, why_bytes);
}

static int fail(struct zeromq *self, const char *what)
{
    int error = zmq_errno();
    return self->host->fail(
        self->host, -error, "%s %s: %s", what, self->target, zmq_strerror(error));
}

static bool set(struct zeromq *self, int option, int value)
{
    return zmq_setsockopt(self->socket, option, &value, sizeof(value)) == 0;
}

static bool set_text(struct zeromq *self, int option, const char *text)
{
    return zmq_setsockopt(self->socket, option, text, strlen(text)) == 0;
}

/* A peer says at the most what it subscribes to; libzmq would hold all else, of any length. */
static bool set_limits(struct zeromq *self)
{
    const int64_t heard_bytes = HEARD_BYTES_MAX;
    bool pushes = self->type != ZEROMQ_PUB;
    return zmq_setsockopt(self->socket, ZMQ_MAXMSGSIZE, &heard_bytes, sizeof(heard_bytes)) == 0 &&
           set(self, ZMQ_SNDHWM, (int)self->hwm) && (!pushes || set(self, ZMQ_RCVHWM, 1));
}

static bool set_curve(struct zeromq *self)
{
    if (self->bind) {
        return self->secret_key == NULL ||
               (set(self, ZMQ_CURVE_SERVER, 1) &&
                   set_text(self, ZMQ_CURVE_SECRETKEY, self->secret_key));
    }
    if (self->server_key == NULL) {
        return true;
    }
    char public_key[KEY_CHARS + 1], secret_key[KEY_CHARS + 1];
    bool made = self->secret_key == NULL && zmq_curve_keypair(public_key, secret_key) == 0;
    bool good = (made || self->secret_key != NULL) &&
                set_text(self, ZMQ_CURVE_SERVERKEY, self->server_key) &&
                set_text(self, ZMQ_CURVE_PUBLICKEY, made ? public_key : self->public_key) &&
                set_text(self, ZMQ_CURVE_SECRETKEY, made ? secret_key : self->secret_key);
    explicit_bzero(secret_key, sizeof(secret_key));
    return good;
}

static void close_zeromq(void *self_)
{
    struct zeromq *self = self_;
    if (self->socket != NULL) {
        (void)zmq_close(self->socket); /* what it holds has linger= from now on */
        self->socket = NULL;
    }
    if (self->context != NULL) {
        while (zmq_ctx_term(self->context) != 0 && zmq_errno() == EINTR) {
        }
        self->context = NULL;
    }
}

static int open_zeromq(void *self_, struct yarder_host *host)
{
    struct zeromq *self = self_;
    self->host = host;
    self->context = zmq_ctx_new();
    if (self->context == NULL) {
        return fail(self, "context of");
    }
    self->socket = zmq_socket(self->context, self->type == ZEROMQ_PUB ? ZMQ_PUB : ZMQ_PUSH);
    size_t fd_bytes = sizeof(self->fd);
    bool good = self->socket != NULL && set_limits(self) &&
                set(self, ZMQ_LINGER, (int)(self->linger_ns / NS_IN_MS)) &&
                set(self, ZMQ_IPV6, strchr(self->target, '[') != NULL) && set_curve(self) &&
                zmq_getsockopt(self->socket, ZMQ_FD, &self->fd, &fd_bytes) == 0;
    if (!good) {
        return fail(self, "socket of");
    }
    if (self->bind ? zmq_bind(self->socket, self->target) != 0
                   : zmq_connect(self->socket, self->target) != 0) {
        return fail(self, self->bind ? "bind" : "connect to");
    }
    return 0;
}

/* Until libzmq has room. Its descriptor only tells that its state may have changed. */
static int wait_for_room(struct zeromq *self, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline */
        int events = 0;
        size_t events_bytes = sizeof(events);
        if (zmq_getsockopt(self->socket, ZMQ_EVENTS, &events, &events_bytes) != 0) {
            return fail(self, "look at");
        }
        if ((events & ZMQ_POLLOUT) != 0) {
            return 0;
        }
        int r = self->host->wait(self->host, self->fd, POLLIN, deadline_ns);
        if (r == 0) {
            return self->host->fail(self->host, -ETIMEDOUT,
                "%s: no peer takes what there is, libzmq holds %llu messages or has no peer",
                self->target, (unsigned long long)self->hwm);
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
    if (self->topic != NULL &&
        zmq_send(self->socket, self->topic, strlen(self->topic), ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        return -zmq_errno();
    }
    int count =
        zmq_send(self->socket, item->text.at, item->text.length + (newline ? 1 : 0), ZMQ_DONTWAIT);
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
            return fail(self, "send to");
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
