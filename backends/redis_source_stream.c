/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, as a consumer of a group. On each connection first what was given to us and never
 * acknowledged, from the beginning; then what is new, and now and then what other consumers left
 * lying. Entries that became records wait in `unsettled`, in order, until they may be acknowledged.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "redis_source.h"

enum { ID_BYTES = 48, ACKS_EACH = 500 };
static const uint64_t ms_ns = 1000000;
static const uint64_t block_ms = 500;
static const uint64_t soon_ns = UINT64_C(5) * 1000000;

static int ask(struct redis_source *self, const char *what, redisReply **out)
{
    int r = redis_talk_send(self);
    return r < 0 ? r : redis_talk_answer(self, what, out);
}

/* The group, from the stream's beginning; that it is there is no error. */
static int make_group(struct redis_source *self, const char *key)
{
    const char *const words[] = {"XGROUP", "CREATE", key, self->group, "0", "MKSTREAM"};
    redisReply *reply = NULL;
    int r = redis_talk_begin(self, 6);
    r = r < 0 ? r : redis_talk_words(self, words, 6);
    r = r < 0 ? r : redis_talk_send(self);
    r = r < 0 ? r : redis_talk_reply(self, &reply, redis_talk_deadline());
    if (r < 0) {
        return r;
    }
    if (reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "BUSYGROUP", 9) != 0) {
        r = self->host->host.fail(
            &self->host->host, -EPROTO, "%s: XGROUP CREATE: %.128s", self->node->shown, reply->str);
    }
    freeReplyObject(reply);
    return r;
}

static int put_ack(struct redis_source *self, uint32_t from, uint32_t count)
{
    const struct redis_unsettled *first = &self->unsettled[from % REDIS_UNSETTLED_MAX];
    const char *const words[] = {"XACK", self->streams.at[first->key], self->group};
    int r = redis_talk_begin(self, 3 + (size_t)count);
    r = r < 0 ? r : redis_talk_words(self, words, 3);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        char id[ID_BYTES];
        const struct redis_unsettled *at = &self->unsettled[(from + i) % REDIS_UNSETTLED_MAX];
        int length = snprintf(id, sizeof(id), "%llu-%llu", (unsigned long long)at->id.ms,
            (unsigned long long)at->id.sequence);
        r = redis_talk_word(self, (struct yarder_text){id, (size_t)length});
    }
    return r;
}

/* Of one stream, settled, from the oldest on: how many. */
static uint32_t ack_run(const struct redis_source *self, uint64_t settled)
{
    uint32_t count = 0;
    uint32_t key = self->unsettled[self->unsettled_first].key;
    while (count < self->unsettled_count && count < ACKS_EACH) {
        const struct redis_unsettled *at =
            &self->unsettled[(self->unsettled_first + count) % REDIS_UNSETTLED_MAX];
        if (at->number > settled || at->key != key) {
            break;
        }
        count++;
    }
    return count;
}

static int acknowledge(struct redis_source *self)
{
    uint64_t settled = self->host->settled(self->host);
    for (uint32_t count; (count = ack_run(self, settled)) > 0;) {
        redisReply *reply = NULL;
        int r = put_ack(self, self->unsettled_first, count);
        r = r < 0 ? r : ask(self, "XACK", &reply);
        if (r < 0) {
            return r;
        }
        freeReplyObject(reply);
        self->unsettled_first = (self->unsettled_first + count) % REDIS_UNSETTLED_MAX;
        self->unsettled_count -= count;
    }
    return 0;
}

static void keep(struct redis_source *self, uint32_t key, const struct redis_entry *entry)
{
    uint32_t at = (self->unsettled_first + self->unsettled_count++) % REDIS_UNSETTLED_MAX;
    self->unsettled[at] = (struct redis_unsettled){
        .number = self->host->last(self->host), .id = entry->id, .key = key};
}

/* What one entry says becomes a record; of one that is gone there is only to acknowledge. */
static void take_entry(struct redis_source *self, uint32_t key, const redisReply *reply)
{
    struct redis_entry entry;
    if (redis_tree_entry(reply, self->field, &entry) < 0) {
        self->host->refuse(self->host, 1);
        return;
    }
    if (!entry.gone) {
        redis_source_put(self, self->streams.at[key], entry.text, &entry);
    }
    keep(self, key, &entry);
}

/* [[key, [entry, ...]], ...]; how many entries. */
static uint32_t take_reply(struct redis_source *self, const redisReply *reply)
{
    uint32_t count = 0;
    for (size_t i = 0; redis_tree_at(reply, i) != NULL; i++) {
        struct yarder_text name = redis_tree_text(redis_tree_at(redis_tree_at(reply, i), 0));
        const redisReply *entries = redis_tree_at(redis_tree_at(reply, i), 1);
        uint32_t key = 0;
        while (key < self->streams.count &&
               (strlen(self->streams.at[key]) != name.length ||
                   memcmp(self->streams.at[key], name.at, name.length) != 0)) {
            key++;
        }
        for (size_t k = 0; key < self->streams.count && redis_tree_at(entries, k) != NULL &&
                           self->unsettled_count < REDIS_UNSETTLED_MAX;
             k++) {
            take_entry(self, key, redis_tree_at(entries, k));
            count++;
        }
    }
    return count;
}

/* XREADGROUP from `id` on: of ">" what is new, of "0" what is ours and not acknowledged. */
static int read_group(struct redis_source *self, const char *id, bool block, uint32_t *count)
{
    const char *const group[] = {"XREADGROUP", "GROUP", self->group, self->consumer, "COUNT"};
    redisReply *reply = NULL;
    size_t streams = self->streams.count;
    int r = redis_talk_begin(self, 7 + 2 * streams + (block ? 2 : 0));
    r = r < 0 ? r : redis_talk_words(self, group, 5);
    r = r < 0 ? r : redis_talk_number(self, self->batch / streams + 1);
    if (r == 0 && block) {
        r = redis_talk_words(self, (const char *[]){"BLOCK"}, 1);
        r = r < 0 ? r : redis_talk_number(self, block_ms);
    }
    r = r < 0 ? r : redis_talk_words(self, (const char *[]){"STREAMS"}, 1);
    r = r < 0 ? r : redis_talk_words(self, (const char *const *)self->streams.at, streams);
    for (size_t i = 0; i < streams && r == 0; i++) {
        r = redis_talk_words(self, &id, 1);
    }
    r = r < 0 ? r : redis_talk_send(self);
    r = r < 0 ? r : redis_talk_await(self, &reply, redis_talk_deadline());
    if (r == -ECANCELED) { /* what was given to us by now is not left lying */
        r = redis_talk_reply(self, &reply, monotonic_ns() + 2 * block_ms * ms_ns);
    }
    if (r < 0) {
        return r == -EAGAIN ? self->host->host.fail(&self->host->host, -ETIMEDOUT,
                                  "%s: XREADGROUP: no reply in time", self->node->shown)
                            : r;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        r = self->host->host.fail(
            &self->host->host, -EPROTO, "%s: XREADGROUP: %.128s", self->node->shown, reply->str);
    } else {
        *count = take_reply(self, reply);
    }
    freeReplyObject(reply);
    return r;
}

/* What has lain with another consumer for too long is ours from now on. */
static int claim(struct redis_source *self)
{
    uint64_t now_ns = monotonic_ns();
    if (self->claim_ns == 0 || now_ns < self->claim_next_ns) {
        return 0;
    }
    self->claim_next_ns = now_ns + self->claim_ns / 2;
    for (uint32_t key = 0; key < self->streams.count; key++) {
        redisReply *reply = NULL;
        int r = redis_talk_begin(self, 8);
        r = r < 0 ? r
                  : redis_talk_words(self,
                        (const char *[]){
                            "XAUTOCLAIM", self->streams.at[key], self->group, self->consumer},
                        4);
        r = r < 0 ? r : redis_talk_number(self, self->claim_ns / ms_ns);
        r = r < 0 ? r : redis_talk_words(self, (const char *[]){"0", "COUNT"}, 2);
        r = r < 0 ? r : redis_talk_number(self, self->batch);
        r = r < 0 ? r : ask(self, "XAUTOCLAIM", &reply);
        if (r < 0) {
            return r;
        }
        const redisReply *entries = redis_tree_at(reply, 1);
        for (size_t i = 0;
             redis_tree_at(entries, i) != NULL && self->unsettled_count < REDIS_UNSETTLED_MAX;
             i++) {
            take_entry(self, key, redis_tree_at(entries, i));
        }
        freeReplyObject(reply);
    }
    return 0;
}

/* All that waits is settled and acknowledged: 0; -ECANCELED the same, and we are to end. */
static int settle_all(struct redis_source *self)
{
    int waited = redis_talk_settle(self);
    int r = acknowledge(self);
    return r < 0 ? r : waited == -ETIMEDOUT ? -ECANCELED : waited;
}

/* What the server still has for us. Each round is acknowledged, else it would come again. */
static int read_again(struct redis_source *self)
{
    uint32_t count = 1;
    int r = settle_all(self);
    while (count > 0 && r == 0) {
        count = 0;
        r = read_group(self, "0", false, &count);
        r = r < 0 ? r : settle_all(self);
    }
    return r;
}

int redis_source_streams(struct redis_source *self)
{
    struct yarder_host *host = &self->host->host;
    int r = 0;
    for (uint32_t i = 0; i < self->streams.count && r == 0; i++) {
        r = make_group(self, self->streams.at[i]);
    }
    r = r < 0 ? r : read_again(self);
    while (r >= 0) {
        uint32_t count = 0;
        bool idle = self->unsettled_count == 0;
        if (self->unsettled_count + self->batch + self->streams.count > REDIS_UNSETTLED_MAX) {
            r = settle_all(self);
            continue;
        }
        r = read_group(self, ">", idle, &count);
        self->host->flush(self->host);
        r = r < 0 ? r : claim(self);
        r = r < 0 ? r : acknowledge(self);
        if (r >= 0) {
            uint64_t now_ns = monotonic_ns();
            bool wait = count == 0 && self->unsettled_count > 0;
            r = host->wait(host, -1, 0, wait ? now_ns + soon_ns : now_ns);
        }
    }
    if (r == -ECANCELED) {
        (void)settle_all(self);
    }
    return r;
}
