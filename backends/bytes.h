/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that grow, and what backends put into them. Where no memory is left `lacks` is set and
 * nothing more is put: whoever is about to use them looks once, at the end.
 */
#ifndef YARDER_BACKENDS_BYTES_H
#define YARDER_BACKENDS_BYTES_H

#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "api/backend.h"

/* What a module shows to the daemon; the rest of it is hidden. */
#define YARDER_EXPORT __attribute__((visibility("default")))

struct bytes {
    char *at;
    size_t length;
    size_t room;
    bool lacks;
};

/* Room for `more` beyond the length, and where it begins; NULL when there is none. */
char *bytes_reserve(struct bytes *bytes, size_t more);
void bytes_free(struct bytes *bytes);
static inline void bytes_clear(struct bytes *bytes)
{
    bytes->length = 0;
    bytes->lacks = false;
}

void bytes_put(struct bytes *bytes, const void *from, size_t length);
static inline void bytes_put_text(struct bytes *bytes, struct yarder_text text)
{
    bytes_put(bytes, text.at, text.length);
}
static inline void bytes_put_word(struct bytes *bytes, const char *word)
{
    bytes_put(bytes, word, strlen(word));
}
static inline void bytes_put_char(struct bytes *bytes, char c)
{
    bytes_put(bytes, &c, 1);
}
void bytes_put_words(struct bytes *bytes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A field's value as text: numbers in decimal, floats as short as they come back the same. */
void bytes_put_value(struct bytes *bytes, const struct yarder_field *field);
/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void bytes_put_json(struct bytes *bytes, struct yarder_text text);

/*
 * The code point at `at` and its bytes (at least 1, at most `left`); what is no UTF-8, or a
 * surrogate, is U+FFFD of one byte.
 */
uint32_t bytes_code_point(const char *at, size_t left, size_t *taken);
void bytes_put_code_point(struct bytes *bytes, uint32_t point);

/* Syslog's severity of a level, 0 emerg to 7 debug; NOTSET counts as info. */
unsigned level_severity(uint8_t level);
static inline struct yarder_text text_from(const char *word)
{
    return (struct yarder_text){word, word == NULL ? 0 : strlen(word)};
}
uint64_t monotonic_ns(void);

#endif
