/* SPDX-License-Identifier: Apache-2.0 */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FRAMES_FEWEST = 256,
    FRAMES_BYTES_LEAST = 64 << 10,
    UDP_BYTES_MAX = 65507,
    UNIX_OVERHEAD_BYTES = 32, /* of a datagram, in the socket's buffer */
    DATAGRAMS_MAX = 64
};

void frames_close(struct frames *frames)
{
    free(frames->at);
    free(frames->frame);
    free(frames->owed);
    *frames = (struct frames){0};
}

static void forget(struct frames *frames)
{
    frames->owed_bytes = 0;
    frames->paid = false;
}

int frames_connect(struct frames *frames, struct link *link, uint64_t deadline_ns)
{
    if (!link_is_connected(link) || link_is_dead_unheard(link) || frames->link != link) {
        forget(frames);
    }
    frames->link = link;
    int r = link_connect(link, deadline_ns);
    if (r < 0 || frames->owed_bytes == 0) {
        return r;
    }
    const struct iovec rest = {.iov_base = frames->owed + frames->owed_sent,
        .iov_len = frames->owed_bytes - frames->owed_sent};
    size_t sent = 0;
    r = link_send(link, &rest, 1, deadline_ns, &sent);
    frames->owed_sent += sent;
    if (r == 0) {
        frames->owed_bytes = 0;
        frames->paid = true;
    }
    return r;
}

bool frames_was_paid(struct frames *frames, struct yarder_item *item)
{
    bool same = frames->paid && item->id.number == frames->owed_id.number &&
                item->id.epoch_ns == frames->owed_id.epoch_ns;
    if (same) {
        item->result = YARDER_DELIVERED;
        frames->paid = false;
    }
    return same;
}

void frames_clear(struct frames *frames)
{
    frames->used = 0;
    frames->count = 0;
}

/* Doubles until it is enough: after a few batches there is room for any. */
static bool grow(void **at, size_t *room, size_t wanted, size_t least, size_t unit)
{
    size_t more = *room > least ? *room : least;
    while (more < wanted) {
        more *= 2;
    }
    void *grown = wanted <= *room ? *at : realloc(*at, more * unit);
    if (grown == NULL) {
        return false;
    }
    *room = wanted <= *room ? *room : more;
    *at = grown;
    return true;
}

char *frames_take(struct frames *frames, size_t bytes)
{
    void *at = frames->at;
    void *frame = frames->frame;
    size_t count_room = frames->count_room;
    bool good = grow(&at, &frames->room, frames->used + bytes, FRAMES_BYTES_LEAST, 1);
    frames->at = at;
    good =
        good && grow(&frame, &count_room, frames->count + 1u, FRAMES_FEWEST, sizeof(struct frame));
    frames->frame = frame;
    frames->count_room = (uint32_t)count_room;
    return good ? frames->at + frames->used : NULL;
}

void frames_add(struct frames *frames, size_t bytes, uint32_t item, bool last)
{
    frames->used += bytes;
    frames->frame[frames->count++] =
        (struct frame){.end = frames->used, .item = item, .last = last};
}

/* Keeps the rest of the record in whose middle the stream stopped. */
static void owe(
    struct frames *frames, const struct yarder_batch *batch, uint32_t which, size_t sent)
{
    size_t start = which == 0 ? 0 : frames->frame[which - 1].end;
    size_t bytes = frames->frame[which].end - sent;
    if (sent == start || !link_is_connected(frames->link)) {
        return;
    }
    char *owed = realloc(frames->owed, bytes);
    if (owed == NULL) {
        link_drop(frames->link); /* then it begins anew */
        return;
    }
    memcpy(owed, frames->at + sent, bytes);
    frames->owed = owed;
    frames->owed_bytes = bytes;
    frames->owed_sent = 0;
    frames->owed_id = batch->items[frames->frame[which].item].id;
    frames->paid = false;
}

static int send_stream(struct frames *frames, struct yarder_batch *batch, uint64_t deadline_ns)
{
    const struct iovec all = {.iov_base = frames->at, .iov_len = frames->used};
    size_t sent = 0;
    int r = frames->used > 0 ? link_send(frames->link, &all, 1, deadline_ns, &sent) : 0;
    for (uint32_t i = 0; i < frames->count; i++) {
        if (frames->frame[i].end > sent) {
            owe(frames, batch, i, sent);
            break;
        }
        if (frames->frame[i].last) {
            batch->items[frames->frame[i].item].result = YARDER_DELIVERED;
        }
    }
    return r;
}

static void refuse(
    struct frames *frames, struct yarder_host *host, struct yarder_batch *batch, uint32_t which)
{
    size_t start = which == 0 ? 0 : frames->frame[which - 1].end;
    struct sockaddr_storage peer;
    socklen_t peer_bytes = sizeof(peer), size_bytes = sizeof(int);
    int limit = UDP_BYTES_MAX;
    int fd = link_fd(frames->link);
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0 && peer.ss_family == AF_UNIX &&
        getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &limit, &size_bytes) == 0) {
        limit -= UNIX_OVERHEAD_BYTES;
    }
    host->refuse(host, &batch->items[frames->frame[which].item],
        "%zu bytes are too long for a datagram, which has %d at most",
        frames->frame[which].end - start, limit);
}

static int send_datagrams(struct frames *frames, struct yarder_host *host,
    struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct iovec many[DATAGRAMS_MAX];
    uint32_t next = 0;
    while (next < frames->count) {
        uint32_t some = 0;
        for (; some < DATAGRAMS_MAX && next + some < frames->count; some++) {
            size_t start = next + some == 0 ? 0 : frames->frame[next + some - 1].end;
            many[some] = (struct iovec){
                .iov_base = frames->at + start, .iov_len = frames->frame[next + some].end - start};
        }
        size_t sent = 0;
        int r = link_send_many(frames->link, many, some, deadline_ns, &sent);
        for (size_t i = 0; i < sent; i++, next++) {
            struct yarder_item *item = &batch->items[frames->frame[next].item];
            if (frames->frame[next].last && item->result == YARDER_LATER) {
                item->result = YARDER_DELIVERED;
            }
        }
        if (r == -EMSGSIZE) {
            uint32_t item = frames->frame[next].item;
            refuse(frames, host, batch, next);
            while (next < frames->count && frames->frame[next].item == item) {
                next++;
            }
        } else if (r < 0) {
            return r;
        }
    }
    return 0;
}

int frames_send(struct frames *frames, struct yarder_host *host, struct yarder_batch *batch,
    uint64_t deadline_ns)
{
    return link_sends_datagrams(frames->link) ? send_datagrams(frames, host, batch, deadline_ns)
                                              : send_stream(frames, batch, deadline_ns);
}
