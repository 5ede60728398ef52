/* SPDX-License-Identifier: Apache-2.0 */
/* A ZeroMQ socket of ours, whichever way records go: its address, its CURVE keys, its making. */
#ifndef YARDER_BACKENDS_ZEROMQ_PEER_H
#define YARDER_BACKENDS_ZEROMQ_PEER_H

#include <stdbool.h>

#include "api/backend.h"

struct zeromq_peer {
    char *target;
    bool bind;
    char *server_key, *public_key, *secret_key;

    struct yarder_host *host;
    void *context, *socket;
    int fd; /* tells that its state may have changed, and nothing else */
};

/* The same names for both directions. */
#define ZEROMQ_KEY_OPTIONS(type, member)                                                           \
    {"server-key", YARDER_OPTION_TEXT, offsetof(type, member.server_key), NULL, 0, 0, NULL, NULL,  \
        "KEY", "CURVE: the peer's public key, 40 characters; bind=no"},                            \
        {"public-key", YARDER_OPTION_TEXT, offsetof(type, member.public_key), NULL, 0, 0, NULL,    \
            NULL, "KEY", "CURVE: ours; with server-key alone a pair is made for each start"},      \
    {                                                                                              \
        "secret-key", YARDER_OPTION_SECRET, offsetof(type, member.secret_key), NULL, 0, 0, NULL,   \
            NULL, "KEY|file:PATH|env:NAME", "CURVE: ours; with bind=yes it makes us the server"    \
    }

/* As a backend's own of these names. */
int zeromq_take_target(struct zeromq_peer *peer, char *text, char *why, size_t why_bytes);
/* NULL: the keys go together; else what is wrong. */
const char *zeromq_check(const struct zeromq_peer *peer);
bool zeromq_is_key(const char *key);

/* Makes the socket, with its keys; 0 or host->fail. */
int zeromq_open(struct zeromq_peer *peer, struct yarder_host *host, int type);
/* Binds or connects, once options are set. */
int zeromq_go(struct zeromq_peer *peer);
void zeromq_close(struct zeromq_peer *peer);

bool zeromq_set(struct zeromq_peer *peer, int option, int value);
bool zeromq_set_text(struct zeromq_peer *peer, int option, const char *text);
/* zmq_errno as host->fail tells it. */
int zeromq_fail(const struct zeromq_peer *peer, const char *what);

#endif
