/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration says of http; the requests: http_submit.c. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <strings.h>

#include "http_private.h"

enum { HEADER_BYTES_MAX = 8192 };
static const char *const methods[] = {"POST", "PUT", "GET", NULL};

static int expected(char *why, size_t why_bytes, const char *what)
{
    (void)snprintf(why, why_bytes, "expected %s", what);
    return -EINVAL;
}

static int http_target(void *self, char *text, char *why, size_t why_bytes)
{
    return http_set_url(self, text, why, why_bytes);
}

static bool is_header(const char *text)
{
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return name > 0 && text[name] == ':' && strpbrk(text, "\r\n") == NULL &&
           strlen(text) < HEADER_BYTES_MAX;
}

/* Whoever gives one of these away gives more away than a word. */
static bool is_secret(const char *header)
{
    static const char *const names[] = {
        "authorization", "proxy-authorization", "cookie", "x-api-key"};
    size_t length = strcspn(header, ":");
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        found = found || (strlen(names[i]) == length && strncasecmp(header, names[i], length) == 0);
    }
    return found;
}

static int http_check(void *self_, char *why, size_t why_bytes)
{
    struct http *self = self_;
    for (uint32_t i = 0; i < self->headers.count; i++) {
        if (!is_header(self->headers.at[i])) {
            return expected(why, why_bytes, "header=NAME: VALUE");
        }
        if (is_secret(self->headers.at[i])) {
            return expected(why, why_bytes,
                "secret-header=file:PATH, with NAME: VALUE in the file: what header= says is "
                "shown");
        }
    }
    if (self->secret_header != NULL && !is_header(self->secret_header)) {
        return expected(why, why_bytes, "secret-header=NAME: VALUE, in its file too");
    }
    if (self->password != NULL && self->user == NULL) {
        return expected(why, why_bytes, "user= beside password=");
    }
    if (self->method == METHOD_GET && self->body != HTTP_FORM) {
        return expected(why, why_bytes, "body=form with method=GET");
    }
    if (self->method == METHOD_GET && self->gzip) {
        return expected(
            why, why_bytes, "no gzip=yes with method=GET: there is nothing to compress");
    }
    return 0;
}

static int http_open(void *self, struct yarder_host *host)
{
    return http_request_open(self, host);
}

static int submit(void *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    return http_submit(self, batch, deadline_ns);
}

static void http_close(void *self)
{
    http_request_close(self);
}

#define TEXT_OPTION(name_, member, argument_, help_)                                               \
    {                                                                                              \
        .name = (name_), .kind = YARDER_OPTION_TEXT, .offset = offsetof(struct http, member),      \
        .argument = (argument_), .help = (help_)                                                   \
    }
#define SECRET_OPTION(name_, member, help_)                                                        \
    {                                                                                              \
        .name = (name_), .kind = YARDER_OPTION_SECRET, .offset = offsetof(struct http, member),    \
        .argument = "file:PATH|env:NAME|TEXT", .help = (help_)                                     \
    }

static const struct yarder_option http_options[] = {
    {"method", YARDER_OPTION_CHOICE, offsetof(struct http, method), "POST", 0, 0, methods, NULL,
        "POST|PUT|GET", "how records are sent; GET takes body=form"},
    {"body", YARDER_OPTION_CHOICE, offsetof(struct http, body), "lines", 0, 0, http_kinds, NULL,
        "lines|json|text|form",
        "many records a request, a line each or as one JSON array; or one record a request, as "
        "text, or as the form of Python's HTTPHandler"},
    {"request-size", YARDER_OPTION_BYTES, offsetof(struct http, request_bytes), "1M", 1, 1ull << 30,
        NULL, NULL, "SIZE", "the most that goes in one request of lines or json"},
    {.name = "header",
        .kind = YARDER_OPTION_TEXTS,
        .offset = offsetof(struct http, headers),
        .argument = "NAME: VALUE",
        .help = "a header of each request; may repeat"},
    SECRET_OPTION("secret-header", secret_header, "a header that is never shown"),
    TEXT_OPTION("user", user, "NAME", "who we are, by HTTP's basic authentication"),
    SECRET_OPTION("password", password, "the password of user"),
    {"gzip", YARDER_OPTION_BOOL, offsetof(struct http, gzip), "no", 0, 0, NULL, NULL, "yes|no",
        "compress requests"},
    SECRET_OPTION("proxy", proxy,
        "the URL of a proxy to go through, perhaps with a password; the environment's is not used"),
    LINK_TLS_OPTIONS(struct http, tls),
    {.kind = YARDER_OPTION_END},
};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "http",
    .help = "http:URL: requests to a web server, which answers for each",
    .means = YARDER_MEANS_ACKNOWLEDGED,
    .flags = YARDER_BACKEND_TEXT,
    .default_format = "json",
    .self_bytes = sizeof(struct http),
    .options = http_options,
    .target = http_target,
    .shown = http_shown,
    .check = http_check,
    .open = http_open,
    .submit = submit,
    .close = http_close,
};
