/* SPDX-License-Identifier: Apache-2.0 */
#include "route/range.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

enum { DIGITS_MAX = 20 };

static bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

/* A number at `at`: its end, or `at`. A point that no digit follows is not its own. */
static const char *read_number(const char *at, const char *end, long double *value)
{
    const char *from = at;
    bool negative = at < end && *at == '-';
    at += negative;
    const char *first = at;
    long double sum = 0;
    while (at < end && is_digit(*at)) {
        sum = sum * 10 + (*at++ - '0');
    }
    if (at == first || at - first > DIGITS_MAX) {
        return from;
    }
    if (end - at >= 2 && at[0] == '.' && is_digit(at[1])) {
        long double unit = 1;
        long double part = 0;
        for (at++; at < end && is_digit(*at) && unit < 1e18L; at++) {
            part = part * 10 + (*at - '0');
            unit *= 10;
        }
        sum += part / unit;
    }
    *value = negative ? -sum : sum;
    return at;
}

int range_parse(const char *text, struct range *out)
{
    const char *end = text + strlen(text);
    struct range range = {0};
    const char *points = read_number(text, end, &range.low);
    if (end - points < 2 || points[0] != '.' || points[1] != '.') {
        return 0;
    }
    range.has_low = points > text;
    range.has_high = end - points > 2;
    bool class_of_codes = !range.has_high && points - text == 1;
    if (class_of_codes || !(range.has_low || range.has_high) ||
        (range.has_high && (read_number(points + 2, end, &range.high) != end))) {
        return 0;
    }
    if (range.has_low && range.has_high && range.low > range.high) {
        return -EINVAL;
    }
    *out = range;
    return 1;
}

static bool number_of(const struct yarder_field *field, long double *value)
{
    union {
        int64_t i;
        uint64_t u;
        double f;
    } number = {0};
    const struct yarder_text bytes = field->value;
    if (field->type == YARDER_FIELD_TEXT) {
        const char *end = bytes.at + bytes.length;
        return bytes.length > 0 && read_number(bytes.at, end, value) == end;
    }
    if (field->type == YARDER_FIELD_BOOL || bytes.length != sizeof(number)) {
        return false;
    }
    memcpy(&number, bytes.at, sizeof(number));
    *value = field->type == YARDER_FIELD_INT    ? (long double)number.i
             : field->type == YARDER_FIELD_UINT ? (long double)number.u
                                                : (long double)number.f;
    return true;
}

/* A bound as exact as the value: 0.1 as a double is a little more than a tenth. */
static long double bound_for(const struct yarder_field *field, long double bound)
{
    return field->type == YARDER_FIELD_FLOAT ? (long double)(double)bound : bound;
}

bool range_holds(const struct range *range, const struct yarder_field *field)
{
    long double value = 0; /* no bound is beside what is "not a number" */
    return number_of(field, &value) && (!range->has_low || value >= bound_for(field, range->low)) &&
           (!range->has_high || value <= bound_for(field, range->high));
}

void range_print(const struct range *range, FILE *to)
{
    if (range->has_low) {
        (void)fprintf(to, " from %.20Lg", range->low);
    }
    if (range->has_high) {
        (void)fprintf(to, "%s %.20Lg", range->has_low ? " to" : " up to", range->high);
    }
}
