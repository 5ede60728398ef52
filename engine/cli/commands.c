/* SPDX-License-Identifier: Apache-2.0 */
/* The table of commands, finding one, and the help that is made of their tables. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "cli/cli.h"

enum { COMMANDS_MAX = 32 };

const struct command *const cli_commands[] = {&command_run, &command_check, &command_explain,
    &command_exec, &command_send, &command_serve_udp, &command_status, &command_tap,
    &command_doctor, &command_spool, &command_reload, &command_reopen, &command_rotate,
    &command_translate, &command_inputs, &command_outputs, &command_keys, &command_version,
    &command_help, &command_worker, &command_source, NULL};

_Static_assert(YARDER_COUNT_OF(cli_commands) <= COMMANDS_MAX, "the list of near names has room");

/* Habits from elsewhere. */
static const struct {
    const char *name;
    const struct command *command;
} aliases[] = {{"-t", &command_check}, {"--version", &command_version}, {"-V", &command_version},
    {"--help", &command_help}, {"-h", &command_help}};

const struct command *cli_find(const char *name)
{
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0) {
            return cli_commands[i];
        }
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(aliases); i++) {
        if (strcmp(aliases[i].name, name) == 0) {
            return aliases[i].command;
        }
    }
    return NULL;
}

static int refuse_unknown(const char *name)
{
    const char *names[COMMANDS_MAX];
    size_t count = 0;
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (!cli_commands[i]->hidden) {
            names[count++] = cli_commands[i]->name;
        }
    }
    const char *near = text_near(name, names, count);
    (void)fprintf(stderr, "yarder: unknown command '%.64s'%s%s%s\nyarder help lists them\n", name,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return CLI_USAGE;
}

/* "  --name, -x ARGUMENT" and behind it, or below when it is long, what it does. */
static void print_option(const struct cli_option *row, FILE *to)
{
    enum { COLUMN = 28 };
    const struct yarder_option *option = &row->option;
    const char letter[] = {row->letter, '\0'};
    bool flag = option->kind == YARDER_OPTION_BOOL;
    int width = fprintf(to, "  --%s%s%s%s%s", option->name, letter[0] != '\0' ? ", -" : "", letter,
        flag ? "" : " ", flag ? "" : option->argument);
    if (width >= COLUMN) {
        (void)fputc('\n', to);
        width = 0;
    }
    (void)fprintf(to, "%*s%s", COLUMN - width, "", option->help);
    if (option->default_text != NULL && !flag) {
        (void)fprintf(to, " [%s]", option->default_text);
    }
    (void)fputc('\n', to);
}

void cli_print_help(const struct command *command, FILE *to)
{
    const char *blank = command->usage[0] != '\0' ? " " : "";
    (void)fprintf(
        to, "usage: yarder %s%s%s\n%s\n", command->name, blank, command->usage, command->summary);
    if (command->about[0] != '\0') {
        (void)fprintf(to, "\n%s", command->about);
    }
    if (command->options->option.kind != YARDER_OPTION_END || command->takes_keys) {
        (void)fputs("\noptions:\n", to);
    }
    for (const struct cli_option *row = command->options; row->option.kind != YARDER_OPTION_END;
         row++) {
        print_option(row, to);
    }
    if (command->takes_keys) {
        (void)fprintf(
            to, "  %-26s%s\n", "--KEY VALUE", "any key of the configuration; see yarder keys");
    }
    (void)fprintf(to, "\nexamples:\n%s", command->examples);
}

void cli_print_overview(FILE *to)
{
    (void)fputs("usage: yarder COMMAND [ARGUMENTS...]\nhauls log records from where they fall to "
                "where they are kept\n\ncommands:\n",
        to);
    for (size_t i = 0; cli_commands[i] != NULL; i++) {
        if (!cli_commands[i]->hidden) {
            (void)fprintf(to, "  %-10s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
        }
    }
    (void)fputs(
        "\nyarder COMMAND --help says more. Exit status: 0 good, 1 failed, 2 usage or "
        "configuration,\n3 no daemon, 4 a daemon runs and loses records; exec: its command's.\n"
        "\nexamples:\n  yarder run                  # programs and /run/yarder/log.sock, to one "
        "file\n"
        "  yarder send hello; yarder status\n",
        to);
}

int cli_main(int arguments_count, char **arguments)
{
    if (arguments_count < 2) {
        cli_print_overview(stderr);
        return CLI_USAGE;
    }
    struct cli cli = {.command = cli_find(arguments[1]),
        .arguments_count = arguments_count - 2,
        .arguments = arguments + 2};
    if (cli.command == NULL) {
        return refuse_unknown(arguments[1]);
    }
    int status = cli.command->run(&cli);
    arena_deinit(&cli.arena);
    if (fflush(stdout) != 0 && status == CLI_GOOD) {
        (void)fprintf(stderr, "yarder: cannot write to standard output: %s\n", strerror(errno));
        status = CLI_FAILED;
    }
    return status;
}
