/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must occur in a text for a pattern to match it: sets of literals, of each of which every
 * matching text contains at least one. Never wrong; a pattern that says nothing certain has none.
 *
 *   listen queue of socket .* full           {listen queue of socket }, { full}
 *   level=(err|crit) +[A-Z]                  {level=err , level=crit }
 *   (?i)error|exception                      {error, exception}, in any case
 *   (a|b|)*x                                 nothing
 */
#ifndef YARDER_ROUTE_LITERAL_H
#define YARDER_ROUTE_LITERAL_H

#include "base/base.h"

enum {
    LITERAL_BYTES_MIN = 4, /* shorter ones occur everywhere */
    LITERAL_BYTES_MAX = 32,
    LITERAL_STRINGS_MAX = 32, /* in a set */
    LITERAL_SETS_MAX = 4,     /* of a pattern, the best ones */
    LITERAL_BITS_MAX = 20,    /* rarer than this makes no difference */
};

struct literal {
    uint8_t length;
    bool fold; /* bytes are compared with bit 0x20 set: letters of either case match, and more */
    char bytes[LITERAL_BYTES_MAX];
};

struct literal_set {
    uint32_t count;
    struct literal at[LITERAL_STRINGS_MAX];
};

struct literal_sets {
    uint32_t count;
    struct literal_set at[LITERAL_SETS_MAX];
};

/* Of a pattern that PCRE2 has compiled without options. -ENOMEM. */
YARDER_MUST_USE int literal_find(const char *pattern, struct literal_sets *out);

/* How rare a byte is in logs, in bits of a coarse scale. */
uint32_t literal_byte_bits(char byte);

/* The same of a whole literal, at most LITERAL_BITS_MAX. */
uint32_t literal_bits(const struct literal *literal);

#endif
