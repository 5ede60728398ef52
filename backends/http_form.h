/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as Python's HTTPHandler sends it: the attributes of a LogRecord, urlencoded, in the
 * order in which Python has them, then all other fields.
 */
#ifndef YARDER_BACKENDS_HTTP_FORM_H
#define YARDER_BACKENDS_HTTP_FORM_H

#include "bytes.h"

void http_put_form(struct bytes *bytes, const struct yarder_record *record);

#endif
