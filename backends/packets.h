/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams that were made and have not gone yet: they go many with one call, and the items that
 * they carry are answered as they went.
 */
#ifndef YARDER_BACKENDS_PACKETS_H
#define YARDER_BACKENDS_PACKETS_H

#include "bytes.h"
#include "link.h"

enum { PACKETS_MAX = 256, PACKET_BYTES_MAX = 65507 };

struct packets {
    struct yarder_host *host;
    struct link *link;
    char *at;
    size_t room;
    size_t used;
    uint32_t count;
    struct iovec parts[PACKETS_MAX];
    struct yarder_item *items[PACKETS_MAX]; /* whose it is, or a part of it */
    bool last[PACKETS_MAX];                 /* once it went, the item is delivered */
};

/* `room`: of all that go with one call. 0 or -ENOMEM. Close after both. */
int packets_open(struct packets *packets, struct yarder_host *host, struct link *link, size_t room);
void packets_close(struct packets *packets);

/* Before a batch: what a failure has left belongs to items that are gone. */
static inline void packets_clear(struct packets *packets)
{
    packets->count = 0;
    packets->used = 0;
}
/*
 * Room for `count` packets of `bytes` in all, at most PACKETS_MAX and what packets_open was told;
 * sends what waits when there is none. 0, or -errno as packets_send.
 */
int packets_reserve(struct packets *packets, uint32_t count, size_t bytes, uint64_t deadline_ns);
/* Where the next one is made; then packets_put says its length. */
static inline char *packets_at(const struct packets *packets)
{
    return packets->at + packets->used;
}
void packets_put(struct packets *packets, struct yarder_item *item, size_t bytes, bool last);
/* All that wait; none does afterwards. 0, or -errno as link_send_many, told to the host. */
int packets_send(struct packets *packets, uint64_t deadline_ns);

#endif
