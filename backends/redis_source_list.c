/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists. Elements are moved to a list of ours beside it, so that the server has them until they are
 * settled; what is found there at the start is of a life before. Without acknowledge= they are
 * popped, and what is popped is nobody's but ours.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "redis_source.h"

enum { NAME_BYTES = 1024 };
static const uint64_t idle_ns = UINT64_C(50) * 1000000;

static void name_taken(const struct redis_source *self, const char *key, char name[NAME_BYTES])
{
    (void)snprintf(name, NAME_BYTES, "%s%s", key, self->taken);
}

/* Our list loses its first `count`, which are settled. */
static int let_go(struct redis_source *self, const char *name, uint64_t count)
{
    redisReply *reply = NULL;
    int r = redis_talk_begin(self, 4);
    r = r < 0 ? r : redis_talk_words(self, (const char *[]){"LTRIM", name}, 2);
    r = r < 0 ? r : redis_talk_number(self, count);
    r = r < 0 ? r : redis_talk_words(self, (const char *[]){"-1"}, 1);
    r = r < 0 ? r : redis_talk_send(self);
    r = r < 0 ? r : redis_talk_answer(self, "LTRIM", &reply);
    if (r == 0) {
        freeReplyObject(reply);
    }
    return r;
}

/* What was put is let go once it is settled, also when we are told to end. */
static int settle(struct redis_source *self, const char *name, uint64_t count)
{
    int waited = redis_talk_settle(self);
    int r = waited == -ETIMEDOUT ? 0 : let_go(self, name, count);
    return r < 0 ? r : waited;
}

/* All elements of a reply. */
static uint64_t put_all(struct redis_source *self, const char *key, const redisReply *reply)
{
    uint64_t count = 0;
    for (size_t i = 0; redis_tree_at(reply, i) != NULL; i++) {
        redis_source_put(self, key, redis_tree_text(redis_tree_at(reply, i)), NULL);
        count++;
    }
    return count;
}

/* What a life before had taken and not let go. */
static int take_again(struct redis_source *self, const char *key)
{
    char name[NAME_BYTES];
    name_taken(self, key, name);
    for (;;) { /* until it is empty */
        redisReply *reply = NULL;
        int r = redis_talk_begin(self, 4);
        r = r < 0 ? r : redis_talk_words(self, (const char *[]){"LRANGE", name, "0"}, 3);
        r = r < 0 ? r : redis_talk_number(self, self->batch - 1);
        r = r < 0 ? r : redis_talk_send(self);
        r = r < 0 ? r : redis_talk_answer(self, "LRANGE", &reply);
        if (r < 0) {
            return r;
        }
        uint64_t count = put_all(self, key, reply);
        freeReplyObject(reply);
        if (count == 0) {
            return 0;
        }
        r = settle(self, name, count);
        if (r < 0) {
            return r;
        }
    }
}

/* So many LMOVE; how many gave something, or -errno. */
static int64_t move_some(
    struct redis_source *self, const char *key, const char *name, uint64_t count)
{
    const char *end = self->pop == REDIS_POP_LEFT ? "LEFT" : "RIGHT";
    const char *const words[] = {"LMOVE", key, name, end, "RIGHT"};
    int64_t moved = 0;
    int r = 0;
    for (uint64_t i = 0; i < count && r == 0; i++) {
        r = redis_talk_begin(self, 5);
        r = r < 0 ? r : redis_talk_words(self, words, 5);
    }
    r = r < 0 ? r : redis_talk_send(self);
    for (uint64_t i = 0; i < count && r == 0; i++) {
        redisReply *reply = NULL;
        r = redis_talk_answer(self, "LMOVE", &reply);
        if (r == 0 && reply->type == REDIS_REPLY_STRING) {
            redis_source_put(self, key, redis_tree_text(reply), NULL);
            moved++;
        }
        freeReplyObject(reply);
    }
    return r < 0 ? r : moved;
}

static int64_t length_of(struct redis_source *self, const char *key)
{
    redisReply *reply = NULL;
    int r = redis_talk_begin(self, 2);
    r = r < 0 ? r : redis_talk_words(self, (const char *[]){"LLEN", key}, 2);
    r = r < 0 ? r : redis_talk_send(self);
    r = r < 0 ? r : redis_talk_answer(self, "LLEN", &reply);
    if (r < 0) {
        return r;
    }
    int64_t length = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    freeReplyObject(reply);
    return length;
}

static int64_t take_moved(struct redis_source *self, const char *key)
{
    char name[NAME_BYTES];
    name_taken(self, key, name);
    int64_t length = length_of(self, key);
    uint64_t count = length > 0 && (uint64_t)length < self->batch ? (uint64_t)length : self->batch;
    int64_t moved = length <= 0 ? length : move_some(self, key, name, count);
    if (moved <= 0) {
        return moved;
    }
    int r = settle(self, name, (uint64_t)moved);
    return r < 0 ? r : moved;
}

static int64_t take_popped(struct redis_source *self, const char *key)
{
    redisReply *reply = NULL;
    int r = redis_talk_begin(self, 3);
    r = r < 0 ? r
              : redis_talk_words(
                    self, (const char *[]){self->pop == REDIS_POP_LEFT ? "LPOP" : "RPOP", key}, 2);
    r = r < 0 ? r : redis_talk_number(self, self->batch);
    r = r < 0 ? r : redis_talk_send(self);
    r = r < 0 ? r : redis_talk_answer(self, "LPOP", &reply);
    if (r < 0) {
        return r;
    }
    uint64_t count = put_all(self, key, reply);
    freeReplyObject(reply);
    self->host->flush(self->host);
    return (int64_t)count;
}

int redis_source_lists(struct redis_source *self)
{
    struct yarder_host *host = &self->host->host;
    int64_t r = 0;
    for (uint32_t i = 0; self->acknowledge && i < self->lists.count && r == 0; i++) {
        r = take_again(self, self->lists.at[i]);
    }
    while (r >= 0) {
        int64_t came = 0;
        for (uint32_t i = 0; i < self->lists.count && r >= 0; i++) {
            r = self->acknowledge ? take_moved(self, self->lists.at[i])
                                  : take_popped(self, self->lists.at[i]);
            came += r;
        }
        if (r >= 0) {
            uint64_t now_ns = monotonic_ns();
            r = host->wait(host, -1, 0, came > 0 ? now_ns : now_ns + idle_ns);
        }
    }
    return (int)r;
}
