/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One match, and what bounds it. The usual case is a short subject and a free pattern: one call of
 * machine code and no clock. Everything else goes through the timed road:
 *
 *   subject over 1 KiB -- in slices of start positions, timed --+
 *   an error lately, or penned -- timed ------------------------+--> charged to the pattern
 *   one short subject in 64 -- timed, to find the slow ones ----+
 *
 * Measured: PCRE2 10.42 takes 370 ms for `(?:a|b)+=z` on one record of 16 KB without reaching its
 * match limit.
 */
#include <time.h>

#include "route/pattern.h"

enum {
    SLICE_STARTS_MIN = 64,
    SLICE_WORK = 8 << 20, /* start positions of a slice times the bytes each may look at */
    LONG_BYTES = 64 << 10,
};
#define SECOND_NS    INT64_C(1000000000)
#define PEN_SPENT_NS UINT64_C(200000000)
#define PEN_TIME_NS  (60 * SECOND_NS)
/* Honest matches cost up to 1 ns for each byte; four are no offence, at any load. */
#define HONEST_NS      UINT64_C(1000)
#define HONEST_BYTE_NS UINT64_C(4)
#define SUSPECT_NS     UINT64_C(10000)

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); /* cannot fail for these clocks */
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/*
 * Honest patterns need at most about a unit for each byte. Above 64 KiB the limit falls again:
 * there a unit can be a loop over the whole subject.
 */
static void set_limit(struct pattern_set *set, size_t length)
{
    uint64_t limit =
        yarder_max(PATTERN_LIMIT_MIN, yarder_min(4 * (uint64_t)length + 1000, PATTERN_LIMIT_MAX));
    if (length > LONG_BYTES) {
        limit = yarder_max(PATTERN_LIMIT_MIN, limit * LONG_BYTES / length);
    }
    if (limit != set->match_limit) {
        set->match_limit = (uint32_t)limit;
        (void)pcre2_set_match_limit(set->context, set->match_limit);
    }
}

/* Negative other than "no match": a limit, of units, stack or memory, was hit. */
static enum pattern_answer answer_of(int result)
{
    if (result >= 0) {
        return PATTERN_YES;
    }
    return result == PCRE2_ERROR_NOMATCH ? PATTERN_NO : PATTERN_UNDECIDED;
}

static enum pattern_answer match_from(struct pattern_set *set, const struct pattern *pattern,
    struct yarder_text subject, size_t start, uint32_t options)
{
    set_limit(set, subject.length);
    PCRE2_SPTR at = (PCRE2_SPTR)(subject.length == 0 ? "" : subject.at);
    int result = pattern->jit ? pcre2_jit_match(pattern->code, at, subject.length, start, options,
                                    set->data, set->context)
                              : pcre2_match(pattern->code, at, subject.length, start,
                                    options | PCRE2_NO_JIT, set->data, set->context);
    return answer_of(result);
}

static void note_undecided(struct pattern_set *set, struct pattern *pattern)
{
    uint64_t so_far = atomic_load_explicit(&pattern->undecided, memory_order_relaxed);
    atomic_store_explicit(&pattern->undecided, so_far + 1, memory_order_relaxed);
    pattern->watch_left = PATTERN_WATCH;
    set->undecided = true;
}

static void pen(struct pattern_set *set, struct pattern *pattern)
{
    uint32_t head = atomic_load_explicit(&pattern->head_bytes, memory_order_relaxed);
    uint32_t next =
        head == 0 ? PATTERN_SHORT_BYTES : (uint32_t)yarder_max(head / 2, PATTERN_HEAD_BYTES_MIN);
    atomic_store_explicit(&pattern->head_bytes, next, memory_order_relaxed);
    pattern->pen_until_ns = set->now_ns + PEN_TIME_NS;
    pattern->spent_ns = 0;
}

/*
 * Adds to the pattern's second; true when that put it (deeper) into the pen. The clock goes on
 * while other processes run, so the thread's own time must have passed too.
 */
static bool charge(struct pattern_set *set, struct pattern *pattern, uint64_t excess_ns)
{
    if (excess_ns == 0) {
        return false;
    }
    uint64_t age_ns = (uint64_t)set->now_ns - (uint64_t)pattern->window_ns;
    if (pattern->spent_ns == 0 || age_ns >= (uint64_t)SECOND_NS) {
        uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        pattern->window_cpu_ns = cpu_ns - yarder_min(cpu_ns, excess_ns);
        pattern->window_ns = set->now_ns;
        pattern->spent_ns = 0;
    }
    pattern->spent_ns += excess_ns;
    if (pattern->spent_ns <= PEN_SPENT_NS ||
        clock_ns(CLOCK_THREAD_CPUTIME_ID) - pattern->window_cpu_ns <= PEN_SPENT_NS) {
        return false;
    }
    pen(set, pattern);
    return true;
}

static size_t slice_starts(const struct pattern *pattern, size_t length)
{
    if (pattern->whole || length <= PATTERN_SHORT_BYTES) {
        return length + 1;
    }
    return yarder_max(SLICE_STARTS_MIN, SLICE_WORK / length);
}

/*
 * Searches slice by slice and charges for each; gives up undecided when the pattern gets penned.
 * The clock goes on while other processes run, and one such pause is no proof: who is watched is
 * timed by the thread's own time, which takes a system call.
 */
static enum pattern_answer search(
    struct pattern_set *set, struct pattern *pattern, struct yarder_text subject, uint32_t options)
{
    size_t starts = slice_starts(pattern, subject.length);
    uint64_t honest_ns = HONEST_NS + HONEST_BYTE_NS * subject.length;
    enum pattern_answer answer = PATTERN_NO;
    clockid_t clock = pattern->watch_left > 0 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    uint64_t before_ns = clock_ns(clock);
    for (size_t start = 0; start <= subject.length && answer == PATTERN_NO; start += starts) {
        (void)pcre2_set_offset_limit(set->context, start + starts - 1);
        answer = match_from(set, pattern, subject, start, options);
        uint64_t after_ns = clock_ns(clock);
        uint64_t elapsed_ns = after_ns - before_ns;
        uint64_t free_ns = yarder_min(elapsed_ns, honest_ns);
        before_ns = after_ns;
        honest_ns -= free_ns;
        if (elapsed_ns > SUSPECT_NS + free_ns) {
            pattern->watch_left = PATTERN_WATCH;
        }
        bool penned = charge(set, pattern, elapsed_ns - free_ns);
        bool more = start + starts <= subject.length;
        if (penned && more && answer == PATTERN_NO) {
            answer = PATTERN_UNDECIDED;
        }
    }
    (void)pcre2_set_offset_limit(set->context, PCRE2_UNSET);
    return answer;
}

/*
 * A penned pattern sees the head of a longer subject, whose end is no line end to it; "no" there is
 * no answer about the rest. What is found in the head is found, unless the pattern asks what does
 * not follow.
 */
static enum pattern_answer match_timed(
    struct pattern_set *set, struct pattern *pattern, struct yarder_text subject)
{
    pattern->watch_left -= pattern->watch_left > 0;
    uint32_t head = atomic_load_explicit(&pattern->head_bytes, memory_order_relaxed);
    if (head != 0 && set->now_ns >= pattern->pen_until_ns) {
        head = 0;
        atomic_store_explicit(&pattern->head_bytes, 0, memory_order_relaxed);
    }
    if (head == 0 || subject.length <= head) {
        return search(set, pattern, subject, 0);
    }
    if (pattern->needs_end) {
        return PATTERN_UNDECIDED;
    }
    subject.length = head;
    enum pattern_answer answer = search(set, pattern, subject, PCRE2_NOTEOL);
    return answer == PATTERN_YES ? PATTERN_YES : PATTERN_UNDECIDED;
}

enum pattern_answer pattern_match(
    struct pattern_set *set, uint32_t index, struct yarder_text subject)
{
    YARDER_ASSERT(index < set->count);
    struct pattern *pattern = &set->at[index];
    bool plain = subject.length <= PATTERN_SHORT_BYTES && pattern->watch_left == 0 &&
                 atomic_load_explicit(&pattern->head_bytes, memory_order_relaxed) == 0 &&
                 ++pattern->turn % PATTERN_TURNS != 0;
    enum pattern_answer answer = YARDER_LIKELY(plain) ? match_from(set, pattern, subject, 0, 0)
                                                      : match_timed(set, pattern, subject);
    if (YARDER_UNLIKELY(answer == PATTERN_UNDECIDED)) {
        note_undecided(set, pattern);
    }
    return answer;
}
