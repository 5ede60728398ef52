/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <time.h>

#include "cli/ask.h"
#include "cli/status_text.h"

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

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int print_json(const struct cli *cli, cJSON *report, const struct status_verdict *verdict)
{
    bool losing = verdict->state == STATUS_LOSING || verdict->state == STATUS_HELD_UP;
    bool whole = cJSON_AddBoolToObject(report, "healthy", !losing) != NULL &&
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

/* A daemon that never lost anything is not losing now: only another one is looked at twice. */
static int look_again(const struct cli *cli, const struct status_options *options,
    struct status_look *look, struct status_look *before)
{
    static const struct timespec pause = {.tv_nsec = 200000000};
    if (ask_number(look->report, "losses") == 0) {
        return CLI_GO_ON;
    }
    (void)nanosleep(&pause, NULL);
    cJSON *report = NULL;
    int r = ask_or_tell(cli, options->run_dir, "status", &report);
    if (r == CLI_GO_ON) {
        *before = *look;
        *look = (struct status_look){report, now_ns()};
    }
    return r;
}

static void look_drop(struct status_look *look)
{
    cJSON *report = NULL;
    memcpy(&report, &look->report, sizeof(report)); /* ours, and only lent out as const */
    cJSON_Delete(report);
}

static int show(const struct cli *cli, const struct status_options *options)
{
    __attribute__((cleanup(look_drop))) struct status_look look = {0};
    __attribute__((cleanup(look_drop))) struct status_look before = {0};
    struct status_verdict verdict;
    cJSON *report = NULL;
    int r = ask_or_tell(cli, options->run_dir, "status", &report);
    if (r != CLI_GO_ON) {
        return r;
    }
    look = (struct status_look){report, now_ns()};
    r = look_again(cli, options, &look, &before);
    if (r != CLI_GO_ON) {
        return r;
    }
    status_judge(&look, &before, &verdict);
    if (options->json) {
        memcpy(&report, &look.report, sizeof(report));
        r = print_json(cli, report, &verdict);
    } else {
        status_print(look.report, &verdict, stdout);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    return verdict.state == STATUS_LOSING ? CLI_LOSING : CLI_GOOD;
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
    uint64_t until_ns = now_ns() + yarder_min(options->wait_ns, INT64_MAX);
    bool ready = is_ready(options);
    while (!ready && now_ns() < until_ns) {
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
        "The first line is the answer. Losing: a count of losses grows within 200 ms; held up: an\n"
        "output has been in one call for over a second. At every moment, for each input\n"
        "received = accepted + refused, and for each output\n"
        "copies = delivered + dropped + dead + held.\n"
        "Status 0; 3: no daemon; 4: it runs and loses records.\n",
    .examples = "  yarder status\n  yarder status --json | jq '.outputs[] | {name, held}'\n",
    .options = status_table,
    .run = run_status,
};
