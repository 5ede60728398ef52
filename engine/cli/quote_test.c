/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a command gets exactly the arguments that were typed, through the configuration's grammar
 * and a shell. Method: a shell prints them back, each ended by a newline of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/quote.h"
#include "control/config.h"

static void test_arguments_come_through(void **state)
{
    (void)state;
    char *const arguments[] = {(char[]){"printf"}, (char[]){"%s\\n"}, (char[]){"plain"},
        (char[]){"it's"}, (char[]){""}, (char[]){"a b  c"},
        (char[]){"$HOME ${env:HOME} $${env:X:-y}"}, (char[]){"`id` $(id) \\ \"q\" ;#&|<>*?"},
        (char[]){",level=error,parse=raw"}, (char[]){"''"}, (char[]){"${"}, (char[]){"$"},
        (char[]){"-n"}, NULL};
    struct settings *settings = NULL;
    struct daemon_config *config = NULL;
    struct config_report report;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    report_init(&report);
    assert_int_equal(settings_open(&settings), 0);
    char *line = arena_format(&arena, "command exec:%s", quote_command(&arena, arguments));
    assert_int_equal(settings_set(settings, "input", line, &report), 0);
    assert_int_equal(config_load(&config, settings, &report), 0);
    assert_string_equal(config->inputs[0].name, "command");

    FILE *from = popen(config->inputs[0].target, "r");
    assert_non_null(from);
    for (size_t i = 2; arguments[i] != NULL; i++) {
        char got[256];
        assert_non_null(fgets(got, sizeof(got), from));
        got[strcspn(got, "\n")] = '\0';
        assert_string_equal(got, arguments[i]);
    }
    assert_int_equal(fgetc(from), EOF);
    assert_int_equal(pclose(from), 0);

    config_close(config);
    settings_close(settings);
    report_deinit(&report);
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_arguments_come_through)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
