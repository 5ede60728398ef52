/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages and entries out of what a server answers: trees of hiredis, whose bytes are the world's.
 * No sockets here.
 */
#ifndef YARDER_BACKENDS_REDIS_TREE_H
#define YARDER_BACKENDS_REDIS_TREE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "api/record.h"

/* A text, or of anything else an empty one. */
struct yarder_text redis_tree_text(const redisReply *reply);
/* The element of an array, or NULL. */
const redisReply *redis_tree_at(const redisReply *reply, size_t index);

/* message, pmessage: 1 with both texts; 0: it is something else that a subscriber is told. */
int redis_tree_message(
    const redisReply *reply, struct yarder_text *channel, struct yarder_text *text);

/* "1526919030474-55" */
struct redis_entry_id {
    uint64_t ms, sequence;
};
/* An entry of a stream: its text is the value of `field`, or of the only one. */
struct redis_entry {
    struct yarder_text id_text;
    struct redis_entry_id id;
    struct yarder_text text;
    struct yarder_field fields[YARDER_FIELDS_MAX]; /* the others */
    uint32_t fields_count;
    bool cut;  /* it has more */
    bool gone; /* deleted since it was given to us: nothing but its id is left */
};
/* 0; -EBADMSG: this is none. */
int redis_tree_entry(const redisReply *reply, const char *field, struct redis_entry *out);

#endif
