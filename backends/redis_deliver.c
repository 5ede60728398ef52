/* SPDX-License-Identifier: Apache-2.0 */
/* A batch: in rounds, until each item has its answer or its server has failed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "redis_private.h"

static const uint16_t slot_unknown = UINT16_MAX;

int redis_run_open(struct redis *redis, struct yarder_host *host)
{
    struct redis_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        return host->fail(host, -ENOMEM, "no memory");
    }
    run->redis = redis;
    run->host = host;
    run->texts.host = (struct yarder_text){host->hostname, strlen(host->hostname)};
    size_t prefix_bytes = redis->prefix == NULL ? 0 : strlen(redis->prefix);
    run->texts.prefix = (struct yarder_text){redis->prefix, prefix_bytes};
    char why[256];
    int r = redis_command_compile(&run->command, redis->command, redis->literal, why, sizeof(why));
    r = r < 0 ? host->fail(host, r, "command: %s", why)
              : redis_node_open(&run->nodes[0], redis, host, NULL);
    if (r < 0) {
        free(run);
        return r;
    }
    run->nodes_count = 1;
    redis->run = run;
    return 0;
}

void redis_run_close(struct redis_run *run)
{
    if (run != NULL) {
        for (unsigned i = 0; i < run->nodes_count; i++) {
            redis_node_close(run->nodes[i]);
        }
        free(run->slots);
        free(run->tries);
        free(run);
    }
}

/* ---- the cluster ---- */

/* The node of that place, opened when we meet it first; NULL: there is no room. */
static struct redis_node *find_node(
    struct redis_run *run, const struct redis_place *place, uint16_t *index)
{
    for (uint16_t i = 0; i < run->nodes_count; i++) {
        const struct link_address *address = &run->nodes[i]->address;
        if (address->host != NULL && strcmp(address->host, place->host) == 0 &&
            strcmp(address->port, place->port) == 0) {
            *index = i;
            return run->nodes[i];
        }
    }
    if (run->nodes_count == REDIS_NODES_MAX) {
        (void)run->host->fail(
            run->host, -ENOBUFS, "over %d nodes of a cluster, or names of them", REDIS_NODES_MAX);
        return NULL;
    }
    struct redis_node **node = &run->nodes[run->nodes_count];
    if (redis_node_open(node, run->redis, run->host, place) < 0) {
        return NULL;
    }
    *index = run->nodes_count++;
    return *node;
}

static bool learn(struct redis_run *run, uint16_t slot, uint16_t node)
{
    if (run->slots == NULL) {
        run->slots = malloc(REDIS_SLOTS * sizeof(*run->slots));
        if (run->slots == NULL) {
            (void)run->host->fail(run->host, -ENOMEM, "no memory for the slots of a cluster");
            return false;
        }
        memset(run->slots, 0xff, REDIS_SLOTS * sizeof(*run->slots));
    }
    run->slots[slot] = node;
    return true;
}

/* Its slots are somebody else's now, and somebody else tells us whose. */
static void forget(struct redis_run *run, const struct redis_node *node)
{
    for (unsigned i = 0; run->slots != NULL && i < REDIS_SLOTS; i++) {
        if (run->slots[i] != slot_unknown && run->nodes[run->slots[i]] == node) {
            run->slots[i] = slot_unknown;
        }
    }
    if (run->nodes[run->entry] == node) {
        run->entry = (uint16_t)((run->entry + 1) % run->nodes_count);
    }
}

/* Nodes come and go by ever new addresses: all are met anew, but the target and who answers. */
static void forget_all(struct redis_run *run)
{
    for (unsigned i = 1; i < run->nodes_count; i++) {
        if (i != run->entry) {
            redis_node_close(run->nodes[i]);
        }
    }
    run->nodes[1] = run->nodes[run->entry];
    run->nodes_count = run->entry == 0 ? 1 : 2;
    run->entry = (uint16_t)(run->nodes_count - 1);
    free(run->slots);
    run->slots = NULL;
}

static struct redis_node *node_of(
    struct redis_run *run, const struct yarder_item *item, const struct redis_try *try)
{
    struct redis_node *entry = run->nodes[run->entry];
    if (try->redirects > 0) {
        return run->nodes[try->node];
    }
    if (run->slots == NULL || !run->command.has_key ||
        redis_node_make_room(entry, redis_command_bound(&run->command, item, &run->texts)) < 0) {
        return entry;
    }
    char *room = entry->out + entry->out_used;
    uint16_t node = run->slots[redis_command_slot(&run->command, item, &run->texts, room)];
    return node == slot_unknown ? entry : run->nodes[node];
}

/* ---- answers ---- */

static void give_up(struct redis_run *run, struct redis_try *try, int error)
{
    try->how = REDIS_OVER;
    run->error = run->error == 0 ? error : run->error;
}

/* The first is told; the others of a batch mostly say the same. */
static void answer_later(struct redis_run *run, const struct redis_node *node,
    struct redis_try *try, int error, const char *text)
{
    if (run->error == 0) {
        (void)run->host->fail(run->host, error, "%s: %s", node->shown, text);
    }
    give_up(run, try, error);
}

static void redirect(struct redis_run *run, const struct redis_node *node, struct redis_try *try,
    bool moved, struct redis_place *place)
{
    if (run->redis->cluster == REDIS_CLUSTER_NO) {
        answer_later(run, node, try, -EXDEV,
            "a node of a cluster, and the key is another node's; cluster=auto asks that one");
        return;
    }
    if (place->host[0] == '\0') { /* the one that said so; by a unix socket, of this machine */
        (void)snprintf(place->host, sizeof(place->host), "%s",
            node->address.host != NULL ? node->address.host : "127.0.0.1");
    }
    uint16_t index = 0;
    if (++try->redirects > REDIS_REDIRECTS_MAX) {
        answer_later(run, node, try, -ELOOP, "the cluster's nodes send us to one another");
    } else if (find_node(run, place, &index) == NULL ||
               (moved && !learn(run, place->slot, index))) {
        give_up(run, try, -ENOBUFS);
    } else {
        uint8_t plain = try->how == REDIS_LOOK ? REDIS_LOOK : REDIS_SEND;
        try->how = moved ? plain : REDIS_ASKING;
        try->node = index;
    }
}

static void answer(struct redis_run *run, struct yarder_batch *batch, struct redis_node *node,
    uint32_t index, const struct redis_reply *reply)
{
    struct yarder_item *item = &batch->items[index];
    struct redis_try *try = &run->tries[index];
    struct redis_place place;
    enum redis_verdict verdict = redis_judge(reply, &place);
    if (verdict == REDIS_DENIED && try->how == REDIS_LOOK) {
        verdict = REDIS_DONE; /* may add and not look: what was refused as a double is one */
    }
    switch (verdict) {
    case REDIS_DONE:
        if (try->how == REDIS_LOOK && reply->is_empty) {
            run->host->refuse(run->host, item,
                "%s: the stream has a later entry, of somebody else's or one that overtook this",
                node->shown);
        } else {
            item->result = YARDER_DELIVERED;
        }
        node->proven = true;
        break;
    case REDIS_DENIED: /* of this key: a list of another may be allowed */
        node->failed = node->failed || run->command.tells_doubles;
        node->leave = true;
        answer_later(run, node, try, -EACCES, redis_reply_words(reply));
        break;
    case REDIS_AWAY:
    case REDIS_LATER:
        node->failed = true;
        node->proven = false;
        node->leave = node->leave || verdict == REDIS_AWAY;
        answer_later(run, node, try, -EAGAIN, reply->text);
        break;
    case REDIS_MOVED:
    case REDIS_ASK:
        redirect(run, node, try, verdict == REDIS_MOVED, &place);
        break;
    case REDIS_OLD_ID:
        if (batch->again && run->command.tells_doubles && try->how != REDIS_LOOK) {
            try->how = REDIS_LOOK;
            break;
        }
        run->host->refuse(run->host, item, "%s: %s", node->shown, reply->text);
        break;
    case REDIS_WRONG:
        run->host->refuse(run->host, item, "%s: %s", node->shown, reply->text);
        break;
    }
}

/* ---- rounds ---- */

static void fail_node(struct redis_run *run, struct redis_node *node, uint32_t answered, int error)
{
    for (uint32_t i = answered; i < node->asked_count; i++) {
        if (node->asked[i] != REDIS_NO_ITEM) {
            give_up(run, &run->tries[node->asked[i]], error);
        }
    }
    node->failed = true;
    redis_node_drop(node);
    if (error != -ECANCELED) {
        forget(run, node);
    }
}

static int put_item(struct redis_run *run, struct redis_node *node, const struct yarder_item *item,
    const struct redis_try *try, uint32_t index)
{
    static const char *const asking[] = {"ASKING"};
    size_t bound = redis_command_bound(&run->command, item, &run->texts) + 2 * REDIS_WORD_BYTES;
    int r = redis_node_make_room(node, bound);
    if (r < 0) {
        return r;
    }
    char *at = node->out + node->out_used;
    if (try->how == REDIS_ASKING) {
        at = redis_put_words(at, asking, 1);
        node->asked[node->asked_count++] = REDIS_NO_ITEM;
    }
    at = try->how == REDIS_LOOK ? redis_command_put_look(&run->command, item, &run->texts, at)
                                : redis_command_put(&run->command, item, &run->texts, at);
    node->asked[node->asked_count++] = index;
    node->out_used = (size_t)(at - node->out);
    return 0;
}

/* One node that cannot be reached leaves the others half of the time. */
static int connect_node(struct redis_node *node, uint64_t deadline_ns)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return redis_node_connect(
        node, deadline_ns <= now_ns ? deadline_ns : now_ns + (deadline_ns - now_ns) / 2);
}

/* Fills the nodes' pipelines; stops at the first that is full, so nobody overtakes. */
static uint32_t fill(struct redis_run *run, struct yarder_batch *batch, uint64_t deadline_ns)
{
    uint32_t filled = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct redis_try *try = &run->tries[i];
        if (batch->items[i].result != YARDER_LATER || try->how == REDIS_OVER) {
            continue;
        }
        struct redis_node *node = node_of(run, &batch->items[i], try);
        if (node->failed) {
            give_up(run, try, -EPIPE);
            continue;
        }
        if (node->asked_count + 2 > REDIS_PIPELINE || node->out_used >= REDIS_OUT_BYTES ||
            (node->asked_count > 0 && !node->proven)) {
            break;
        }
        int r = node->asked_count == 0 ? connect_node(node, deadline_ns) : 0;
        if (r == 0) {
            r = put_item(run, node, &batch->items[i], try, i);
            filled += r == 0;
        }
        if (r < 0) {
            give_up(run, try, r);
            fail_node(run, node, 0, r);
        }
    }
    return filled;
}

static void exchange(struct redis_run *run, struct yarder_batch *batch, uint64_t deadline_ns)
{
    uint16_t nodes_count = run->nodes_count; /* answers may name more */
    for (unsigned i = 0; i < nodes_count; i++) {
        struct redis_node *node = run->nodes[i];
        int r = node->asked_count == 0 ? 0 : redis_node_send(node, deadline_ns);
        if (r < 0) {
            fail_node(run, node, 0, r);
        }
    }
    for (unsigned i = 0; i < nodes_count; i++) {
        struct redis_node *node = run->nodes[i];
        struct redis_reply reply;
        for (uint32_t k = 0; k < node->asked_count; k++) {
            int r = redis_node_receive(node, &reply, deadline_ns);
            if (r < 0) {
                fail_node(run, node, k, r);
            } else if (node->asked[k] != REDIS_NO_ITEM) {
                answer(run, batch, node, node->asked[k], &reply);
            }
        }
        node->asked_count = 0;
        if (redis_node_has_more(node)) {
            (void)run->host->fail(run->host, -EBADMSG,
                "%s: more replies than commands; is it one "
                "that subscribes?",
                node->shown);
            node->leave = true;
        }
        if (node->leave) {
            redis_node_drop(node);
        }
    }
}

int redis_run_submit(struct redis_run *run, struct yarder_batch *batch, uint64_t deadline_ns)
{
    if (run->tries_room < batch->count) {
        free(run->tries);
        run->tries = malloc(batch->count * sizeof(*run->tries));
        run->tries_room = run->tries == NULL ? 0 : batch->count;
        if (run->tries == NULL) {
            return run->host->fail(run->host, -ENOMEM, "no memory for a batch");
        }
    }
    memset(run->tries, 0, batch->count * sizeof(*run->tries));
    run->error = 0;
    if (run->nodes_count == REDIS_NODES_MAX) {
        forget_all(run);
    }
    for (unsigned i = 0; i < run->nodes_count; i++) {
        run->nodes[i]->failed = false;
    }
    while (fill(run, batch, deadline_ns) > 0) { /* an item comes again REDIS_REDIRECTS_MAX times */
        exchange(run, batch, deadline_ns);
    }
    return run->error;
}
