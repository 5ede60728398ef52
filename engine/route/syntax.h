/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCRE2's syntax, as much of it as is needed to find fixed text in a pattern: a pattern comes apart
 * into pieces, each with its quantifier. It reads only patterns that PCRE2 has compiled, and owes
 * nobody the meaning of a piece, only two things: where the piece ends, and a set of texts that
 * holds all it can consume. What it does not know for certain is SYNTAX_UNKNOWN, which ends the
 * reading: verbs (so UTF mode, too), back references, recursion, conditions, comments, callouts,
 * (?x), properties, the rarer escapes.
 */
#ifndef YARDER_ROUTE_SYNTAX_H
#define YARDER_ROUTE_SYNTAX_H

#include "base/base.h"

enum syntax_kind {
    SYNTAX_END,
    SYNTAX_UNKNOWN,
    SYNTAX_OPEN,      /* of a group */
    SYNTAX_OPEN_LOOK, /* of a lookaround, which consumes nothing */
    SYNTAX_CLOSE,
    SYNTAX_OR,
    SYNTAX_BYTE, /* one of `bytes` */
    SYNTAX_ANY,  /* any text */
    SYNTAX_NONE, /* no text: an assertion, an option */
};

enum {
    SYNTAX_BYTES_MAX = 4, /* a class of more is SYNTAX_ANY */
    SYNTAX_NO_LIMIT = INT32_MAX,
};

struct syntax_piece {
    enum syntax_kind kind;
    uint32_t least; /* the quantifier: 1 and 1 without one */
    uint32_t most;
    uint32_t bytes_count;
    char bytes[SYNTAX_BYTES_MAX]; /* letters are small ones when they count for both */
};

struct syntax {
    const char *at;
    bool quoted; /* between \Q and \E */
    bool fold;   /* a (?i) was seen; it is never taken back, which only widens what follows */
};

/* Begins with {.at = pattern}; the pattern ends at its NUL. */
struct syntax_piece syntax_next(struct syntax *syntax);

#endif
