/* SPDX-License-Identifier: Apache-2.0 */
/* help, keys, inputs, outputs: what the tables know. */
#include "control/help.h"

#include <errno.h>

#include "cli/cli.h"

static const struct cli_option no_options[] = {CLI_OPTIONS_END};

static int run_help(struct cli *cli)
{
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count == 0) {
        cli_print_overview(stdout);
        return CLI_GOOD;
    }
    const struct command *command = cli_find(cli->words[0]);
    if (command == NULL) {
        return cli_refuse(
            cli, "there is no command '%.64s'; yarder help lists them", cli->words[0]);
    }
    cli_print_help(command, stdout);
    return CLI_GOOD;
}

const struct command command_help = {
    .name = "help",
    .usage = "[COMMAND]",
    .summary = "what there is, or how one command is used",
    .about = "",
    .examples = "  yarder help send\n  yarder help\n",
    .options = no_options,
    .run = run_help,
};

static int run_keys(struct cli *cli)
{
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 0) {
        return cli_refuse(cli, "takes no arguments, but got '%.64s'", cli->words[0]);
    }
    help_keys(stdout);
    return CLI_GOOD;
}

const struct command command_keys = {
    .name = "keys",
    .usage = "",
    .summary = "the keys of the configuration, each an option of run, check and exec",
    .about = "yarder.conf(5) tells the grammar.\n",
    .examples = "  yarder keys\n  yarder run --log-level debug --record-max 256K\n",
    .options = no_options,
    .run = run_keys,
};

static int run_kinds(
    struct cli *cli, const char *noun, int (*help)(const char *, FILE *, char why[HELP_WHY_BYTES]))
{
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 1) {
        return cli_refuse(cli, "takes one name, but got '%.64s' as well", cli->words[1]);
    }
    char why[HELP_WHY_BYTES];
    const char *name = cli->words_count == 1 ? cli->words[0] : NULL;
    r = help(name, stdout, why);
    if (r == -ENOENT) {
        return cli_refuse(cli, "%s", why);
    }
    if (r < 0) {
        cli_say(cli, "%s", why);
        return CLI_FAILED;
    }
    if (name == NULL) {
        (void)printf("\nyarder %ss NAME tells its options.\n", noun);
    }
    return CLI_GOOD;
}

static int run_inputs(struct cli *cli)
{
    return run_kinds(cli, "input", help_inputs);
}

static int run_outputs(struct cli *cli)
{
    return run_kinds(cli, "output", help_outputs);
}

const struct command command_inputs = {
    .name = "inputs",
    .usage = "[NAME]",
    .summary = "the kinds of inputs, or the options of one",
    .about = "",
    .examples = "  yarder inputs\n  yarder inputs udp\n",
    .options = no_options,
    .run = run_inputs,
};

const struct command command_outputs = {
    .name = "outputs",
    .usage = "[NAME|PATH]",
    .summary = "the kinds of outputs, or the options of one",
    .about = "PATH is a module of somebody's, as `plugin = PATH` names it.\n",
    .examples = "  yarder outputs\n  yarder outputs redis\n",
    .options = no_options,
    .run = run_outputs,
};
