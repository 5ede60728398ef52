/* SPDX-License-Identifier: Apache-2.0 */
/* From a specification to a router: checks, compiles every pattern once, resolves every name. */
#include <errno.h>

#include "route/rules.h"

static bool is_pipe_line(const struct route_line *line)
{
    return !line->native && line->list == ROUTE_REQUESTS;
}

/* The first output of a kind that has the name; loggers have one only if their line gave it. */
static bool find(
    const struct route_spec *spec, enum route_reach reach, const char *name, uint8_t *output)
{
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        const struct route_output *candidate = &spec->outputs[i];
        if (candidate->reach == reach && candidate->name != NULL &&
            (candidate->named || reach == ROUTE_NATIVE) && strcmp(candidate->name, name) == 0) {
            *output = (uint8_t)i;
            return true;
        }
    }
    return false;
}

static bool resolve(const struct route_spec *spec, const struct route_line *line, uint8_t *output)
{
    if (line->native) {
        return find(spec, ROUTE_NATIVE, line->to, output) ||
               find(spec, ROUTE_UWSGI_LOGGER, line->to, output) ||
               find(spec, ROUTE_UWSGI_REQUEST, line->to, output);
    }
    return (line->list == ROUTE_REQUESTS && find(spec, ROUTE_UWSGI_REQUEST, line->to, output)) ||
           find(spec, ROUTE_UWSGI_LOGGER, line->to, output);
}

static uint8_t paths_of(const struct route_line *line)
{
    if (line->list == ROUTE_REQUESTS) {
        return PATH_REQUEST;
    }
    return line->native ? PATH_LOG | PATH_REQUEST : PATH_LOG;
}

static const char *key_of(const struct route_line *line)
{
    if (line->native) {
        return "route";
    }
    return line->list == ROUTE_REQUESTS ? "log-req-route" : "log-route";
}

static int build_rule(struct router *router, const struct route_spec *spec,
    const struct route_line *line, char *why, size_t why_bytes)
{
    struct rule *rule = &router->rules[router->rules_count++];
    rule->key = key_of(line);
    rule->to = memory_copy(&router->memory, line->to);
    rule->where = memory_copy(&router->memory, line->where == NULL ? rule->key : line->where);
    if (rule->to == NULL || rule->where == NULL) {
        return -ENOMEM;
    }
    rule->known = resolve(spec, line, &rule->output);
    if (rule->known) {
        struct target *target = &router->outputs[rule->output];
        target->routed = true;
        rule->to_native = target->reach == ROUTE_NATIVE;
        rule->paths = paths_of(line);
    }
    int r = pattern_add(
        &router->patterns, line->pattern, false, rule->where, &rule->pattern, why, why_bytes);
    pattern_runs_add(&router->rule_runs, rule->pattern);
    return r;
}

static int build_filters(struct router *router, struct selector_patterns *out,
    const struct yarder_texts *from, const char *key, char *why, size_t why_bytes)
{
    int r = selector_patterns_take(out, &router->memory, from->count);
    for (; out->count < from->count && r == 0; out->count++) {
        r = pattern_add(&router->patterns, from->at[out->count], false, key, &out->at[out->count],
            why, why_bytes);
        pattern_runs_add(&out->runs, out->at[out->count]);
    }
    return r;
}

static int build_output(struct router *router, const struct route_spec *spec, uint32_t index,
    char *why, size_t why_bytes)
{
    const struct route_output *from = &spec->outputs[index];
    struct target *target = &router->outputs[index];
    target->name = memory_copy(&router->memory, from->name == NULL ? "" : from->name);
    if (target->name == NULL) {
        return -ENOMEM;
    }
    target->reach = from->reach;
    target->named = from->named;
    target->alarmed = from->alarmed;
    uint8_t first = 0;
    target->shadowed = from->named && from->reach != ROUTE_UWSGI_FALLBACK && from->name != NULL &&
                       find(spec, from->reach, from->name, &first) && first != index;
    if (from->reach != ROUTE_NATIVE) {
        return 0;
    }
    target->rest = from->selectors.rest;
    struct selector_build build = {
        spec, target->name, &router->patterns, &router->memory, why, why_bytes};
    return selector_compile(&target->selector, &from->selectors, &build);
}

static void mask_native(struct router *router, const struct target *target, uint64_t bit)
{
    router->selectless |= target->selector.any ? bit : 0;
    router->rest |= target->rest ? bit : 0;
    router->routed |= target->routed ? bit : 0;
    bool by_alarms_alone = target->alarmed && target->selector.any;
    if (!target->rest && !target->routed && !by_alarms_alone) {
        *(target->selector.any ? &router->everything : &router->choosy) |= bit;
    }
}

/* The masks of outputs, once it is known which routes name what. */
static void build_masks(struct router *router, bool uwsgi_speaks)
{
    uint64_t fallback = 0;
    for (uint32_t i = 0; i < router->outputs_count; i++) {
        const struct target *target = &router->outputs[i];
        uint64_t bit = UINT64_C(1) << i;
        switch (target->reach) {
        case ROUTE_NATIVE:
            mask_native(router, target, bit);
            break;
        case ROUTE_UWSGI_LOGGER:
            router->unnamed_log |= target->named ? 0 : bit;
            break;
        case ROUTE_UWSGI_REQUEST:
            router->unnamed_request |= target->named ? 0 : bit;
            break;
        case ROUTE_UWSGI_FALLBACK:
            fallback = uwsgi_speaks ? bit : 0;
            break;
        }
    }
    router->unnamed_log = router->unnamed_log != 0 ? router->unnamed_log : fallback;
    router->unnamed_request = router->unnamed_request != 0 ? router->unnamed_request : fallback;
}

/* uWSGI's walk exists when one of its lines does; requests have a path of their own likewise. */
static bool scan_uwsgi(struct router *router, const struct route_spec *spec)
{
    bool speaks = false;
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        router->request_path |= spec->outputs[i].reach == ROUTE_UWSGI_REQUEST;
        speaks |= spec->outputs[i].reach == ROUTE_UWSGI_LOGGER;
    }
    for (uint32_t i = 0; i < spec->routes_count; i++) {
        router->request_path |= is_pipe_line(&spec->routes[i]);
        speaks |= !spec->routes[i].native;
    }
    return speaks || router->request_path;
}

static int check_counts(const struct route_spec *spec, char *why, size_t why_bytes)
{
    uint32_t fallbacks = 0;
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        fallbacks += spec->outputs[i].reach == ROUTE_UWSGI_FALLBACK;
    }
    YARDER_ASSERT(fallbacks <= 1);
    const char *what = NULL;
    uint32_t most = 0;
    if (spec->outputs_count > YARDER_OUTPUTS_MAX) {
        what = "outputs";
        most = YARDER_OUTPUTS_MAX;
    } else if (spec->inputs_count > YARDER_INPUTS_MAX) {
        what = "inputs";
        most = YARDER_INPUTS_MAX;
    } else if (spec->routes_count > YARDER_ROUTES_MAX) {
        what = "routes";
        most = YARDER_ROUTES_MAX;
    }
    if (what != NULL) {
        (void)snprintf(why, why_bytes, "too many %s, at most %u fit", what, most);
        return -EINVAL;
    }
    return 0;
}

static int build(struct router *router, const struct route_spec *spec, char *why, size_t why_bytes)
{
    router->outputs = memory_take(&router->memory, spec->outputs_count, sizeof(*router->outputs));
    router->rules = memory_take(&router->memory, spec->routes_count, sizeof(*router->rules));
    router->rule_runs.at =
        memory_take(&router->memory, spec->routes_count, sizeof(*router->rule_runs.at));
    if (router->outputs == NULL || router->rules == NULL || router->rule_runs.at == NULL) {
        return -ENOMEM;
    }
    router->filters_logs_only = spec->uwsgi_filters_logs_only;
    bool uwsgi_speaks = scan_uwsgi(router, spec);
    int r = pattern_set_open(&router->patterns);
    r = r != 0 ? r : build_filters(router, &router->drops, &spec->drop, "drop", why, why_bytes);
    r = r != 0 ? r : build_filters(router, &router->keeps, &spec->keep, "keep", why, why_bytes);
    for (uint32_t i = 0; i < spec->outputs_count && r == 0; i++) {
        router->outputs_count++;
        r = build_output(router, spec, i, why, why_bytes);
    }
    for (uint32_t i = 0; i < spec->routes_count && r == 0; i++) {
        r = build_rule(router, spec, &spec->routes[i], why, why_bytes);
    }
    build_masks(router, uwsgi_speaks);
    return r != 0 ? r : pattern_set_seal(&router->patterns);
}

int router_open(struct router **out, const struct route_spec *spec, char *why, size_t why_bytes)
{
    YARDER_ASSERT(why_bytes > 0);
    why[0] = '\0';
    int r = check_counts(spec, why, why_bytes);
    if (r != 0) {
        return r;
    }
    struct router *router = calloc(1, sizeof(*router));
    if (router == NULL) {
        return -ENOMEM;
    }
    r = build(router, spec, why, why_bytes);
    if (r != 0) {
        router_close(router);
        return r;
    }
    *out = router;
    return 0;
}

void router_close(struct router *router)
{
    if (router == NULL) {
        return;
    }
    pattern_set_close(&router->patterns);
    memory_free(&router->memory);
    free(router);
}
