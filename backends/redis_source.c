/* SPDX-License-Identifier: Apache-2.0 */
/* redis as an input: redis_source.h. */
#include "redis_source.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"

static const uint64_t ms_ns = 1000000;
static const uint64_t quiet_ns = UINT64_C(30) * 1000000000;
/* Of ids that are times: from 2001 on, and not long after now. */
static const uint64_t id_ms_first = UINT64_C(1000000000000);
static const uint64_t id_ms_ahead = UINT64_C(86400000);

static const char *const pop_choices[] = {"left", "right", NULL};

#define FIELD(member) offsetof(struct redis_source, member)

static const struct yarder_option options[] = {
    {"list", YARDER_OPTION_TEXTS, FIELD(lists), NULL, 0, 0, NULL, NULL, "KEY",
        "a list whose elements are records; may repeat"},
    {"pop", YARDER_OPTION_CHOICE, FIELD(pop), "left", 0, 0, pop_choices, NULL, "left|right",
        "the end of a list that is taken from: left keeps the order of rpush"},
    {"acknowledge", YARDER_OPTION_BOOL, FIELD(acknowledge), "yes", 0, 0, NULL, NULL, "yes|no",
        "whether a list's elements stay with the server, in KEY:taken:CONSUMER, until a commit "
        "has them"},
    {"stream", YARDER_OPTION_TEXTS, FIELD(streams), NULL, 0, 0, NULL, NULL, "KEY",
        "a stream that is read as a group's consumer, acknowledged after the commit; may repeat"},
    {"consumer-group", YARDER_OPTION_TEXT, FIELD(group), "yarder", 0, 0, NULL, NULL, "NAME",
        "the group, made from the stream's beginning where it is missing"},
    {"consumer", YARDER_OPTION_TEXT, FIELD(consumer), NULL, 0, 0, NULL, NULL, "NAME",
        "our name among those who take from the same place; else the machine's and the input's"},
    {"field", YARDER_OPTION_TEXT, FIELD(field), "msg", 0, 0, NULL, NULL, "NAME",
        "the field of an entry that is the text; the others become the record's"},
    {"claim", YARDER_OPTION_DURATION, FIELD(claim_ns), "0ms", 0, UINT64_C(86400) * 1000000000, NULL,
        NULL, "TIME", "take over what lay unacknowledged with another consumer for so long; 0: no"},
    {"channel", YARDER_OPTION_TEXTS, FIELD(channels), NULL, 0, 0, NULL, NULL, "NAME",
        "a channel to subscribe to; may repeat"},
    {"channels", YARDER_OPTION_TEXTS, FIELD(patterns), NULL, 0, 0, NULL, NULL, "PATTERN",
        "channels to subscribe to, with * ? []; may repeat"},
    {"batch", YARDER_OPTION_COUNT, FIELD(batch), "500", 1, REDIS_BATCH_MAX, NULL, NULL, "NUMBER",
        "elements or entries that are asked for at a time"},
    REDIS_LOGIN_OPTIONS(struct redis_source, redis.user, redis.password, redis.database),
    LINK_TLS_OPTIONS(struct redis_source, redis.tls),
    {.kind = YARDER_OPTION_END},
};

static int check(void *self_, char *why, size_t why_bytes)
{
    struct redis_source *self = self_;
    bool lists = self->lists.count > 0;
    bool streams = self->streams.count > 0;
    bool channels = self->channels.count + self->patterns.count > 0;
    if (lists + streams + channels != 1) {
        (void)snprintf(why, why_bytes, "expected list=, stream= or channel=, of one kind");
        return -EINVAL;
    }
    if (self->lists.count > REDIS_KEYS_MAX || self->streams.count > REDIS_KEYS_MAX) {
        (void)snprintf(why, why_bytes, "at most %d keys", REDIS_KEYS_MAX);
        return -EINVAL;
    }
    return redis_check_login(&self->redis, why, why_bytes);
}

static int name_consumer(struct redis_source *self)
{
    const struct yarder_host *host = &self->host->host;
    if (self->consumer == NULL) {
        if (asprintf(&self->made_consumer, "%s:%s", host->hostname, host->output_name) < 0) {
            self->made_consumer = NULL;
            return -ENOMEM;
        }
        self->consumer = self->made_consumer;
    }
    (void)snprintf(self->taken, sizeof(self->taken), ":taken:%s", self->consumer);
    return 0;
}

static int open_source(void *self_, struct yarder_source_host *host)
{
    struct redis_source *self = self_;
    self->host = host;
    redis_talk_init(self);
    self->unsettled = calloc(REDIS_UNSETTLED_MAX, sizeof(*self->unsettled));
    if (self->unsettled == NULL || name_consumer(self) < 0) {
        return host->host.fail(&host->host, -ENOMEM, "no memory");
    }
    return redis_node_open(&self->node, &self->redis, &self->patient, NULL);
}

static void close_source(void *self_)
{
    struct redis_source *self = self_;
    redis_node_close(self->node);
    if (self->reader != NULL) {
        redisReaderFree(self->reader);
    }
    free(self->unsettled);
    free(self->made_consumer);
}

static int64_t time_of(const struct redis_entry *entry)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    uint64_t now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / ms_ns;
    bool is_time = entry->id.ms >= id_ms_first && entry->id.ms <= now_ms + id_ms_ahead;
    return is_time ? (int64_t)(entry->id.ms * ms_ns) : 0;
}

void redis_source_put(struct redis_source *self, const char *key, struct yarder_text text,
    const struct redis_entry *entry)
{
    struct yarder_record record = {.text = text,
        .tag = {key, strlen(key)},
        .flags = YARDER_FLAG_NETWORK,
        .facility = YARDER_FACILITY_NONE};
    if (entry != NULL) {
        record.fields = entry->fields;
        record.fields_count = entry->fields_count;
        record.flags |= entry->cut ? (uint32_t)YARDER_FLAG_TRUNCATED : 0;
        record.time_ns = time_of(entry);
    }
    self->host->put(self->host, &record);
}

static int subscribe(struct redis_source *self, const char *word, const struct yarder_texts *names)
{
    if (names->count == 0) {
        return 0;
    }
    int r = redis_talk_begin(self, 1 + (size_t)names->count);
    r = r < 0 ? r : redis_talk_words(self, &word, 1);
    return r < 0 ? r : redis_talk_words(self, (const char *const *)names->at, names->count);
}

/* A message, or what else a subscriber is told; an error is none of these. */
static int take_message(struct redis_source *self, const redisReply *reply)
{
    struct yarder_host *host = &self->host->host;
    struct yarder_text channel, text;
    if (reply->type == REDIS_REPLY_ERROR) {
        return host->fail(host, -EPROTO, "%s: SUBSCRIBE: %.128s", self->node->shown, reply->str);
    }
    if (redis_tree_message(reply, &channel, &text) == 1) {
        const struct yarder_record record = {.text = text,
            .tag = channel,
            .flags = YARDER_FLAG_NETWORK,
            .facility = YARDER_FACILITY_NONE};
        self->host->put(self->host, &record);
    }
    return 0;
}

/* A server that says nothing for long is asked whether it is there. */
static int listen_to(struct redis_source *self)
{
    struct yarder_host *host = &self->host->host;
    bool asked = false;
    int r = subscribe(self, "SUBSCRIBE", &self->channels);
    r = r < 0 ? r : subscribe(self, "PSUBSCRIBE", &self->patterns);
    r = r < 0 ? r : redis_talk_send(self);
    while (r == 0) {
        redisReply *reply = NULL;
        r = redis_talk_await(self, &reply, monotonic_ns() + quiet_ns);
        if (r == 0) {
            r = take_message(self, reply);
            freeReplyObject(reply);
            asked = false;
        } else if (r == -EAGAIN && asked) {
            r = host->fail(host, -ETIMEDOUT, "%s: says nothing any more", self->node->shown);
        } else if (r == -EAGAIN) {
            asked = true;
            r = redis_talk_begin(self, 1);
            r = r < 0 ? r : redis_talk_words(self, (const char *[]){"PING"}, 1);
            r = r < 0 ? r : redis_talk_send(self);
        }
    }
    return r;
}

static int run(void *self_)
{
    struct redis_source *self = self_;
    int r = redis_talk_connect(self);
    if (r == 0) {
        r = self->lists.count > 0     ? redis_source_lists(self)
            : self->streams.count > 0 ? redis_source_streams(self)
                                      : listen_to(self);
    }
    redis_node_drop(self->node);
    return r;
}

YARDER_EXPORT extern const struct yarder_source yarder_source;
const struct yarder_source yarder_source = {
    .abi = YARDER_SOURCE_ABI,
    .struct_bytes = sizeof(struct yarder_source),
    .name = "redis",
    .help =
        "redis:[PASSWORD@]HOST:PORT[/DB], tls://HOST:PORT, /PATH: lists, channels or streams of "
        "a redis server",
    .self_bytes = sizeof(struct redis_source),
    .options = options,
    .target = redis_take_target,
    .shown = redis_show,
    .check = check,
    .open = open_source,
    .run = run,
    .close = close_source,
};
