/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of redis as an input: redis_source.c what is configured and channels,
 * redis_source_list.c lists, redis_source_stream.c streams, redis_talk.c the connection,
 * redis_tree.c what comes over it.
 *
 *   a list     LMOVE KEY KEY:taken:CONSUMER ... -> put -> settled -> LTRIM KEY:taken:CONSUMER
 *   a stream   XREADGROUP                       -> put -> settled -> XACK
 *   a channel  SUBSCRIBE                        -> put
 *
 * Whatever dies in between, what is not settled lies there still, and is given again.
 */
#ifndef YARDER_BACKENDS_REDIS_SOURCE_H
#define YARDER_BACKENDS_REDIS_SOURCE_H

#include "api/source.h"
#include "redis_private.h"
#include "redis_tree.h"

enum { REDIS_KEYS_MAX = 64, REDIS_BATCH_MAX = 10000, REDIS_UNSETTLED_MAX = 2 * REDIS_BATCH_MAX };

struct redis_unsettled {
    uint64_t number; /* of the record that it became */
    struct redis_entry_id id;
    uint32_t key;
};

struct redis_source {
    struct redis redis; /* login and address */
    struct yarder_texts lists, channels, patterns, streams;
    bool acknowledge;
    int pop; /* enum redis_pop */
    uint64_t batch;
    char *group, *consumer, *field;
    uint64_t claim_ns;

    struct yarder_source_host *host;
    /*
     * For the connection: a command that was begun is seen through, for a little while also when
     * the daemon wants us to end. Where nothing is under way, host->host.wait is the one to ask.
     */
    struct yarder_host patient; /* its wait finds us by its place */
    uint64_t wanted_ns;         /* since when we are to end; 0: we are not */
    struct redis_node *node;
    redisReader *reader;          /* of this connection */
    char *made_consumer;          /* where none was said */
    char taken[REDIS_HOST_BYTES]; /* end of the name of our list beside each list */

    struct redis_unsettled *unsettled; /* of streams, oldest first */
    uint32_t unsettled_first, unsettled_count;
    uint64_t claim_next_ns;
};
enum redis_pop { REDIS_POP_LEFT, REDIS_POP_RIGHT };

/* redis_talk.c: connected, with nothing left of a connection before. 0 or -errno, told. */
int redis_talk_connect(struct redis_source *self);
/* Puts a command into what will be sent; its words are counted first. */
int redis_talk_begin(struct redis_source *self, size_t words);
int redis_talk_word(struct redis_source *self, struct yarder_text word);
int redis_talk_words(struct redis_source *self, const char *const *words, size_t count);
int redis_talk_number(struct redis_source *self, uint64_t number);
int redis_talk_send(struct redis_source *self);
/*
 * The next reply, to be freed by freeReplyObject. 0; -EAGAIN: none by the deadline; else told.
 * redis_talk_answer: an error in it is told, too (-EPROTO), so is a deadline.
 */
int redis_talk_reply(struct redis_source *self, redisReply **out, uint64_t deadline_ns);
int redis_talk_answer(struct redis_source *self, const char *what, redisReply **out);
uint64_t redis_talk_deadline(void);
void redis_talk_init(struct redis_source *self);
/*
 * Waits until all that was put is settled: 0. When we are to end there is a little time for it:
 * -ECANCELED with it, -ETIMEDOUT without.
 */
int redis_talk_settle(struct redis_source *self);
/* Waits for a reply that may never come: 0, -EAGAIN, -ECANCELED or -errno as told. */
int redis_talk_await(struct redis_source *self, redisReply **out, uint64_t deadline_ns);

/* Each of them serves until it fails or is told to end. */
int redis_source_lists(struct redis_source *self);
int redis_source_streams(struct redis_source *self);

/* A text of `key` as a record, which may have an entry's fields and time. */
void redis_source_put(struct redis_source *self, const char *key, struct yarder_text text,
    const struct redis_entry *entry);

#endif
