/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the one-line form means what the grammar says, with its commas, quotes and colons. Method:
 * a table of lines and what they come to, written as NAME|KIND|TARGET|KEY=VALUE|...
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/config_line.h"
#include "control/settings.h"

struct row {
    const char *line;
    const char *want; /* an error begins with '!' */
};

static void check(const struct config_table *table, const struct row *row)
{
    struct arena arena;
    struct config_split split;
    char why[OPTION_WHY_BYTES];
    char got[2048];
    arena_init(&arena, SETTINGS_BUDGET_BYTES);
    const struct config_rows rows = {table, NULL};
    const char *rest = "";
    int r = config_split_kind(&arena, row->line, &split, &rest, why);
    if (r == 0) {
        bool whole = table == &config_input_table && strcmp(split.kind, "exec") == 0;
        r = config_split_rest(&arena, &rows, whole, rest, &split, why);
    }
    if (r < 0) {
        (void)snprintf(got, sizeof(got), "!%s", why);
    } else {
        int length = snprintf(got, sizeof(got), "%s|%s|%s", split.name, split.kind, split.target);
        for (uint32_t i = 0; i < split.pairs_count; i++) {
            length += snprintf(got + length, sizeof(got) - (size_t)length, "|%s=%s",
                split.pairs[i].key, split.pairs[i].value);
        }
    }
    assert_string_equal(got, row->want);
    arena_deinit(&arena);
}

static void test_outputs(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"null", "|null|"},
        {"  null  ", "|null|"},
        {"x null", "x|null|"},
        {"x  \tnull", "x|null|"},
        {"x-1_.y null:", "x-1_.y|null|"},
        {"file:/a", "|file|/a"},
        {"file: /a b ", "|file|/a b"},
        {"file:/a:b", "|file|/a:b"},
        {"x file:/a", "x|file|/a"},
        {"file:/a,b", "|file|/a,b"},
        {"file:/a,b,level=info", "|file|/a,b|level=info"},
        {"file:/a,", "|file|/a,"},
        {"file:/a,,level=info", "|file|/a,|level=info"},
        {"file:/a , level = info , match = a b ", "|file|/a|level=info|match=a b"},
        {"file:/a,match=a{1,3}", "|file|/a|match=a{1,3}"},
        {"file:/a,match=a,b,c,level=info", "|file|/a|match=a,b,c|level=info"},
        {"file:/a,match=,level=info", "|file|/a|match=|level=info"},
        {"file:/a=b", "|file|/a=b"},
        {"file:/a b=c", "|file|/a b=c"},
        {"file:\"/a,level=info\"", "|file|/a,level=info"},
        {"file:\"/a\" , level=info", "|file|/a|level=info"},
        {"file:\"/a\\\"\\\\\\n\"", "|file|/a\"\\\\n"},
        {"file:/a,match=\"x, y\",level=info", "|file|/a|match=x, y|level=info"},
        {"file:/a,match=\"\",level=info", "|file|/a|match=|level=info"},
        {"file:/a,match=x\"y,z\"", "|file|/a|match=x\"y,z\""},
        {"file:/a,field.user_id=4.*", "|file|/a|field.user_id=4.*"},
        {"file:/a,field=b=c", "|file|/a|field=b=c"},
        {"file:/a,format=${time:%F %T},${msg}", "|file|/a|format=${time:%F %T},${msg}"},
        {"null,level=info", "|null||level=info"},
        {"null,level==", "|null||level=="},
        {"level file:/a", "level|file|/a"},
        {"file:", "|file|"},
        {"what:ever,level=x", "|what|ever|level=x"},
        {"", "!expected [NAME ]KIND:TARGET[,OPTION=VALUE...]"},
        {":x", "!expected [NAME ]KIND:TARGET[,OPTION=VALUE...]"},
        {"x ,level=info", "|x||level=info"},
        {"a/b null", "!'a/b' cannot be a name: expected up to 63 letters, digits, _ . or -"},
        {"-a null", "!'-a' cannot be a name: expected up to 63 letters, digits, _ . or -"},
        {"null,foo", "!expected OPTION=VALUE behind the comma"},
        {"null,", "!expected OPTION=VALUE behind the comma"},
        {"null,level", "!option level needs a value: level=LEVEL[..LEVEL]"},
        {"file:/a,mkdir,level=x", "!option mkdir needs a value: mkdir=yes|no"},
        {"file:/a,levl=x", "!unknown option 'levl' of an output; did you mean level?"},
        {"file:/a,b=c",
            "!unknown option 'b' of an output; a comma that belongs to a value must stand "
            "in double quotes"},
        {"file:/a,match=x,b=c",
            "!unknown option 'b' of an output; a comma that belongs to a value must "
            "stand in double quotes"},
        {"file:/a,field.=c", "!unknown option 'field.' of an output; did you mean field?"},
        {"file:\"/a", "!a double quote is open; inside quotes it is \\\""},
        {"file:\"/a\\\"", "!a double quote is open; inside quotes it is \\\""},
        {"file:\"/a\"b", "!text behind the closing double quote; expected a comma or the end"},
        {"file:/a,match=\"b\"c",
            "!text behind the closing double quote; expected a comma or the end"},
        {"file:\"/a\",level)", "!expected OPTION=VALUE behind the comma"},
        {"file:\"/a\",b", "!expected OPTION=VALUE behind the comma"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        check(&config_output_table, &rows[i]);
    }
}

/* A field's name holds nearly anything; a blank is no comma. */
static void test_fields_and_blanks(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"file:/a,field.a@1.seq=1", "|file|/a|field.a@1.seq=1"},
        {"file:/a,b,field.x/y:z[0] = 1,level=info", "|file|/a,b|field.x/y:z[0]=1|level=info"},
        {"file:\"/a level=info\"", "|file|/a level=info"},
        {"file:/a match=x level=info",
            "!a blank stands before 'match='; an option begins at a comma, and a target with that "
            "in it must stand in double quotes"},
        {"file:/a  field.b@c = info",
            "!a blank stands before 'field.b@c='; an option begins at a comma, and a target with "
            "that in it must stand in double quotes"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        check(&config_output_table, &rows[i]);
    }
}

static void test_inputs(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"ring", "|ring|"},
        {"udp:[::1]:514,rcvbuf=64M", "|udp|[::1]:514|rcvbuf=64M"},
        {"exec:sh -c 'a,tag=b' \"c", "|exec|sh -c 'a,tag=b' \"c"},
        {"app exec: awk '{print $1,$2}'", "app|exec|awk '{print $1,$2}'"},
        {"exec,tag=x", "|exec||tag=x"},
        {"unix:@name,mode=0600", "|unix|@name|mode=0600"},
        {"unix:/x,socket=stream", "|unix|/x|socket=stream"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        check(&config_input_table, &rows[i]);
    }
}

/* A line of many options is bounded. */
static void test_many(void **state)
{
    (void)state;
    char line[1024] = "null";
    size_t length = strlen(line);
    for (unsigned i = 0; i <= CONFIG_PAIRS_MAX; i++) {
        length += (size_t)snprintf(line + length, sizeof(line) - length, ",match=a");
    }
    struct row row = {line, "!more than 64 options"};
    check(&config_output_table, &row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_fields_and_blanks),
        cmocka_unit_test(test_inputs),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
