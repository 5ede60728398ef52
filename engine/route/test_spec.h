/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Specifications and verdicts as short texts, for tests.
 *
 *   outputs  "L La Q Qa F Na"    logger, logger named a, req-logger, fallback, native output a;
 *                                "L.a" is an unnamed logger whose target is called a
 *   routes   "la=x ra=x na=x"    log-route, log-req-route, route: to a, pattern x (no blanks)
 *   verdict  "0 2*3"             outputs 0 and 2, three copies for 2; "-" for none; "drop", "keep"
 */
#ifndef YARDER_ROUTE_TEST_SPEC_H
#define YARDER_ROUTE_TEST_SPEC_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "route/route.h"

/* clang-format off */
/* Lists of one and two texts; writable, as struct yarder_texts wants them. */
#define ONE(first) {.at = (char *[]){(char[]){first}}, .count = 1}
#define TWO(first, second) {.at = (char *[]){(char[]){first}, (char[]){second}}, .count = 2}
/* clang-format on */

enum { TEST_TEXT_BYTES = 1024, TEST_LINES_MAX = 64 };

struct test_spec {
    struct route_spec spec;
    struct route_output outputs[TEST_LINES_MAX];
    struct route_line routes[TEST_LINES_MAX];
    char outputs_text[TEST_TEXT_BYTES];
    char routes_text[TEST_TEXT_BYTES];
    char *drop[TEST_LINES_MAX];
    char *keep[TEST_LINES_MAX];
    char drop_text[TEST_TEXT_BYTES];
    char keep_text[TEST_TEXT_BYTES];
};

static inline enum route_reach test_reach(char letter)
{
    switch (letter) {
    case 'L':
        return ROUTE_UWSGI_LOGGER;
    case 'Q':
        return ROUTE_UWSGI_REQUEST;
    case 'F':
        return ROUTE_UWSGI_FALLBACK;
    default:
        assert_int_equal(letter, 'N');
        return ROUTE_NATIVE;
    }
}

static inline void test_words(const char *from, char *room, struct yarder_texts *out, char **words)
{
    assert_true(strlen(from) < TEST_TEXT_BYTES);
    memcpy(room, from, strlen(from) + 1);
    char *save = NULL;
    for (char *word = strtok_r(room, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        assert_true(out->count < TEST_LINES_MAX);
        words[out->count++] = word;
    }
    out->at = words;
}

static inline void test_spec_fill(struct test_spec *test, const char *outputs, const char *routes,
    const char *drop, const char *keep)
{
    char *words[TEST_LINES_MAX];
    *test = (struct test_spec){.spec = {.outputs = test->outputs, .routes = test->routes}};
    struct yarder_texts found = {NULL, 0};
    test_words(outputs, test->outputs_text, &found, words);
    for (uint32_t i = 0; i < found.count; i++) {
        bool named = words[i][1] != '\0' && words[i][1] != '.';
        test->outputs[i] = (struct route_output){
            .name = words[i] + (named ? 1 : 1 + (words[i][1] == '.')),
            .named = named,
            .reach = test_reach(words[i][0]),
        };
    }
    test->spec.outputs_count = found.count;
    found = (struct yarder_texts){NULL, 0};
    test_words(routes, test->routes_text, &found, words);
    for (uint32_t i = 0; i < found.count; i++) {
        char *equals = strchr(words[i], '=');
        assert_non_null(equals);
        *equals = '\0';
        test->routes[i] = (struct route_line){
            .list = words[i][0] == 'r' ? ROUTE_REQUESTS : ROUTE_BOTH,
            .native = words[i][0] == 'n',
            .to = words[i] + 1,
            .pattern = equals + 1,
            .where = "test.conf:7",
        };
    }
    test->spec.routes_count = found.count;
    test_words(drop, test->drop_text, &test->spec.drop, test->drop);
    test_words(keep, test->keep_text, &test->spec.keep, test->keep);
}

static inline struct router *test_open(const struct test_spec *test)
{
    char why[256];
    struct router *router = NULL;
    int r = router_open(&router, &test->spec, why, sizeof(why));
    if (r != 0) {
        fail_msg("router_open: %d %s", r, why);
    }
    return router;
}

static inline struct yarder_record test_record(const char *text, uint8_t kind)
{
    return (struct yarder_record){.text = text_of(text),
        .kind = kind,
        .level = YARDER_LEVEL_INFO,
        .facility = YARDER_FACILITY_NONE};
}

/* The verdict on one record, as text. */
static inline const char *test_verdict(
    struct router *router, const struct yarder_record *record, char *room)
{
    struct route_verdict verdict;
    router_decide(router, record, 1, 0, &verdict);
    if (verdict.fate == ROUTE_DROPPED || verdict.fate == ROUTE_NOT_KEPT) {
        assert_int_equal(verdict.outputs, 0);
        return verdict.fate == ROUTE_DROPPED ? "drop" : "keep";
    }
    assert_int_equal(verdict.fate == ROUTE_UNMATCHED, verdict.outputs == 0);
    assert_int_equal(verdict.repeated & ~verdict.outputs, 0);
    size_t length = 0;
    for (uint32_t i = 0; i < 64; i++) {
        if ((verdict.outputs >> i & 1) == 0) {
            continue;
        }
        uint32_t copies = router_copies(router, 0, i);
        assert_int_equal(copies > 1, verdict.repeated >> i & 1);
        const char *blank = length == 0 ? "" : " ";
        length += (size_t)(copies == 1
                               ? snprintf(room + length, TEST_TEXT_BYTES - length, "%s%u", blank, i)
                               : snprintf(room + length, TEST_TEXT_BYTES - length, "%s%u*%u", blank,
                                     i, copies));
    }
    return length == 0 ? "-" : room;
}

#endif
