/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "redis_source.h"

enum { NUMBER_BYTES = 24 };
static const uint64_t answer_within_ns = UINT64_C(10) * 1000000000;

static const uint64_t ms_ns = 1000000;
static const uint64_t end_within_ns = UINT64_C(3) * 1000000000;

static int wait_patiently(struct yarder_host *patient, int fd, short events, uint64_t deadline_ns)
{
    struct redis_source *self =
        (struct redis_source *)(void *)((char *)patient - offsetof(struct redis_source, patient));
    int r = self->wanted_ns > 0 ? -ECANCELED
                                : self->host->host.wait(&self->host->host, fd, events, deadline_ns);
    if (r != -ECANCELED) {
        return r;
    }
    uint64_t now_ns = monotonic_ns();
    self->wanted_ns = self->wanted_ns == 0 ? now_ns : self->wanted_ns;
    uint64_t end_ns = self->wanted_ns + end_within_ns;
    end_ns = deadline_ns < end_ns ? deadline_ns : end_ns;
    struct pollfd ready = {.fd = fd, .events = events};
    int found = poll(&ready, 1, end_ns > now_ns ? (int)((end_ns - now_ns) / ms_ns) : 0);
    return found > 0 ? ready.revents : found == 0 && end_ns == deadline_ns ? 0 : -ECANCELED;
}

void redis_talk_init(struct redis_source *self)
{
    self->patient = self->host->host;
    self->patient.wait = wait_patiently;
}

int redis_talk_settle(struct redis_source *self)
{
    struct yarder_source_host *host = self->host;
    while (host->settled(host) < host->last(host)) {
        if (host->host.wait(&host->host, -1, 0, monotonic_ns() + ms_ns) < 0) {
            return host->settle(host, monotonic_ns() + end_within_ns) ? -ECANCELED : -ETIMEDOUT;
        }
    }
    return 0;
}

int redis_talk_await(struct redis_source *self, redisReply **out, uint64_t deadline_ns)
{
    struct yarder_host *host = &self->host->host;
    for (;;) { /* until the deadline */
        uint64_t now_ns = monotonic_ns();
        int r = redis_talk_reply(self, out, now_ns);
        if (r != -EAGAIN || now_ns >= deadline_ns) {
            return r;
        }
        r = host->wait(host, link_fd(self->node->link), POLLIN, deadline_ns);
        if (r < 0) {
            return r;
        }
    }
}

uint64_t redis_talk_deadline(void)
{
    return monotonic_ns() + answer_within_ns;
}

int redis_talk_connect(struct redis_source *self)
{
    redis_node_drop(self->node);
    if (self->reader != NULL) {
        redisReaderFree(self->reader);
    }
    self->reader = redisReaderCreate();
    if (self->reader == NULL) {
        return self->host->host.fail(&self->host->host, -ENOMEM, "no memory for a connection");
    }
    self->reader->maxbuf = 0; /* it is as large as it is */
    return redis_node_connect(self->node, redis_talk_deadline());
}

int redis_talk_begin(struct redis_source *self, size_t words)
{
    int r = redis_node_make_room(self->node, REDIS_WORD_BYTES);
    if (r == 0) {
        char *at = self->node->out + self->node->out_used;
        self->node->out_used += (size_t)(redis_put_count(at, '*', words) - at);
    }
    return r;
}

int redis_talk_word(struct redis_source *self, struct yarder_text word)
{
    int r = redis_node_make_room(self->node, REDIS_WORD_BYTES + word.length);
    if (r == 0) {
        char *at = self->node->out + self->node->out_used;
        self->node->out_used += (size_t)(redis_put_word(at, word.at, word.length) - at);
    }
    return r;
}

int redis_talk_words(struct redis_source *self, const char *const *words, size_t count)
{
    int r = 0;
    for (size_t i = 0; i < count && r == 0; i++) {
        r = redis_talk_word(self, (struct yarder_text){words[i], strlen(words[i])});
    }
    return r;
}

int redis_talk_number(struct redis_source *self, uint64_t number)
{
    char text[NUMBER_BYTES];
    int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
    return redis_talk_word(self, (struct yarder_text){text, (size_t)length});
}

int redis_talk_send(struct redis_source *self)
{
    return redis_node_send(self->node, redis_talk_deadline());
}

/* What has come so far, to the reader. 0, or as link_receive, told. */
static int receive_more(struct redis_source *self, uint64_t deadline_ns)
{
    struct yarder_host *host = &self->host->host;
    struct redis_node *node = self->node;
    ssize_t count = link_receive(node->link, node->in, sizeof(node->in), deadline_ns);
    if (count == 0) {
        return host->fail(host, -EPIPE, "%s: the server has closed the connection", node->shown);
    }
    if (count < 0) {
        return (int)count;
    }
    if (self->reader->len - self->reader->pos + (size_t)count >
        (size_t)REDIS_REPLY_BYTES_MAX * 16) {
        return host->fail(host, -EMSGSIZE,
            "%s: a reply of over %d MiB; a smaller batch= would help", node->shown,
            REDIS_REPLY_BYTES_MAX >> 16);
    }
    return redisReaderFeed(self->reader, node->in, (size_t)count) == 0
               ? 0
               : host->fail(host, -ENOMEM, "no memory for a reply");
}

int redis_talk_reply(struct redis_source *self, redisReply **out, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline, or the most that a reply may have */
        void *object = NULL;
        if (redisReaderGetReply(self->reader, &object) != 0) {
            return self->host->host.fail(&self->host->host, -EBADMSG,
                "%s: what answers there is no redis server", self->node->shown);
        }
        if (object != NULL) {
            *out = object;
            return 0;
        }
        int r = receive_more(self, deadline_ns);
        if (r < 0) {
            return r;
        }
    }
}

int redis_talk_answer(struct redis_source *self, const char *what, redisReply **out)
{
    struct yarder_host *host = &self->host->host;
    int r = redis_talk_reply(self, out, redis_talk_deadline());
    if (r == -EAGAIN) {
        return host->fail(host, -ETIMEDOUT, "%s: %s: no reply in time", self->node->shown, what);
    }
    if (r == 0 && (*out)->type == REDIS_REPLY_ERROR) {
        r = host->fail(host, -EPROTO, "%s: %s: %.128s", self->node->shown, what, (*out)->str);
        freeReplyObject(*out);
        *out = NULL;
    }
    return r;
}
