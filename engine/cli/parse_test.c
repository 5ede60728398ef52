/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a user types arrives where the table says, in every form that it may be typed in, and
 * a mistake is answered with status 2. Method: one made-up command, its rows of each sort.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "cli/cli.h"

struct target {
    char *text;
    uint64_t number;
    bool flag;
    struct yarder_texts list;
};

static const struct cli_option table[] = {
    {{"text", YARDER_OPTION_TEXT, offsetof(struct target, text), "none", 0, 0, NULL, NULL, "TEXT",
         "h"},
        't'},
    {{"number", YARDER_OPTION_COUNT, offsetof(struct target, number), NULL, 1, 9, NULL, NULL, "N",
         "h"},
        'n'},
    {{"a-flag", YARDER_OPTION_BOOL, offsetof(struct target, flag), NULL, 0, 0, NULL, NULL, "", "h"},
        'f'},
    {{"list", YARDER_OPTION_TEXTS, offsetof(struct target, list), NULL, 0, 0, NULL, NULL, "X", "h"},
        0},
    CLI_OPTIONS_END,
};

static struct command command = {
    .name = "test", .usage = "", .summary = "", .about = "", .examples = "", .options = table};

struct scene {
    struct cli cli;
    struct target target;
    int result;
};

static void parse(struct scene *scene, int count, const char *const *words)
{
    static char copies[16][64];
    static char *arguments[16];
    for (int i = 0; i < count; i++) {
        (void)snprintf(copies[i], sizeof(copies[i]), "%s", words[i]);
        arguments[i] = copies[i];
    }
    *scene = (struct scene){
        .cli = {.command = &command, .arguments_count = count, .arguments = arguments}};
    scene->result = cli_parse(&scene->cli, &scene->target);
}

#define PARSE(scene, ...)                                                                          \
    do {                                                                                           \
        const char *const words[] = {__VA_ARGS__};                                                 \
        parse(scene, (int)YARDER_COUNT_OF(words), words);                                          \
    } while (0)

static void test_every_form_of_an_option(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"--text=v", "--number=7"}, {"-tv", "-n7"}, {"--text=v", "-n7"}};
    struct scene scene;
    for (size_t i = 0; i < YARDER_COUNT_OF(forms); i++) {
        PARSE(&scene, forms[i][0], forms[i][1], "--a_flag");
        assert_int_equal(scene.result, CLI_GO_ON);
        assert_string_equal(scene.target.text, "v");
        assert_int_equal(scene.target.number, 7);
        assert_true(scene.target.flag);
        arena_deinit(&scene.cli.arena);
    }
    PARSE(&scene, "word", "--text", "v w", "-n", "7", "--list", "1", "--list=2");
    assert_int_equal(scene.result, CLI_GO_ON);
    assert_string_equal(scene.target.text, "v w");
    assert_int_equal(scene.target.number, 7);
    assert_false(scene.target.flag);
    assert_int_equal(scene.target.list.count, 2);
    assert_string_equal(scene.target.list.at[1], "2");
    assert_int_equal(scene.cli.words_count, 1);
    arena_deinit(&scene.cli.arena);
}

static void test_defaults_hold_until_said_otherwise(void **state)
{
    (void)state;
    struct scene scene;
    PARSE(&scene, "x");
    assert_string_equal(scene.target.text, "none");
    arena_deinit(&scene.cli.arena);
}

static void test_mistakes_are_refused(void **state)
{
    (void)state;
    static const char *const mistakes[] = {"--nothing", "-z", "--number=0", "--number=10",
        "--number=x", "--number", "--text", "-n", "--a-flag=perhaps", "--input=ring"};
    struct scene scene;
    for (size_t i = 0; i < YARDER_COUNT_OF(mistakes); i++) {
        PARSE(&scene, mistakes[i]);
        assert_int_equal(scene.result, CLI_USAGE);
        arena_deinit(&scene.cli.arena);
    }
}

static void test_two_dashes_end_the_options(void **state)
{
    (void)state;
    struct scene scene;
    PARSE(&scene, "-", "--", "--text", "--help", "--");
    assert_int_equal(scene.result, CLI_GO_ON);
    assert_int_equal(scene.cli.words_count, 4);
    assert_string_equal(scene.cli.words[0], "-");
    assert_string_equal(scene.cli.words[1], "--text");
    assert_string_equal(scene.cli.words[3], "--");
    arena_deinit(&scene.cli.arena);
}

static void test_a_command_keeps_its_own_options(void **state)
{
    (void)state;
    struct scene scene;
    command.ends_at_word = true;
    PARSE(&scene, "-f", "ls", "--text", "--", "--help");
    command.ends_at_word = false;
    assert_int_equal(scene.result, CLI_GO_ON);
    assert_true(scene.target.flag);
    assert_int_equal(scene.cli.words_count, 4);
    assert_string_equal(scene.cli.words[2], "--");
    arena_deinit(&scene.cli.arena);
}

static void test_keys_are_kept_as_given(void **state)
{
    (void)state;
    struct scene scene;
    command.takes_keys = true;
    PARSE(&scene, "--output", "null", "file", "--record_max=1M", "--log-truncate", "-f", "--drop");
    command.takes_keys = false;
    static const char *const keys[] = {
        "--output", "null", "--record_max=1M", "--log-truncate", "--drop"};
    assert_int_equal(scene.result, CLI_GO_ON);
    assert_int_equal(scene.cli.keys_count, YARDER_COUNT_OF(keys));
    for (size_t i = 0; i < YARDER_COUNT_OF(keys); i++) {
        assert_string_equal(scene.cli.keys[i], keys[i]);
    }
    assert_int_equal(scene.cli.words_count, 1);
    assert_true(scene.target.flag);
    arena_deinit(&scene.cli.arena);
}

/* Every table: no name twice, no letter twice, help for each row, two examples at the end. */
static void test_tables_are_whole(void **state)
{
    (void)state;
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        const struct command *one = cli_commands[i];
        assert_ptr_equal(cli_find(one->name), one);
        const char *end = strchr(one->examples, '\n');
        assert_non_null(end);
        assert_non_null(strchr(end + 1, '\n'));
        for (const struct cli_option *a = one->options; a->option.kind != YARDER_OPTION_END; a++) {
            assert_true(strlen(a->option.help) > 0);
            for (const struct cli_option *b = one->options; b < a; b++) {
                assert_string_not_equal(a->option.name, b->option.name);
                assert_true(a->letter == 0 || a->letter != b->letter);
            }
        }
    }
    assert_null(cli_find("no such command"));
    assert_ptr_equal(cli_find("-t"), &command_check);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_form_of_an_option),
        cmocka_unit_test(test_defaults_hold_until_said_otherwise),
        cmocka_unit_test(test_mistakes_are_refused),
        cmocka_unit_test(test_two_dashes_end_the_options),
        cmocka_unit_test(test_a_command_keeps_its_own_options),
        cmocka_unit_test(test_keys_are_kept_as_given),
        cmocka_unit_test(test_tables_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
