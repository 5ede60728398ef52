/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"
#include "outputs/rotate.h"

enum { COUNTER_DIGITS_MAX = 9, SECONDS_DIGITS_MIN = 9, SECONDS_DIGITS_MAX = 12 };

const char *const rotate_extensions[ROTATE_COMPRESSIONS] = {"", ".gz", ".zst"};

enum rotate_names rotate_names(const struct output_rotate *rotate)
{
    if (rotate->to != NULL) {
        return ROTATE_FIXED;
    }
    enum rotate_names usual = rotate_by_time(rotate) ? ROTATE_DATES : ROTATE_NUMBERS;
    return rotate->names == ROTATE_AUTO ? usual : (enum rotate_names)rotate->names;
}

/* Of a period as long as this, as Python's handler names it. Where there is none, of an instant. */
static size_t date_bytes(const struct output_rotate *rotate)
{
    static const char *const shapes[] = {[ROTATE_NEVER] = "2026-11-21_16-45-00",
        [ROTATE_SECOND] = "2026-11-21_16-45-00",
        [ROTATE_MINUTE] = "2026-11-21_16-45",
        [ROTATE_HOUR] = "2026-11-21_16",
        [ROTATE_DAY] = "2026-11-21",
        [ROTATE_MIDNIGHT] = "2026-11-21",
        [ROTATE_WEEK] = "2026-11-21"};
    return strlen(shapes[rotate->when.unit]);
}

void rotate_suffix(const struct output_rotate *rotate, struct calendar_zone *zone, int64_t time_s,
    char out[ROTATE_SUFFIX_BYTES])
{
    struct calendar_time time;
    out[0] = '\0';
    if (rotate_names(rotate) == ROTATE_SECONDS) {
        (void)snprintf(out, ROTATE_SUFFIX_BYTES, ".%lld", (long long)time_s);
    } else if (rotate_names(rotate) == ROTATE_DATES) {
        calendar_split(time_s + (rotate->utc ? 0 : calendar_zone_offset(zone, time_s)), &time);
        (void)snprintf(out, ROTATE_SUFFIX_BYTES, ".%04lld-%02u-%02u_%02u-%02u-%02u",
            (long long)(time.year % 10000), time.month, time.day, time.hour, time.minute,
            time.second);
        out[1 + date_bytes(rotate)] = '\0';
    }
}

/* A number as we write it, to the end of the text. */
static bool parse_counter(const char *text, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits <= COUNTER_DIGITS_MAX && text[digits] == '\0' && text[0] != '0' &&
           text_to_u64((struct yarder_text){text, digits}, out) == 0;
}

static size_t match_date(const struct output_rotate *rotate, const char *text)
{
    static const char shape[] = "dddd-dd-dd_dd-dd-dd";
    size_t bytes = date_bytes(rotate);
    for (size_t i = 0; i < bytes; i++) {
        bool good = shape[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == shape[i];
        if (!good) {
            return 0;
        }
    }
    return bytes;
}

static size_t match_seconds(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits >= SECONDS_DIGITS_MIN && digits <= SECONDS_DIGITS_MAX ? digits : 0;
}

/* Behind the base's name: ".DATE", ".SECONDS" or nothing, then ".N" or nothing. */
static bool parse_rest(const struct output_rotate *rotate, char *rest, struct rotate_name *out)
{
    size_t suffix = 0;
    switch (rotate_names(rotate)) {
    case ROTATE_NUMBERS:
        return rest[0] == '.' && parse_counter(rest + 1, &out->counter);
    case ROTATE_DATES:
        suffix = rest[0] == '.' ? match_date(rotate, rest + 1) : 0;
        break;
    case ROTATE_SECONDS:
        suffix = rest[0] == '.' ? match_seconds(rest + 1) : 0;
        break;
    case ROTATE_FIXED:
        return rest[0] == '\0' || (rest[0] == '.' && parse_counter(rest + 1, &out->counter));
    case ROTATE_AUTO:
        return false;
    }
    if (suffix == 0) {
        return false;
    }
    memcpy(out->suffix, rest, suffix + 1);
    out->suffix[suffix + 1] = '\0';
    rest += suffix + 1;
    return rest[0] == '\0' || (rest[0] == '.' && parse_counter(rest + 1, &out->counter));
}

/* Cuts `ending` off; false: it does not end so. */
static bool cut_ending(char *text, const char *ending)
{
    size_t length = strlen(text);
    size_t bytes = strlen(ending);
    if (length < bytes || strcmp(text + length - bytes, ending) != 0) {
        return false;
    }
    text[length - bytes] = '\0';
    return true;
}

bool rotate_name_parse(
    const struct output_rotate *rotate, const char *base, const char *name, struct rotate_name *out)
{
    char rest[2 * ROTATE_SUFFIX_BYTES];
    uint64_t inode = 0;
    size_t length = strlen(base);
    *out = (struct rotate_name){0};
    if (strncmp(name, base, length) != 0 || strlen(name + length) >= sizeof(rest)) {
        return false;
    }
    (void)snprintf(rest, sizeof(rest), "%s", name + length);
    if (cut_ending(rest, ROTATE_TEMPORARY)) {
        size_t digits = rest[0] == '.' ? strspn(rest + 1, "0123456789") : 0;
        out->temporary = true;
        return digits > 0 && rest[1 + digits] == '\0' &&
               text_to_u64((struct yarder_text){rest + 1, digits}, &inode) == 0;
    }
    for (int i = ROTATE_GZIP; i < ROTATE_COMPRESSIONS; i++) {
        if (cut_ending(rest, rotate_extensions[i])) {
            out->compressed = (enum rotate_compress)i;
            break;
        }
    }
    return parse_rest(rotate, rest, out);
}
