/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "cli/sources.h"
#include "control/explain.h"

struct check_options {
    char *file;
    bool explain;
    bool json;
};

static const struct cli_option check_table[] = {
    {{"config", YARDER_OPTION_TEXT, offsetof(struct check_options, file), NULL, 0, 0, NULL, NULL,
         "FILE", "the configuration, as FILE behind check is"},
        'c'},
    {{"explain", YARDER_OPTION_BOOL, offsetof(struct check_options, explain), NULL, 0, 0, NULL,
         NULL, "", "tell it back: every value as it holds, and what reaches each output"},
        0},
    {{"json", YARDER_OPTION_BOOL, offsetof(struct check_options, json), NULL, 0, 0, NULL, NULL, "",
         "the same for programs, with errors and warnings"},
        0},
    CLI_OPTIONS_END,
};

static int explain(const struct cli *cli, const struct daemon_config *config)
{
    struct router *router = NULL;
    int r = configuration_router(cli, config, &router);
    if (r != CLI_GO_ON) {
        return r;
    }
    config_explain(config, router, stdout);
    router_close(router);
    return CLI_GOOD;
}

static int print_json(const struct cli *cli, const struct configuration *configuration)
{
    cJSON *json = config_to_json(configuration->config, &configuration->report);
    char *text = json != NULL ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (text == NULL) {
        cli_say(cli, "no memory for the answer");
        return CLI_FAILED;
    }
    (void)puts(text);
    cJSON_free(text);
    return CLI_GOOD;
}

static int check(const struct cli *cli, const struct check_options *options,
    struct sources *sources, struct configuration **out)
{
    int r = configuration_load(out, sources);
    if (r == -ENOMEM) {
        cli_say(cli, "no memory for the configuration");
        return CLI_FAILED;
    }
    struct configuration *configuration = *out;
    int status = CLI_GOOD;
    if (r == 0) {
        r = config_check_machine(
            configuration->config, configuration->settings, &configuration->report);
        config_check_spools(configuration->config, &configuration->report);
    }
    if (options->json) {
        status = print_json(cli, configuration);
    } else {
        report_print(&configuration->report, true, stderr);
    }
    if (r < 0) {
        return CLI_USAGE;
    }
    if (status == CLI_GOOD && options->explain) {
        status = explain(cli, configuration->config);
    }
    if (!options->json) {
        config_summary(configuration->config, &configuration->report, stdout);
    }
    return status;
}

static int run_check(struct cli *cli)
{
    struct check_options options = {0};
    struct sources sources;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON) {
        r = sources_of(cli, options.file, &sources);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    if (options.json && options.explain) {
        return cli_refuse(cli, "--json tells everything already; take --explain away");
    }
    struct configuration *configuration = NULL;
    int status = check(cli, &options, &sources, &configuration);
    configuration_close(configuration);
    return status;
}

const struct command command_check = {
    .name = "check",
    .usage = "[FILE] [OPTIONS]",
    .summary = "check a configuration, all of it; -t is the same",
    .about =
        "Reads what run would read, and starts nothing. Errors, warnings and notes go to standard\n"
        "error, a line each. Status 0: run would take it, and so would reload; 2: it is wrong.\n",
    .examples = "  yarder check /etc/yarder/yarder.conf && yarder reload\n"
                "  yarder -t -c yarder.conf --explain\n",
    .options = check_table,
    .takes_keys = true,
    .run = run_check,
};
