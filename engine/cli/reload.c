/* SPDX-License-Identifier: Apache-2.0 */
/* reload, reopen and rotate: asked over the control socket; reload waits for what comes of it. */
#include <errno.h>
#include <time.h>

#include "cli/ask.h"
#include "os/memory.h"

struct reload_options {
    char *run_dir;
    uint64_t wait_ns;
};

static const struct cli_option reload_table[] = {
    CLI_RUN_DIR(struct reload_options),
    {{"wait", YARDER_OPTION_DURATION, offsetof(struct reload_options, wait_ns), "60s", 0,
         UINT64_MAX, NULL, NULL, "TIME", "how long to wait for the new configuration to hold"},
        0},
    CLI_OPTIONS_END,
};

/* Whether the daemon may answer later: a worker that hands over leaves questions unanswered. */
static bool is_passing(int error)
{
    return error == -ECONNRESET || error == -ETIMEDOUT || error == -EPIPE;
}

/* Until reload `number` has ended, or a later one: it read what that one read, or newer. */
static int wait_done(const struct cli *cli, const struct reload_options *options, uint64_t number)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    char path[ASK_PATH_BYTES];
    int64_t start_ns = os_monotonic_ns();
    while ((uint64_t)(os_monotonic_ns() - start_ns) < options->wait_ns) {
        cJSON *status = NULL;
        int r = ask(options->run_dir, "status", &status, path);
        if (r < 0 && !is_passing(r)) {
            return ask_tell(cli, r, path);
        }
        if (r == 0 && ask_number(status, "reloads") >= number) {
            const char *error = ask_text(status, "reload_error");
            int result = error[0] == '\0' ? CLI_GOOD : CLI_FAILED;
            if (result == CLI_GOOD) {
                (void)puts("reloaded; yarder status shows what runs now");
            } else {
                cli_say(cli, "not reloaded, the daemon goes on as before:\n%s", error);
            }
            cJSON_Delete(status);
            return result;
        }
        cJSON_Delete(status);
        (void)nanosleep(&pause, NULL);
    }
    cli_say(cli, "no outcome yet; yarder status will show it, and the daemon's standard error");
    return CLI_FAILED;
}

static int run_reload(struct cli *cli)
{
    struct reload_options options = {0};
    cJSON *answer = NULL;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON && cli->words_count > 0) {
        return cli_refuse(cli, "takes no file: the daemon reads its own again");
    }
    if (r == CLI_GO_ON) {
        r = ask_or_tell(cli, options.run_dir, "reload", &answer);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    uint64_t number = ask_number(answer, "reload");
    cJSON_Delete(answer);
    return wait_done(cli, &options, number);
}

const struct command command_reload = {
    .name = "reload",
    .usage = "[OPTIONS]",
    .summary = "the daemon reads its configuration anew",
    .about = "A configuration that does not start changes nothing, and its errors are shown here.\n"
             "yarder check FILE tells them before. Nothing is lost meanwhile.\n",
    .examples = "  yarder check && yarder reload\n  yarder reload --run-dir /run/yarder\n",
    .options = reload_table,
    .run = run_reload,
};

struct reopen_options {
    char *run_dir;
};

static const struct cli_option reopen_table[] = {
    CLI_RUN_DIR(struct reopen_options), CLI_OPTIONS_END};

static int run_reopen(struct cli *cli)
{
    struct reopen_options options = {0};
    cJSON *answer = NULL;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON && cli->words_count > 0) {
        return cli_refuse(cli, "takes no arguments: all files are reopened");
    }
    if (r == CLI_GO_ON) {
        r = ask_or_tell(cli, options.run_dir, "reopen", &answer);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    cJSON_Delete(answer);
    (void)puts("asked; each file is opened anew where its path names another one");
    return CLI_GOOD;
}

const struct command command_reopen = {
    .name = "reopen",
    .usage = "[OPTIONS]",
    .summary = "the daemon opens its files anew, by their paths",
    .about =
        "For rotation by others. It is seldom needed: a file that was renamed, removed or cut is\n"
        "noticed before the next write.\n",
    .examples = "  mv all.log all.log.1 && yarder reopen\n  yarder reopen --run-dir /run/yarder\n",
    .options = reopen_table,
    .run = run_reopen,
};

static int run_rotate(struct cli *cli)
{
    struct reopen_options options = {0};
    cJSON *answer = NULL;
    int r = cli_parse(cli, &options);
    if (r == CLI_GO_ON && cli->words_count > 1) {
        return cli_refuse(cli, "takes one output; without any, all files are put aside");
    }
    if (r == CLI_GO_ON) {
        const char *output = cli->words_count == 1 ? cli->words[0] : NULL;
        r = ask_or_tell_of(cli, options.run_dir, "rotate", output, &answer);
    }
    if (r != CLI_GO_ON) {
        return r;
    }
    unsigned long long asked = ask_number(answer, "rotate");
    (void)printf("asked; %llu %s aside, unless empty\n", asked,
        asked == 1 ? "output puts its files" : "outputs put their files");
    cJSON_Delete(answer);
    return CLI_GOOD;
}

const struct command command_rotate = {
    .name = "rotate",
    .usage = "[OPTIONS] [OUTPUT]",
    .summary = "files are put aside for new ones, now",
    .about =
        "What they are called, and what stays of them, say the output's options rotate-names,\n"
        "keep and others (yarder outputs file); without any they become PATH.1, PATH.2 ...\n",
    .examples = "  yarder rotate\n  yarder rotate errors\n",
    .options = reopen_table,
    .run = run_rotate,
};
