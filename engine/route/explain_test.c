/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what the router says of itself is what it does. Method: whole sentences, for outputs of
 * every kind and for records of every fate.
 */
#include "route/test_spec.h"

static void told(const struct test_spec *test, const char *const *sentences)
{
    struct router *router = test_open(test);
    char text[TEST_TEXT_BYTES] = "";
    for (uint32_t i = 0; i < test->spec.outputs_count; i++) {
        YARDER_OWN_FILE FILE *to = fmemopen(text, sizeof(text), "w");
        assert_non_null(to);
        router_explain_output(router, i, to);
        assert_int_equal(fflush(to), 0);
        assert_string_equal(text, sentences[i]);
    }
    router_close(router);
}

static void outputs_are_explained(void **state)
{
    (void)state;
    static struct test_spec test;
    static const char *const uwsgi[] = {
        "logger a takes what is sent here by log-route 'x' (test.conf:7) or log-route 'y' "
        "(test.conf:7)\n",
        "logger a takes nothing: an earlier one has the same name\n",
        "logger b takes nothing: it has a name and no route uses it\n",
        "unnamed logger file takes every log record that no route sent to a logger\n",
        "req-logger r takes what is sent here by log-req-route 'q' (test.conf:7)\n",
        "standard output takes every request that no route sent to a logger, since no unnamed one "
        "is there\n",
    };
    test_spec_fill(&test, "La La Lb L.file Qr F", "la=x la=y rr=q", "", "");
    told(&test, uwsgi);
    static const char *const native[] = {
        "output all takes every record\n",
        "output five takes what is sent here by route 'x' (test.conf:7), if it has level error to "
        "alert\n",
        "output left takes every record with kind request, stream stderr, facility kern or auth, "
        "logger a.b, tag ng* or x, text matching 'p' or 'q', text not matching 'r', field status "
        "matching '5..', as long as no selector or route of another output took it\n",
        "output low takes every record with level info and below\n",
        "output high takes every record with level warning and above\n",
    };
    test_spec_fill(&test, "Nall Nfive Nleft Nlow Nhigh", "nfive=x", "", "");
    test.outputs[1].selectors.levels = (struct yarder_levels){40, 60};
    test.outputs[2].selectors = (struct route_selectors){.kinds = 2,
        .streams = 4,
        .facilities = 1 | 1 << 4,
        .logger = ONE("a.b"),
        .tag = TWO("ng*", "x"),
        .match = TWO("p", "q"),
        .not_match = ONE("r"),
        .field = ONE("status=5.."),
        .rest = true};
    test.outputs[3].selectors.levels = (struct yarder_levels){0, 20};
    test.outputs[4].selectors.levels = (struct yarder_levels){30, 255};
    told(&test, native);
}

static void reasons_are_given(void **state)
{
    (void)state;
    static struct test_spec test;
    test_spec_fill(&test, "La L F Nb Nc Nd Q", "la=x la=. lzz=x nb=y rq=z", "dd", "x k");
    test.spec.uwsgi_filters_logs_only = true;
    test.outputs[4].selectors.levels.lowest = YARDER_LEVEL_ERROR;
    test.outputs[5].selectors.rest = true;
    struct router *router = test_open(&test);
    static const struct {
        const char *text;
        uint8_t kind;
        const char *told;
    } cases[] = {
        {"x", YARDER_KIND_LOG,
            "drop 'dd': no match\n"
            "keep 'x': matches\n"
            "keep 'k': no match\n"
            "log-route a 'x' (test.conf:7): matches\n"
            "log-route a '.' (test.conf:7): matches\n"
            "log-route zz 'x' (test.conf:7): nothing has this name, the line counts for nothing\n"
            "route b 'y' (test.conf:7): no match\n"
            "log-req-route q 'z' (test.conf:7): nothing has this name, the line counts for "
            "nothing\n"
            "logger a takes it 2 times, once for each route\n"
            "unnamed logger does not take it, a logger does\n"
            "standard output does not take it, a logger does\n"
            "output b does not take it, no route sent it here\n"
            "output c does not take it, its level says no\n"
            "output d does not take it, another output took it\n"
            "unnamed req-logger does not take it, it is a log record\n"},
        {"dd", YARDER_KIND_LOG, "drop 'dd': matches\ngoes nowhere: a drop matches\n"},
        {"n", YARDER_KIND_LOG,
            "drop 'dd': no match\nkeep 'x': no match\nkeep 'k': no match\n"
            "goes nowhere: no keep matches\n"},
        {"dd", YARDER_KIND_REQUEST,
            "log-route a 'x' (test.conf:7): does not look at requests, they have a path of their "
            "own\n"
            "log-route a '.' (test.conf:7): does not look at requests, they have a path of their "
            "own\n"
            "log-route zz 'x' (test.conf:7): nothing has this name, the line counts for nothing\n"
            "route b 'y' (test.conf:7): no match\n"
            "log-req-route q 'z' (test.conf:7): nothing has this name, the line counts for "
            "nothing\n"
            "logger a does not take it, no route sent it here\n"
            "unnamed logger does not take it, it is a request\n"
            "standard output does not take it, a logger does\n"
            "output b does not take it, no route sent it here\n"
            "output c does not take it, its level says no\n"
            "output d takes it\n"
            "unnamed req-logger takes it, no route sent it to a logger\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        char text[2048] = "";
        YARDER_OWN_FILE FILE *to = fmemopen(text, sizeof(text), "w");
        assert_non_null(to);
        struct yarder_record record = test_record(cases[i].text, cases[i].kind);
        router_explain_record(router, &record, to);
        assert_int_equal(fflush(to), 0);
        assert_string_equal(text, cases[i].told);
    }
    router_close(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_explained),
        cmocka_unit_test(reasons_are_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
