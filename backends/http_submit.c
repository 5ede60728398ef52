/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to a URL. The answer's status decides: 2xx delivered; 408, 425, 429, 5xx and whatever is
 * no answer, later; redirects are not followed, and later too, as are 401, 403, 404, 405 and 407,
 * for the configuration is wrong and not the record; any other 4xx refused. A batch that is refused
 * as too large or as wrong is cut in halves first, so that one bad record does not take others with
 * it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#include "http_private.h"

static const uint64_t second_ns = 1000000000;

static int expected(char *why, size_t why_bytes, const char *what)
{
    (void)snprintf(why, why_bytes, "expected %s", what);
    return -EINVAL;
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

int http_set_url(struct http *self, char *text, char *why, size_t why_bytes)
{
    self->url = text;
    CURLU *url = curl_url();
    bool good = (strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0) &&
                url != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                !has_part(url, CURLUPART_FRAGMENT);
    bool has_user = good && (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD));
    curl_url_cleanup(url);
    if (has_user) {
        return expected(why, why_bytes, "user= and password= as options, none in the URL");
    }
    return good ? 0 : expected(why, why_bytes, "a URL, as in http://HOST[:PORT]/PATH or https://");
}

/* What may be shown: a query often holds a key. */
void http_shown(const void *self_, char *at, size_t room)
{
    const struct http *self = self_;
    size_t length = strcspn(self->url, "?");
    (void)snprintf(
        at, room, "%.*s%s", (int)length, self->url, self->url[length] == '?' ? "?..." : "");
}

/* A request's records: the first one's id, the last one's number, and how many they are. */
static struct http_request_id name_records(
    const struct yarder_batch *batch, uint32_t first, uint32_t count, uint32_t put)
{
    uint32_t last = first + count - 1;
    while (batch->items[first].result != YARDER_LATER) { /* there is one: put is not 0 */
        first++;
    }
    while (batch->items[last].result != YARDER_LATER) {
        last--;
    }
    return (struct http_request_id){
        .first = batch->items[first].id, .last = batch->items[last].id, .count = put};
}

static void make_key(const struct http_request_id *id, char *at, size_t room)
{
    int length = snprintf(
        at, room, "Idempotency-Key: \"%" PRIu64 "-%" PRIu64, id->first.epoch_ns, id->first.number);
    if (id->count > 1) {
        (void)snprintf(at + length, room - (size_t)length, "-%" PRIu64 "-%" PRIu32 "\"",
            id->last.number, id->count);
    } else {
        (void)snprintf(at + length, room - (size_t)length, "\"");
    }
}

/* Who we are, or where and how we ask: no record is the cause. */
static bool is_about_us(long status)
{
    return (status >= 300 && status < 400) || status == 401 || status == 403 || status == 404 ||
           status == 405 || status == 407;
}

static bool is_for_later(long status)
{
    return status < 200 || status >= 500 || is_about_us(status) || status == 408 || status == 425 ||
           status == 429;
}

/* Smaller may be better. */
static bool is_about_some(long status)
{
    return status == 400 || status == 413 || status == 422;
}

/* The answer's first line; a server may repeat what it was sent. */
static const char *show_answer(const struct http *self, char text[ANSWER_BYTES + 1])
{
    const struct yarder_text answer = {self->answer.text, self->answer.text_length};
    const char *colon = self->secret_header == NULL ? NULL : strchr(self->secret_header, ':');
    (void)curl_client_show(answer, text, ANSWER_BYTES + 1);
    curl_client_hide(text, self->password);
    curl_client_hide(text, colon == NULL ? NULL : colon + 1 + strspn(colon + 1, " "));
    return text;
}

static int put_off(struct http *self, long status)
{
    char shown[LOCATION_BYTES];
    http_shown(self, shown, sizeof(shown));
    if (self->answer.retry_after_s > 0) {
        self->pause_until_ns = monotonic_ns() + self->answer.retry_after_s * second_ns;
    }
    if (status >= 300 && status < 400) {
        return self->host->fail(self->host, -EREMCHG,
            "%s answers %ld, to go to %s: redirects are not followed", shown, status,
            self->answer.location[0] == '\0' ? "another place" : self->answer.location);
    }
    if (is_about_us(status)) {
        char text[ANSWER_BYTES + 1];
        return self->host->fail(
            self->host, -EACCES, "%s answers %ld: %s", shown, status, show_answer(self, text));
    }
    return self->host->fail(self->host, -EAGAIN, "%s answers %ld%s", shown, status,
        self->answer.retry_after_s > 0 ? ", and to wait" : "");
}

static void settle(
    struct http *self, struct yarder_batch *batch, uint32_t first, uint32_t count, long status)
{
    char text[ANSWER_BYTES + 1];
    for (uint32_t i = first; i < first + count; i++) {
        struct yarder_item *item = &batch->items[i];
        if (item->result != YARDER_LATER) {
            continue;
        }
        if (status < 300) {
            item->result = YARDER_DELIVERED;
        } else {
            self->host->refuse(
                self->host, item, "the server answers %ld: %s", status, show_answer(self, text));
        }
    }
}

/* What the server asked us to wait: 0 when that is over. */
static int pause(struct http *self, uint64_t deadline_ns)
{
    uint64_t until_ns = self->pause_until_ns < deadline_ns ? self->pause_until_ns : deadline_ns;
    while (monotonic_ns() < until_ns) {
        int r = self->host->wait(self->host, -1, 0, until_ns);
        if (r < 0) {
            return r;
        }
    }
    return until_ns == self->pause_until_ns
               ? 0
               : self->host->fail(self->host, -EAGAIN, "the server asked us to wait");
}

/*
 * A request that was not answered is made again of the same records, whatever waits behind them by
 * now: else its key would not tell that it is the same. How many that are; UINT32_MAX: no such one.
 */
static uint32_t as_before(const struct http *self, const struct yarder_item *item)
{
    bool same = self->unanswered.count > 0 && item->id.number == self->unanswered.first.number &&
                item->id.epoch_ns == self->unanswered.first.epoch_ns;
    return same ? self->unanswered.count : UINT32_MAX;
}

int http_submit(struct http *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    char key[128];
    uint32_t items_max = as_before(self, &batch->items[0]);
    uint32_t put = 0;
    int r = pause(self, deadline_ns);
    for (uint32_t at = 0, count; at < batch->count && r == 0; at += count) {
        long status = 0;
        count = http_make_body(&self->request, (enum http_kind)self->body, self->host, batch, at,
            items_max, self->request_bytes, &put);
        if (put == 0) {
            continue; /* refused already */
        }
        self->unanswered = name_records(batch, at, count, put);
        make_key(&self->unanswered, key, sizeof(key));
        r = http_request(self, key, deadline_ns, &status);
        if (r == -EMSGSIZE) {
            self->host->refuse(self->host, &batch->items[at], "too long for a URL");
            r = 0;
        } else if (r == 0 && is_for_later(status)) {
            r = put_off(self, status);
        } else if (r == 0 && is_about_some(status) && put > 1) {
            items_max = put / 2;
            count = 0;
        } else if (r == 0) {
            settle(self, batch, at, count, status);
            self->unanswered.count = 0;
            items_max = items_max > UINT32_MAX / 2 ? UINT32_MAX : items_max * 2;
        }
    }
    return r;
}
