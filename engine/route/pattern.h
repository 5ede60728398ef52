/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: regular expressions compiled once, each text once, asked about the records of a batch.
 * A set belongs to one thread; only the counters of trouble are read by others.
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
    bool jit;       /* machine code exists; else the interpreter serves */
    bool anchored;  /* must match from the first byte to the last */
    bool whole;     /* cannot be searched in slices */
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
    bool undecided; /* set by every undecided answer; the caller clears it for each record */
    int64_t now_ns;
    /*
     * Answers of the batch's records, two bits for each (record, pattern): known, yes. Undecided is
     * yes without known. A scan that finds literals for all patterns at once can fill in "no".
     */
    uint64_t *known;
    uint64_t *yes;
    uint32_t row_words;
};

YARDER_MUST_USE int pattern_set_open(struct pattern_set *set);
void pattern_set_close(struct pattern_set *set); /* also after a failed open, or a zeroed set */

/*
 * The pattern's index in *index, shared with an earlier one of the same text. -EINVAL: `why` says
 * where, what PCRE2 says, and at which byte; -ENOMEM. Texts are copied.
 */
YARDER_MUST_USE int pattern_add(struct pattern_set *set, const char *text, bool anchored,
    const char *where, uint32_t *index, char *why, size_t why_bytes);

/* After the last pattern_add: room for the answers of a batch. -ENOMEM. */
YARDER_MUST_USE int pattern_set_seal(struct pattern_set *set);

/* Begins a batch: forgets all answers. */
void pattern_batch(struct pattern_set *set, uint32_t records_count, int64_t now_ns);

/* Matches now, whatever was answered before. */
enum pattern_answer pattern_match(
    struct pattern_set *set, uint32_t index, struct yarder_text subject);

/* The same for the text of record `row` of the batch, at most once. */
static inline enum pattern_answer pattern_answer(
    struct pattern_set *set, uint32_t row, uint32_t index, struct yarder_text text)
{
    size_t word = (size_t)row * set->row_words + index / 64;
    uint64_t bit = UINT64_C(1) << (index % 64);
    if ((set->known[word] & bit) != 0) {
        return (set->yes[word] & bit) != 0 ? PATTERN_YES : PATTERN_NO;
    }
    if (YARDER_UNLIKELY((set->yes[word] & bit) != 0)) {
        return PATTERN_UNDECIDED;
    }
    enum pattern_answer answer = pattern_match(set, index, text);
    set->known[word] |= answer != PATTERN_UNDECIDED ? bit : 0;
    set->yes[word] |= answer != PATTERN_NO ? bit : 0;
    return answer;
}

#endif
