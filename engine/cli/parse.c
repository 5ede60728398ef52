/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"
#include "control/config_keys.h"
#include "control/option_set.h"
#include "control/uwsgi_names.h"

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

/* uWSGI's are names; ours are paths. */
static bool is_uwsgi_plugin(const struct cli *cli, const struct given *given, int at)
{
    const char *value = given->value != NULL            ? given->value
                        : at + 1 < cli->arguments_count ? cli->arguments[at + 1]
                                                        : "/";
    const char *dot = strrchr(value, '.');
    return strchr(value, '/') == NULL && (dot == NULL || strcmp(dot, ".so") != 0);
}

/* A key of the configuration goes to `keys` as it stands, with its value. */
static bool keep_key(struct cli *cli, const struct given *given, int *at)
{
    const struct config_key *key = given->letter == '\0' ? config_key_find(given->name) : NULL;
    if (key == NULL || !cli->command->takes_keys) {
        return false;
    }
    bool takes_next =
        given->value == NULL && config_key_takes_next(key) && *at + 1 < cli->arguments_count;
    if (key->line == CONFIG_PLUGIN && is_uwsgi_plugin(cli, given, *at)) {
        return false;
    }
    cli->uwsgi_keys |= config_key_is_uwsgi(key) || key->line == CONFIG_UWSGI_FILE;
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

/*
 * uWSGI's short options, which may share a dash: -ML, -d FILE. Those that are about logs become
 * keys.
 */
static bool keep_letters(struct cli *cli, int *at)
{
    const char *letters = cli->arguments[*at] + 1;
    for (const char *letter = letters; *letter != '\0'; letter++) {
        if (uwsgi_letter(*letter) == NULL) {
            return false;
        }
        letter += uwsgi_argument(uwsgi_letter(*letter)) == UWSGI_WITHOUT_ARGUMENT
                      ? 0
                      : strlen(letter) - 1;
    }
    (*at)++;
    for (const char *letter = letters; *letter != '\0'; letter++) {
        const char *name = uwsgi_letter(*letter);
        const struct config_key *key = config_key_find(name);
        const char *value = letter[1] != '\0' ? letter + 1 : NULL;
        bool alone = uwsgi_argument(name) == UWSGI_WITHOUT_ARGUMENT;
        if (uwsgi_argument(name) == UWSGI_WITH_ARGUMENT && value == NULL &&
            *at < cli->arguments_count) {
            value = cli->arguments[(*at)++];
        }
        if (key != NULL) {
            bool given = !alone && value != NULL;
            cli->uwsgi_keys = true;
            cli->keys[cli->keys_count++] =
                arena_format(&cli->arena, "--%s%s%s", name, given ? "=" : "", given ? value : "");
        } else {
            cli->uwsgi_others[cli->uwsgi_others_count++] = name;
        }
        if (!alone) {
            break;
        }
    }
    return true;
}

/* An option of uWSGI's that is not about logs: left out, and told. */
static bool keep_other(struct cli *cli, const struct given *given, int *at)
{
    if (!cli->command->takes_keys) {
        return false;
    }
    if (given->letter != '\0') {
        return keep_letters(cli, at);
    }
    enum uwsgi_argument argument = uwsgi_argument(given->name);
    if (argument == UWSGI_UNKNOWN) {
        return false;
    }
    bool takes_next = argument == UWSGI_WITH_ARGUMENT && given->value == NULL;
    cli->uwsgi_others[cli->uwsgi_others_count++] =
        arena_text(&cli->arena, given->name, strlen(given->name));
    *at += takes_next && *at + 1 < cli->arguments_count ? 2 : 1;
    return true;
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
    bool kept = keep_key(cli, &given, at) || keep_other(cli, &given, at);
    return kept ? CLI_GO_ON : refuse_unknown(cli, &given);
}

/* Said once; without any option of its that is about logs they are mistakes like others. */
static int tell_others(struct cli *cli)
{
    enum { SHOWN = 8 };
    if (cli->uwsgi_others_count == 0) {
        return CLI_GO_ON;
    }
    if (!cli->uwsgi_keys) {
        struct given given;
        char *first = arena_format(&cli->arena, "--%s", cli->uwsgi_others[0]);
        (void)take_apart(first, &given);
        return refuse_unknown(cli, &given);
    }
    char names[SHOWN * NAME_BYTES] = "";
    size_t length = 0;
    for (int i = 0; i < cli->uwsgi_others_count && i < SHOWN; i++) {
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%.60s",
            i == 0 ? "" : ", ", cli->uwsgi_others[i]);
    }
    cli_say(cli, "note: left to uWSGI, for they are not about logs: %s%s", names,
        cli->uwsgi_others_count > SHOWN ? ", ..." : "");
    return CLI_GO_ON;
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
    size_t bytes = 0; /* a letter each may be an option */
    for (int i = 0; i < cli->arguments_count; i++) {
        bytes += strlen(cli->arguments[i]) + 1;
    }
    cli->keys = arena_take(&cli->arena, (room + bytes) * sizeof(*cli->keys));
    cli->uwsgi_others = arena_take(&cli->arena, (room + bytes) * sizeof(*cli->uwsgi_others));
    bool ended = false;
    int r = CLI_GO_ON;
    if (!cli->arena.failed) {
        set_defaults(cli, target);
        for (int at = 0; at < cli->arguments_count && r == CLI_GO_ON;) {
            r = take_argument(cli, target, &at, &ended);
        }
    }
    r = r == CLI_GO_ON && !cli->arena.failed ? tell_others(cli) : r;
    if (cli->arena.failed) {
        cli_say(cli, "no memory for the command line");
        return CLI_FAILED;
    }
    return r;
}
