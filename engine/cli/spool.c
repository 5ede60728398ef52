/* SPDX-License-Identifier: Apache-2.0 */
/* `yarder spool`: looks at queues on disk, mends them, gives their records to another output. */
#include "cli/spool.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "cli/ask.h"

static const struct cli_option spool_table[] = {
    CLI_RUN_DIR(struct spool_command),
    CLI_STATE_DIR(struct spool_command),
    {{"json", YARDER_OPTION_BOOL, offsetof(struct spool_command, json), NULL, 0, 0, NULL, NULL, "",
         "ls, check: for programs"},
        0},
    {{"to", YARDER_OPTION_TEXT, offsetof(struct spool_command, to), NULL, 0, 0, NULL, NULL,
         "OUTPUT", "replay: whose queue on disk gets the records; else they are printed"},
        0},
    CLI_OPTIONS_END,
};

static int run_verb(const struct cli *cli, const struct spool_command *options)
{
    const char *verb = cli->words_count > 0 ? cli->words[0] : "ls";
    char *const *names = cli->words + (cli->words_count > 0);
    int count = cli->words_count > 0 ? cli->words_count - 1 : 0;
    if (options->to != NULL && strcmp(verb, "replay") != 0) {
        return cli_refuse(cli, "--to is for replay");
    }
    if (strcmp(verb, "ls") == 0) {
        return spool_list_command(cli, options, names, count);
    }
    if (strcmp(verb, "check") == 0) {
        return spool_check_command(cli, options, names, count);
    }
    if (strcmp(verb, "repair") == 0) {
        return spool_repair_command(cli, options, names, count);
    }
    if (strcmp(verb, "replay") != 0) {
        return cli_refuse(cli, "expected ls, check, repair or replay, not '%.64s'", verb);
    }
    if (count != 1) {
        return cli_refuse(cli, "replay takes one NAME of a spool, or one FILE");
    }
    return spool_replay_command(cli, options, names[0]);
}

static int run_spool(struct cli *cli)
{
    struct spool_command options = {0};
    char state_dir[YARDER_PATH_BYTES_MAX];
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    r = ask_state_dir(options.state_dir, options.run_dir, state_dir, sizeof(state_dir));
    if (r < 0) {
        cli_say(cli, "no place for a state directory (%s); name one: --state-dir", strerror(-r));
        return CLI_FAILED;
    }
    options.state_dir = state_dir;
    return run_verb(cli, &options);
}

const struct command command_spool = {
    .name = "spool",
    .usage = "[ls | check | repair | replay] [NAME ...] [OPTIONS]",
    .summary = "queues on disk: what lies there; check, mend, replay",
    .about =
        "  ls [NAME ...]      how much waits, since when, how much is known to be lost, and who\n"
        "                     has it open\n"
        "  check [NAME ...]   reads every record; status 1 if any is damaged\n"
        "  repair [NAME ...]  sets damage aside; not while a daemon has it open\n"
        "  replay NAME|FILE   records of a spool, of a file of its damaged/, or of dead letters:\n"
        "                     printed, or with --to given to the queue on disk of an output, with\n"
        "                     all that they have and new ids. A spool is emptied by that, a file\n"
        "                     stays. Not while a daemon has either open. Status 1 for a file\n"
        "                     that has none.\n"
        "\nA daemon needs none of this to go on: it delivers what is sound and counts the rest.\n",
    .examples = "  yarder spool check && yarder spool ls --json | jq '.[].records'\n"
                "  yarder spool replay /var/lib/yarder/dead.jsonl --to events\n",
    .options = spool_table,
    .run = run_spool,
};
