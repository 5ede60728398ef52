/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "cli/ask.h"
#include "cli/status_text.h"
#include "os/memory.h"

struct status_options {
    char *run_dir;
    bool json;
    bool ready;
    uint64_t wait_ns;
};

static const struct cli_option status_table[] = {
    CLI_RUN_DIR(struct status_options),
    {{"json", YARDER_OPTION_BOOL, offsetof(struct status_options, json), NULL, 0, 0, NULL, NULL, "",
         "the whole ledger for programs"},
        0},
    {{"ready", YARDER_OPTION_BOOL, offsetof(struct status_options, ready), NULL, 0, 0, NULL, NULL,
         "", "say nothing; status 0 when a daemon answers"},
        0},
    {{"wait", YARDER_OPTION_DURATION, offsetof(struct status_options, wait_ns), NULL, 0, UINT64_MAX,
         NULL, NULL, "TIME", "with --ready: give the daemon so long to answer"},
        0},
    CLI_OPTIONS_END,
};

static int print_json(const struct cli *cli, cJSON *report, const struct status_verdict *verdict)
{
    bool healthy = status_is_healthy(verdict->state);
    bool whole = cJSON_AddBoolToObject(report, "healthy", healthy) != NULL &&
                 cJSON_AddStringToObject(report, "state", status_word(verdict->state)) != NULL &&
                 cJSON_AddStringToObject(report, "line", verdict->line) != NULL;
    char *text = whole ? cJSON_Print(report) : NULL;
    if (text == NULL) {
        cli_say(cli, "no memory for the answer");
        return CLI_FAILED;
    }
    (void)puts(text);
    cJSON_free(text);
    return CLI_GO_ON;
}

static int show(const struct cli *cli, const struct status_options *options)
{
    struct status_verdict verdict;
    cJSON *report = NULL;
    int r = ask_or_tell(cli, options->run_dir, "status", &report);
    if (r != CLI_GO_ON) {
        return r;
    }
    uint64_t at_ns = (uint64_t)os_realtime_ns();
    status_judge(report, at_ns, &verdict);
    if (options->json) {
        r = print_json(cli, report, &verdict);
    } else {
        status_print(report, at_ns, &verdict, stdout);
    }
    cJSON_Delete(report);
    if (r != CLI_GO_ON) {
        return r;
    }
    return status_is_healthy(verdict.state) ? CLI_GOOD : CLI_LOSING;
}

static bool is_ready(const struct status_options *options)
{
    char path[ASK_PATH_BYTES];
    cJSON *report = NULL;
    int r = ask(options->run_dir, "status", &report, path);
    cJSON_Delete(report);
    return r == 0;
}

static bool wait_ready(const struct status_options *options)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    uint64_t until_ns = (uint64_t)os_monotonic_ns() + yarder_min(options->wait_ns, INT64_MAX);
    bool ready = is_ready(options);
    while (!ready && (uint64_t)os_monotonic_ns() < until_ns) {
        (void)nanosleep(&pause, NULL);
        ready = is_ready(options);
    }
    return ready;
}

static int run_status(struct cli *cli)
{
    struct status_options options = {0};
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count > 0) {
        return cli_refuse(cli, "takes no arguments, but got '%.64s'", cli->words[0]);
    }
    if (!options.ready) {
        return show(cli, &options);
    }
    return wait_ready(&options) ? CLI_GOOD : CLI_NO_DAEMON;
}

const struct command command_status = {
    .name = "status",
    .usage = "[OPTIONS]",
    .summary = "whether the daemon loses anything, and what went where",
    .about =
        "The first line is the answer. LOSING: records were lost, or connections refused, in the\n"
        "last minute. HELD UP: records wait and an output has delivered nothing for a second, or\n"
        "an input does not listen. FAILING: a destination refused records, which are kept, or\n"
        "failed where nobody answers for what was sent.\n"
        "At every moment, for each input received = accepted + refused, and for each output\n"
        "copies + found (on disk, by a daemon before) = delivered + dropped + dead + held.\n"
        "Status 0; 3: no daemon; 4: it runs, and is losing, held up or failing.\n",
    .examples = "  yarder status\n  yarder status --json | jq '.outputs[] | {name, held}'\n",
    .options = status_table,
    .run = run_status,
};
