/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "control/config_keys.h"
#include "control/option_set.h"

enum { NAME_BYTES = 64, CLI_BUDGET_BYTES = 8 << 20 };

void cli_say(const struct cli *cli, const char *format, ...)
{
    va_list list;
    (void)fflush(stdout);
    (void)fprintf(stderr, "yarder %s: ", cli->command->name);
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fputc('\n', stderr);
}

int cli_refuse(const struct cli *cli, const char *format, ...)
{
    va_list list;
    (void)fprintf(stderr, "yarder %s: ", cli->command->name);
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    (void)fprintf(stderr, "\nyarder %s --help says more\n", cli->command->name);
    return CLI_USAGE;
}

/* An argument that looks like an option, taken apart. */
struct given {
    const char *shown;     /* as typed, for errors */
    char name[NAME_BYTES]; /* with '-' for '_'; "" for the short form */
    char letter;
    char *value; /* what stood behind '=' (or the letter), NULL: nothing */
};

static bool take_apart(char *argument, struct given *out)
{
    *out = (struct given){.shown = argument};
    if (argument[0] != '-' || argument[1] == '\0') {
        return false;
    }
    if (argument[1] != '-') {
        out->letter = argument[1];
        out->value = argument[2] != '\0' ? argument + 2 : NULL;
        return true;
    }
    size_t length = strcspn(argument + 2, "=");
    out->value = argument[2 + length] == '=' ? argument + 3 + length : NULL;
    for (size_t i = 0; i < length && i + 1 < sizeof(out->name); i++) {
        out->name[i] = argument[2 + i] == '_' ? '-' : argument[2 + i];
    }
    return true;
}

static const struct yarder_option *find(const struct command *command, const struct given *given)
{
    for (const struct cli_option *row = command->options; row->option.kind != YARDER_OPTION_END;
         row++) {
        if (given->letter != '\0' ? row->letter == given->letter
                                  : strcmp(row->option.name, given->name) == 0) {
            return &row->option;
        }
    }
    return NULL;
}

static int refuse_unknown(const struct cli *cli, const struct given *given)
{
    enum { NAMES_MAX = 64 };
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (const struct cli_option *row = cli->command->options;
         row->option.kind != YARDER_OPTION_END && count < NAMES_MAX; row++) {
        names[count++] = row->option.name;
    }
    const char *near = given->letter == '\0' ? text_near(given->name, names, count) : NULL;
    if (near == NULL && given->letter == '\0' && cli->command->takes_keys) {
        near = config_key_near(given->name);
    }
    return cli_refuse(cli, "unknown option %s%s%s%s", given->shown,
        near != NULL ? "; did you mean --" : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

/* A key of the configuration goes to `keys` as it stands, with its value. */
static bool keep_key(struct cli *cli, const struct given *given, int *at)
{
    const struct config_key *key = given->letter == '\0' ? config_key_find(given->name) : NULL;
    if (key == NULL || !cli->command->takes_keys) {
        return false;
    }
    bool takes_next = given->value == NULL && key->option.kind != YARDER_OPTION_BOOL &&
                      *at + 1 < cli->arguments_count;
    cli->keys[cli->keys_count++] = cli->arguments[(*at)++];
    if (takes_next) {
        cli->keys[cli->keys_count++] = cli->arguments[(*at)++];
    }
    return true;
}

static int set_option(struct cli *cli, const struct yarder_option *option,
    const struct given *given, void *target, int *at)
{
    char why[OPTION_WHY_BYTES];
    char refusal[OPTION_REFUSAL_BYTES];
    const char *value = given->value;
    (*at)++;
    if (value == NULL && option->kind != YARDER_OPTION_BOOL) {
        if (*at == cli->arguments_count) {
            return cli_refuse(cli, "%s needs a value: %s", given->shown, option->argument);
        }
        value = cli->arguments[(*at)++];
    }
    if (option_set(option, target, value, &cli->arena, why) < 0) {
        return cli_refuse(
            cli, "--%s: %s", option->name, option_refusal(option, why, value, refusal));
    }
    return CLI_GO_ON;
}

static int take_argument(struct cli *cli, void *target, int *at, bool *ended)
{
    struct given given;
    char *argument = cli->arguments[*at];
    if (*ended || !take_apart(argument, &given)) {
        *ended = *ended || cli->command->ends_at_word;
        cli->words[cli->words_count++] = argument;
        (*at)++;
        return CLI_GO_ON;
    }
    if (strcmp(argument, "--") == 0) {
        *ended = true;
        (*at)++;
        return CLI_GO_ON;
    }
    const struct yarder_option *option = find(cli->command, &given);
    if (option != NULL) {
        return set_option(cli, option, &given, target, at);
    }
    if (strcmp(given.name, "help") == 0 || given.letter == 'h') {
        cli_print_help(cli->command, stdout);
        return CLI_GOOD;
    }
    return keep_key(cli, &given, at) ? CLI_GO_ON : refuse_unknown(cli, &given);
}

static void set_defaults(struct cli *cli, void *target)
{
    char why[OPTION_WHY_BYTES];
    for (const struct cli_option *row = cli->command->options;
         row->option.kind != YARDER_OPTION_END; row++) {
        if (row->option.default_text != NULL) {
            int r = option_set(&row->option, target, row->option.default_text, &cli->arena, why);
            YARDER_ASSERT(r == 0); /* a default in our own table */
        }
    }
}

int cli_parse(struct cli *cli, void *target)
{
    size_t room = (size_t)cli->arguments_count + 1;
    arena_init(&cli->arena, CLI_BUDGET_BYTES);
    cli->words = arena_take(&cli->arena, room * sizeof(*cli->words));
    cli->keys = arena_take(&cli->arena, room * sizeof(*cli->keys));
    bool ended = false;
    int r = CLI_GO_ON;
    if (!cli->arena.failed) {
        set_defaults(cli, target);
        for (int at = 0; at < cli->arguments_count && r == CLI_GO_ON;) {
            r = take_argument(cli, target, &at, &ended);
        }
    }
    if (cli->arena.failed) {
        cli_say(cli, "no memory for the command line");
        return CLI_FAILED;
    }
    return r;
}
