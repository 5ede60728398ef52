/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers on struct yarder_text: making, comparing, numbers, names of levels, near names. */
#ifndef YARDER_BASE_TEXT_H
#define YARDER_BASE_TEXT_H

#include <string.h>

#include "api/record.h"
#include "base/base.h"

static inline struct yarder_text text_of(const char *terminated)
{
    return (struct yarder_text){terminated, terminated == NULL ? 0 : strlen(terminated)};
}
static inline bool text_is(struct yarder_text text, const char *terminated)
{
    size_t length = strlen(terminated);
    return text.length == length && (length == 0 || memcmp(text.at, terminated, length) == 0);
}
static inline bool text_equal(struct yarder_text a, struct yarder_text b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

/* Decimal digits only, the whole text, at most UINT64_MAX: 0, or -EINVAL / -ERANGE. */
YARDER_MUST_USE int text_to_u64(struct yarder_text text, uint64_t *out);

/* Writes value in decimal without a NUL; `at` has room for 20 bytes. Returns the bytes written. */
size_t text_from_u64(char *at, uint64_t value);

/*
 * Name of a level or its number to enum yarder_level: Python's and syslog's words in any case
 * (err, warn, crit, notice, panic ...), 0 to 255. 0, or -EINVAL.
 */
YARDER_MUST_USE int text_to_level(struct yarder_text text, uint8_t *out);

/* The level's own word in lower case ("warning"); a custom number answers with the next lower one.
 */
const char *level_name(uint8_t level);
/* Syslog severity (0 emerg to 7 debug) of a level and back; NOTSET counts as info. */
uint8_t level_to_severity(uint8_t level);
uint8_t level_from_severity(uint8_t severity);
/* Syslog facility by name or number 0 to 23: 0, or -EINVAL. */
YARDER_MUST_USE int text_to_facility(struct yarder_text text, uint8_t *out);
const char *facility_name(uint8_t facility);

/* The candidate nearest to `word` by edit distance, or NULL when none is near (over a third). */
const char *text_near(const char *word, const char *const *candidates, size_t candidates_count);

#endif
