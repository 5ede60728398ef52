/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: no record leads a path out of its folder. Method: hostile parts, each part of the grammar.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "codec/encode.h"

enum { WHY = 256, ROOM = 512 };

static struct path_template *open_path(const char *format)
{
    char why[WHY] = "";
    struct path_template *path = NULL;
    if (path_template_open(&path, format, "vm", why, sizeof(why)) != 0) {
        fail_msg("%s: %s", format, why);
    }
    return path;
}

static void check(const char *format, const struct yarder_record *record, const char *expected)
{
    char at[ROOM];
    struct path_template *path = open_path(format);
    int length = path_template_run(path, record, at, sizeof(at));
    assert_string_equal(at, expected);
    assert_int_equal(length, strlen(expected));
    path_template_close(path);
}

static void test_parts(void **state)
{
    (void)state;
    const int64_t number = -5;
    const struct yarder_field fields[] = {
        {{"user", 4}, {"Zo\xC3\xAB a", 6}, YARDER_FIELD_TEXT},
        {{"n", 1}, {(const char *)&number, 8}, YARDER_FIELD_INT},
    };
    const struct yarder_record record = {.time_ns = 1795221000123456789,
        .tag = {"nginx", 5},
        .logger = {"a.b", 3},
        .pid = 12,
        .level = YARDER_LEVEL_WARNING,
        .facility = 16,
        .fields = fields,
        .fields_count = 2};
    check("/l/${host}/${tag}-${logger}.log", &record, "/l/vm/nginx-a.b.log");
    check("/l/${utc:%Y/%m}/${level}.${facility}.${pid}", &record, "/l/2026/11/warning.local0.12");
    check("/l/${field.user}/${field.n}/${field.none}", &record, "/l/Zo\xC3\xAB_a/-5/_");
    check("/l/$$x/${LEVEL}", &record, "/l/$x/WARNING");
    check("/l/${utc:%L}", &record, "/l/123");
}

static void test_hostile(void **state)
{
    (void)state;
    static const struct {
        struct yarder_text part;
        const char *expected;
    } parts[] = {
        {{"../../etc/cron.d/x", 18}, "/l/.._.._etc_cron.d_x/f"},
        {{"", 0}, "/l/_/f"},
        {{".", 1}, "/l/_/f"},
        {{"..", 2}, "/l/_/f"},
        {{"....", 4}, "/l/_/f"},
        {{"/", 1}, "/l/_/f"},
        {{"a\0b", 3}, "/l/a_b/f"},
        {{"\0", 1}, "/l/_/f"},
        {{"a\nb c\"'*?$", 10}, "/l/a_b_c_____/f"},
        {{"\\..\\x", 5}, "/l/_.._x/f"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(parts); i++) {
        const struct yarder_record record = {.tag = parts[i].part};
        check("/l/${tag}/f", &record, parts[i].expected);
    }
}

static void test_long_parts_are_cut(void **state)
{
    (void)state;
    enum { LONG = 10240 };
    char *tag = malloc(LONG);
    assert_non_null(tag);
    memset(tag, '.', LONG);
    struct yarder_record record = {.tag = {tag, LONG}};
    check("/l/${tag}", &record, "/l/_");
    memset(tag, 'x', LONG);
    check("/l/${tag}", &record,
        "/l/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    memcpy(tag + 63, "\xC3\xAB", 2); /* not through a character */
    check(
        "/l/${tag}", &record, "/l/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    free(tag);
}

static void test_room(void **state)
{
    (void)state;
    struct yarder_record record = {.tag = {"abc", 3}};
    struct path_template *path = open_path("/${tag}/x");
    char *at = malloc(8);
    assert_non_null(at);
    assert_int_equal(path_template_run(path, &record, at, 0), -ENAMETOOLONG);
    assert_int_equal(path_template_run(path, &record, at, 6), -ENAMETOOLONG);
    assert_int_equal(path_template_run(path, &record, at, 7), 6);
    assert_string_equal(at, "/abc/x");
    free(at);
    path_template_close(path);
}

static void test_constant(void **state)
{
    (void)state;
    struct path_template *path = open_path("/var/log/all.log");
    assert_true(path_template_is_constant(path));
    path_template_close(path);
    path = open_path("/var/log/${time:%F}.log");
    assert_false(path_template_is_constant(path));
    path_template_close(path);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const formats[] = {
        "", "/x/${msg}", "/x/${fields}", "/x/${tga}", "/x/${tag", "/x/${time:%Q}"};
    for (size_t i = 0; i < YARDER_COUNT_OF(formats); i++) {
        char why[WHY] = "";
        struct path_template *path = NULL;
        assert_int_equal(path_template_open(&path, formats[i], "vm", why, sizeof(why)), -EINVAL);
        assert_null(path);
        assert_true(why[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_hostile),
        cmocka_unit_test(test_long_parts_are_cut),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
