/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deciding. The rules read answers; how an answer comes about (now: a match when it is first asked)
 * is the business of the pattern set alone.
 */
#include "route/rules.h"

/* What the routes said of one record. */
struct walk {
    uint64_t loggers; /* hit, of uWSGI's kinds */
    uint64_t natives; /* hit, native */
};

static bool any_yes(const struct selector_patterns *patterns, struct pattern_set *set, uint32_t row,
    struct yarder_text text, bool *unsure)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        enum pattern_answer answer = pattern_answer(set, row, patterns->at[i], text);
        if (answer == PATTERN_YES) {
            return true;
        }
        *unsure |= answer == PATTERN_UNDECIDED;
    }
    return false;
}

/* ROUTE_ROUTED: it may go on. */
static enum route_fate filter(struct router *router, uint32_t row, struct yarder_text text)
{
    bool unsure = false;
    if (any_yes(&router->drops, &router->patterns, row, text, &unsure)) {
        return ROUTE_DROPPED;
    }
    unsure = false;
    if (router->keeps.count > 0 &&
        !any_yes(&router->keeps, &router->patterns, row, text, &unsure) && !unsure) {
        return ROUTE_NOT_KEPT;
    }
    return ROUTE_ROUTED;
}

static void hit_logger(struct router *router, uint32_t row, struct walk *walk, uint8_t output)
{
    uint64_t bit = UINT64_C(1) << output;
    if ((walk->loggers & bit) == 0) {
        walk->loggers |= bit;
        return;
    }
    uint16_t *copies = &router->copies[row][output];
    *copies = (uint16_t)((router->repeated[row] & bit) == 0 ? 2 : *copies + 1);
    router->repeated[row] |= bit;
}

/*
 * A native output gets one copy, so its further routes are not asked; nor are any when its integers
 * refuse the record, unless a `rest` output wants to know of hits.
 */
static bool is_idle(const struct router *router, const struct rule *rule, const struct walk *walk,
    const struct yarder_record *record)
{
    if (!rule->to_native) {
        return false;
    }
    const struct selector *selector = &router->outputs[rule->output].selector;
    return (walk->natives >> rule->output & 1) != 0 ||
           (router->rest == 0 && selector_admits(selector, record) != SELECTOR_PASSED);
}

static struct walk walk_routes(
    struct router *router, uint32_t row, const struct yarder_record *record, enum route_path path)
{
    struct walk walk = {0, 0};
    for (uint32_t i = 0; i < router->rules_count; i++) {
        const struct rule *rule = &router->rules[i];
        if ((rule->paths & path) == 0 || is_idle(router, rule, &walk, record)) {
            continue;
        }
        if (pattern_answer(&router->patterns, row, rule->pattern, record->text) != PATTERN_YES) {
            continue;
        }
        if (rule->to_native) {
            walk.natives |= UINT64_C(1) << rule->output;
        } else {
            hit_logger(router, row, &walk, rule->output);
        }
    }
    return walk;
}

/* Those of the outputs whose selectors pass. */
static uint64_t passing(
    struct router *router, uint32_t row, const struct yarder_record *record, uint64_t outputs)
{
    uint64_t passed = 0;
    for (uint64_t left = outputs; left != 0; left &= left - 1) {
        const struct selector *selector = &router->outputs[__builtin_ctzll(left)].selector;
        if (selector_ask(selector, &router->patterns, row, record) == SELECTOR_PASSED) {
            passed |= left & -left;
        }
    }
    return passed;
}

static uint64_t choose_native(struct router *router, uint32_t row,
    const struct yarder_record *record, const struct walk *walk)
{
    uint64_t hit = walk->natives & ~router->rest;
    uint64_t chosen = passing(router, row, record, router->choosy);
    uint64_t outputs = router->everything | chosen | passing(router, row, record, hit);
    if (router->rest != 0 && (walk->loggers | hit | chosen) == 0) {
        uint64_t open = router->rest & (~router->routed | walk->natives);
        outputs |= passing(router, row, record, open);
    }
    return outputs;
}

static void decide(struct router *router, uint32_t row, const struct yarder_record *record,
    struct route_verdict *verdict)
{
    enum route_path path = path_of(router, record);
    router->repeated[row] = 0;
    if (filters_see(router, path)) {
        enum route_fate fate = filter(router, row, record->text);
        if (fate != ROUTE_ROUTED) {
            *verdict = (struct route_verdict){.fate = fate};
            return;
        }
    }
    struct walk walk = walk_routes(router, row, record, path);
    uint64_t outputs = walk.loggers != 0 ? walk.loggers : unnamed_of(router, path);
    outputs |= choose_native(router, row, record, &walk);
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
    pattern_batch(&router->patterns, count, now_ns);
    for (uint32_t row = 0; row < count; row++) {
        router->patterns.undecided = false;
        decide(router, row, &records[row], &verdicts[row]);
        if (YARDER_UNLIKELY(router->patterns.undecided)) {
            verdicts[row].undecided = true;
            uint64_t so_far = atomic_load_explicit(&router->undecided, memory_order_relaxed);
            atomic_store_explicit(&router->undecided, so_far + 1, memory_order_relaxed);
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

bool router_reads_text(const struct router *router)
{
    return router->reads_text;
}

uint64_t router_undecided(const struct router *router)
{
    return atomic_load_explicit(&router->undecided, memory_order_relaxed);
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
