/* SPDX-License-Identifier: Apache-2.0 */
#include "http_body.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "http_form.h"

enum { GZIP_WINDOW_BITS = 15 + 16, GZIP_MEMORY = 8 };

const char *const http_kinds[] = {"lines", "json", "text", "form", NULL};

const char *http_content_type(enum http_kind kind)
{
    switch (kind) {
    case HTTP_LINES:
        return "application/x-ndjson";
    case HTTP_JSON:
        return "application/json";
    case HTTP_TEXT:
        return "text/plain; charset=utf-8";
    case HTTP_FORM:
        return "application/x-www-form-urlencoded";
    }
    return "application/octet-stream";
}

static bool is_object(struct yarder_text text)
{
    return text.length >= 2 && text.at[0] == '{' && text.at[text.length - 1] == '}';
}

static void put_item(struct bytes *body, enum http_kind kind, const struct yarder_item *item)
{
    switch (kind) {
    case HTTP_LINES:
        bytes_put_text(body, item->text);
        bytes_put_char(body, '\n');
        break;
    case HTTP_JSON:
        bytes_put_char(body, body->length == 0 ? '[' : ',');
        bytes_put_text(body, item->text);
        break;
    case HTTP_TEXT:
        bytes_put_text(body, item->text);
        break;
    case HTTP_FORM:
        http_put_form(body, item->record);
        break;
    }
}

uint32_t http_make_body(struct bytes *body, enum http_kind kind, struct yarder_host *host,
    struct yarder_batch *batch, uint32_t first, uint32_t items_max, size_t bytes_max, uint32_t *put)
{
    uint32_t taken = 0;
    *put = 0;
    bytes_clear(body);
    items_max = http_takes_many(kind) ? items_max : 1;
    for (; first + taken < batch->count && *put < items_max; taken++) {
        struct yarder_item *item = &batch->items[first + taken];
        if (item->result != YARDER_LATER) {
            continue;
        }
        if (kind == HTTP_JSON && !is_object(item->text)) {
            host->refuse(host, item, "no JSON object: body=json needs format=json");
            continue;
        }
        if (*put > 0 && body->length + item->text.length > bytes_max) {
            break;
        }
        put_item(body, kind, item);
        (*put)++;
    }
    if (kind == HTTP_JSON && *put > 0) {
        bytes_put_char(body, ']');
    }
    return taken;
}

int http_compress(struct bytes *body)
{
    z_stream stream = {.zalloc = Z_NULL};
    struct bytes out = {0};
    if (body->length > UINT_MAX || deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                                       GZIP_WINDOW_BITS, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    size_t room = deflateBound(&stream, body->length);
    stream.next_out = (Bytef *)bytes_reserve(&out, room);
    int r = Z_MEM_ERROR;
    if (stream.next_out != NULL && room <= UINT_MAX) {
        stream.avail_out = (uInt)room;
        stream.next_in = (Bytef *)body->at;
        stream.avail_in = (uInt)body->length;
        r = deflate(&stream, Z_FINISH);
        out.length = stream.total_out;
    }
    (void)deflateEnd(&stream);
    if (r != Z_STREAM_END) {
        bytes_free(&out);
        return -ENOMEM;
    }
    bytes_free(body);
    *body = out;
    return 0;
}
