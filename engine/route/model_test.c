/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the router equals its specification on any configuration. Method: random specifications and
 * records against a model that is the header's table written down rule by rule, with sets searched
 * instead of masks kept, and patterns that are letters, so that the model needs no regex.
 * usage: [MODEL_SEED=N] test-route-model [ROUNDS]
 */

#include "base/test_random.h"
#include "route/test_spec.h"

static bool has(const struct yarder_record *record, const char *pattern)
{
    return memchr(record->text.at, pattern[0], record->text.length) != NULL;
}

/* What the model says: copies for each output, or a fate that ends it. */
struct expected {
    enum route_fate fate;
    uint32_t copies[YARDER_OUTPUTS_MAX];
};

static bool on_request_path(const struct route_spec *spec, const struct yarder_record *record)
{
    bool pipe = false;
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        pipe |= spec->outputs[i].reach == ROUTE_UWSGI_REQUEST;
    }
    for (uint32_t i = 0; i < spec->routes_count; i++) {
        pipe |= !spec->routes[i].native && spec->routes[i].list == ROUTE_REQUESTS;
    }
    return pipe && record->kind == YARDER_KIND_REQUEST;
}

static bool uwsgi_configured(const struct route_spec *spec)
{
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        enum route_reach reach = spec->outputs[i].reach;
        if (reach == ROUTE_UWSGI_LOGGER || reach == ROUTE_UWSGI_REQUEST) {
            return true;
        }
    }
    for (uint32_t i = 0; i < spec->routes_count; i++) {
        if (!spec->routes[i].native) {
            return true;
        }
    }
    return false;
}

/* The output a line means; outputs_count when none. */
static uint32_t meant(const struct route_spec *spec, const struct route_line *line)
{
    static const enum route_reach native[] = {
        ROUTE_NATIVE, ROUTE_UWSGI_LOGGER, ROUTE_UWSGI_REQUEST};
    static const enum route_reach requests[] = {ROUTE_UWSGI_REQUEST, ROUTE_UWSGI_LOGGER};
    static const enum route_reach logs[] = {ROUTE_UWSGI_LOGGER};
    const enum route_reach *order = line->native ? native : logs;
    size_t count = line->native ? YARDER_COUNT_OF(native) : YARDER_COUNT_OF(logs);
    if (!line->native && line->list == ROUTE_REQUESTS) {
        order = requests;
        count = YARDER_COUNT_OF(requests);
    }
    for (size_t k = 0; k < count; k++) {
        for (uint32_t i = 0; i < spec->outputs_count; i++) {
            const struct route_output *output = &spec->outputs[i];
            if (output->reach == order[k] && output->named && strcmp(output->name, line->to) == 0) {
                return i;
            }
        }
    }
    return spec->outputs_count;
}

static bool line_sees(const struct route_line *line, bool request_path)
{
    return line->native || (line->list == ROUTE_REQUESTS) == request_path;
}

static bool any_has(const struct yarder_texts *patterns, const struct yarder_record *record)
{
    for (uint32_t i = 0; i < patterns->count; i++) {
        if (has(record, patterns->at[i])) {
            return true;
        }
    }
    return false;
}

static bool has_selectors(const struct route_selectors *s)
{
    return s->levels.lowest != 0 || s->levels.highest != 0 || s->kinds != 0 ||
           s->match.count != 0 || s->not_match.count != 0;
}

static bool selectors_pass(const struct route_selectors *s, const struct yarder_record *record)
{
    bool any_level = s->levels.lowest == 0 && s->levels.highest == 0;
    return (any_level ||
               (record->level >= s->levels.lowest && record->level <= s->levels.highest)) &&
           (s->kinds == 0 || (s->kinds & 1 << record->kind) != 0) &&
           (s->match.count == 0 || any_has(&s->match, record)) && !any_has(&s->not_match, record);
}

static bool is_logger(const struct route_spec *spec, uint32_t output)
{
    return spec->outputs[output].reach != ROUTE_NATIVE;
}

static bool is_routed(const struct route_spec *spec, uint32_t output)
{
    for (uint32_t i = 0; i < spec->routes_count; i++) {
        if (meant(spec, &spec->routes[i]) == output) {
            return true;
        }
    }
    return false;
}

/* uWSGI's loop, with the hits on native outputs noted on the side. */
static void model_uwsgi(const struct route_spec *spec, const struct yarder_record *record,
    bool *native_hit, bool *logger_hit, struct expected *out)
{
    bool request_path = on_request_path(spec, record);
    for (uint32_t i = 0; i < spec->routes_count; i++) {
        const struct route_line *line = &spec->routes[i];
        uint32_t output = meant(spec, line);
        if (output == spec->outputs_count || !line_sees(line, request_path) ||
            !has(record, line->pattern)) {
            continue;
        }
        if (is_logger(spec, output)) {
            out->copies[output]++; /* no break */
            *logger_hit = true;
        } else {
            native_hit[output] = true;
        }
    }
    if (*logger_hit || !uwsgi_configured(spec)) {
        return;
    }
    enum route_reach mine = request_path ? ROUTE_UWSGI_REQUEST : ROUTE_UWSGI_LOGGER;
    bool sent = false;
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        if (spec->outputs[i].reach == mine && !spec->outputs[i].named) {
            out->copies[i]++;
            sent = true;
        }
    }
    for (uint32_t i = 0; i < spec->outputs_count && !sent; i++) {
        out->copies[i] += spec->outputs[i].reach == ROUTE_UWSGI_FALLBACK;
    }
}

/* Whether an output other than `rest` ones took the record. */
static bool took(const struct route_spec *spec, const struct yarder_record *record, uint32_t output,
    const bool *native_hit)
{
    const struct route_output *candidate = &spec->outputs[output];
    if (candidate->reach != ROUTE_NATIVE || candidate->selectors.rest) {
        return false;
    }
    if (is_routed(spec, output)) {
        return native_hit[output];
    }
    return has_selectors(&candidate->selectors) && selectors_pass(&candidate->selectors, record);
}

static void model(
    const struct route_spec *spec, const struct yarder_record *record, struct expected *out)
{
    *out = (struct expected){.fate = ROUTE_UNMATCHED};
    if (!(spec->uwsgi_filters_logs_only && on_request_path(spec, record))) {
        if (any_has(&spec->drop, record)) {
            out->fate = ROUTE_DROPPED;
            return;
        }
        if (spec->keep.count > 0 && !any_has(&spec->keep, record)) {
            out->fate = ROUTE_NOT_KEPT;
            return;
        }
    }
    bool native_hit[YARDER_OUTPUTS_MAX] = {false};
    bool taken = false;
    model_uwsgi(spec, record, native_hit, &taken, out);
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        taken |= took(spec, record, i, native_hit);
    }
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        const struct route_output *output = &spec->outputs[i];
        if (output->reach == ROUTE_NATIVE) {
            out->copies[i] = (!is_routed(spec, i) || native_hit[i]) &&
                             selectors_pass(&output->selectors, record) &&
                             (!output->selectors.rest || !taken);
        }
        out->fate = out->copies[i] > 0 ? ROUTE_ROUTED : out->fate;
    }
}

static char letters[8][2] = {"a", "b", "c", "d", "e", "f", "g", "h"};

static void random_texts(struct yarder_texts *out, char **room, uint32_t most)
{
    out->at = room;
    out->count = below(most + 1);
    for (uint32_t i = 0; i < out->count; i++) {
        room[i] = letters[below(YARDER_COUNT_OF(letters))];
    }
}

enum { OUTPUTS = 12, ROUTES = 12, TEXTS_EACH = 2 };
static char *selector_texts[OUTPUTS][2][TEXTS_EACH];

static struct route_output random_output(uint32_t index, bool *fallback)
{
    static const char *const names[] = {"p", "q", "r", "s"};
    struct route_output output = {
        .name = names[below(YARDER_COUNT_OF(names))],
        .named = below(3) > 0,
        .reach = (enum route_reach)below(*fallback ? 3 : 4),
    };
    *fallback |= output.reach == ROUTE_UWSGI_FALLBACK;
    if (output.reach == ROUTE_NATIVE) {
        static const char *const own[] = {"n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7"};
        output.named = true;
        output.name = below(4) == 0 ? output.name : own[index % YARDER_COUNT_OF(own)];
        struct route_selectors *s = &output.selectors;
        if (below(2) == 0) {
            s->levels = (struct yarder_levels){(uint8_t)below(3), (uint8_t)(1 + below(4))};
            s->kinds = (uint8_t)below(4);
            random_texts(&s->match, selector_texts[index][0], TEXTS_EACH);
            random_texts(&s->not_match, selector_texts[index][1], TEXTS_EACH - 1);
        }
        s->rest = below(4) == 0;
    }
    return output;
}

static void random_spec(struct test_spec *test)
{
    static const char *const names[] = {
        "p", "q", "r", "s", "n0", "n1", "n2", "n3", "n4", "n5", "n6", "n7", "none"};
    *test = (struct test_spec){.spec = {.outputs = test->outputs, .routes = test->routes}};
    bool fallback = below(2) == 0;
    test->spec.outputs_count = below(OUTPUTS + 1);
    for (uint32_t i = 0; i < test->spec.outputs_count; i++) {
        test->outputs[i] = random_output(i, &fallback);
    }
    bool requests = below(2) == 0;
    test->spec.routes_count = below(ROUTES + 1);
    for (uint32_t i = 0; i < test->spec.routes_count; i++) {
        bool native = below(3) == 0;
        bool request = !native && requests && below(2) == 0;
        test->routes[i] = (struct route_line){
            .list = request ? ROUTE_REQUESTS : ROUTE_BOTH,
            .native = native,
            .to = names[below(YARDER_COUNT_OF(names))],
            .pattern = letters[below(YARDER_COUNT_OF(letters))],
            .where = "m:1",
        };
    }
    test->spec.uwsgi_filters_logs_only = below(2) == 0;
    if (below(4) == 0) {
        random_texts(&test->spec.drop, test->drop, 1);
        random_texts(&test->spec.keep, test->keep, 3);
    }
}

static void compare(const struct router *router, const struct route_spec *spec, uint32_t row,
    const struct yarder_record *record, const struct route_verdict *verdict, uint32_t round)
{
    struct expected expected;
    model(spec, record, &expected);
    bool same = expected.fate == verdict->fate && !verdict->undecided;
    uint64_t outputs = 0;
    for (uint32_t i = 0; i < spec->outputs_count; i++) {
        uint64_t bit = UINT64_C(1) << i;
        outputs |= expected.copies[i] > 0 ? bit : 0;
        same &= (expected.copies[i] > 1) == ((verdict->repeated & bit) != 0);
        same &= expected.copies[i] == 0 || router_copies(router, row, i) == expected.copies[i];
    }
    if (!same || outputs != verdict->outputs) {
        fail_msg("round %u record %u '%.*s' kind %u level %u: outputs %llx, not %llx", round, row,
            (int)record->text.length, record->text.at, record->kind, record->level,
            (unsigned long long)verdict->outputs, (unsigned long long)outputs);
    }
}

static uint32_t rounds = 4000;

static void router_is_its_model(void **state)
{
    (void)state;
    static struct test_spec test;
    static struct yarder_record records[YARDER_BATCH_RECORDS];
    static struct route_verdict verdicts[YARDER_BATCH_RECORDS];
    static char text[YARDER_BATCH_RECORDS][4];
    for (uint32_t round = 0; round < rounds; round++) {
        random_spec(&test);
        struct router *router = test_open(&test);
        uint32_t count = below(YARDER_COUNT_OF(records) / 8);
        for (uint32_t i = 0; i < count; i++) {
            records[i] = test_record("", (uint8_t)below(2));
            records[i].level = (uint8_t)below(5);
            records[i].text = (struct yarder_text){text[i], below(4)};
            for (size_t k = 0; k < records[i].text.length; k++) {
                text[i][k] = letters[below(YARDER_COUNT_OF(letters))][0];
            }
        }
        router_decide(router, records, count, 0, verdicts);
        for (uint32_t i = 0; i < count; i++) {
            compare(router, &test.spec, i, &records[i], &verdicts[i], round);
        }
        router_close(router);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(router_is_its_model)};
    random_begin("MODEL_SEED");
    rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : rounds;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
