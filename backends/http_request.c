/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "http_private.h"

enum { ANSWER_END_BYTES = 1 << 20, PAUSE_MAX_S = 300 };

static size_t take_text(char *from, size_t one, size_t count, void *self_)
{
    struct http *self = self_;
    struct answer *answer = &self->answer;
    size_t length = one * count;
    size_t room = sizeof(answer->text) - answer->text_length;
    memcpy(answer->text + answer->text_length, from, length < room ? length : room);
    answer->text_length += length < room ? length : room;
    answer->bytes += length;
    return answer->bytes > ANSWER_END_BYTES ? 0 : length; /* 0 ends the transfer */
}

static bool is_header_of(struct yarder_text line, const char *name, struct yarder_text *value)
{
    size_t length = strlen(name);
    if (line.length <= length || strncasecmp(line.at, name, length) != 0 ||
        line.at[length] != ':') {
        return false;
    }
    *value = (struct yarder_text){line.at + length + 1, line.length - length - 1};
    while (value->length > 0 && (value->at[0] == ' ' || value->at[0] == '\t')) {
        value->at++;
        value->length--;
    }
    while (value->length > 0 && (uint8_t)value->at[value->length - 1] <= ' ') {
        value->length--;
    }
    return true;
}

static size_t take_header(char *from, size_t one, size_t count, void *self_)
{
    struct http *self = self_;
    const struct yarder_text line = {from, one * count};
    struct yarder_text value;
    if (is_header_of(line, "location", &value)) {
        (void)curl_client_show(value, self->answer.location, sizeof(self->answer.location));
    } else if (is_header_of(line, "retry-after", &value)) {
        char digits[64];
        (void)curl_client_show(value, digits, sizeof(digits));
        char *end = digits;
        unsigned long seconds = strtoul(digits, &end, 10);
        if (end == digits || *end != '\0') { /* a date */
            time_t date = curl_getdate(digits, NULL);
            time_t now = time(NULL);
            seconds = date > now ? (unsigned long)(date - now) : 0;
        }
        self->answer.retry_after_s = seconds < PAUSE_MAX_S ? seconds : PAUSE_MAX_S;
    }
    return line.length;
}

static bool add_header(struct http *self, const char *header)
{
    struct curl_slist *list = curl_slist_append(self->list, header);
    self->list = list == NULL ? self->list : list;
    return list != NULL;
}

static bool add_headers(struct http *self)
{
    char type[128];
    (void)snprintf(
        type, sizeof(type), "Content-Type: %s", http_content_type((enum http_kind)self->body));
    bool typed = self->method == METHOD_GET;
    bool good = add_header(self, "Expect:");
    for (uint32_t i = 0; i < self->headers.count; i++) {
        typed = typed || strncasecmp(self->headers.at[i], "content-type:", 13) == 0;
        good = good && add_header(self, self->headers.at[i]);
    }
    good = good && (typed || add_header(self, type));
    good = good && (!self->gzip || add_header(self, "Content-Encoding: gzip"));
    return good && (self->secret_header == NULL || add_header(self, self->secret_header));
}

/* servername= is what the URL then says; where to connect to, and the Host, stay those of to=. */
static bool set_server_name(struct http *self)
{
    CURLU *url = curl_url();
    char *host = NULL;
    char *port = NULL;
    struct bytes text = {0};
    bool good = url != NULL && curl_url_set(url, CURLUPART_URL, self->url, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_set(url, CURLUPART_HOST, self->tls.servername, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_URL, &self->named_url, 0) == CURLUE_OK;
    if (good) {
        bytes_put_words(&text, "Host: %s:%s", host, port);
        bytes_put_char(&text, '\0');
        good = !text.lacks && add_header(self, text.at);
        bytes_clear(&text);
        bytes_put_words(&text, "::%s:%s", host, port);
        bytes_put_char(&text, '\0');
        self->connect_to = good && !text.lacks ? curl_slist_append(NULL, text.at) : NULL;
        good = self->connect_to != NULL;
    }
    curl_free(host);
    curl_free(port);
    bytes_free(&text);
    curl_url_cleanup(url);
    return good;
}

int http_request_open(struct http *self, struct yarder_host *host)
{
    char agent[64];
    self->host = host;
    int r = curl_client_open(&self->client, host, "http,https");
    if (r < 0) {
        return r;
    }
    if (!add_headers(self) || (self->tls.servername != NULL && !set_server_name(self))) {
        return host->fail(host, -ENOMEM, "out of memory");
    }
    CURL *easy = self->client.easy;
    curl_client_set_tls(&self->client, &self->tls);
    (void)snprintf(agent, sizeof(agent), "yarder/%s", host->version);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, agent);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, self->connect_to);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_text);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, self);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, self);
    if (self->proxy != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_PROXY, self->proxy);
    }
    if (self->user != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, self->user);
        (void)curl_easy_setopt(
            easy, CURLOPT_PASSWORD, self->password == NULL ? "" : self->password);
    }
    return 0;
}

void http_request_close(struct http *self)
{
    curl_client_close(&self->client);
    curl_slist_free_all(self->list);
    curl_slist_free_all(self->connect_to);
    curl_free(self->named_url);
    bytes_free(&self->request);
    bytes_free(&self->get_url);
}

static const char *base_url(const struct http *self)
{
    return self->named_url != NULL ? self->named_url : self->url;
}

static int describe_get(struct http *self)
{
    bytes_clear(&self->get_url);
    bytes_put_word(&self->get_url, base_url(self));
    bytes_put_char(&self->get_url, strchr(base_url(self), '?') == NULL ? '?' : '&');
    bytes_put(&self->get_url, self->request.at, self->request.length);
    bytes_put_char(&self->get_url, '\0');
    if (self->get_url.lacks) {
        return -ENOMEM;
    }
    if (curl_easy_setopt(self->client.easy, CURLOPT_URL, self->get_url.at) != CURLE_OK) {
        return -EMSGSIZE; /* curl takes 8 MB */
    }
    (void)curl_easy_setopt(self->client.easy, CURLOPT_HTTPGET, 1L);
    return 0;
}

static int describe(struct http *self)
{
    CURL *easy = self->client.easy;
    if (self->method == METHOD_GET) {
        return describe_get(self);
    }
    int r = self->gzip ? http_compress(&self->request) : 0;
    (void)curl_easy_setopt(easy, CURLOPT_URL, base_url(self));
    (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(
        easy, CURLOPT_CUSTOMREQUEST, self->method == METHOD_PUT ? "PUT" : "POST");
    (void)curl_easy_setopt(
        easy, CURLOPT_POSTFIELDS, self->request.length == 0 ? "" : self->request.at);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)self->request.length);
    return r;
}

int http_request(struct http *self, const char *key, uint64_t deadline_ns, long *status)
{
    struct yarder_host *host = self->host;
    CURL *easy = self->client.easy;
    CURLcode result = CURLE_OK;
    char shown[LOCATION_BYTES];
    struct curl_slist with_key = {.data = (char *)(uintptr_t)key, .next = self->list};
    self->answer = (struct answer){.text_length = 0};
    http_shown(self, shown, sizeof(shown));
    int r = self->request.lacks ? -ENOMEM : describe(self);
    if (r == -EMSGSIZE) {
        return r;
    }
    if (r < 0) {
        return host->fail(host, r, "a request: %s", strerror(-r));
    }
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, &with_key);
    r = curl_client_run(&self->client, deadline_ns, &result);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, NULL);
    if (r == -ECANCELED) {
        return r;
    }
    if (r < 0) {
        return host->fail(
            host, r, "%s: %s", shown, r == -ETIMEDOUT ? "no answer in time" : strerror(-r));
    }
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
    bool cut = result == CURLE_WRITE_ERROR && self->answer.bytes > ANSWER_END_BYTES;
    if (result != CURLE_OK && !cut) {
        return host->fail(host, -EIO, "%s: %s", shown, curl_client_error(&self->client, result));
    }
    return 0;
}
