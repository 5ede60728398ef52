/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: native outputs take what their selectors, routes and `rest` say; errors name their place;
 * deciding allocates nothing. Method: tables, and counted malloc calls.
 */
#include "route/test_spec.h"

#include <errno.h>

/*
 * Every allocation of the process passes here, PCRE2's too: by a sanitizer's hook, which is never
 * called without one, and else by standing before libc's functions.
 */
static unsigned long allocations;
#define EXPORTED __attribute__((visibility("default")))
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED)
EXPORTED void __sanitizer_malloc_hook(const volatile void *at, size_t bytes);
void __sanitizer_malloc_hook(const volatile void *at, size_t bytes)
{
    (void)at;
    (void)bytes;
    allocations++;
}
#else
void *__libc_malloc(size_t bytes);
EXPORTED void *malloc(size_t bytes)
{
    allocations++;
    return __libc_malloc(bytes);
}
void *__libc_calloc(size_t count, size_t bytes);
EXPORTED void *calloc(size_t count, size_t bytes)
{
    allocations++;
    return __libc_calloc(count, bytes);
}
void *__libc_realloc(void *at, size_t bytes);
EXPORTED void *realloc(void *at, size_t bytes)
{
    allocations++;
    return __libc_realloc(at, bytes);
}
#endif

static char why[256];

static struct router *open_one(const struct route_selectors *selectors)
{
    static const char *const inputs[] = {"ring", "udp", "app"};
    struct test_spec *test = calloc(1, sizeof(*test));
    assert_non_null(test);
    test_spec_fill(test, "Na", "", "", "");
    test->outputs[0].selectors = *selectors;
    test->spec.input_names = inputs;
    test->spec.inputs_count = YARDER_COUNT_OF(inputs);
    struct router *router = NULL;
    int r = router_open(&router, &test->spec, why, sizeof(why));
    free(test); /* nothing is borrowed after router_open */
    assert_int_equal(r == 0, router != NULL);
    return router;
}

static bool takes(const struct route_selectors *selectors, const struct yarder_record *record)
{
    struct router *router = open_one(selectors);
    assert_non_null(router);
    struct route_verdict verdict;
    router_decide(router, record, 1, 0, &verdict);
    router_close(router);
    assert_int_equal(verdict.fate, verdict.outputs == 1 ? ROUTE_ROUTED : ROUTE_UNMATCHED);
    return verdict.outputs == 1;
}

static struct yarder_record sample(void)
{
    static const int64_t status = -503;
    static const uint64_t bytes = UINT64_MAX;
    static const double seconds = 0.1;
    static struct yarder_field fields[6];
    fields[0] =
        (struct yarder_field){text_of("status"), {(const char *)&status, 8}, YARDER_FIELD_INT};
    fields[1] =
        (struct yarder_field){text_of("bytes"), {(const char *)&bytes, 8}, YARDER_FIELD_UINT};
    fields[2] =
        (struct yarder_field){text_of("took"), {(const char *)&seconds, 8}, YARDER_FIELD_FLOAT};
    fields[3] = (struct yarder_field){text_of("ok"), {"\1", 1}, YARDER_FIELD_BOOL};
    fields[4] = (struct yarder_field){text_of("user"), text_of("ann"), YARDER_FIELD_TEXT};
    fields[5] = (struct yarder_field){text_of("user"), text_of("bob"), YARDER_FIELD_TEXT};
    struct yarder_record record = test_record("GET /index 200", YARDER_KIND_LOG);
    record.level = YARDER_LEVEL_WARNING;
    record.logger = text_of("app.db.pool");
    record.tag = text_of("nginx");
    record.host = text_of("web1");
    record.input = 1;
    record.stream = YARDER_STREAM_STDERR;
    record.facility = 10;
    record.fields = fields;
    record.fields_count = YARDER_COUNT_OF(fields);
    return record;
}

struct row {
    const char *says;
    struct route_selectors selectors;
    bool taken;
};

/* clang-format off */
static const struct row rows[] = {
    {"nothing stated", {.rest = false}, true},
    {"rest, nobody else", {.rest = true}, true},
    {"level reached", {.levels = {30, 255}}, true},
    {"level not reached", {.levels = {31, 255}}, false},
    {"highest level", {.levels = {0, 30}}, true},
    {"above the highest", {.levels = {0, 29}}, false},
    {"lowest alone", {.levels = {30, 0}}, true},
    {"kind", {.kinds = 1 << YARDER_KIND_LOG}, true},
    {"other kind", {.kinds = 1 << YARDER_KIND_REQUEST}, false},
    {"stream", {.streams = 1 << YARDER_STREAM_STDERR | 1 << YARDER_STREAM_STDOUT}, true},
    {"other stream", {.streams = 1 << YARDER_STREAM_STDOUT}, false},
    {"facility", {.facilities = 1 << 10}, true},
    {"other facility", {.facilities = 0xffffff & ~(1u << 10)}, false},
    {"input", {.input = TWO("app", "udp")}, true},
    {"other input", {.input = TWO("app", "ring")}, false},
    {"logger", {.logger = ONE("app.db.pool")}, true},
    {"logger above", {.logger = TWO("x", "app")}, true},
    {"logger cut in a word", {.logger = ONE("app.d")}, false},
    {"logger below", {.logger = ONE("app.db.pool.x")}, false},
    {"root logger", {.logger = ONE("")}, true},
    {"tag", {.tag = ONE("nginx")}, true},
    {"tag is whole", {.tag = TWO("ngin", "nginx2")}, false},
    {"tag prefix", {.tag = ONE("ng*")}, true},
    {"tag prefix of itself", {.tag = ONE("nginx*")}, true},
    {"other tag prefix", {.tag = ONE("nginx2*")}, false},
    {"host", {.host = ONE("web1")}, true},
    {"other host", {.host = ONE("web2")}, false},
    {"match", {.match = TWO("POST", "^GET")}, true},
    {"no match", {.match = TWO("POST", "PUT")}, false},
    {"not-match", {.not_match = TWO("POST", "PUT")}, true},
    {"not-match matches", {.not_match = TWO("POST", "200$")}, false},
    {"match and not-match", {.match = ONE("GET"), .not_match = ONE("GET")}, false},
    {"integer", {.field = ONE("status=-5\\d\\d")}, true},
    {"integer, whole", {.field = ONE("status=5\\d\\d")}, false},
    {"range", {.field = ONE("status=-599..-500")}, true},
    {"range, beside", {.field = ONE("status=-599..-504")}, false},
    {"range and pattern", {.field = TWO("status=..0", "took=0\\.1")}, true},
    {"two of one name, one in range", {.field = ONE("user=1..2")}, false},
    {"large integer", {.field = ONE("bytes=18446744073709551615")}, true},
    {"float", {.field = ONE("took=0\\.1")}, true},
    {"bool", {.field = ONE("ok=true")}, true},
    {"text, second of the name", {.field = ONE("user=bob|eve")}, true},
    {"text, alternatives are whole too", {.field = ONE("user=b|e|a")}, false},
    {"each field", {.field = TWO("user=bob", "status=200")}, false},
    {"a field that is not there", {.field = ONE("nobody=.*")}, false},
    {"an equals sign in the regex", {.field = ONE("user=a.n(?=$)")}, true},
    {"all at once", {.levels = {30, 40}, .kinds = 1, .tag = ONE("nginx"), .match = ONE("GET"),
        .field = ONE("ok=true")}, true},
};
/* clang-format on */

static void selectors_hold(void **state)
{
    (void)state;
    struct yarder_record record = sample();
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        if (takes(&rows[i].selectors, &record) != rows[i].taken) {
            fail_msg("%s: %staken", rows[i].says, rows[i].taken ? "not " : "");
        }
    }
}

static void absent_values_match_nothing(void **state)
{
    (void)state;
    struct yarder_record record = test_record("", YARDER_KIND_LOG);
    record.input = YARDER_INPUTS_MAX;
    assert_false(takes(&(struct route_selectors){.facilities = 0xffffff}, &record));
    assert_false(takes(&(struct route_selectors){.input = TWO("ring", "udp")}, &record));
    assert_false(takes(&(struct route_selectors){.tag = ONE("x")}, &record));
    assert_false(takes(&(struct route_selectors){.logger = ONE("x")}, &record));
    assert_false(takes(&(struct route_selectors){.field = ONE("x=")}, &record));
    assert_true(takes(&(struct route_selectors){.tag = ONE("*"), .match = ONE("^$")}, &record));
    assert_true(takes(&(struct route_selectors){.not_match = ONE("x")}, &record));
}

/* Outputs: a by level error, b routed and narrowed to kind log, c rest, d everything. */
static void rest_is_what_nobody_took(void **state)
{
    (void)state;
    static struct test_spec test;
    static const struct {
        const char *text;
        uint8_t level;
        uint8_t kind;
        const char *verdict;
    } cases[] = {
        {"plain", YARDER_LEVEL_INFO, YARDER_KIND_LOG, "2 3"},
        {"plain", YARDER_LEVEL_ERROR, YARDER_KIND_LOG, "0 3"},
        {"x", YARDER_LEVEL_INFO, YARDER_KIND_LOG, "1 3"},
        {"x", YARDER_LEVEL_ERROR, YARDER_KIND_LOG, "0 1 3"},
        {"x", YARDER_LEVEL_INFO, YARDER_KIND_REQUEST, "3"}, /* a hit, though refused */
        {"gg", YARDER_LEVEL_INFO, YARDER_KIND_LOG, "3 4"},  /* a logger's hit is one too */
    };
    test_spec_fill(&test, "Na Nb Nc Nd Ll", "nb=x ll=gg", "", "");
    test.outputs[0].selectors.levels.lowest = YARDER_LEVEL_ERROR;
    test.outputs[1].selectors.kinds = 1 << YARDER_KIND_LOG;
    test.outputs[2].selectors.rest = true;
    struct router *router = test_open(&test);
    char room[TEST_TEXT_BYTES];
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        struct yarder_record record = test_record(cases[i].text, cases[i].kind);
        record.level = cases[i].level;
        assert_string_equal(test_verdict(router, &record, room), cases[i].verdict);
    }
    router_close(router);
}

/* Two `rest` outputs do not take from each other; a routed one also needs its route. */
static void rests_share(void **state)
{
    (void)state;
    static struct test_spec test;
    char room[TEST_TEXT_BYTES];
    test_spec_fill(&test, "Na Nb Nc", "nb=x", "", "");
    test.outputs[0].selectors.rest = true;
    test.outputs[1].selectors.rest = true;
    test.outputs[2].selectors.levels.lowest = YARDER_LEVEL_ERROR;
    struct router *router = test_open(&test);
    struct yarder_record record = test_record("x", YARDER_KIND_LOG);
    assert_string_equal(test_verdict(router, &record, room), "0 1");
    record.text = text_of("y");
    assert_string_equal(test_verdict(router, &record, room), "0");
    record = test_record("x", YARDER_KIND_LOG);
    record.level = YARDER_LEVEL_ERROR;
    assert_string_equal(test_verdict(router, &record, room), "2");
    router_close(router);
}

static void errors_name_their_place(void **state)
{
    (void)state;
    static struct test_spec test;
    struct router *router = NULL;
    assert_null(open_one(&(struct route_selectors){.match = TWO("a", "(")}));
    assert_string_equal(
        why, "output a, match: pattern '(': missing closing parenthesis, at byte 1");
    assert_null(open_one(&(struct route_selectors){.field = ONE("status")}));
    assert_string_equal(
        why, "output a, field: 'status' is no condition, expected NAME=REGEX or NAME=LOW..HIGH");
    assert_null(open_one(&(struct route_selectors){.field = ONE("status=2..1")}));
    assert_string_equal(why, "output a, field: no number lies in 2..1");
    assert_null(open_one(&(struct route_selectors){.field = ONE("=x")}));
    assert_null(open_one(&(struct route_selectors){.input = ONE("rings")}));
    assert_string_equal(why, "output a, input: there is no input 'rings', did you mean 'ring'?");
    test_spec_fill(&test, "La", "la=[z", "", "");
    assert_int_equal(router_open(&router, &test.spec, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "test.conf:7: pattern '[z': missing terminating ]"));
    test_spec_fill(&test, "La", "lunknown=[z", "", ""); /* checked although never asked */
    assert_int_equal(router_open(&router, &test.spec, why, sizeof(why)), -EINVAL);
    test_spec_fill(&test, "La", "", "a ?b", "");
    assert_int_equal(router_open(&router, &test.spec, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "drop: pattern '?b'"));
    test_spec_fill(&test, "", "", "", "");
    test.spec.outputs_count = YARDER_OUTPUTS_MAX + 1;
    static const struct route_output many[YARDER_OUTPUTS_MAX + 1];
    test.spec.outputs = many;
    assert_int_equal(router_open(&router, &test.spec, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "too many outputs, at most 64 fit");
    assert_null(router);
}

/* What is undecided: no drop, no route, and kept; said in the verdict and of the pattern. */
static void undecided_loses_nothing(void **state)
{
    (void)state;
    static struct test_spec test;
    char text[200];
    memset(text, 'a', sizeof(text));
    text[199] = '!';
    struct yarder_record records[2] = {
        test_record("fine", YARDER_KIND_LOG), test_record("", YARDER_KIND_LOG)};
    records[1].text = (struct yarder_text){text, sizeof(text)};
    test_spec_fill(&test, "L La", "la=(a+)+$", "(a+)+$", "(a+)+$ fine");
    struct router *router = test_open(&test);
    struct route_verdict verdicts[2];
    router_decide(router, records, 2, 0, verdicts);
    assert_false(verdicts[0].undecided);
    assert_true(verdicts[1].undecided);
    assert_int_equal(verdicts[1].fate, ROUTE_ROUTED);
    assert_int_equal(verdicts[1].outputs, 1);
    uint32_t at = 0;
    struct route_trouble trouble;
    assert_true(router_trouble_next(router, &at, &trouble));
    assert_string_equal(trouble.pattern, "(a+)+$");
    assert_string_equal(trouble.where, "drop");
    assert_int_equal(trouble.undecided, 1); /* one text, one match for all three rules */
    assert_int_equal(trouble.head_bytes, 0);
    assert_false(router_trouble_next(router, &at, &trouble));
    router_close(router);
}

static void deciding_allocates_nothing(void **state)
{
    (void)state;
    static struct test_spec test;
    static struct yarder_record records[YARDER_BATCH_RECORDS];
    static struct route_verdict verdicts[YARDER_BATCH_RECORDS];
    static char text[4096];
    test_spec_fill(&test, "La Lb L Q F Nc Nd",
        "la=[0-9]+ lb=e la=k(a|b)+ nc=GET rb=x la=enough la=literals la=for-a la=scan-too "
        "la=aaaaaab la=aaaaaaab la=aaaaaaaac",
        "z+y", "(a+)+$ .");
    test.outputs[5].selectors = (struct route_selectors){
        .match = ONE("(a|b)+$"), .field = TWO("took=0.*", "user=.*"), .tag = ONE("ng*")};
    test.outputs[6].selectors.rest = true;
    struct router *router = test_open(&test);
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < YARDER_COUNT_OF(records); i++) {
        records[i] = sample();
        if (i % 2 == 1) {
            records[i].text = (struct yarder_text){text, i * 16};
        }
    }
    unsigned long before = allocations;
    assert_true(before > 0); /* it counts */
    for (unsigned i = 0; i < 20; i++) {
        router_decide(router, records, YARDER_COUNT_OF(records), i, verdicts);
    }
    assert_int_equal(allocations, before);
    router_close(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_hold),
        cmocka_unit_test(absent_values_match_nothing),
        cmocka_unit_test(rest_is_what_nobody_took),
        cmocka_unit_test(rests_share),
        cmocka_unit_test(errors_name_their_place),
        cmocka_unit_test(undecided_loses_nothing),
        cmocka_unit_test(deciding_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
