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

enum { SETTINGS_WHY_BYTES = 256 };

/* A value under construction, at most as long as a line may be. */
struct settings_builder {
    char *at; /* SETTINGS_LINE_BYTES_MAX */
    size_t length;
    bool full;
};
void settings_build(struct settings_builder *builder, const char *at, size_t length);
/* Of the arena; NULL and `why`: it is too long. */
const char *settings_built(struct settings *settings, const struct settings_builder *builder,
    char why[SETTINGS_WHY_BYTES]);

/* The value of an environment variable whose name is not terminated, or NULL. */
const char *settings_environment(struct yarder_text name);
/*
 * A native value with its ${env:...} replaced, of the arena; NULL and `why` filled when it cannot
 * be made.
 */
const char *settings_expand_native(
    struct settings *settings, struct yarder_text raw, char why[SETTINGS_WHY_BYTES]);

/* Whether " ;" stands outside quotes: meant as a comment, taken as data. */
bool settings_seem_commented(struct yarder_text value);

/* A key as it is compared: '_' is '-', but not in a field's name. */
char *settings_key(struct settings *settings, struct yarder_text raw);

/*
 * What a uWSGI configuration says, whatever it is written in (settings_uwsgi.c). Magic letters are
 * replaced at once; blocks (if-env ... endif) and for loops are carried out; placeholders, which
 * may name what stands below, are when all is read.
 */
struct settings_uwsgi {
    struct settings *settings;
    struct config_report *report;
    uint32_t first;         /* of the settings, that this reading made */
    const char *block;      /* the key that opened the block, without "-not"; NULL: none is open */
    const char *block_data; /* its value */
    bool block_not;
    bool plain;        /* of a command line, where no magic letters are replaced */
    const char *asked; /* the section that a file's name asked for; "" for none */
};
/* A key with its value, or NULL; the caller has looked whether it names a file. */
void settings_uwsgi_take(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    struct yarder_text key, const struct yarder_text *value);
/* A value with its magic letters replaced; NULL: it is too long, which is reported. */
const char *settings_uwsgi_magic(
    struct settings_uwsgi *uwsgi, const struct settings_spot *spot, struct yarder_text raw);
/* The name of a file that the settings name; NULL: the block that it stands in does not hold. */
const char *settings_uwsgi_file(
    struct settings_uwsgi *uwsgi, const struct settings_spot *spot, const char *value);
void settings_uwsgi_finish(struct settings_uwsgi *uwsgi);

/* The other ways to write one: pairs in their order, `value` NULL for none. */
struct settings_pairs {
    void (*take)(void *context, uint32_t line, struct yarder_text key, struct yarder_text value);
    void *context;
    const char *section; /* whose pairs are wanted */
};
enum { SETTINGS_NO_SECTION = 1 };
/* 0; SETTINGS_NO_SECTION; -EINVAL with `why` and *line; -ENOMEM. */
YARDER_MUST_USE int settings_read_yaml(const struct settings_pairs *pairs, const char *bytes,
    size_t bytes_count, uint32_t *line, char why[SETTINGS_WHY_BYTES]);
YARDER_MUST_USE int settings_read_json(const struct settings_pairs *pairs, const char *bytes,
    size_t bytes_count, uint32_t *line, char why[SETTINGS_WHY_BYTES]);

#endif
