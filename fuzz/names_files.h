/* SPDX-License-Identifier: Apache-2.0 */
/* For targets that read configurations: whether a text has them open a file. */
#ifndef YARDER_FUZZ_NAMES_FILES_H
#define YARDER_FUZZ_NAMES_FILES_H

#include <string.h>

#include "base/text.h"

static const char *const file_keys[] = {
    "include", "plugin", "ini", "inherit", "js", "json", "yaml", "yml", "config"};

static inline bool has_word(const void *bytes, size_t count, const char *word)
{
    return memmem(bytes, count, word, strlen(word)) != NULL;
}

/* What opens files whatever the form is. */
static inline bool names_files_anyhow(const void *bytes, size_t count)
{
    return has_word(bytes, count, "@(") || has_word(bytes, count, "for-glob") ||
           has_word(bytes, count, "for_glob");
}

/* Of lines KEY = VALUE: a key that names one. */
static inline bool names_files_by_line(const char *bytes, size_t count)
{
    while (count > 0) {
        const char *newline = memchr(bytes, '\n', count);
        size_t line = newline != NULL ? (size_t)(newline - bytes) : count;
        const char *equals = memchr(bytes, '=', line);
        struct yarder_text key = {bytes, equals != NULL ? (size_t)(equals - bytes) : line};
        while (key.length > 0 && strchr(" \t\r\xef\xbb\xbf", key.at[0]) != NULL) {
            key.at++;
            key.length--;
        }
        while (key.length > 0 && strchr(" \t\r", key.at[key.length - 1]) != NULL) {
            key.length--;
        }
        for (size_t i = 0; i < YARDER_COUNT_OF(file_keys); i++) {
            if (text_is(key, file_keys[i])) {
                return true;
            }
        }
        bytes += line + (line < count);
        count -= line + (line < count);
    }
    return false;
}

/* Of any other form: their words anywhere. */
static inline bool names_files_by_word(const void *bytes, size_t count)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(file_keys); i++) {
        if (has_word(bytes, count, file_keys[i])) {
            return true;
        }
    }
    return false;
}

#endif
