/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: regular expressions compiled once, each text once, asked about one record after the
 * other. A set belongs to one thread; only the counters of trouble are read by others.
 *
 * When a pattern is first asked about a record's text, one scan (scan.h) says "no" for all that
 * lack a literal they need; only the others are matched, each when it is asked, and once. Few
 * patterns are matched without a scan.
 *
 * Three bounds keep a hostile line from holding the writer:
 *   - a match limit by length, which ends a start position that explodes,
 *   - slices: a long subject is searched a few start positions at a time, and the clock is read
 *     between them (a match limit restarts at each start position, so it bounds no time),
 *   - the pen: a pattern that used up a fifth of a second beyond an honest price for the bytes is
 *     matched on the head of a record only, until it stayed below that for a minute.
 */
#ifndef YARDER_ROUTE_PATTERN_H
#define YARDER_ROUTE_PATTERN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdatomic.h>

#include "api/record.h"
#include "base/base.h"
#include "route/scan.h"

enum pattern_answer { PATTERN_NO, PATTERN_YES, PATTERN_UNDECIDED };

enum {
    PATTERN_LIMIT_MIN = 2000, /* units of PCRE2's match limit; honest patterns need 1 to 256 */
    PATTERN_LIMIT_MAX = 100000,
    PATTERN_SHORT_BYTES = 1024, /* above, every match is timed */
    PATTERN_HEAD_BYTES_MIN = 64,
    PATTERN_WATCH = 4096,
    PATTERN_TURNS = 64, /* of the matches on short subjects one in so many is timed */
};

struct pattern {
    pcre2_code *code;
    char *text;
    char *where;
    struct literal_sets *literals; /* what a scan can look for; NULL: nothing, or sealed */
    bool jit;                      /* machine code exists; else the interpreter serves */
    bool anchored;                 /* must match from the first byte to the last */
    bool whole;                    /* cannot be searched in slices */
    bool needs_end; /* a match in the head of a subject may not be one in the subject */
    uint32_t turn;
    uint32_t watch_left;    /* so many matches are all timed: it was slow or undecided lately */
    int64_t window_ns;      /* start of the second being added up */
    uint64_t window_cpu_ns; /* this thread's processor time at that moment */
    uint64_t spent_ns;      /* in it, beyond the honest price */
    int64_t pen_until_ns;
    _Atomic uint32_t
        head_bytes;             /* 0: free; else penned. Relaxed: one writer, readers only report */
    _Atomic uint64_t undecided; /* relaxed, likewise */
};

struct pattern_set {
    struct pattern *at;
    uint32_t count;
    uint32_t room;
    pcre2_match_data *data; /* one pair: nobody asks for groups */
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* the default of 32 KiB fails on records of 4 KiB */
    uint32_t match_limit;   /* as set in the context */
    bool undecided;         /* an answer about this record was */
    int64_t now_ns;
    struct scan *scan; /* NULL: it would not pay */
    /* Answers about the record, two bits for each pattern. Undecided is yes without known. */
    struct yarder_text text;
    bool fresh; /* not scanned yet: the bits are those of an earlier record */
    uint64_t *known;
    uint64_t *yes;
    bool some_yes; /* `yes` has bits, maybe of an earlier record */
    uint32_t words;
};

/*
 * A part of a list of patterns in which index follows index, within a word of bits; so that what
 * cannot match is passed over a word at a time, in the order of the list.
 */
struct pattern_run {
    uint64_t bits;
    uint32_t word;
    uint32_t item; /* of the list: that of the word's bit 0, modulo 2^32 */
};
struct pattern_runs {
    struct pattern_run *at; /* room for as many as the list has items */
    uint32_t count;
    uint32_t items;
};

YARDER_MUST_USE int pattern_set_open(struct pattern_set *set);
void pattern_set_close(struct pattern_set *set); /* also after a failed open, or a zeroed set */

/*
 * The pattern's index in *index, shared with an earlier one of the same text. -EINVAL: `why` says
 * where, what PCRE2 says, and at which byte; -ENOMEM. Texts are copied.
 */
YARDER_MUST_USE int pattern_add(struct pattern_set *set, const char *text, bool anchored,
    const char *where, uint32_t *index, char *why, size_t why_bytes);

/* After the last pattern_add: the scan, and room for answers. -ENOMEM. */
YARDER_MUST_USE int pattern_set_seal(struct pattern_set *set);

/* Appends the next item of a list, a pattern. */
void pattern_runs_add(struct pattern_runs *runs, uint32_t index);

/* Begins a record: forgets all answers. The text is read until the next one begins. */
static inline void pattern_begin(struct pattern_set *set, struct yarder_text text)
{
    set->text = text;
    set->undecided = false;
    set->fresh = set->scan != NULL;
    set->known[0] = 0; /* there is always one; a scan fills in all of them */
    set->yes[0] = 0;
    for (uint32_t i = 1; i < set->words && !set->fresh; i++) {
        set->known[i] = 0;
        set->yes[i] = 0;
    }
}

/* Matches now, whatever was answered before. */
enum pattern_answer pattern_match(
    struct pattern_set *set, uint32_t index, struct yarder_text subject);

/* The first question about a record, where there is a scan. */
void pattern_scan(struct pattern_set *set);

/* The same for the record's text, matched at most once. */
static inline enum pattern_answer pattern_answer(struct pattern_set *set, uint32_t index)
{
    if (YARDER_UNLIKELY(set->fresh)) {
        pattern_scan(set);
    }
    uint64_t *known = &set->known[index / 64];
    uint64_t *yes = &set->yes[index / 64];
    uint64_t bit = UINT64_C(1) << (index % 64);
    if ((*known & bit) != 0) {
        return (*yes & bit) != 0 ? PATTERN_YES : PATTERN_NO;
    }
    if (YARDER_UNLIKELY((*yes & bit) != 0)) {
        return PATTERN_UNDECIDED;
    }
    enum pattern_answer answer = pattern_match(set, index, set->text);
    *known |= answer != PATTERN_UNDECIDED ? bit : 0;
    if (answer != PATTERN_NO) {
        *yes |= bit;
        set->some_yes = true;
    }
    return answer;
}

/* Those of a run that are not known to say no. */
static inline uint64_t pattern_open(struct pattern_set *set, const struct pattern_run *run)
{
    if (YARDER_UNLIKELY(set->fresh)) {
        pattern_scan(set);
    }
    return run->bits & (~set->known[run->word] | set->yes[run->word]);
}

/* The pattern and the place in the list of the lowest of a run's bits. */
static inline uint32_t pattern_run_index(const struct pattern_run *run, uint64_t left)
{
    return run->word * 64 + (uint32_t)__builtin_ctzll(left);
}
static inline uint32_t pattern_run_item(const struct pattern_run *run, uint64_t left)
{
    return run->item + (uint32_t)__builtin_ctzll(left);
}

#endif
