/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Why a record goes where it goes, rule by rule. The router itself decides; this file only finds
 * the reasons, from the answers that deciding left behind.
 */
#include "route/rules.h"

static const char *refusal_name(enum selector_refusal refusal)
{
    static const char *const names[] = {
        [SELECTOR_PASSED] = "",
        [SELECTOR_LEVEL] = "level",
        [SELECTOR_KIND] = "kind",
        [SELECTOR_STREAM] = "stream",
        [SELECTOR_FACILITY] = "facility",
        [SELECTOR_INPUT] = "input",
        [SELECTOR_LOGGER] = "logger",
        [SELECTOR_TAG] = "tag",
        [SELECTOR_HOST] = "host",
        [SELECTOR_MATCH] = "match",
        [SELECTOR_NOT_MATCH] = "not-match",
        [SELECTOR_FIELD] = "field",
    };
    YARDER_ASSERT((size_t)refusal < YARDER_COUNT_OF(names));
    return names[refusal];
}

static const char *answer_words(enum pattern_answer answer)
{
    static const char *const words[] = {
        [PATTERN_NO] = "no match",
        [PATTERN_YES] = "matches",
        [PATTERN_UNDECIDED] = "undecided, the pattern takes too long on this record",
    };
    return words[answer];
}

static void explain_filters(
    struct router *router, const struct selector_patterns *patterns, const char *key, FILE *to)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        uint32_t pattern = patterns->at[i];
        enum pattern_answer answer = pattern_answer(&router->patterns, pattern);
        (void)fprintf(
            to, "%s '%s': %s\n", key, router->patterns.at[pattern].text, answer_words(answer));
    }
}

/* All hits of the record's routes on outputs, as bits. */
static uint64_t explain_routes(struct router *router, enum route_path path, FILE *to)
{
    uint64_t hits = 0;
    for (uint32_t i = 0; i < router->rules_count; i++) {
        const struct rule *rule = &router->rules[i];
        (void)fprintf(to, "%s %s '%s' (%s): ", rule->key, rule->to,
            router->patterns.at[rule->pattern].text, rule->where);
        if (!rule->known) {
            (void)fputs("nothing has this name, the line counts for nothing\n", to);
            continue;
        }
        if ((rule->paths & path) == 0) {
            (void)fprintf(to, "does not look at %s\n",
                path == PATH_REQUEST ? "requests, they have a path of their own" : "log records");
            continue;
        }
        enum pattern_answer answer = pattern_answer(&router->patterns, rule->pattern);
        hits |= answer == PATTERN_YES ? UINT64_C(1) << rule->output : 0;
        (void)fprintf(to, "%s\n", answer_words(answer));
    }
    return hits;
}

static void explain_native(struct router *router, const struct target *target, bool hit, bool taken,
    const struct yarder_record *record, FILE *to)
{
    if (taken) {
        (void)fputs(target->routed ? "takes it, a route sent it here" : "takes it", to);
        return;
    }
    if (target->routed && !hit) {
        (void)fputs("does not take it, no route sent it here", to);
        return;
    }
    if (target->alarmed && !target->routed && !target->rest && target->selector.any) {
        (void)fputs("does not take it, unless an alarm sends it here", to);
        return;
    }
    enum selector_refusal refusal = selector_ask(&target->selector, &router->patterns, record);
    if (refusal != SELECTOR_PASSED) {
        (void)fprintf(to, "does not take it, its %s says no", refusal_name(refusal));
        return;
    }
    (void)fputs("does not take it, another output took it", to);
}

static void explain_logger(
    const struct target *target, enum route_path path, bool taken, uint32_t copies, FILE *to)
{
    enum route_path own = target->reach == ROUTE_UWSGI_REQUEST ? PATH_REQUEST : PATH_LOG;
    if (taken && copies > 1) {
        (void)fprintf(to, "takes it %u times, once for each route", copies);
    } else if (taken) {
        (void)fputs(target->named ? "takes it, a route sent it here"
                                  : "takes it, no route sent it to a logger",
            to);
    } else if (target->shadowed) {
        (void)fputs("does not take it, an earlier one has the same name", to);
    } else if (target->named) {
        (void)fputs("does not take it, no route sent it here", to);
    } else if (target->reach != ROUTE_UWSGI_FALLBACK && own != path) {
        (void)fprintf(
            to, "does not take it, it is a %s", path == PATH_LOG ? "log record" : "request");
    } else {
        (void)fputs("does not take it, a logger does", to);
    }
}

void router_explain_record(struct router *router, const struct yarder_record *record, FILE *to)
{
    struct route_verdict verdict;
    router_decide(router, record, 1, router->patterns.now_ns, &verdict);
    enum route_path path = path_of(router, record);
    if (filters_see(router, path)) {
        explain_filters(router, &router->drops, "drop", to);
        if (verdict.fate != ROUTE_DROPPED) {
            explain_filters(router, &router->keeps, "keep", to);
        }
    }
    if (verdict.fate == ROUTE_DROPPED || verdict.fate == ROUTE_NOT_KEPT) {
        (void)fprintf(to, "goes nowhere: %s\n",
            verdict.fate == ROUTE_DROPPED ? "a drop matches" : "no keep matches");
        return;
    }
    uint64_t hits = explain_routes(router, path, to);
    for (uint32_t i = 0; i < router->outputs_count; i++) {
        const struct target *target = &router->outputs[i];
        bool taken = (verdict.outputs >> i & 1) != 0;
        target_print(target, to);
        (void)fputc(' ', to);
        if (target->reach == ROUTE_NATIVE) {
            explain_native(router, target, (hits >> i & 1) != 0, taken, record, to);
        } else {
            explain_logger(target, path, taken, router_copies(router, 0, i), to);
        }
        (void)fputc('\n', to);
    }
    if (verdict.fate == ROUTE_UNMATCHED) {
        (void)fputs("goes nowhere: no output takes it\n", to);
    }
}
