/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that make settings; nobody else includes it. */
#ifndef YARDER_CONTROL_SETTINGS_PRIVATE_H
#define YARDER_CONTROL_SETTINGS_PRIVATE_H

#include "base/text.h"
#include "control/settings.h"

/* Where a setting stands, while it is being read. */
struct settings_spot {
    enum settings_section section;
    uint32_t section_number;
    const char *section_name;
    const char *file;
    uint32_t line;
    const char *where;
};

/* An empty list without a place: 0 or -ENOMEM. */
YARDER_MUST_USE int settings_make(struct settings **out);

/* Adds one; texts are copied unless they are of the settings' arena. 0, -E2BIG or -ENOMEM. */
YARDER_MUST_USE int settings_add(struct settings *settings, const struct settings_spot *spot,
    const char *key, const char *value);

/*
 * A native value with its ${env:...} replaced; a [uwsgi] value with its % and $() replaced. The
 * result is of the arena; NULL and `why` filled when it cannot be made.
 */
enum { SETTINGS_WHY_BYTES = 256 };
const char *settings_expand_native(
    struct settings *settings, struct yarder_text raw, char why[SETTINGS_WHY_BYTES]);
const char *settings_expand_uwsgi(struct settings *settings, const struct settings_spot *spot,
    struct yarder_text raw, char why[SETTINGS_WHY_BYTES]);

/* Whether " ;" stands outside quotes: meant as a comment, taken as data. */
bool settings_seem_commented(struct yarder_text value);

/* A key as it is compared: '_' is '-', but not in a field's name. */
char *settings_key(struct settings *settings, struct yarder_text raw);

#endif
