/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns and subjects from bytes: "pattern LF subject", the first byte a set of choices. What
 * must hold: building ends in a router or in words; a pattern answers the same when asked again, as
 * one of several rules, and as a drop; what the machine code finds, the interpreter finds
 * (PCRE2 10.42 is known to miss some matches in machine code, so the other way round is not asked).
 */
#include <errno.h>

#include "base/text.h"
#include "route/pattern.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum { PATTERN_BYTES = 200, SUBJECT_BYTES = 4096, REPEAT = 1, AS_FIELD = 2, FILTER = 4 };

static char pattern[PATTERN_BYTES + 8];
static char subject[SUBJECT_BYTES];

/* Splits the input; false when there is nothing to split. */
static bool split(const uint8_t *bytes, size_t bytes_count, unsigned *choice, size_t *length)
{
    if (bytes_count < 2) {
        return false;
    }
    *choice = bytes[0];
    const uint8_t *end = memchr(bytes + 1, '\n', bytes_count - 1);
    size_t pattern_bytes = end == NULL ? bytes_count - 1 : (size_t)(end - bytes) - 1;
    if (pattern_bytes > PATTERN_BYTES || memchr(bytes + 1, '\0', pattern_bytes) != NULL) {
        return false;
    }
    memcpy(pattern, bytes + 1, pattern_bytes);
    pattern[pattern_bytes] = '\0';
    size_t rest = bytes_count - 1 - pattern_bytes - (end != NULL);
    *length = rest > SUBJECT_BYTES ? SUBJECT_BYTES : rest;
    memcpy(subject, bytes + bytes_count - rest, *length);
    if ((*choice & REPEAT) != 0 && *length > 0) { /* long subjects from short inputs */
        for (size_t i = *length; i < SUBJECT_BYTES; i++) {
            subject[i] = subject[i - *length];
        }
        *length = SUBJECT_BYTES;
    }
    return true;
}

static void check_pattern(struct yarder_text text, bool anchored)
{
    struct pattern_set set;
    uint32_t index = 0;
    char why[128] = "";
    YARDER_ASSERT(pattern_set_open(&set) == 0);
    int r = pattern_add(&set, pattern, anchored, "fuzz:1", &index, why, sizeof(why));
    YARDER_ASSERT(r == 0 || (r == -EINVAL && strncmp(why, "fuzz:1: ", 8) == 0));
    if (r == 0) {
        enum pattern_answer machine = pattern_match(&set, index, text);
        set.at[index].jit = false;
        set.at[index].whole = true;
        enum pattern_answer plain = pattern_match(&set, index, text);
        YARDER_ASSERT(machine != PATTERN_YES || plain != PATTERN_NO);
        YARDER_ASSERT((set.at[index].undecided > 0) ==
                      (machine == PATTERN_UNDECIDED || plain == PATTERN_UNDECIDED));
    }
    pattern_set_close(&set);
}

static void check_router(struct yarder_text text, bool as_filter)
{
    char *texts[] = {pattern};
    struct route_output outputs[] = {
        {.name = "a", .named = true, .reach = ROUTE_UWSGI_LOGGER},
        {.name = "b", .named = true, .reach = ROUTE_NATIVE},
        {.name = "c", .named = false, .reach = ROUTE_UWSGI_LOGGER},
        {.name = "d", .named = true, .reach = ROUTE_NATIVE},
    };
    outputs[1].selectors.match = (struct yarder_texts){texts, 1};
    outputs[3].selectors.not_match = (struct yarder_texts){texts, 1};
    const struct route_line line = {
        .to = "a", .native = false, .pattern = pattern, .where = "fuzz:2"};
    const struct route_line lines[] = {line, line};
    struct route_spec spec = {.outputs = outputs,
        .outputs_count = YARDER_COUNT_OF(outputs),
        .routes = lines,
        .routes_count = YARDER_COUNT_OF(lines)};
    if (as_filter) {
        spec.drop = (struct yarder_texts){texts, 1};
    }
    struct router *router = NULL;
    char why[128];
    if (router_open(&router, &spec, why, sizeof(why)) != 0) {
        return;
    }
    struct yarder_record records[2] = {{.text = text, .facility = YARDER_FACILITY_NONE}};
    records[1] = records[0];
    struct route_verdict verdicts[2];
    router_decide(router, records, 2, 0, verdicts);
    for (uint32_t i = 0; i < 2; i++) {
        const struct route_verdict *verdict = &verdicts[i];
        bool hit = verdict->fate == ROUTE_DROPPED || verdict->outputs == 3;
        YARDER_ASSERT(hit || verdict->outputs == (4 | 8)); /* neither a nor b, and not both */
        YARDER_ASSERT(!as_filter || verdict->outputs != 3);
        YARDER_ASSERT(verdict->repeated == (verdict->outputs & 1));
        YARDER_ASSERT(verdict->repeated == 0 || router_copies(router, i, 0) == 2);
        YARDER_ASSERT(!(hit && verdict->undecided));
    }
    router_close(router);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    unsigned choice = 0;
    size_t length = 0;
    if (!split(bytes, bytes_count, &choice, &length)) {
        return 0;
    }
    struct yarder_text text = {subject, length};
    check_pattern(text, (choice & AS_FIELD) != 0);
    check_router(text, (choice & FILTER) != 0);
    return 0;
}
