/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as GELF 1.1: one JSON object, always valid, no member twice.
 *
 *   version host short_message full_message timestamp level   GELF's own
 *   _logger _tag _pid _tid _facility _stream _kind _peer      where the record has them
 *   _NAME                                                     the record's fields, static ones
 *
 * short_message is the message's first line, or as much of it as fits; full_message, the whole,
 * stands there when that is not all. A blank message is "-": GELF knows none. Names are GELF's,
 * [A-Za-z0-9_.-]: other bytes become '_', and `id`, which belongs to Graylog, `id_`. A name that
 * comes twice gets a number: "_key.3". Numbers are numbers; GELF has no truth values, so "true".
 */
#ifndef YARDER_BACKENDS_GELF_H
#define YARDER_BACKENDS_GELF_H

#include "bytes.h"

enum { GELF_SHORT_BYTES_UWSGI = 128, GELF_EXTRA_MAX = 32 };

struct gelf_shape {
    const char *host;     /* of records that state none */
    const char *facility; /* as uWSGI's graylog2 wrote it: GELF 1.0, its members, none else */
    uint64_t short_bytes;
    struct yarder_texts extra; /* NAME=VALUE each, at most GELF_EXTRA_MAX */
    bool fields;               /* also what is below "GELF's own" */
};

/* Whether it is NAME=VALUE with a name that GELF has. */
bool gelf_is_extra(const char *text);

/* Appends it; where no memory is left bytes->lacks is set. */
void gelf_put(struct bytes *bytes, const struct gelf_shape *shape,
    const struct yarder_record *record, struct yarder_text message);

#endif
