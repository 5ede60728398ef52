/* SPDX-License-Identifier: Apache-2.0 */
#include "winevent_web.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_private.h"

enum { REQUEST_BYTES = 1 << 20, TYPE_BYTES = 96 };

struct winevent_web {
    struct http http;
    char type[TYPE_BYTES];
    char *headers[1];
};

int winevent_web_check(char *url, char *why, size_t why_bytes)
{
    struct http http = {.url = NULL};
    return http_set_url(&http, url, why, why_bytes);
}

int winevent_web_open(
    struct winevent_web **out, struct yarder_host *host, const struct winevent_web_options *options)
{
    struct winevent_web *web = calloc(1, sizeof(*web));
    if (web == NULL) {
        return host->fail(host, -ENOMEM, "out of memory");
    }
    (void)snprintf(web->type, sizeof(web->type), "Content-Type: %s", options->content_type);
    web->headers[0] = web->type;
    web->http.url = options->url;
    web->http.user = options->user;
    web->http.password = options->password;
    web->http.secret_header = options->secret_header;
    web->http.tls = *options->tls;
    web->http.body = HTTP_LINES;
    web->http.request_bytes = REQUEST_BYTES;
    web->http.headers = (struct yarder_texts){.at = web->headers, .count = 1};
    *out = web; /* closed by its owner, also where it could not be opened */
    return http_request_open(&web->http, host);
}

int winevent_web_submit(struct winevent_web *web, struct yarder_batch *batch, uint64_t deadline_ns)
{
    return http_submit(&web->http, batch, deadline_ns);
}

void winevent_web_close(struct winevent_web *web)
{
    if (web != NULL) {
        http_request_close(&web->http);
        free(web);
    }
}
