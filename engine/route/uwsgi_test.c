/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: uWSGI's routing, fact by fact, as observed on uWSGI 2.0.21, and the native outputs beside
 * it. Method: one row for each fact; a specification, a record, and who gets it.
 */
#include "route/test_spec.h"

struct fact {
    const char *says;
    const char *outputs;
    const char *routes;
    const char *drop;
    const char *keep;
    const char *text;
    uint8_t kind;
    const char *verdict;
};

enum { LOG = YARDER_KIND_LOG, REQ = YARDER_KIND_REQUEST };

/* clang-format off */
static const struct fact facts[] = {
    {"no match: all unnamed loggers, no named one", "L La L", "la=x", "", "", "y", LOG, "0 2"},
    {"a route matches: its logger alone", "L La L", "la=x", "", "", "x", LOG, "1"},
    {"no unnamed logger, no match: standard output", "La F", "la=x", "", "", "y", LOG, "1"},
    {"standard output stays out otherwise", "La F L", "la=x", "", "", "y", LOG, "2"},
    {"a match keeps it from standard output", "La F", "la=x", "", "", "x", LOG, "0"},
    {"each matching route emits", "La Lb L", "la=x lb=y", "", "", "xy", LOG, "0 1"},
    {"two routes, one logger: twice", "La L", "la=x la=y", "", "", "xy", LOG, "0*2"},
    {"the same line twice: twice", "La L", "la=x la=x la=x", "", "", "x", LOG, "0*3"},
    {"two routes, one matches: once", "La L", "la=x la=y", "", "", "y", LOG, "0"},
    {"copies of several loggers", "La Lb", "la=x lb=x la=x lb=y", "", "", "xy", LOG, "0*2 1*2"},
    {"an unknown name is as if not there", "L La", "lzz=x", "", "", "x", LOG, "0"},
    {"and hides no other route", "L La", "lzz=x la=x", "", "", "x", LOG, "1"},
    {"a target's text is no name", "L.a L", "la=x", "", "", "x", LOG, "0 1"},
    {"second logger of a name gets nothing", "La La L", "la=x", "", "", "x", LOG, "0"},
    {"not even what nobody wants", "La La L", "la=x", "", "", "y", LOG, "2"},
    {"drain beats filter", "L", "", "x", "x", "x", LOG, "drop"},
    {"drain beats route", "L La", "la=x", "x", "", "x", LOG, "drop"},
    {"filter beats route", "L La", "la=x", "", "y", "x", LOG, "keep"},
    {"filter: any of several", "L", "", "", "a b", "b", LOG, "0"},
    {"drain: any of several", "L", "", "a b", "", "b", LOG, "drop"},
    {"drain and filter combine", "L", "", "x", "y", "xy", LOG, "drop"},
    {"drain and filter combine, kept", "L", "", "x", "y", "y", LOG, "0"},
    {"drain and filter combine, not kept", "L", "", "x", "y", "z", LOG, "keep"},

    {"no request pipe: requests travel the log path", "L La", "la=x", "", "", "x", REQ, "1"},
    {"and are drained", "L La", "", "x", "", "x", REQ, "drop"},
    {"a pipe: no drain", "L Q", "", "x", "", "x", REQ, "1"},
    {"no filter", "L Q", "", "", "y", "x", REQ, "1"},
    {"no log-route", "L La Q", "la=x", "", "", "x", REQ, "2"},
    {"while log records still see all of it", "L La Q", "la=x", "z", "", "x", LOG, "1"},
    {"requests: all unnamed req-loggers", "L Q Qa Q", "", "", "", "x", REQ, "1 3"},
    {"a req-logger gets no log records", "L Q", "", "", "", "x", LOG, "0"},
    {"log-req-route alone makes the pipe", "L La F", "ra=x lb=y", "", "", "y", REQ, "2"},
    {"log-req-route to a logger", "L La Q", "ra=x", "", "", "x", REQ, "1"},
    {"log-req-route to a req-logger", "L Qa Q", "ra=x", "", "", "x", REQ, "1"},
    {"req-loggers before loggers", "La Qa Q", "ra=x", "", "", "x", REQ, "1"},
    {"log-req-route does not see log records", "L La Q", "ra=x", "", "", "x", LOG, "0"},
    {"log-route never names a req-logger", "L Qa", "la=x", "", "", "x", LOG, "0"},
    {"requests, no unnamed req-logger: standard output", "L Qa F", "ra=x", "", "", "y", REQ, "2"},
    {"two log-req-routes: twice", "Qa Q", "ra=x ra=y", "", "", "xy", REQ, "0*2"},
    {"a lone empty record goes the same way", "La L", "la=^$", "", "", "", LOG, "0"},
    {"a dollar matches the end", "La L", "la=full$", "", "", "queue full", LOG, "0"},
    {"and before a final newline", "La L", "la=full$", "", "", "queue full\n", LOG, "0"},
    {"but not before another", "La L", "la=full$", "", "", "full\nx", LOG, "1"},
    {"a dot does not pass a newline", "La L", "la=a.b", "", "", "a\nb", LOG, "1"},

    {"standard output needs a line of uWSGI", "F", "", "", "", "x", LOG, "-"},
    {"an unknown log-route is one", "F", "la=x", "", "", "x", LOG, "0"},
    {"a native route is none", "F", "na=x", "", "", "x", LOG, "-"},
    {"native outputs alone leave it alone", "Na F", "", "", "", "x", LOG, "0"},
    {"native without route: everything, beside the loggers", "L Na", "", "", "", "x", LOG, "0 1"},
    {"native with route: only that", "Na Nb", "na=x", "", "", "y", LOG, "1"},
    {"a native hit takes nothing from the loggers", "L Na", "na=x", "", "", "x", LOG, "0 1"},
    {"nor from standard output", "La F Nb", "nb=x", "", "", "x", LOG, "1 2"},
    {"two native routes to one output: one copy", "Na", "na=x na=y", "", "", "xy", LOG, "0"},
    {"a native route on a logger is a route line", "L La", "na=x", "", "", "x", LOG, "1"},
    {"and counts beside log-route", "L La", "na=x la=x", "", "", "x", LOG, "1*2"},
    {"an unnamed logger has no name for it either", "L.a", "na=x", "", "", "x", LOG, "0"},
    {"a native output before a logger of its name", "La Na", "na=x", "", "", "x", LOG, "1"},
    {"log-route finds the logger of the two", "La Na L", "la=x", "", "", "x", LOG, "0 1"},
    {"log-route never names a native output", "L Na", "la=y", "", "", "y", LOG, "0 1"},
    {"a native route sees requests on their path", "Q Na", "na=x", "", "", "x", REQ, "0 1"},
    {"and reaches req-loggers", "Q Qa", "na=x", "", "", "x", REQ, "1"},
};
/* clang-format on */

static void facts_hold(void **state)
{
    (void)state;
    for (size_t i = 0; i < YARDER_COUNT_OF(facts); i++) {
        const struct fact *fact = &facts[i];
        static struct test_spec test;
        test_spec_fill(&test, fact->outputs, fact->routes, fact->drop, fact->keep);
        test.spec.uwsgi_filters_logs_only = true;
        struct router *router = test_open(&test);
        struct yarder_record record = test_record(fact->text, fact->kind);
        char room[TEST_TEXT_BYTES];
        const char *verdict = test_verdict(router, &record, room);
        if (strcmp(verdict, fact->verdict) != 0) {
            fail_msg("%s: %s, not %s", fact->says, verdict, fact->verdict);
        }
        router_close(router);
    }
}

/* A native drop speaks of every record, whatever path requests take. */
static void native_filters_see_requests(void **state)
{
    (void)state;
    static struct test_spec test;
    char room[TEST_TEXT_BYTES];
    test_spec_fill(&test, "L Q", "", "x", "y");
    struct router *router = test_open(&test);
    struct yarder_record record = test_record("x", YARDER_KIND_REQUEST);
    assert_string_equal(test_verdict(router, &record, room), "drop");
    record = test_record("z", YARDER_KIND_REQUEST);
    assert_string_equal(test_verdict(router, &record, room), "keep");
    router_close(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_hold),
        cmocka_unit_test(native_filters_see_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
