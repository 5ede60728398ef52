/* SPDX-License-Identifier: Apache-2.0 */
#include "control/translate.h"

#include <errno.h>
#include <string.h>

#include "cli/migrate.h"
#include "cli/sources.h"

struct translate_options {
    bool split;
    char *to;
};

static const struct cli_option translate_table[] = {
    {{"split", YARDER_OPTION_BOOL, offsetof(struct translate_options, split), NULL, 0, 0, NULL,
         NULL, "", "write the two files of a migration, and show what differs"},
        0},
    {{"to", YARDER_OPTION_TEXT, offsetof(struct translate_options, to), NULL, 0, 0, NULL, NULL,
         "DIR", "with --split: write NAME.ini and yarder.conf there; else beside FILE"},
        0},
    CLI_OPTIONS_END,
};

static bool is_command_line(const struct cli *cli)
{
    return cli->words_count > 1 || cli->words[0][0] == '-' || strcmp(cli->words[0], "uwsgi") == 0;
}

/* uWSGI's own name may be pasted with the rest. */
static int read_words(
    const struct cli *cli, struct settings *settings, struct config_report *report)
{
    if (!is_command_line(cli)) {
        return settings_read_file(settings, cli->words[0], report);
    }
    const char *slash = strrchr(cli->words[0], '/');
    const char *name = slash != NULL ? slash + 1 : cli->words[0];
    int skipped = strncmp(name, "uwsgi", strlen("uwsgi")) == 0 && strchr(name, '.') == NULL ? 1 : 0;
    return settings_read_uwsgi_arguments(
        settings, cli->words_count - skipped, cli->words + skipped, report);
}

static int load(const struct cli *cli, struct configuration *made)
{
    int r = settings_open(&made->settings);
    if (r == 0) {
        r = read_words(cli, made->settings, &made->report);
    }
    if (r == 0) {
        r = config_load(&made->config, made->settings, &made->report);
    }
    report_print(&made->report, true, stderr);
    return r;
}

static int translate(
    const struct cli *cli, const struct translate_options *options, struct configuration *made)
{
    char why[TRANSLATE_WHY_BYTES] = "";
    YARDER_OWN_HEAP char *text = NULL;
    size_t bytes = 0;
    int r = load(cli, made);
    if (r < 0) {
        return r == -ENOMEM ? CLI_FAILED : CLI_USAGE;
    }
    FILE *to = open_memstream(&text, &bytes);
    if (to == NULL) {
        cli_say(cli, "no memory for the lines");
        return CLI_FAILED;
    }
    r = config_translate(made->settings, made->config, !options->split, to, why);
    if (fclose(to) != 0 || (r < 0 && r != -EINVAL)) {
        cli_say(cli, "no memory for the lines");
        return CLI_FAILED;
    }
    if (r < 0) {
        return cli_refuse(cli, "%s", why);
    }
    if (options->split) {
        return migrate(cli, made, cli->words[0], options->to, text);
    }
    (void)fputs(text, stdout);
    return fflush(stdout) == 0 ? CLI_GOOD : CLI_FAILED;
}

static int run_translate(struct cli *cli)
{
    struct translate_options options = {0};
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count == 0) {
        return cli_refuse(cli, "expected FILE, or -- and a command line of uWSGI's");
    }
    if (options.to != NULL && !options.split) {
        return cli_refuse(cli, "--to says where --split writes; expected --split beside it");
    }
    if (options.split && is_command_line(cli)) {
        return cli_refuse(cli, "--split divides a file; a command line has none");
    }
    struct configuration *made = calloc(1, sizeof(*made));
    if (made == NULL) {
        cli_say(cli, "no memory for the configuration");
        return CLI_FAILED;
    }
    report_init(&made->report);
    int status = translate(cli, &options, made);
    configuration_close(made);
    return status;
}

const struct command command_translate = {
    .name = "translate",
    .usage = "FILE[:SECTION] [OPTIONS] | -- UWSGI COMMAND LINE",
    .summary = "tell uWSGI's lines about logs in yarder's own",
    .about = "FILE is uWSGI's, ini, YAML or JSON. Prints the lines of a yarder.conf that does the "
             "same, with a\n"
             "comment for each difference and for each line that stays with uWSGI. --split writes "
             "them to\nyarder.conf, and NAME.ini.yarder, which hands uWSGI's logs over; nothing is "
             "written over.\n",
    .examples = "  yarder translate app.ini\n"
                "  yarder translate -- uwsgi -s :3031 -w app --logger file:/var/log/app.log\n",
    .options = translate_table,
    .run = run_translate,
};
