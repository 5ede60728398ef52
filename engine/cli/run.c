/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "cli/own_place.h"
#include "control/spawn.h"
#include "control/supervisor.h"

struct run_options {
    char *file;
    bool quiet;
};

static const struct cli_option run_table[] = {
    {{"config", YARDER_OPTION_TEXT, offsetof(struct run_options, file), NULL, 0, 0, NULL, NULL,
         "FILE", "the configuration, as FILE behind run is"},
        'c'},
    {{"quiet", YARDER_OPTION_BOOL, offsetof(struct run_options, quiet), NULL, 0, 0, NULL, NULL, "",
         "no banner at the start"},
        'q'},
    CLI_OPTIONS_END,
};

/* Nobody looks for a daemon that copies the lines of its standard input to where it was told. */
static bool is_filter(const struct configuration *configuration)
{
    const struct daemon_config *config = configuration->config;
    return config->inputs_count == 1 && config->inputs[0].kind == INPUT_STDIN &&
           strcmp(config->inputs[0].where, "default") == 0 &&
           !sources_have_key(configuration->settings, "run-dir");
}

/* Gives a filter a place of its own: any number may run, beside the user's daemon. */
static int find_place(const struct cli *cli, struct sources *sources, struct own_place *place,
    struct source_setting added[2])
{
    struct configuration *configuration = NULL;
    int status = CLI_GO_ON;
    if (sources->file != NULL) { /* no filter; and it may be a pipe, which is read but once */
        return status;
    }
    int r = configuration_load(&configuration, sources);
    if (r == 0 && is_filter(configuration)) { /* what is wrong is told when it is run */
        status = own_place_make(cli, configuration->settings, place);
    }
    configuration_close(configuration);
    if (status != CLI_GO_ON || place->run_dir[0] == '\0') {
        return status;
    }
    added[0] = (struct source_setting){"run-dir", place->run_dir};
    added[1] = (struct source_setting){"state-dir", place->state_dir};
    sources->added = added;
    sources->added_count = place->state_dir[0] != '\0' ? 2 : 1;
    return status;
}

static int run_daemon(struct cli *cli)
{
    struct own_place place = {.run_dir = ""};
    struct source_setting added[2];
    struct run_options options = {0};
    struct sources sources;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON) {
        r = sources_of(cli, options.file, &sources);
    }
    if (r == CLI_GO_ON) {
        r = find_place(cli, &sources, &place, added);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    const struct supervisor_options supervisor = {.read_settings = sources_read,
        .context = &sources,
        .environment = environ,
        .quiet = options.quiet};
    int status = supervisor_run(&supervisor);
    own_place_remove(cli, &place);
    return status;
}

const struct command command_run = {
    .name = "run",
    .usage = "[FILE] [OPTIONS]",
    .summary = "run the daemon, in the foreground",
    .about =
        "Reads FILE, else /etc/yarder/yarder.conf (for a user ~/.config/yarder/yarder.conf) if it "
        "is\n"
        "there. With no configuration at all, programs that use libyarder and RUN_DIR/log.sock go "
        "to\n"
        "one file; if standard input is a pipe or a file, its lines go to standard output.\n"
        "\nTERM ends it when all is delivered, a second TERM at once. HUP reads the configuration\n"
        "anew and reopens files, USR1 reopens files, USR2 replaces the worker by the program that\n"
        "stands on the disk now. In a second terminal: yarder send hello\n",
    .examples = "  yarder run /etc/yarder/yarder.conf\n"
                "  yarder run --input udp:127.0.0.1:5140,parse=syslog --output file:/tmp/all.log\n",
    .options = run_table,
    .takes_keys = true,
    .run = run_daemon,
};

static int run_worker(struct cli *cli)
{
    uint64_t channel_fd = 0;
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count != 1 || text_to_u64(text_of(cli->words[0]), &channel_fd) < 0 ||
        channel_fd <= STDERR_FILENO || channel_fd > INT_MAX) {
        return cli_refuse(cli, "is started by yarder run alone");
    }
    return supervisor_worker((int)channel_fd);
}

static const struct cli_option no_options[] = {CLI_OPTIONS_END};

const struct command command_worker = {
    .name = "worker",
    .usage = "",
    .summary = "what yarder run starts to do the work; not for people",
    .about = "",
    .examples = "  yarder run\n  yarder help run\n",
    .options = no_options,
    .hidden = true,
    .run = run_worker,
};

static int run_source(struct cli *cli)
{
    uint64_t input = 0;
    int r = cli_parse(cli, NULL);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count != 1 || text_to_u64(text_of(cli->words[0]), &input) < 0 ||
        input >= YARDER_INPUTS_MAX || fcntl(SPAWN_SETTLED_FD, F_GETFD) < 0) {
        return cli_refuse(cli, "is started by yarder run alone");
    }
    return supervisor_source((uint32_t)input);
}

const struct command command_source = {
    .name = "source",
    .usage = "",
    .summary = "what yarder run starts to take what an input with a module gives; not for people",
    .about = "",
    .examples = "  yarder run\n  yarder inputs\n",
    .options = no_options,
    .hidden = true,
    .run = run_source,
};
