/* SPDX-License-Identifier: Apache-2.0 */
/* Values and comments as lines of a file. */
#include <string.h>

#include "control/translate_private.h"

void translate_refuse(struct translation *translation, const char *where, const char *what)
{
    if (!translation->full) {
        (void)snprintf(translation->why, TRANSLATE_WHY_BYTES, "%s: %s", where, what);
    }
    translation->full = true;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* A value of yarder's, in quotes where it would not stand as it is. */
void translate_value(struct translation *translation, const char *where, const char *value)
{
    size_t length = strlen(value);
    bool quoted = length == 0 || value[0] == '"' || is_blank(value[0]) ||
                  is_blank(value[length - 1]) || strstr(value, " ;") != NULL ||
                  strstr(value, "\t;") != NULL;
    if (strpbrk(value, "\n\r") != NULL || strstr(value, "${env:") != NULL) {
        translate_refuse(
            translation, where, "a value with a newline or with ${env: has no form as a line");
        return;
    }
    if (!quoted) {
        (void)fprintf(translation->to, "%s\n", value);
        return;
    }
    (void)fputc('"', translation->to);
    for (const char *at = value; *at != '\0'; at++) {
        (void)fprintf(translation->to, "%s%c", *at == '"' || *at == '\\' ? "\\" : "", *at);
    }
    (void)fputs("\"\n", translation->to);
}

void translate_put(
    struct translation *translation, const char *where, const char *key, const char *value)
{
    (void)fprintf(translation->to, "%s = ", key);
    translate_value(translation, where, value);
}

/* A line of uWSGI's as it stands: no quotes are known there. */
void translate_uwsgi(struct translation *translation, const struct setting *setting)
{
    const char *value = setting->value != NULL ? setting->value : "";
    size_t length = strlen(value);
    if (strpbrk(value, "\n\r") != NULL || strstr(value, "${env:") != NULL ||
        (length > 0 && (is_blank(value[0]) || is_blank(value[length - 1])))) {
        translate_refuse(translation, setting->where,
            "a value with a newline, with ${env:, or with blanks at its ends has no form as a "
            "line");
        return;
    }
    (void)fprintf(
        translation->to, "%s%s%s\n", setting->key, setting->value != NULL ? " = " : "", value);
}

/* A comment is one line, whatever a value has in it. */
void translate_comment(struct translation *translation, const char *where, const char *text)
{
    bool both = where[0] != '\0' && text[0] != '\0';
    (void)fprintf(translation->to, "; %s%s", where, both ? ": " : "");
    for (const char *at = text; *at != '\0'; at++) {
        (void)fputc((unsigned char)*at < 0x20 || *at == 0x7f ? '?' : *at, translation->to);
    }
    (void)fputc('\n', translation->to);
}
