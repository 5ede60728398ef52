/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <errno.h>
#include <strings.h>

int text_to_u64(struct yarder_text text, uint64_t *out)
{
    if (text.length == 0) {
        return -EINVAL;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < text.length; i++) {
        unsigned digit = (unsigned)(unsigned char)text.at[i] - '0';
        if (digit > 9) {
            return -EINVAL;
        }
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return -ERANGE;
        }
    }
    *out = value;
    return 0;
}

size_t text_from_u64(char *at, uint64_t value)
{
    char reversed[20];
    size_t length = 0;
    do {
        reversed[length++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (size_t i = 0; i < length; i++) {
        at[i] = reversed[length - 1 - i];
    }
    return length;
}

struct name_row {
    const char *name;
    uint8_t value;
};

/* The first name of a value is the one we print. */
static const struct name_row level_names[] = {
    {"notset", YARDER_LEVEL_NOTSET},
    {"debug", YARDER_LEVEL_DEBUG},
    {"info", YARDER_LEVEL_INFO},
    {"notice", YARDER_LEVEL_NOTICE},
    {"warning", YARDER_LEVEL_WARNING},
    {"error", YARDER_LEVEL_ERROR},
    {"critical", YARDER_LEVEL_CRITICAL},
    {"alert", YARDER_LEVEL_ALERT},
    {"emerg", YARDER_LEVEL_EMERG},
    {"warn", YARDER_LEVEL_WARNING},
    {"err", YARDER_LEVEL_ERROR},
    {"crit", YARDER_LEVEL_CRITICAL},
    {"fatal", YARDER_LEVEL_CRITICAL},
    {"emergency", YARDER_LEVEL_EMERG},
    {"panic", YARDER_LEVEL_EMERG},
    {"informational", YARDER_LEVEL_INFO},
};

static const struct name_row facility_names[] = {
    {"kern", 0},
    {"user", 1},
    {"mail", 2},
    {"daemon", 3},
    {"auth", 4},
    {"syslog", 5},
    {"lpr", 6},
    {"news", 7},
    {"uucp", 8},
    {"cron", 9},
    {"authpriv", 10},
    {"ftp", 11},
    {"ntp", 12},
    {"audit", 13},
    {"alert", 14},
    {"clock", 15},
    {"local0", 16},
    {"local1", 17},
    {"local2", 18},
    {"local3", 19},
    {"local4", 20},
    {"local5", 21},
    {"local6", 22},
    {"local7", 23},
    {"security", 4},
};

static int name_find(const struct name_row *rows, size_t rows_count, struct yarder_text text,
    uint64_t number_max, uint8_t *out)
{
    for (size_t i = 0; i < rows_count; i++) {
        if (strlen(rows[i].name) == text.length &&
            strncasecmp(rows[i].name, text.at, text.length) == 0) {
            *out = rows[i].value;
            return 0;
        }
    }
    uint64_t number = 0;
    if (text_to_u64(text, &number) < 0 || number > number_max) {
        return -EINVAL;
    }
    *out = (uint8_t)number;
    return 0;
}

int text_to_level(struct yarder_text text, uint8_t *out)
{
    return name_find(level_names, YARDER_COUNT_OF(level_names), text, YARDER_LEVEL_MAX, out);
}

int text_to_facility(struct yarder_text text, uint8_t *out)
{
    return name_find(facility_names, YARDER_COUNT_OF(facility_names), text, 23, out);
}

const char *level_name(uint8_t level)
{
    const char *name = "notset";
    uint8_t best = 0;
    for (size_t i = 0; i < YARDER_COUNT_OF(level_names); i++) {
        if (level_names[i].value <= level && level_names[i].value > best) {
            best = level_names[i].value;
            name = level_names[i].name;
        }
    }
    return name;
}

const char *facility_name(uint8_t facility)
{
    return facility < 24 ? facility_names[facility].name : "none";
}

uint8_t level_to_severity(uint8_t level)
{
    static const uint8_t lowest[] = {YARDER_LEVEL_EMERG, YARDER_LEVEL_ALERT, YARDER_LEVEL_CRITICAL,
        YARDER_LEVEL_ERROR, YARDER_LEVEL_WARNING, YARDER_LEVEL_NOTICE, YARDER_LEVEL_INFO};
    if (level == YARDER_LEVEL_NOTSET) {
        return 6;
    }
    for (uint8_t severity = 0; severity < YARDER_COUNT_OF(lowest); severity++) {
        if (level >= lowest[severity]) {
            return severity;
        }
    }
    return 7;
}

uint8_t level_from_severity(uint8_t severity)
{
    static const uint8_t levels[] = {YARDER_LEVEL_EMERG, YARDER_LEVEL_ALERT, YARDER_LEVEL_CRITICAL,
        YARDER_LEVEL_ERROR, YARDER_LEVEL_WARNING, YARDER_LEVEL_NOTICE, YARDER_LEVEL_INFO,
        YARDER_LEVEL_DEBUG};
    return levels[severity & 7];
}

/* Edits that make one word of the other: a letter more, less or changed, or two swapped. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { WORD_MAX = 64 };
    size_t rows[3][WORD_MAX] = {0};
    size_t b_length = strlen(b);
    if (b_length >= WORD_MAX) {
        return SIZE_MAX;
    }
    size_t *two_above = rows[0];
    size_t *above = rows[1];
    size_t *row = rows[2];
    for (size_t j = 0; j <= b_length; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t *oldest = two_above;
        two_above = above;
        above = row;
        row = oldest;
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t changed = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = yarder_min(changed, yarder_min(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = yarder_min(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return row[b_length];
}

const char *text_near(const char *word, const char *const *candidates, size_t candidates_count)
{
    const char *nearest = NULL;
    size_t nearest_distance = yarder_max(1, strlen(word) / 3) + 1;
    for (size_t i = 0; i < candidates_count; i++) {
        size_t distance = edit_distance(word, candidates[i]);
        if (distance < nearest_distance) {
            nearest_distance = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}
