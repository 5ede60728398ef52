/* SPDX-License-Identifier: Apache-2.0 */
/* Events to a URL, by the requests of http; one of two files, as libcurl is there or not. */
#ifndef YARDER_BACKENDS_WINEVENT_WEB_H
#define YARDER_BACKENDS_WINEVENT_WEB_H

#include "bytes.h"
#include "link.h"

struct winevent_web_options {
    char *url;
    char *user;
    char *password;
    char *secret_header;
    const struct link_tls *tls;
    const char *content_type;
};
struct winevent_web;

/* 0, or -EINVAL with what was expected in `why`. */
int winevent_web_check(char *url, char *why, size_t why_bytes);
/* 0 or -errno, told by host->fail. */
int winevent_web_open(struct winevent_web **out, struct yarder_host *host,
    const struct winevent_web_options *options);
/* As a backend's submit; the items' texts are what is sent, a line each. */
int winevent_web_submit(struct winevent_web *web, struct yarder_batch *batch, uint64_t deadline_ns);
void winevent_web_close(struct winevent_web *web); /* NULL is none */

#endif
