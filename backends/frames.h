/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a batch on their way to a link: built in one buffer, sent with as few calls as there
 * can be, and answered for by item.
 *
 *   frames_connect -> frames_clear -> (frames_take, frames_add)* -> frames_send
 *
 * A stream whose peer stops reading in the middle of a record is not given up: the record's rest
 * is *owed* and goes first, as long as the connection lives, and the record then counts as sent
 * when it comes again. After a new connect it is sent as a whole: its half at the peer belongs to
 * the old one.
 */
#ifndef YARDER_BACKENDS_FRAMES_H
#define YARDER_BACKENDS_FRAMES_H

#include "link.h"

struct frame {
    size_t end; /* of its bytes in the buffer; they begin where the one before ends */
    uint32_t item;
    bool last; /* of its item */
};

/* Zeroed to start. */
struct frames {
    struct link *link;
    char *at;
    size_t used;
    size_t room;
    struct frame *frame;
    uint32_t count;
    uint32_t count_room;
    char *owed;
    size_t owed_bytes;
    size_t owed_sent;
    struct yarder_id owed_id; /* of what is owed, or has been paid since: */
    bool paid;
};

void frames_close(struct frames *frames);

/* Connects where that is needed, and pays what is owed. 0 or -errno, told. */
int frames_connect(struct frames *frames, struct link *link, uint64_t deadline_ns);
/* Whether the item went with what was owed: then it is DELIVERED now. */
bool frames_was_paid(struct frames *frames, struct yarder_item *item);

void frames_clear(struct frames *frames);
/* Room for `bytes` more behind those in use, and one more frame; NULL: no memory. */
char *frames_take(struct frames *frames, size_t bytes);
/* What was written there is a frame of the item. */
void frames_add(struct frames *frames, size_t bytes, uint32_t item, bool last);
/* Sends them, each as a datagram or all as a stream. 0 or -errno, told; items have results. */
int frames_send(struct frames *frames, struct yarder_host *host, struct yarder_batch *batch,
    uint64_t deadline_ns);

#endif
