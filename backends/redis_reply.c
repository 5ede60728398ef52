/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_reply.h"

#include <errno.h>
#include <hiredis/read.h>
#include <stdlib.h>
#include <string.h>

/*
 * hiredis takes the bytes apart; its callbacks make no tree of objects but fill `current` with what
 * the outermost element is. They must not answer NULL, which means no memory.
 */
struct redis_replies {
    redisReader *reader;
    struct redis_reply current;
};

static void *make_string(const redisReadTask *task, char *text, size_t count)
{
    struct redis_replies *replies = task->privdata;
    if (task->parent == NULL && task->type == REDIS_REPLY_ERROR) {
        struct redis_reply *reply = &replies->current;
        size_t kept = count < sizeof(reply->text) ? count : sizeof(reply->text) - 1;
        for (size_t i = 0; i < kept; i++) {
            reply->text[i] = (char)(text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
        }
        reply->text[kept] = '\0';
        char *words = strstr(reply->text, ", with args beginning"); /* ours: a record, a password */
        if (words != NULL) {
            *words = '\0';
        }
        reply->text_count = (uint16_t)strlen(reply->text);
        reply->is_error = true;
    }
    return replies;
}

static void *make_array(const redisReadTask *task, int elements)
{
    struct redis_replies *replies = task->privdata;
    if (task->parent == NULL) {
        replies->current.is_empty = elements <= 0;
    }
    return replies;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    (void)value;
    return task->privdata;
}

static void *make_nil(const redisReadTask *task)
{
    struct redis_replies *replies = task->privdata;
    if (task->parent == NULL) {
        replies->current.is_empty = true;
    }
    return replies;
}

static void free_nothing(void *object)
{
    (void)object;
}

static redisReplyObjectFunctions functions = {
    make_string, make_array, make_integer, make_nil, free_nothing};

int redis_replies_open(struct redis_replies **out)
{
    struct redis_replies *replies = calloc(1, sizeof(*replies));
    if (replies == NULL) {
        return -ENOMEM;
    }
    replies->reader = redisReaderCreateWithFunctions(&functions);
    if (replies->reader == NULL) {
        free(replies);
        return -ENOMEM;
    }
    replies->reader->privdata = replies;
    *out = replies;
    return 0;
}

void redis_replies_close(struct redis_replies *replies)
{
    if (replies != NULL) {
        redisReaderFree(replies->reader);
        free(replies);
    }
}

int redis_replies_feed(struct redis_replies *replies, const char *bytes, size_t bytes_count)
{
    if (replies->reader->len - replies->reader->pos + bytes_count > REDIS_REPLY_BYTES_MAX) {
        return -EMSGSIZE;
    }
    return redisReaderFeed(replies->reader, bytes, bytes_count) == 0 ? 0 : -ENOMEM;
}

int redis_replies_next(struct redis_replies *replies, struct redis_reply *out)
{
    void *object = NULL;
    if (redisReaderGetReply(replies->reader, &object) != 0) {
        return -EBADMSG;
    }
    if (object == NULL) {
        return 0;
    }
    *out = replies->current;
    memset(&replies->current, 0, offsetof(struct redis_reply, text) + 1);
    return 1;
}

/* "1234 10.0.0.7:7000", ":7000" or "[::1]:7000" behind MOVED or ASK. */
static bool read_place(const char *at, struct redis_place *place)
{
    char *end = NULL;
    unsigned long slot = *at >= '0' && *at <= '9' ? strtoul(at, &end, 10) : UINT16_MAX + 1ul;
    if (slot >= 16384 || *end != ' ') {
        return false;
    }
    const char *host = end + 1;
    const char *colon = strrchr(host, ':');
    size_t host_count = colon == NULL ? 0 : (size_t)(colon - host);
    size_t port_count = colon == NULL ? 0 : strlen(colon + 1);
    if (colon == NULL || host_count >= sizeof(place->host) || port_count == 0 ||
        port_count >= sizeof(place->port) || strspn(colon + 1, "0123456789") != port_count) {
        return false;
    }
    if (host_count == 1 && *host == '?') {
        host_count = 0; /* a node that does not know its own name: the one that we asked has it */
    }
    place->slot = (uint16_t)slot;
    memcpy(place->host, host, host_count);
    place->host[host_count] = '\0';
    memcpy(place->port, colon + 1, port_count + 1);
    return true;
}

const char *redis_reply_words(const struct redis_reply *reply)
{
    return strncmp(reply->text, "NOAUTH ", 7) == 0
               ? "NOAUTH: it takes nothing without a password; expected password="
               : reply->text;
}

enum redis_verdict redis_judge(const struct redis_reply *reply, struct redis_place *place)
{
    static const struct {
        const char *begins;
        enum redis_verdict verdict;
    } errors[] = {{"MOVED ", REDIS_MOVED}, {"ASK ", REDIS_ASK}, {"LOADING ", REDIS_LATER},
        {"BUSY ", REDIS_LATER}, {"OOM ", REDIS_LATER}, {"TRYAGAIN ", REDIS_LATER},
        {"MISCONF ", REDIS_LATER}, {"NOREPLICAS ", REDIS_LATER}, {"CLUSTERDOWN ", REDIS_LATER},
        {"READONLY ", REDIS_AWAY}, {"MASTERDOWN ", REDIS_AWAY}, {"UNBLOCKED ", REDIS_LATER},
        {"ERR max number of clients reached", REDIS_LATER}, {"NOAUTH ", REDIS_DENIED},
        {"WRONGPASS ", REDIS_DENIED}, {"NOPERM ", REDIS_DENIED},
        {"ERR invalid password", REDIS_DENIED}, {"ERR operation not permitted", REDIS_DENIED},
        {"DENIED ", REDIS_DENIED}, {"ERR unknown command", REDIS_DENIED},
        {"ERR wrong number of arguments", REDIS_DENIED},
        {"ERR The ID specified in XADD is equal or smaller", REDIS_OLD_ID}};
    if (!reply->is_error) {
        return REDIS_DONE;
    }
    enum redis_verdict verdict = REDIS_WRONG;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]) && verdict == REDIS_WRONG; i++) {
        if (strncmp(reply->text, errors[i].begins, strlen(errors[i].begins)) == 0) {
            verdict = errors[i].verdict;
        }
    }
    if (verdict == REDIS_MOVED || verdict == REDIS_ASK) {
        const char *rest = reply->text + (verdict == REDIS_MOVED ? 6 : 4);
        verdict = read_place(rest, place) ? verdict : REDIS_LATER;
    }
    return verdict;
}
