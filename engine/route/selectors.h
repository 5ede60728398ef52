/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selectors: the conditions of one output. All must hold; of a list, one (of `field`, each).
 * Integers are asked first, then names, then patterns.
 */
#ifndef YARDER_ROUTE_SELECTORS_H
#define YARDER_ROUTE_SELECTORS_H

#include "route/memory.h"
#include "route/pattern.h"
#include "route/range.h"
#include "route/route.h"

struct selector_name {
    const char *at;
    size_t length;
    bool prefix; /* written with a trailing *, which is not part of it */
};
struct selector_names {
    struct selector_name *at;
    uint32_t count;
};
struct selector_patterns {
    uint32_t *at;
    uint32_t count;
    struct pattern_runs runs; /* the same */
};
struct selector_field {
    const char *name;
    bool is_range;
    struct range range;
    uint32_t pattern; /* unless it is a range */
};

struct selector {
    uint64_t inputs;     /* bit per input; all: any */
    uint32_t facilities; /* bit per facility; 0: any */
    uint8_t lowest;
    uint8_t highest;
    uint8_t kinds;               /* bit per kind; 0: any */
    uint8_t streams;             /* likewise */
    bool any;                    /* no condition at all */
    struct selector_names input; /* for explain; `inputs` decides */
    struct selector_names logger;
    struct selector_names tag;
    struct selector_names host;
    struct selector_patterns match;
    struct selector_patterns not_match;
    struct selector_field *field;
    uint32_t field_count;
};

/* The condition that refused, in the order they are asked. */
enum selector_refusal {
    SELECTOR_PASSED,
    SELECTOR_LEVEL,
    SELECTOR_KIND,
    SELECTOR_STREAM,
    SELECTOR_FACILITY,
    SELECTOR_INPUT,
    SELECTOR_LOGGER,
    SELECTOR_TAG,
    SELECTOR_HOST,
    SELECTOR_MATCH,
    SELECTOR_NOT_MATCH,
    SELECTOR_FIELD,
};

/* What a selector is compiled with; `output` is for errors. */
struct selector_build {
    const struct route_spec *spec;
    const char *output;
    struct pattern_set *patterns;
    struct memory **memory;
    char *why;
    size_t why_bytes;
};

YARDER_MUST_USE int selector_compile(
    struct selector *out, const struct route_selectors *from, const struct selector_build *build);

/* The integer conditions alone: SELECTOR_PASSED, or the first of LEVEL to INPUT that refuses. */
static inline enum selector_refusal selector_admits(
    const struct selector *selector, const struct yarder_record *record)
{
    if (record->level < selector->lowest || record->level > selector->highest) {
        return SELECTOR_LEVEL;
    }
    if (selector->kinds != 0 && (selector->kinds >> (record->kind & 31) & 1) == 0) {
        return SELECTOR_KIND;
    }
    if (selector->streams != 0 && (selector->streams >> (record->stream & 31) & 1) == 0) {
        return SELECTOR_STREAM;
    }
    if (selector->facilities != 0 &&
        (record->facility > 31 || (selector->facilities >> record->facility & 1) == 0)) {
        return SELECTOR_FACILITY;
    }
    if (selector->inputs != UINT64_MAX &&
        (record->input > 63 || (selector->inputs >> record->input & 1) == 0)) {
        return SELECTOR_INPUT;
    }
    return SELECTOR_PASSED;
}

/* Takes room for a list of patterns. -ENOMEM. */
YARDER_MUST_USE int selector_patterns_take(
    struct selector_patterns *patterns, struct memory **memory, uint32_t room);

/* YES: one of them matches. UNDECIDED: none of them, but one is undecided. */
enum pattern_answer selector_patterns_ask(
    const struct selector_patterns *patterns, struct pattern_set *set);

/* All conditions, on the record that the set has begun. */
enum selector_refusal selector_ask(
    const struct selector *selector, struct pattern_set *set, const struct yarder_record *record);

/* "level warning and above" for each condition, joined by ", "; nothing when there is none. */
void selector_print(const struct selector *selector, const struct pattern_set *set, FILE *to);

#endif
