/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of numbers, which stand beside regular expressions where a field's value is asked for.
 *
 *   LOW..HIGH   LOW..   ..HIGH     numbers as -5, 500, 0.25; both ends belong to it
 *
 * Most of these are regular expressions, too, but none that anybody means: `500..599` would be
 * eight bytes. One is: a digit and two points stand for three bytes, as `5..` does for a class of
 * status codes, and stays a regular expression.
 */
#ifndef YARDER_ROUTE_RANGE_H
#define YARDER_ROUTE_RANGE_H

#include "api/record.h"
#include "base/base.h"

struct range {
    bool has_low, has_high;
    long double low, high; /* holds every 64-bit number as it is, where it is wide */
};

/* 1: it is one; 0: it is none, so a regular expression; -EINVAL: one in which no number lies. */
YARDER_MUST_USE int range_parse(const char *text, struct range *out);

/* Whether a field's number, or the number that its text is, lies in it. */
bool range_holds(const struct range *range, const struct yarder_field *field);

/* " from 500 to 599" */
void range_print(const struct range *range, FILE *to);

#endif
