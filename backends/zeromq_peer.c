/* SPDX-License-Identifier: Apache-2.0 */
#include "zeromq_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { KEY_CHARS = 40 };

int zeromq_take_target(struct zeromq_peer *peer, char *text, char *why, size_t why_bytes)
{
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
    peer->target = text;
    return 0;
}

/* Z85: 40 printable characters that mean 32 bytes. */
bool zeromq_is_key(const char *key)
{
    uint8_t bytes[KEY_CHARS / 5 * 4];
    return strlen(key) == KEY_CHARS && zmq_z85_decode(bytes, key) != NULL;
}

static bool is_key_or_none(const char *key)
{
    return key == NULL || zeromq_is_key(key);
}

const char *zeromq_check(const struct zeromq_peer *peer)
{
    const char *wrong = NULL;
    if (!peer->bind && strncmp(peer->target, "tcp://*:", 8) == 0) {
        wrong = "tcp://*:PORT is to listen on: expected bind=yes beside it, or the peer's "
                "tcp://HOST:PORT";
    } else if (!is_key_or_none(peer->server_key) || !is_key_or_none(peer->public_key) ||
               !is_key_or_none(peer->secret_key)) {
        wrong = "server-key, public-key, secret-key: expected 40 characters of Z85, as "
                "zmq_curve_keypair makes them";
    } else if (peer->bind && peer->server_key != NULL) {
        wrong = "server-key= is the peer's: with bind=yes we are the server, by secret-key=";
    } else if (!peer->bind && peer->secret_key != NULL &&
               (peer->server_key == NULL || peer->public_key == NULL)) {
        wrong = "secret-key= goes with public-key= and server-key=";
    } else if (peer->public_key != NULL && peer->secret_key == NULL) {
        wrong = "public-key= goes with secret-key=";
    } else if ((peer->server_key != NULL || peer->secret_key != NULL) && zmq_has("curve") == 0) {
        wrong = "this libzmq knows no CURVE";
    }
    return wrong;
}

int zeromq_fail(const struct zeromq_peer *peer, const char *what)
{
    int error = zmq_errno();
    return peer->host->fail(
        peer->host, -error, "%s %s: %s", what, peer->target, zmq_strerror(error));
}

bool zeromq_set(struct zeromq_peer *peer, int option, int value)
{
    return zmq_setsockopt(peer->socket, option, &value, sizeof(value)) == 0;
}

bool zeromq_set_text(struct zeromq_peer *peer, int option, const char *text)
{
    return zmq_setsockopt(peer->socket, option, text, strlen(text)) == 0;
}

static bool set_curve(struct zeromq_peer *peer)
{
    if (peer->bind) {
        return peer->secret_key == NULL ||
               (zeromq_set(peer, ZMQ_CURVE_SERVER, 1) &&
                   zeromq_set_text(peer, ZMQ_CURVE_SECRETKEY, peer->secret_key));
    }
    if (peer->server_key == NULL) {
        return true;
    }
    char public_key[KEY_CHARS + 1], secret_key[KEY_CHARS + 1];
    bool made = peer->secret_key == NULL && zmq_curve_keypair(public_key, secret_key) == 0;
    bool good = (made || peer->secret_key != NULL) &&
                zeromq_set_text(peer, ZMQ_CURVE_SERVERKEY, peer->server_key) &&
                zeromq_set_text(peer, ZMQ_CURVE_PUBLICKEY, made ? public_key : peer->public_key) &&
                zeromq_set_text(peer, ZMQ_CURVE_SECRETKEY, made ? secret_key : peer->secret_key);
    explicit_bzero(secret_key, sizeof(secret_key));
    return good;
}

int zeromq_open(struct zeromq_peer *peer, struct yarder_host *host, int type)
{
    peer->host = host;
    peer->context = zmq_ctx_new();
    if (peer->context == NULL) {
        return zeromq_fail(peer, "context of");
    }
    peer->socket = zmq_socket(peer->context, type);
    size_t fd_bytes = sizeof(peer->fd);
    bool good = peer->socket != NULL &&
                zeromq_set(peer, ZMQ_IPV6, strchr(peer->target, '[') != NULL) && set_curve(peer) &&
                zmq_getsockopt(peer->socket, ZMQ_FD, &peer->fd, &fd_bytes) == 0;
    return good ? 0 : zeromq_fail(peer, "socket of");
}

int zeromq_go(struct zeromq_peer *peer)
{
    if (peer->bind ? zmq_bind(peer->socket, peer->target) != 0
                   : zmq_connect(peer->socket, peer->target) != 0) {
        return zeromq_fail(peer, peer->bind ? "bind" : "connect to");
    }
    return 0;
}

void zeromq_close(struct zeromq_peer *peer)
{
    if (peer->socket != NULL) {
        (void)zmq_close(peer->socket); /* what it holds has its linger from now on */
        peer->socket = NULL;
    }
    if (peer->context != NULL) {
        while (zmq_ctx_term(peer->context) != 0 && zmq_errno() == EINTR) {
        }
        peer->context = NULL;
    }
}
