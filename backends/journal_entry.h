/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries in the journal's native protocol: NAME=value lines, or, where the value holds control
 * bytes, NAME, a newline, the length (u64, little endian), the value, and a newline.
 */
#ifndef YARDER_BACKENDS_JOURNAL_ENTRY_H
#define YARDER_BACKENDS_JOURNAL_ENTRY_H

#include "bytes.h"

enum { JOURNAL_NAME_BYTES_MAX = 64 };

struct journal_style {
    const char *identifier;         /* NULL: the record's tag, else its logger, else "yarder" */
    struct yarder_texts own_fields; /* NAME=VALUE */
    bool bare;                      /* MESSAGE, PRIORITY=6 and the identifier: uWSGI's entries */
};

/* Whether NAME=VALUE has a name that a client may use. */
bool journal_field_is_legal(const char *field);
/* One entry, whose message is `text`, behind what is there. */
void journal_put_entry(struct bytes *bytes, const struct journal_style *style,
    const struct yarder_item *item, struct yarder_text text);

#endif
