/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a request: the bodies of http, made of one item or of as many as fit. */
#ifndef YARDER_BACKENDS_HTTP_BODY_H
#define YARDER_BACKENDS_HTTP_BODY_H

#include "bytes.h"

enum http_kind { HTTP_LINES, HTTP_JSON, HTTP_TEXT, HTTP_FORM };
extern const char *const http_kinds[];
const char *http_content_type(enum http_kind kind);

/* Whether many records go in one request. */
static inline bool http_takes_many(enum http_kind kind)
{
    return kind == HTTP_LINES || kind == HTTP_JSON;
}
/*
 * Makes a body of items of the batch, from `first` on, at most `items_max` and, behind the first
 * one, at most `bytes_max`: how many it took (at least 1). Items that are answered are skipped and
 * counted; an item that cannot stand in such a body is refused. *put: how many are in it.
 */
uint32_t http_make_body(struct bytes *body, enum http_kind kind, struct yarder_host *host,
    struct yarder_batch *batch, uint32_t first, uint32_t items_max, size_t bytes_max,
    uint32_t *put);
/* Compresses it in place, as gzip: 0 or -ENOMEM. */
int http_compress(struct bytes *body);

#endif
