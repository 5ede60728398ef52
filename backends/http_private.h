/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of http: its instance, and one request with its answer. */
#ifndef YARDER_BACKENDS_HTTP_PRIVATE_H
#define YARDER_BACKENDS_HTTP_PRIVATE_H

#include "curl_common.h"
#include "http_body.h"

enum { ANSWER_BYTES = 200, LOCATION_BYTES = 200 };
enum http_method { METHOD_POST, METHOD_PUT, METHOD_GET };

struct answer {
    char text[ANSWER_BYTES]; /* how it begins */
    size_t text_length;
    size_t bytes;
    char location[LOCATION_BYTES];
    uint64_t retry_after_s;
};

struct http_request_id {
    struct yarder_id first, last;
    uint32_t count;
};

struct http {
    char *url;
    int method;
    int body;
    struct yarder_texts headers;
    char *secret_header;
    char *user;
    char *password;
    char *proxy;
    bool gzip;
    uint64_t request_bytes;
    struct link_tls tls;

    struct yarder_host *host;
    struct curl_client client;
    struct curl_slist *list; /* of the headers that all requests have */
    struct curl_slist *connect_to;
    char *named_url; /* with servername=; NULL: the URL as given */
    struct bytes request;
    struct bytes get_url;
    uint64_t pause_until_ns; /* the server asked for it */
    struct http_request_id unanswered;
    struct answer answer;
};

/* 0, or -EINVAL with what was expected in `why`; the text is kept. */
int http_set_url(struct http *self, char *text, char *why, size_t why_bytes);
void http_shown(const void *self, char *at, size_t room);
/* As a backend's submit. */
int http_submit(struct http *self, struct yarder_batch *batch, uint64_t deadline_ns);

/* 0 or -errno, told by host->fail. */
int http_request_open(struct http *self, struct yarder_host *host);
void http_request_close(struct http *self);
/*
 * Sends self->request, which it may change, and reads the answer. 0: *status says what came;
 * -EMSGSIZE: it is too long for a URL; -ECANCELED, or another -errno, told by host->fail.
 */
int http_request(struct http *self, const char *key, uint64_t deadline_ns, long *status);

#endif
