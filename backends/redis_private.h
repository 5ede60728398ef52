/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the backend `redis`: redis.c what is configured, redis_deliver.c batches,
 * redis_node.c one server, redis_command.c and redis_reply.c what is said to it and what it says.
 *
 *   batch -> for each item its node -> out of that node, sent in one piece -> a reply for each
 *                 ^                                                                |
 *                 +------ again, in the next round: MOVED, ASK, "is it there?" ----+
 *
 * A server that cannot now may be able to in the middle of a pipeline, and then takes what stands
 * behind those that it did not take: a stream is past their ids for good. So the first command of a
 * connection, or after such an answer, goes alone.
 */
#ifndef YARDER_BACKENDS_REDIS_PRIVATE_H
#define YARDER_BACKENDS_REDIS_PRIVATE_H

#include "link.h"
#include "redis_command.h"
#include "redis_reply.h"

enum {
    REDIS_PIPELINE = 1024,     /* commands that a server may have yet to answer */
    REDIS_OUT_BYTES = 1 << 20, /* of a pipeline, but for the last command */
    REDIS_NODES_MAX = 1024,    /* of a cluster that we speak to */
    REDIS_REDIRECTS_MAX = 8,   /* of one record in one try */
    REDIS_SECRET_BYTES_MAX = 1024,
    REDIS_DATABASE_MAX = 1000000,
};

struct redis {
    char *command, *prefix, *user, *password;
    uint64_t database;
    int cluster; /* enum redis_cluster */
    struct link_tls tls;

    struct link_address address;
    char *target_password;
    uint64_t target_database;
    char *uwsgi_command; /* of uWSGI's line, unless command= is stated, too */
    bool literal;        /* it is the command: a `$` is a `$` */

    struct redis_run *run;
};
/* The same names for both directions. */
#define REDIS_LOGIN_OPTIONS(type, user_, password_, database_)                                     \
    {"user", YARDER_OPTION_TEXT, offsetof(type, user_), NULL, 0, 0, NULL, NULL, "NAME",            \
        "ACL user to be, with the password"},                                                      \
        {"password", YARDER_OPTION_SECRET, offsetof(type, password_), NULL, 0, 0, NULL, NULL,      \
            "TEXT|file:PATH|env:NAME", "sent on each connection"},                                 \
    {                                                                                              \
        "db", YARDER_OPTION_COUNT, offsetof(type, database_), "0", 0, REDIS_DATABASE_MAX, NULL,    \
            NULL, "NUMBER", "database to select"                                                   \
    }
/* redis_login.c: target and shown of a self that begins with a struct redis; the login's check. */
int redis_take_target(void *self_, char *text, char *why, size_t why_bytes);
void redis_show(const void *self_, char *at, size_t room);
int redis_check_login(struct redis *self, char *why, size_t why_bytes);

enum redis_cluster { REDIS_CLUSTER_AUTO, REDIS_CLUSTER_NO };

struct redis_node {
    const struct redis *redis;
    struct yarder_host *host;
    struct link *link;
    struct redis_replies *replies;
    struct link_address address;
    char name[REDIS_HOST_BYTES], port[6]; /* of a node that the cluster named */
    char shown[REDIS_HOST_BYTES + 16];

    char in[16 << 10];
    char *out; /* commands that are to be sent */
    size_t out_used, out_room;
    uint32_t asked[REDIS_PIPELINE]; /* items they are of, in order; REDIS_NO_ITEM: of none */
    uint32_t asked_count;
    bool failed; /* in this try, so nothing goes to it any more */
    bool proven; /* it took a command: until then, and from a "later" on, one goes alone */
    bool leave;  /* after this round: it said that it is not the one */
};
static const uint32_t REDIS_NO_ITEM = UINT32_MAX;

/* One item of the batch that is being tried. */
struct redis_try {
    uint8_t how; /* enum redis_how */
    uint8_t redirects;
    uint16_t node; /* that we were sent to, when redirects > 0 */
};
enum redis_how { REDIS_SEND, REDIS_ASKING, REDIS_LOOK, REDIS_OVER };

struct redis_run {
    struct redis *redis;
    struct yarder_host *host;
    struct redis_command command;
    struct redis_texts texts;
    struct redis_node *nodes[REDIS_NODES_MAX]; /* the first: the target */
    uint16_t nodes_count;
    uint16_t entry;  /* whom we ask about slots that we know nothing of */
    uint16_t *slots; /* node of each slot; NULL: no cluster as far as we know */
    struct redis_try *tries;
    uint32_t tries_room;
    int error; /* the first of this try */
};

int redis_run_open(struct redis *redis, struct yarder_host *host);
void redis_run_close(struct redis_run *run); /* NULL is none */
int redis_run_submit(struct redis_run *run, struct yarder_batch *batch, uint64_t deadline_ns);

/* `place` NULL: the target. 0, or a negative errno by host->fail. */
int redis_node_open(struct redis_node **out, const struct redis *redis, struct yarder_host *host,
    const struct redis_place *place);
void redis_node_close(struct redis_node *node); /* NULL is none */
/* Connected and greeted: password, database. A connection that the server has left is made anew. */
int redis_node_connect(struct redis_node *node, uint64_t deadline_ns);
/* Room for `bytes` more in out. */
int redis_node_make_room(struct redis_node *node, size_t bytes);
int redis_node_send(struct redis_node *node, uint64_t deadline_ns);
int redis_node_receive(struct redis_node *node, struct redis_reply *out, uint64_t deadline_ns);
/* Whether a reply is there that nobody asked for. */
bool redis_node_has_more(struct redis_node *node);
/* Drops the connection, and what was to be sent or answered. */
void redis_node_drop(struct redis_node *node);

#endif
