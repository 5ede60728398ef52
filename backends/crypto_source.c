/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crypto as an input: what the output crypto and uWSGI's logcrypto send, by either form. A datagram
 * that does not open is refused and counted, and why is said; the sealed form knows what was here
 * before as long as this process lives.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/source.h"
#include "bytes.h"
#include "crypto_opener.h"
#include "receive.h"

struct crypto_source {
    char *address;
    struct crypto_opener opener;

    struct yarder_source_host *host;
    struct receive *receive;
    bool opened;
    char plain[RECEIVE_BYTES_MAX + YARDER_OPENER_SLACK_BYTES];
};

#define OPENER_FIELD(member) offsetof(struct crypto_source, opener.member)

static const struct yarder_option options[] = {
    CRYPTO_OPENER_OPTIONS(OPENER_FIELD),
    {.kind = YARDER_OPTION_END},
};

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct crypto_source *self = self_;
    self->address = text;
    if (strchr(text, ':') == NULL) {
        (void)snprintf(why, why_bytes, "expected HOST:PORT");
        return -EINVAL;
    }
    return 0;
}

/* Once without network or files: whether there is such a cipher, and the key is one. */
static int check(void *self_, char *why, size_t why_bytes)
{
    const struct crypto_source *self = self_;
    struct crypto_opener *trial = malloc(sizeof(*trial));
    if (trial == NULL) {
        return -ENOMEM;
    }
    *trial = self->opener;
    int r = crypto_opener_open(trial, why, why_bytes);
    crypto_opener_close(trial);
    explicit_bzero(trial, sizeof(*trial));
    free(trial);
    return r;
}

static void show(const void *self_, char *at, size_t room)
{
    const struct crypto_source *self = self_;
    (void)snprintf(at, room, "%s", self->address);
}

static const char *listens(const void *self_, bool *stream)
{
    const struct crypto_source *self = self_;
    *stream = false;
    return self->address;
}

static int open_source(void *self_, struct yarder_source_host *host)
{
    struct crypto_source *self = self_;
    char why[256] = "";
    self->host = host;
    self->opened = true;
    if (crypto_opener_open(&self->opener, why, sizeof(why)) < 0) {
        return host->host.fail(&host->host, -EINVAL, "%s", why);
    }
    return receive_open(&self->receive, host);
}

static void close_source(void *self_)
{
    struct crypto_source *self = self_;
    receive_close(self->receive);
    if (self->opened) {
        crypto_opener_close(&self->opener);
    }
}

static int64_t realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void take(void *self_, const struct received *datagram)
{
    static const char *const words[] = {
        [YARDER_OPENED_UNKNOWN] = "of another key, or not encrypted",
        [YARDER_OPENED_FORGED] = "forged, or damaged on its way",
        [YARDER_OPENED_REPLAYED] = "was here before",
        [YARDER_OPENED_EXPIRED] = "too old, or a clock is wrong"};
    struct crypto_source *self = self_;
    struct yarder_record record = {.peer = datagram->peer,
        .flags = YARDER_FLAG_NETWORK,
        .facility = YARDER_FACILITY_NONE,
        .received_ns = realtime_ns()};
    enum yarder_opened opened =
        crypto_opener_take(&self->opener, (struct yarder_text){datagram->at, datagram->length},
            record.received_ns, self->plain, &record.text);
    if (opened != YARDER_OPENED_GOOD) {
        self->host->refuse(self->host, 1);
        (void)self->host->host.fail(
            &self->host->host, -EBADMSG, "a datagram of %s: %s", datagram->peer.at, words[opened]);
        return;
    }
    record.time_ns = crypto_opener_time(&self->opener, &record.text);
    self->host->put(self->host, &record);
}

static int run(void *self_)
{
    static const struct receive_ops ops = {.take = take};
    struct crypto_source *self = self_;
    return receive_serve(self->receive, &ops, self);
}

YARDER_EXPORT extern const struct yarder_source yarder_source;
const struct yarder_source yarder_source = {
    .abi = YARDER_SOURCE_ABI,
    .struct_bytes = sizeof(struct yarder_source),
    .name = "crypto",
    .help = "crypto:HOST:PORT: encrypted datagrams, sealed or of uWSGI's logcrypto",
    .self_bytes = sizeof(struct crypto_source),
    .options = options,
    .target = take_target,
    .shown = show,
    .check = check,
    .listens = listens,
    .open = open_source,
    .run = run,
    .close = close_source,
};
