/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deciding. The rules read answers; how an answer comes about (a scan, a match when it is first
 * asked) is the business of the pattern set alone.
 */
#include "route/rules.h"

/* What a rule is asked about, and what came of the rules before. */
struct walk {
    const struct yarder_record *record;
    uint32_t row;
    enum route_path path;
    uint64_t loggers; /* hit, of uWSGI's kinds */
    uint64_t natives; /* hit, native */
};

/* ROUTE_ROUTED: it may go on. */
static enum route_fate filter(struct router *router)
{
    struct pattern_set *set = &router->patterns;
    if (router->drops.count > 0 && selector_patterns_ask(&router->drops, set) == PATTERN_YES) {
        return ROUTE_DROPPED;
    }
    bool kept =
        router->keeps.count == 0 || selector_patterns_ask(&router->keeps, set) != PATTERN_NO;
    return kept ? ROUTE_ROUTED : ROUTE_NOT_KEPT;
}

static void hit_logger(struct router *router, struct walk *walk, uint8_t output)
{
    uint64_t bit = UINT64_C(1) << output;
    if ((walk->loggers & bit) == 0) {
        walk->loggers |= bit;
        return;
    }
    uint16_t *copies = &router->copies[walk->row][output];
    *copies = (uint16_t)((router->repeated[walk->row] & bit) == 0 ? 2 : *copies + 1);
    router->repeated[walk->row] |= bit;
}

/*
 * A native output gets one copy, so its further routes are not asked; nor are any when its integers
 * refuse the record, unless a `rest` output wants to know of hits.
 */
static bool is_idle(const struct router *router, const struct rule *rule, const struct walk *walk)
{
    if (!rule->to_native) {
        return false;
    }
    const struct selector *selector = &router->outputs[rule->output].selector;
    return (walk->natives >> rule->output & 1) != 0 ||
           (router->rest == 0 && selector_admits(selector, walk->record) != SELECTOR_PASSED);
}

static inline void try_rule(struct router *router, struct walk *walk, const struct rule *rule)
{
    if ((rule->paths & walk->path) == 0 || is_idle(router, rule, walk) ||
        pattern_answer(&router->patterns, rule->pattern) != PATTERN_YES) {
        return;
    }
    if (rule->to_native) {
        walk->natives |= UINT64_C(1) << rule->output;
    } else {
        hit_logger(router, walk, rule->output);
    }
}

/* Without a scan every rule is open, and the plain loop is the faster one. */
static void walk_routes(struct router *router, struct walk *walk)
{
    struct pattern_set *set = &router->patterns;
    if (set->scan == NULL) {
        for (uint32_t i = 0; i < router->rules_count; i++) {
            try_rule(router, walk, &router->rules[i]);
        }
        return;
    }
    for (uint32_t i = 0; i < router->rule_runs.count; i++) {
        const struct pattern_run *run = &router->rule_runs.at[i];
        for (uint64_t left = pattern_open(set, run); left != 0; left &= left - 1) {
            try_rule(router, walk, &router->rules[pattern_run_item(run, left)]);
        }
    }
}

static uint64_t ask(struct router *router, const struct yarder_record *record, uint64_t outputs)
{
    uint64_t passed = 0;
    for (uint64_t left = outputs; left != 0; left &= left - 1) {
        const struct selector *selector = &router->outputs[__builtin_ctzll(left)].selector;
        if (selector_ask(selector, &router->patterns, record) == SELECTOR_PASSED) {
            passed |= left & -left;
        }
    }
    return passed;
}

/* Those of the outputs whose selectors pass. */
static inline uint64_t passing(
    struct router *router, const struct yarder_record *record, uint64_t outputs)
{
    uint64_t asked = outputs & ~router->selectless;
    return (outputs ^ asked) | (asked == 0 ? 0 : ask(router, record, asked));
}

static uint64_t choose_native(struct router *router, const struct walk *walk)
{
    const struct yarder_record *record = walk->record;
    uint64_t hits = walk->natives & ~router->rest;
    uint64_t chosen = passing(router, record, router->choosy);
    uint64_t outputs = router->everything | chosen | passing(router, record, hits);
    if (router->rest != 0 && (walk->loggers | hits | chosen) == 0) {
        uint64_t open = router->rest & (~router->routed | walk->natives);
        outputs |= passing(router, record, open);
    }
    return outputs;
}

static void decide(struct router *router, uint32_t row, const struct yarder_record *record,
    struct route_verdict *verdict)
{
    enum route_path path = path_of(router, record);
    router->repeated[row] = 0;
    if (filters_see(router, path)) {
        enum route_fate fate = filter(router);
        if (fate != ROUTE_ROUTED) {
            *verdict = (struct route_verdict){.fate = fate};
            return;
        }
    }
    struct walk walk = {.record = record, .row = row, .path = path};
    walk_routes(router, &walk);
    uint64_t outputs = walk.loggers != 0 ? walk.loggers : unnamed_of(router, path);
    outputs |= choose_native(router, &walk);
    *verdict = (struct route_verdict){
        .outputs = outputs,
        .repeated = router->repeated[row],
        .fate = outputs == 0 ? ROUTE_UNMATCHED : ROUTE_ROUTED,
    };
}

void router_decide(struct router *router, const struct yarder_record *records, uint32_t count,
    int64_t now_ns, struct route_verdict *verdicts)
{
    YARDER_ASSERT(count <= YARDER_BATCH_RECORDS);
    router->patterns.now_ns = now_ns;
    for (uint32_t row = 0; row < count; row++) {
        pattern_begin(&router->patterns, records[row].text);
        decide(router, row, &records[row], &verdicts[row]);
        if (YARDER_UNLIKELY(router->patterns.undecided)) {
            verdicts[row].undecided = true;
        }
    }
}

uint32_t router_copies(const struct router *router, uint32_t record_index, uint32_t output)
{
    YARDER_ASSERT(record_index < YARDER_BATCH_RECORDS);
    YARDER_ASSERT(output < router->outputs_count);
    bool repeated = (router->repeated[record_index] >> output & 1) != 0;
    return repeated ? router->copies[record_index][output] : 1;
}

bool router_trouble_next(const struct router *router, uint32_t *at, struct route_trouble *out)
{
    while (*at < router->patterns.count) {
        const struct pattern *pattern = &router->patterns.at[(*at)++];
        uint64_t undecided = atomic_load_explicit(&pattern->undecided, memory_order_relaxed);
        uint32_t head = atomic_load_explicit(&pattern->head_bytes, memory_order_relaxed);
        if (undecided != 0 || head != 0) {
            *out = (struct route_trouble){pattern->text, pattern->where, undecided, head};
            return true;
        }
    }
    return false;
}
