/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files that translate; nobody else includes it. */
#ifndef YARDER_CONTROL_TRANSLATE_PRIVATE_H
#define YARDER_CONTROL_TRANSLATE_PRIVATE_H

#include "control/translate.h"

struct translation {
    const struct settings *settings;
    const struct daemon_config *config;
    FILE *to;
    bool apart; /* requests have a way of their own */
    bool full;  /* a value has no form as a line: see why */
    char *why;
};

/* `where` has something that no line can say; the first one is kept. */
void translate_refuse(struct translation *translation, const char *where, const char *what);
/* A value of yarder's and its newline, in quotes where it would not stand as it is. */
void translate_value(struct translation *translation, const char *where, const char *value);
/* KEY = VALUE of yarder's. */
void translate_put(
    struct translation *translation, const char *where, const char *key, const char *value);
/* A line of uWSGI's as it stands: no quotes are known there. */
void translate_uwsgi(struct translation *translation, const struct setting *setting);
/* A comment, which is one line whatever is in it. */
void translate_comment(struct translation *translation, const char *where, const char *text);

#endif
