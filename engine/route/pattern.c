/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling patterns and the set that holds them; matching and its bounds stand in match.c. */
#include "route/pattern.h"

#include <errno.h>
#include <string.h>

enum {
    STACK_BYTES_FIRST = 32 << 10, /* grows by page faults, not by allocation */
    STACK_BYTES_MAX = 1 << 20,
    INTERPRETER_HEAP_KB = 4 << 10, /* only where there is no JIT */
    WHY_PATTERN_BYTES = 80,        /* of a pattern, in an error */
};

int pattern_set_open(struct pattern_set *set)
{
    *set = (struct pattern_set){.match_limit = PATTERN_LIMIT_MIN};
    set->data = pcre2_match_data_create(1, NULL);
    set->context = pcre2_match_context_create(NULL);
    if (set->data == NULL || set->context == NULL) {
        return -ENOMEM;
    }
    (void)pcre2_set_match_limit(set->context, set->match_limit);
    (void)pcre2_set_heap_limit(set->context, INTERPRETER_HEAP_KB);
    set->stack = pcre2_jit_stack_create(STACK_BYTES_FIRST, STACK_BYTES_MAX, NULL);
    if (set->stack != NULL) { /* NULL: a PCRE2 without JIT */
        pcre2_jit_stack_assign(set->context, NULL, set->stack);
    }
    return 0;
}

void pattern_set_close(struct pattern_set *set)
{
    for (uint32_t i = 0; i < set->count; i++) {
        pcre2_code_free(set->at[i].code);
        free(set->at[i].text);
        free(set->at[i].where);
        free(set->at[i].literals);
    }
    free(set->at);
    free(set->known);
    free(set->yes);
    scan_close(set->scan);
    pcre2_match_data_free(set->data);
    pcre2_match_context_free(set->context);
    pcre2_jit_stack_free(set->stack);
    *set = (struct pattern_set){.at = NULL};
}

static int explain_refusal(
    const char *text, const char *where, int code, size_t offset, char *why, size_t why_bytes)
{
    unsigned char message[128];
    if (pcre2_get_error_message(code, message, sizeof(message)) < 0) {
        (void)snprintf((char *)message, sizeof(message), "PCRE2 error %d", code);
    }
    (void)snprintf(why, why_bytes, "%s: pattern '%.*s%s': %s, at byte %zu", where,
        (int)WHY_PATTERN_BYTES, text, strlen(text) > WHY_PATTERN_BYTES ? "..." : "",
        (const char *)message, offset);
    return -EINVAL;
}

/*
 * A pattern that switches UTF on would make PCRE2 trust the bytes of a record to be valid, so it is
 * compiled again for text that may not be.
 */
static pcre2_code *compile(const char *text, bool anchored, int *error, size_t *offset)
{
    uint32_t options = PCRE2_USE_OFFSET_LIMIT; /* costs nothing measurable; slices need it */
    if (anchored) {
        options |= PCRE2_ANCHORED | PCRE2_ENDANCHORED;
    }
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, error, offset, NULL);
    uint32_t all = 0;
    if (code != NULL && pcre2_pattern_info(code, PCRE2_INFO_ALLOPTIONS, &all) == 0 &&
        (all & PCRE2_UTF) != 0) {
        pcre2_code_free(code);
        options |= PCRE2_MATCH_INVALID_UTF;
        code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, error, offset, NULL);
    }
    return code;
}

static bool has_machine_code(pcre2_code *code)
{
    size_t bytes = 0;
    return pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0 &&
           pcre2_pattern_info(code, PCRE2_INFO_JITSIZE, &bytes) == 0 && bytes > 0;
}

static int grow(struct pattern_set *set)
{
    if (set->count < set->room) {
        return 0;
    }
    uint32_t room = set->room == 0 ? 16 : set->room * 2;
    struct pattern *at = realloc(set->at, room * sizeof(*at));
    if (at == NULL) {
        return -ENOMEM;
    }
    set->at = at;
    set->room = room;
    return 0;
}

/*
 * In slices \G would hold at the start of each, and a verb such as (*COMMIT) would end one slice
 * instead of the search. False alarms (an escaped backslash) cost speed, not answers.
 */
static const char *const slice_breakers[] = {"\\G", "(*"};
static const char *const end_askers[] = {"\\z", "\\Z", "(?!", "(?(", "(*"};

static bool has_any(const char *text, const char *const *pieces, size_t pieces_count)
{
    for (size_t i = 0; i < pieces_count; i++) {
        if (strstr(text, pieces[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* An anchored pattern is asked about fields, never about the text. Most patterns have a few sets.
 */
static int find_literals(struct pattern *pattern)
{
    if (pattern->anchored) {
        return 0;
    }
    YARDER_OWN_HEAP struct literal_sets *found = malloc(sizeof(*found));
    if (found == NULL || literal_find(pattern->text, found) != 0) {
        return -ENOMEM;
    }
    if (found->count == 0) {
        return 0;
    }
    size_t bytes = offsetof(struct literal_sets, at) + found->count * sizeof(found->at[0]);
    pattern->literals = malloc(bytes);
    if (pattern->literals == NULL) {
        return -ENOMEM;
    }
    memcpy(pattern->literals, found, bytes);
    return 0;
}

int pattern_add(struct pattern_set *set, const char *text, bool anchored, const char *where,
    uint32_t *index, char *why, size_t why_bytes)
{
    YARDER_ASSERT(set->known == NULL);
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->at[i].anchored == anchored && strcmp(set->at[i].text, text) == 0) {
            *index = i;
            return 0;
        }
    }
    if (grow(set) != 0) {
        return -ENOMEM;
    }
    int error = 0;
    size_t offset = 0;
    pcre2_code *code = compile(text, anchored, &error, &offset);
    if (code == NULL) {
        return explain_refusal(text, where, error, offset, why, why_bytes);
    }
    struct pattern *pattern = &set->at[set->count];
    *pattern = (struct pattern){
        .code = code,
        .text = strdup(text),
        .where = strdup(where),
        .jit = has_machine_code(code),
        .anchored = anchored,
        .whole = anchored || has_any(text, slice_breakers, YARDER_COUNT_OF(slice_breakers)),
        .needs_end = anchored || has_any(text, end_askers, YARDER_COUNT_OF(end_askers)),
    };
    *index = set->count++;
    return pattern->text == NULL || pattern->where == NULL ? -ENOMEM : find_literals(pattern);
}

/* What was found is needed no longer, whether or not there is a scan. */
static int build_scan(struct pattern_set *set)
{
    YARDER_OWN_HEAP const struct literal_sets **sets = calloc(set->count, sizeof(*sets));
    if (sets == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < set->count; i++) {
        sets[i] = set->at[i].literals;
    }
    int r = scan_open(&set->scan, sets, set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        free(set->at[i].literals);
        set->at[i].literals = NULL;
    }
    return r;
}

int pattern_set_seal(struct pattern_set *set)
{
    YARDER_ASSERT(set->known == NULL);
    set->words = (set->count + 63) / 64;
    set->known =
        calloc(set->words + 1, sizeof(*set->known)); /* never of no size: NULL means open */
    set->yes = calloc(set->words + 1, sizeof(*set->yes));
    if (set->known == NULL || set->yes == NULL) {
        return -ENOMEM;
    }
    return set->count == 0 ? 0 : build_scan(set);
}

void pattern_runs_add(struct pattern_runs *runs, uint32_t index)
{
    uint64_t bit = UINT64_C(1) << (index % 64);
    uint32_t item = runs->items++ - index % 64;
    struct pattern_run *last = runs->count == 0 ? NULL : &runs->at[runs->count - 1];
    bool follows = last != NULL && last->word == index / 64 && last->item == item;
    if (!follows) {
        last = &runs->at[runs->count++];
        *last = (struct pattern_run){.word = index / 64, .item = item};
    }
    last->bits |= bit;
}

void pattern_scan(struct pattern_set *set)
{
    YARDER_ASSERT(set->scan != NULL);
    set->fresh = false;
    if (set->some_yes) {
        set->some_yes = false;
        memset(set->yes, 0, set->words * sizeof(*set->yes));
    }
    scan_text(set->scan, set->text, set->known);
}
