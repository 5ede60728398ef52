/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GELF message as a record: what gelf.h writes, and what others do.
 *
 *   short_message full_message   the text: the full one, after the short one where that says more
 *   host timestamp level         as they are (level: syslog's severity); facility: a field
 *   _logger _tag _pid _tid       the record's own; any other member, without its '_', is a field
 *
 * Lenient about what is no JSON: raw control bytes in texts (uWSGI's graylog2), bytes that are no
 * UTF-8, a comma too many, what stands behind the object. An array or object is a field of its
 * bytes. Of two members of one name both are kept.
 */
#ifndef YARDER_BACKENDS_GELF_READ_H
#define YARDER_BACKENDS_GELF_READ_H

#include <stdbool.h>

#include "bytes.h"

struct gelf_message {
    struct yarder_record record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    union {
        int64_t whole;
        double real;
        uint8_t truth;
    } numbers[YARDER_FIELDS_MAX];
    struct bytes joined; /* the caller's: kept from message to message, freed at the end */
};

/*
 * Reads it, decoding texts in place: the record points into them. 0; -EBADMSG: this is no object,
 * or has no message; then `at` may have been changed up to there.
 */
int gelf_read(char *at, size_t length, struct gelf_message *out);

#endif
