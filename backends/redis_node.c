/* SPDX-License-Identifier: Apache-2.0 */
/* One server: its connection, what goes out, what comes back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

enum { OUT_BYTES_LEAST = 64 << 10, GREETING_WORDS_MAX = 3 };

int redis_node_open(struct redis_node **out, const struct redis *redis, struct yarder_host *host,
    const struct redis_place *place)
{
    struct redis_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        return host->fail(host, -ENOMEM, "no memory for a connection");
    }
    *node = (struct redis_node){.redis = redis, .host = host, .address = redis->address};
    if (place != NULL) {
        (void)snprintf(node->name, sizeof(node->name), "%s", place->host);
        (void)snprintf(node->port, sizeof(node->port), "%s", place->port);
        node->address.kind = redis->address.kind == LINK_TLS ? LINK_TLS : LINK_TCP;
        node->address.path = NULL;
        node->address.host = node->name;
        node->address.port = node->port;
    }
    (void)link_show(&node->address, node->shown, sizeof(node->shown));
    int r = redis_replies_open(&node->replies);
    if (r < 0) {
        (void)host->fail(host, r, "no memory for a connection");
    } else {
        r = link_open(&node->link, host, &node->address, &redis->tls);
    }
    if (r < 0) {
        redis_node_close(node);
        return r;
    }
    *out = node;
    return 0;
}

void redis_node_close(struct redis_node *node)
{
    if (node != NULL) {
        link_close(node->link);
        redis_replies_close(node->replies);
        free(node->out);
        free(node);
    }
}

void redis_node_drop(struct redis_node *node)
{
    link_drop(node->link);
    node->out_used = 0;
    node->asked_count = 0;
    node->leave = false;
    node->proven = false;
}

int redis_node_make_room(struct redis_node *node, size_t bytes)
{
    if (node->out_room - node->out_used >= bytes) {
        return 0;
    }
    size_t room = node->out_room < OUT_BYTES_LEAST ? OUT_BYTES_LEAST : node->out_room * 2;
    room = room - node->out_used < bytes ? node->out_used + bytes : room;
    char *out = realloc(node->out, room);
    if (out == NULL) {
        return node->host->fail(node->host, -ENOMEM, "no memory for %zu bytes of commands", room);
    }
    node->out = out;
    node->out_room = room;
    return 0;
}

static int send_bytes(struct redis_node *node, char *at, size_t count, uint64_t deadline_ns)
{
    size_t sent = 0;
    return link_send(node->link, &(struct iovec){at, count}, 1, deadline_ns, &sent);
}

int redis_node_send(struct redis_node *node, uint64_t deadline_ns)
{
    size_t count = node->out_used;
    node->out_used = 0;
    return send_bytes(node, node->out, count, deadline_ns);
}

/* Passes on what the link says; it has told the host why. */
static int receive_more(struct redis_node *node, uint64_t deadline_ns)
{
    ssize_t count = link_receive(node->link, node->in, sizeof(node->in), deadline_ns);
    if (count > 0) {
        int r = redis_replies_feed(node->replies, node->in, (size_t)count);
        return r == 0 ? 0
                      : node->host->fail(node->host, r, "%s: a reply of over %d bytes", node->shown,
                            REDIS_REPLY_BYTES_MAX);
    }
    if (count == 0) {
        return node->host->fail(
            node->host, -EPIPE, "%s: the server has closed the connection", node->shown);
    }
    return count == -EAGAIN
               ? node->host->fail(node->host, -ETIMEDOUT, "%s: no reply in time", node->shown)
               : (int)count;
}

int redis_node_receive(struct redis_node *node, struct redis_reply *out, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline, or REDIS_REPLY_BYTES_MAX */
        int r = redis_replies_next(node->replies, out);
        if (r < 0) {
            return node->host->fail(
                node->host, r, "%s: what answers there is no redis server", node->shown);
        }
        if (r == 0) {
            r = receive_more(node, deadline_ns);
            if (r < 0) {
                return r;
            }
            continue;
        }
        return 0;
    }
}

bool redis_node_has_more(struct redis_node *node)
{
    struct redis_reply reply;
    return link_is_connected(node->link) && redis_replies_next(node->replies, &reply) != 0;
}

/* A server that does not know AUTH says what it does not know, and that is our password. */
static void hide_words(const struct redis *redis, char *text)
{
    text[strcspn(text, ",")] = '\0';
    if (redis->password != NULL && strstr(text, redis->password) != NULL) {
        text[strcspn(text, " ")] = '\0';
    }
}

/* One command of the greeting and its reply. */
static int greet(
    struct redis_node *node, const char *const *words, size_t count, uint64_t deadline_ns)
{
    char bytes[2 * REDIS_SECRET_BYTES_MAX + (GREETING_WORDS_MAX + 1) * REDIS_WORD_BYTES];
    char *end = redis_put_words(bytes, words, count);
    struct redis_reply reply;
    int r = send_bytes(node, bytes, (size_t)(end - bytes), deadline_ns);
    if (r == 0) {
        r = redis_node_receive(node, &reply, deadline_ns);
    }
    if (r == 0 && reply.is_error) {
        hide_words(node->redis, reply.text);
        r = node->host->fail(
            node->host, -EACCES, "%s: %s: %s", node->shown, words[0], redis_reply_words(&reply));
    }
    return r;
}

int redis_node_connect(struct redis_node *node, uint64_t deadline_ns)
{
    if (link_is_connected(node->link) && link_is_dead(node->link)) {
        redis_node_drop(node);
    }
    if (link_is_connected(node->link)) {
        return 0;
    }
    const struct redis *redis = node->redis;
    redis_replies_close(node->replies); /* with what came of the connection before */
    node->replies = NULL;
    int r = redis_replies_open(&node->replies);
    if (r < 0) {
        return node->host->fail(node->host, r, "no memory for a connection");
    }
    r = link_connect(node->link, deadline_ns);
    if (r == 0 && redis->password != NULL) {
        const char *words[] = {"AUTH", redis->user, redis->password};
        const char *short_words[] = {"AUTH", redis->password};
        r = redis->user != NULL ? greet(node, words, 3, deadline_ns)
                                : greet(node, short_words, 2, deadline_ns);
    }
    if (r == 0 && redis->database != 0) {
        char number[24];
        (void)snprintf(number, sizeof(number), "%llu", (unsigned long long)redis->database);
        r = greet(node, (const char *[]){"SELECT", number}, 2, deadline_ns);
    }
    if (r < 0) {
        redis_node_drop(node);
    }
    return r;
}
