/* SPDX-License-Identifier: Apache-2.0 */
#include "request.h"

#include <string.h>

#include "base/base.h"

/* Of YARDER_FIELDS_BYTES_MAX; what the texts and numbers leave is the variables'. */
enum { VARIABLES_BYTES = 1500, FIELD_BYTES = 6 };

static void add(struct request_fields *out, const char *key, size_t key_bytes, const void *value,
    size_t value_bytes, enum yarder_field_type type)
{
    out->fields[out->count++] =
        (struct yarder_field){.key = {key, key_bytes}, .value = {value, value_bytes}, .type = type};
}

static void add_texts(struct request_fields *out, const struct wsgi_request *request)
{
    const struct {
        const char *key, *value;
        uint16_t bytes, share;
    } texts[REQUEST_TEXTS] = {
        {"method", request->method, request->method_len, 32},
        {"uri", request->uri, request->uri_len, 1536},
        {"proto", request->protocol, request->protocol_len, 32},
        {"addr", request->remote_addr, request->remote_addr_len, 256},
        {"user", request->remote_user, request->remote_user_len, 256},
        {"host", request->host, request->host_len, 256},
        {"uagent", request->user_agent, request->user_agent_len, 768},
        {"referer", request->referer, request->referer_len, 768},
    };
    for (unsigned i = 0; i < REQUEST_TEXTS; i++) {
        if (texts[i].value != NULL && texts[i].bytes > 0) {
            out->cut |= texts[i].bytes > texts[i].share;
            add(out, texts[i].key, strlen(texts[i].key), texts[i].value,
                yarder_min(texts[i].bytes, texts[i].share), YARDER_FIELD_TEXT);
        }
    }
}

static void add_numbers(struct request_fields *out, const struct wsgi_request *request)
{
    /* The clock may have been set back meanwhile. */
    uint64_t micros = request->end_of_request > request->start_of_request
                          ? request->end_of_request - request->start_of_request
                          : 0;
    const struct {
        const char *key;
        uint64_t value;
    } numbers[REQUEST_NUMBERS] = {
        {"status", (uint64_t)request->status},
        {"size", request->response_size + request->headers_size},
        {"rsize", request->response_size},
        {"hsize", request->headers_size},
        {"headers", request->header_cnt},
        {"cl", request->post_cl},
        {"vars", request->var_cnt},
        {"pktsize", request->uh == NULL ? 0 : request->uh->pktsize},
        {"msecs", micros / 1000},
        {"micros", micros},
        {"wid", (uint64_t)uwsgi.mywid},
        {"core", (uint64_t)request->async_id},
        {"switches", (uint64_t)request->switches},
        {"ioerr", request->write_errors + request->read_errors},
    };
    for (unsigned i = 0; i < REQUEST_NUMBERS; i++) {
        out->numbers[i] = numbers[i].value;
        add(out, numbers[i].key, strlen(numbers[i].key), &out->numbers[i], sizeof(uint64_t),
            YARDER_FIELD_UINT);
    }
}

/* What the application set by uwsgi.set_logvar; a name of uWSGI's own stays what it is. */
static bool is_new(const struct request_fields *out, const struct uwsgi_logvar *variable)
{
    for (uint32_t i = 0; i < out->count; i++) {
        if (out->fields[i].key.length == variable->keylen &&
            memcmp(out->fields[i].key.at, variable->key, variable->keylen) == 0) {
            return false;
        }
    }
    return variable->keylen > 0;
}

static void add_variables(struct request_fields *out, const struct wsgi_request *request)
{
    size_t left = VARIABLES_BYTES;
    uint32_t most = out->count + REQUEST_VARIABLES_MAX;
    const struct uwsgi_logvar *variable = request->logvars;
    for (; variable != NULL; variable = variable->next) {
        size_t bytes = (size_t)variable->keylen + variable->vallen + FIELD_BYTES;
        if (is_new(out, variable)) {
            if (out->count == most || bytes > left) {
                out->cut = 1;
                continue;
            }
            left -= bytes;
            add(out, variable->key, variable->keylen, variable->val, variable->vallen,
                YARDER_FIELD_TEXT);
        }
    }
}

void request_fields_of(struct request_fields *out, const struct wsgi_request *request)
{
    out->count = 0;
    out->cut = 0;
    add_texts(out, request);
    add_numbers(out, request);
    add_variables(out, request);
    if (out->cut != 0) {
        add(out, "cut", strlen("cut"), &out->cut, sizeof(out->cut), YARDER_FIELD_BOOL);
    }
}
