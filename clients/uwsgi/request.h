/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What uWSGI knows of a request, as fields by the names that its log-format has for them. A text
 * that is longer than its share is cut, and `cut` says so; the line itself has all of it.
 */
#ifndef YARDER_CLIENTS_UWSGI_REQUEST_H
#define YARDER_CLIENTS_UWSGI_REQUEST_H

#include "api/record.h"
#include "host.h"

enum {
    REQUEST_TEXTS = 8,
    REQUEST_NUMBERS = 14,
    REQUEST_VARIABLES_MAX = 24, /* that the application has set for the log; more are left out */
    REQUEST_FIELDS_MAX = REQUEST_TEXTS + REQUEST_NUMBERS + REQUEST_VARIABLES_MAX + 1,
};

struct request_fields {
    struct yarder_field fields[REQUEST_FIELDS_MAX]; /* texts are the request's, as long as it is */
    uint32_t count;
    uint64_t numbers[REQUEST_NUMBERS];
    uint8_t cut;
};
void request_fields_of(struct request_fields *out, const struct wsgi_request *request);

#endif
