/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of a source's socket, taken many at a time; the kernel's drops go to the host. */
#ifndef YARDER_BACKENDS_RECEIVE_H
#define YARDER_BACKENDS_RECEIVE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "api/source.h"

enum { RECEIVE_BYTES_MAX = 65536 };

/* Valid, and the bytes its taker's to change, until the next. */
struct received {
    char *at;
    size_t length;
    struct yarder_text peer; /* its address, without a port */
};

struct receive_ops {
    void (*take)(void *self, const struct received *datagram);
    void (*look)(void *self, uint64_t now_ns); /* now and then; NULL: never */
};

/* The address without its port, as text. */
enum { RECEIVE_PEER_BYTES = 64 };
void receive_peer(const struct sockaddr_storage *from, char peer[RECEIVE_PEER_BYTES]);

struct receive;
int receive_open(struct receive **out, struct yarder_source_host *host); /* 0 or -errno, told */
void receive_close(struct receive *receive);                             /* NULL is none */
/* Until the daemon wants us to end, with what has come by then, or the socket fails. */
int receive_serve(struct receive *receive, const struct receive_ops *ops, void *self);

#endif
