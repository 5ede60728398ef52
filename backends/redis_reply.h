/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a redis server answers, out of the bytes of its connection, and what that means for the
 * record that was sent. No sockets here; the bytes are the world's.
 */
#ifndef YARDER_BACKENDS_REDIS_REPLY_H
#define YARDER_BACKENDS_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REDIS_REPLY_TEXT_BYTES = 256,     /* kept of an error */
    REDIS_REPLY_BYTES_MAX = 16 << 20, /* of one reply, or it is none */
    REDIS_HOST_BYTES = 256,
};

struct redis_reply {
    bool is_error;
    bool is_empty; /* nil, or an array of none */
    uint16_t text_count;
    char text[REDIS_REPLY_TEXT_BYTES]; /* of an error: printable, terminated */
};

/* Where the cluster says that a key lies. */
struct redis_place {
    uint16_t slot;
    char host[REDIS_HOST_BYTES]; /* empty: that of the node which said so */
    char port[6];
};

enum redis_verdict {
    REDIS_DONE,
    REDIS_LATER,  /* the server cannot now */
    REDIS_AWAY,   /* nor will it soon: another server may be the one */
    REDIS_DENIED, /* until an operator acts */
    REDIS_MOVED,
    REDIS_ASK,
    REDIS_OLD_ID, /* of XADD: not above the stream's last */
    REDIS_WRONG,  /* the command, or the key's type */
};

struct redis_replies;
int redis_replies_open(struct redis_replies **out);      /* -ENOMEM */
void redis_replies_close(struct redis_replies *replies); /* NULL is none */
/* Takes bytes as they came. 0, -ENOMEM, or -EMSGSIZE: a reply of too many. */
int redis_replies_feed(struct redis_replies *replies, const char *bytes, size_t bytes_count);
/* 1: the next reply is in *out; 0: its end has not come; -EBADMSG: this is no redis. */
int redis_replies_next(struct redis_replies *replies, struct redis_reply *out);

/* Of an error: what the operator is told, the reply's own words or more helpful ones. */
const char *redis_reply_words(const struct redis_reply *reply);

enum redis_verdict redis_judge(const struct redis_reply *reply, struct redis_place *place);

#endif
