/* SPDX-License-Identifier: Apache-2.0 */
#include "receive.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { DATAGRAMS = 32, ROUNDS_LAST = 4096 };
static const uint64_t look_every_ns = UINT64_C(1000000000);

struct receive {
    struct yarder_source_host *host;
    char peer[RECEIVE_PEER_BYTES];
    struct sockaddr_storage from[DATAGRAMS];
    struct iovec parts[DATAGRAMS];
    struct mmsghdr messages[DATAGRAMS];
    _Alignas(struct cmsghdr) char controls[DATAGRAMS]
                                          [CMSG_SPACE(sizeof(uint32_t)) + CMSG_SPACE(sizeof(int))];
    char buffers[DATAGRAMS][RECEIVE_BYTES_MAX];
};

int receive_open(struct receive **out, struct yarder_source_host *host)
{
    if (host->socket_fd < 0) {
        return host->host.fail(&host->host, -EADDRNOTAVAIL, "its socket could not be had");
    }
    *out = malloc(sizeof(**out));
    if (*out == NULL) {
        return host->host.fail(&host->host, -ENOMEM, "no memory for datagrams");
    }
    (*out)->host = host;
    return 0;
}

void receive_close(struct receive *receive)
{
    free(receive);
}

void receive_peer(const struct sockaddr_storage *from, char peer[RECEIVE_PEER_BYTES])
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)from;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)(const void *)from;
    const void *at = from->ss_family == AF_INET ? (const void *)&four->sin_addr : &six->sin6_addr;
    int family = from->ss_family;
    if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
        family = AF_INET;
        at = &six->sin6_addr.s6_addr[12];
    }
    if (inet_ntop(family, at, peer, RECEIVE_PEER_BYTES) == NULL) {
        peer[0] = '\0';
    }
}

/* Several of one sender may have come together, all but the last of this length. */
static size_t read_controls(struct receive *receive, struct msghdr *message)
{
    size_t each = 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        uint32_t drops = 0;
        int segment = 0;
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&drops, CMSG_DATA(control), sizeof(drops));
            receive->host->drops(receive->host, drops);
        } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            memcpy(&segment, CMSG_DATA(control), sizeof(segment));
            each = segment > 0 ? (size_t)segment : 0;
        }
    }
    return each;
}

static void take_message(
    struct receive *receive, unsigned i, const struct receive_ops *ops, void *self)
{
    struct mmsghdr *message = &receive->messages[i];
    size_t each = read_controls(receive, &message->msg_hdr);
    receive_peer(&receive->from[i], receive->peer);
    struct received datagram = {.peer = {receive->peer, strlen(receive->peer)}};
    size_t at = 0;
    do {
        size_t left = message->msg_len - at;
        datagram.at = receive->buffers[i] + at;
        datagram.length = each > 0 && each < left ? each : left;
        at += datagram.length;
        ops->take(self, &datagram);
    } while (at < message->msg_len);
}

/* How many came; 0: none is there; -errno, told. */
static int receive_some(struct receive *receive, const struct receive_ops *ops, void *self)
{
    struct yarder_host *host = &receive->host->host;
    for (unsigned i = 0; i < DATAGRAMS; i++) {
        receive->parts[i] = (struct iovec){receive->buffers[i], RECEIVE_BYTES_MAX};
        receive->messages[i].msg_hdr = (struct msghdr){.msg_name = &receive->from[i],
            .msg_namelen = sizeof(receive->from[i]),
            .msg_iov = &receive->parts[i],
            .msg_iovlen = 1,
            .msg_control = receive->controls[i],
            .msg_controllen = sizeof(receive->controls[i])};
    }
    int count =
        recvmmsg(receive->host->socket_fd, receive->messages, DATAGRAMS, MSG_DONTWAIT, NULL);
    if (count < 0) {
        return errno == EAGAIN || errno == EINTR
                   ? 0
                   : host->fail(host, -errno, "receive: %s", strerror(errno));
    }
    for (int i = 0; i < count; i++) {
        take_message(receive, (unsigned)i, ops, self);
    }
    return count;
}

int receive_serve(struct receive *receive, const struct receive_ops *ops, void *self)
{
    struct yarder_host *host = &receive->host->host;
    int r = 0;
    while (r >= 0) {
        uint64_t now_ns = monotonic_ns();
        r = host->wait(host, receive->host->socket_fd, POLLIN, now_ns + look_every_ns);
        r = r > 0 ? receive_some(receive, ops, self) : r;
        if (ops->look != NULL) {
            ops->look(self, now_ns);
        }
    }
    for (int i = 0; r == -ECANCELED && i < ROUNDS_LAST && receive_some(receive, ops, self) > 0;
         i++) {
    }
    return r;
}
