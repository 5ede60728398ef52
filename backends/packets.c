/* SPDX-License-Identifier: Apache-2.0 */
#include "packets.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int packets_open(struct packets *packets, struct yarder_host *host, struct link *link, size_t room)
{
    *packets = (struct packets){.host = host, .link = link, .at = malloc(room), .room = room};
    return packets->at == NULL ? host->fail(host, -ENOMEM, "no memory for %zu bytes", room) : 0;
}

void packets_close(struct packets *packets)
{
    free(packets->at);
    *packets = (struct packets){0};
}

int packets_reserve(struct packets *packets, uint32_t count, size_t bytes, uint64_t deadline_ns)
{
    assert(count <= PACKETS_MAX && bytes <= packets->room);
    bool fits = count <= PACKETS_MAX - packets->count && bytes <= packets->room - packets->used;
    return fits ? 0 : packets_send(packets, deadline_ns);
}

void packets_put(struct packets *packets, struct yarder_item *item, size_t bytes, bool last)
{
    assert(packets->count < PACKETS_MAX && bytes <= packets->room - packets->used);
    packets->parts[packets->count] = (struct iovec){packets_at(packets), bytes};
    packets->items[packets->count] = item;
    packets->last[packets->count++] = last;
    packets->used += bytes;
}

/* The network takes no packet of this size: none of the item's others either. */
static uint32_t refuse(struct packets *packets, uint32_t at)
{
    struct yarder_item *item = packets->items[at];
    packets->host->refuse(packets->host, item,
        "a datagram of %zu bytes is more than the network takes", packets->parts[at].iov_len);
    while (at < packets->count && packets->items[at] == item) {
        at++;
    }
    return at;
}

int packets_send(struct packets *packets, uint64_t deadline_ns)
{
    uint32_t at = 0;
    int r = link_connect(packets->link, deadline_ns);
    while (r == 0 && at < packets->count) {
        size_t sent = 0;
        r = link_send_many(
            packets->link, &packets->parts[at], packets->count - at, deadline_ns, &sent);
        for (uint32_t end = at + (uint32_t)sent; at < end; at++) {
            if (packets->last[at]) {
                packets->items[at]->result = YARDER_DELIVERED;
            }
        }
        if (r == -EMSGSIZE) {
            at = refuse(packets, at);
            r = 0;
        }
    }
    packets_clear(packets);
    return r;
}
