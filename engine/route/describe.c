/* SPDX-License-Identifier: Apache-2.0 */
/* What an output takes, in a sentence. */
#include "base/text.h"
#include "route/rules.h"

static const char *const reach_words[] = {
    [ROUTE_NATIVE] = "output",
    [ROUTE_UWSGI_LOGGER] = "logger",
    [ROUTE_UWSGI_REQUEST] = "req-logger",
    [ROUTE_UWSGI_FALLBACK] = "standard output",
};
static const char *const kind_words[] = {"log", "request"};
static const char *const stream_words[] = {"none", "stdout", "stderr"};

/* Before a condition, and before a further alternative of one. */
static void begin(FILE *to, bool *first, const char *key)
{
    (void)fprintf(to, "%s%s ", *first ? "" : ", ", key);
    *first = false;
}
static void alternative(FILE *to, bool first)
{
    if (!first) {
        (void)fputs(" or ", to);
    }
}

static void print_levels(const struct selector *selector, bool *first, FILE *to)
{
    if (selector->lowest == 0 && selector->highest == UINT8_MAX) {
        return;
    }
    begin(to, first, "level");
    if (selector->highest == UINT8_MAX) {
        (void)fprintf(to, "%s and above", level_name(selector->lowest));
    } else if (selector->lowest == 0) {
        (void)fprintf(to, "%s and below", level_name(selector->highest));
    } else if (selector->lowest == selector->highest) {
        (void)fputs(level_name(selector->lowest), to);
    } else {
        (void)fprintf(to, "%s to %s", level_name(selector->lowest), level_name(selector->highest));
    }
}

static void print_bits(uint32_t bits, const char *key, const char *const *words,
    uint32_t words_count, bool *first, FILE *to)
{
    if (bits == 0) {
        return;
    }
    begin(to, first, key);
    for (uint32_t left = bits; left != 0; left &= left - 1) {
        uint32_t bit = (uint32_t)__builtin_ctz(left);
        const char *word = words != NULL && bit < words_count ? words[bit] : NULL;
        alternative(to, left == bits);
        (void)fputs(word != NULL ? word : facility_name((uint8_t)bit), to);
    }
}

static void print_names(const struct selector_names *names, const char *key, bool *first, FILE *to)
{
    if (names->count == 0) {
        return;
    }
    begin(to, first, key);
    for (uint32_t i = 0; i < names->count; i++) {
        const struct selector_name *name = &names->at[i];
        alternative(to, i == 0);
        (void)fprintf(to, "%.*s%s", (int)name->length, name->at, name->prefix ? "*" : "");
    }
}

static void print_patterns(const struct selector_patterns *patterns, const struct pattern_set *set,
    const char *key, bool *first, FILE *to)
{
    if (patterns->count == 0) {
        return;
    }
    begin(to, first, key);
    for (uint32_t i = 0; i < patterns->count; i++) {
        alternative(to, i == 0);
        (void)fprintf(to, "'%s'", set->at[patterns->at[i]].text);
    }
}

void selector_print(const struct selector *selector, const struct pattern_set *set, FILE *to)
{
    bool first = true;
    print_levels(selector, &first, to);
    print_bits(selector->kinds, "kind", kind_words, YARDER_COUNT_OF(kind_words), &first, to);
    print_bits(
        selector->streams, "stream", stream_words, YARDER_COUNT_OF(stream_words), &first, to);
    print_bits(selector->facilities, "facility", NULL, 0, &first, to);
    print_names(&selector->input, "input", &first, to);
    print_names(&selector->logger, "logger", &first, to);
    print_names(&selector->tag, "tag", &first, to);
    print_names(&selector->host, "host", &first, to);
    print_patterns(&selector->match, set, "text matching", &first, to);
    print_patterns(&selector->not_match, set, "text not matching", &first, to);
    for (uint32_t i = 0; i < selector->field_count; i++) {
        begin(to, &first, "field");
        const struct selector_field *field = &selector->field[i];
        (void)fputs(field->name, to);
        if (field->is_range) {
            range_print(&field->range, to);
        } else {
            (void)fprintf(to, " matching '%s'", set->at[field->pattern].text);
        }
    }
}

void target_print(const struct target *target, FILE *to)
{
    const char *unnamed = !target->named && (target->reach == ROUTE_UWSGI_LOGGER ||
                                                target->reach == ROUTE_UWSGI_REQUEST)
                              ? "unnamed "
                              : "";
    bool has_name = target->name[0] != '\0' && target->reach != ROUTE_UWSGI_FALLBACK;
    (void)fprintf(to, "%s%s%s%s", unnamed, reach_words[target->reach], has_name ? " " : "",
        has_name ? target->name : "");
}

/* "route 'x' (file:3) or log-route 'y' (file:4)": the lines that name an output. */
static void print_routes(const struct router *router, uint32_t output, FILE *to)
{
    bool first = true;
    for (uint32_t i = 0; i < router->rules_count; i++) {
        const struct rule *rule = &router->rules[i];
        if (!rule->known || rule->output != output) {
            continue;
        }
        alternative(to, first);
        first = false;
        (void)fprintf(
            to, "%s '%s' (%s)", rule->key, router->patterns.at[rule->pattern].text, rule->where);
    }
}

static void tell_native(const struct router *router, uint32_t output, FILE *to)
{
    const struct target *target = &router->outputs[output];
    if (target->alarmed && !target->routed && !target->rest && target->selector.any) {
        (void)fputs("takes what alarms send here", to);
        return;
    }
    (void)fputs(target->alarmed ? "takes what alarms send here, and " : "takes ", to);
    (void)fputs(target->routed ? "what is sent here by " : "every record", to);
    if (target->routed) {
        print_routes(router, output, to);
    }
    if (!target->selector.any) {
        (void)fputs(target->routed ? ", if it has " : " with ", to);
        selector_print(&target->selector, &router->patterns, to);
    }
    if (target->rest) {
        (void)fputs(", as long as no selector or route of another output took it", to);
    }
}

static void tell_logger(const struct router *router, uint32_t output, FILE *to)
{
    const struct target *target = &router->outputs[output];
    bool requests = target->reach == ROUTE_UWSGI_REQUEST;
    if (target->shadowed) {
        (void)fputs("takes nothing: an earlier one has the same name", to);
    } else if (target->routed) {
        (void)fputs("takes what is sent here by ", to);
        print_routes(router, output, to);
    } else if (target->named) {
        (void)fputs(target->alarmed ? "takes what alarms send here"
                                    : "takes nothing: it has a name and no route uses it",
            to);
    } else {
        const char *what = requests ? "request" : router->request_path ? "log record" : "record";
        (void)fprintf(to, "takes every %s that no route sent to a logger", what);
    }
}

static void tell_fallback(const struct router *router, uint32_t output, FILE *to)
{
    bool logs = (router->unnamed_log >> output & 1) != 0;
    bool requests = router->request_path && (router->unnamed_request >> output & 1) != 0;
    if (!logs && !requests) {
        (void)fputs("takes nothing: unnamed loggers take what no route sent to a logger", to);
        return;
    }
    const char *what = logs && requests ? "record" : logs ? "log record" : "request";
    (void)fprintf(to,
        "takes every %s that no route sent to a logger, since no unnamed one is there",
        logs && !router->request_path ? "record" : what);
}

void router_explain_output(const struct router *router, uint32_t output, FILE *to)
{
    YARDER_ASSERT(output < router->outputs_count);
    const struct target *target = &router->outputs[output];
    target_print(target, to);
    (void)fputc(' ', to);
    switch (target->reach) {
    case ROUTE_NATIVE:
        tell_native(router, output, to);
        break;
    case ROUTE_UWSGI_LOGGER:
    case ROUTE_UWSGI_REQUEST:
        tell_logger(router, output, to);
        break;
    case ROUTE_UWSGI_FALLBACK:
        tell_fallback(router, output, to);
        break;
    }
    (void)fputc('\n', to);
}
