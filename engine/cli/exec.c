/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `yarder exec`: without outputs of its own it wraps the command for the daemon that runs (wrap.c);
 * with them, it is a daemon itself, whose one exec input is the command.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/text.h"
#include "cli/own_place.h"
#include "cli/preload_library.h"
#include "cli/quote.h"
#include "cli/sources.h"
#include "cli/wrap.h"
#include "client/client.h"
#include "control/supervisor.h"

struct exec_options {
    char *file;
    char *tag;
    uint8_t level;
    bool no_tee;
    bool preload;
    bool quiet;
};

static int parse_level(void *target, const char *text, char *why, size_t why_bytes)
{
    if (text_to_level(text_of(text), target) < 0) {
        (void)snprintf(why, why_bytes,
            "expected a level: debug, info, notice, warning, error, "
            "critical, alert, emerg or 0 to 255");
        return -EINVAL;
    }
    return 0;
}

#define FIELD(member) offsetof(struct exec_options, member)

static const struct cli_option exec_table[] = {
    {{"config", YARDER_OPTION_TEXT, FIELD(file), NULL, 0, 0, NULL, NULL, "FILE",
         "a configuration of its own"},
        'c'},
    {{"tag", YARDER_OPTION_TEXT, FIELD(tag), NULL, 0, 0, NULL, NULL, "NAME",
         "of the records; else the command's name"},
        't'},
    {{"level", YARDER_OPTION_SPECIAL, FIELD(level), NULL, 0, 0, NULL, parse_level, "LEVEL",
         "of the records, into a daemon that runs; else none is stated"},
        'l'},
    {{"no-tee", YARDER_OPTION_BOOL, FIELD(no_tee), NULL, 0, 0, NULL, NULL, "",
         "do not show what the command writes"},
        0},
    {{"preload", YARDER_OPTION_BOOL, FIELD(preload), NULL, 0, 0, NULL, NULL, "",
         "its lines go by shared memory where they can, and are not shown then"},
        0},
    {{"quiet", YARDER_OPTION_BOOL, FIELD(quiet), NULL, 0, 0, NULL, NULL, "",
         "no note of yarder's own"},
        'q'},
    CLI_OPTIONS_END,
};

/* Whether anything but the run directory was said: then the configuration is our own. */
static bool is_own(const struct sources *sources, const struct settings *settings)
{
    bool only_place =
        settings->count == 0 || (settings->count == 1 && sources_have_key(settings, "run-dir"));
    return sources->file != NULL || !only_place;
}

/* Whether somebody asked for a ring: what stands without inputs goes when there is one. */
static bool has_ring(const struct daemon_config *config)
{
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        if (config->inputs[i].kind == INPUT_RING &&
            strcmp(config->inputs[i].where, "default") != 0) {
            return true;
        }
    }
    return false;
}

/* Whether an output that somebody asked for shows the lines already. */
static bool is_shown(const struct daemon_config *config)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].kind == OUTPUT_STDIO &&
            strcmp(config->outputs[i].where, "default") != 0) {
            return true;
        }
    }
    return false;
}

struct own {
    struct own_place place; /* made for this run, unless the user named one */
    struct source_setting added[12];
    size_t added_count;
};

static void add(struct own *own, const char *key, const char *value)
{
    YARDER_ASSERT(own->added_count < YARDER_COUNT_OF(own->added));
    own->added[own->added_count++] = (struct source_setting){key, value};
}

static void add_settings(struct cli *cli, const struct exec_options *options, const char *tag,
    const struct configuration *base, struct own *own)
{
    struct arena *arena = &cli->arena;
    if (own->place.run_dir[0] != '\0') {
        add(own, "run-dir", own->place.run_dir);
    }
    if (own->place.state_dir[0] != '\0') {
        add(own, "state-dir", own->place.state_dir);
    }
    add(own, "input", arena_format(arena, "command exec:%s", quote_command(arena, cli->words)));
    add(own, "input", "command.restart=never");
    add(own, "input", "command.stdin=inherit");
    add(own, "input", arena_format(arena, "command.tag=%s", tag));
    if (options->preload && !has_ring(base->config)) {
        add(own, "input", "preloaded ring");
    }
    if (!options->no_tee && !is_shown(base->config)) {
        add(own, "output", "shown-stdout stdio:stdout,input=command,stream=stdout,on-full=block");
        add(own, "output", "shown-stderr stdio:stderr,input=command,stream=stderr,on-full=block");
    }
    if (!sources_have_key(base->settings, "log-level")) {
        add(own, "log-level", options->quiet ? "error" : "warning");
    }
}

static int run_own(struct cli *cli, const struct exec_options *options, const char *tag,
    const struct configuration *base, struct sources *sources)
{
    struct own own = {.added_count = 0};
    int status = CLI_GO_ON;
    if (!sources_have_key(base->settings, "run-dir")) {
        status = own_place_make(cli, base->settings, &own.place);
    }
    struct preload preload = {.tag = tag, .level = options->level};
    if (status == CLI_GO_ON && options->preload) {
        preload.run_dir = own.place.run_dir[0] != '\0' ? own.place.run_dir : base->config->run_dir;
        status = preload_library(cli, &preload.library);
    }
    if (status == CLI_GO_ON) {
        add_settings(cli, options, tag, base, &own);
        sources->added = own.added;
        sources->added_count = own.added_count;
        const struct supervisor_options supervisor = {.read_settings = sources_read,
            .context = sources,
            .environment = environ,
            .preload = options->preload ? &preload : NULL,
            .quiet = true,
            .leave_with_child = true};
        status = supervisor_run(&supervisor);
    }
    own_place_remove(cli, &own.place);
    return status;
}

/*
 * Said to all, since who they are, or what they have in their environment, may change until they
 * look. NULL: a place under /tmp that nobody named; libyarder looks whose that is.
 */
static const char *run_dir_of(const struct configuration *base)
{
    char path[PATH_MAX];
    bool guessable = false;
    (void)!client_path(path, sizeof(path), "", &guessable);
    bool named = sources_have_key(base->settings, "run-dir");
    return named || !guessable ? base->config->run_dir : NULL;
}

static int run_wrapped(
    struct cli *cli, const struct exec_options *options, const char *tag, const char *run_dir)
{
    enum { RUN_DIR_BYTES_MAX = 95 };
    struct preload preload = {.run_dir = run_dir, .tag = tag, .level = options->level};
    const struct wrap_options wrap = {.arguments = cli->words,
        .run_dir = run_dir,
        .tag = tag,
        .level = options->level,
        .preload = options->preload ? &preload : NULL,
        .show = !options->no_tee,
        .quiet = options->quiet};
    if (run_dir != NULL && strlen(run_dir) > RUN_DIR_BYTES_MAX) {
        return cli_refuse(cli, "--run-dir: at most %d bytes", RUN_DIR_BYTES_MAX);
    }
    int status = options->preload ? preload_library(cli, &preload.library) : CLI_GO_ON;
    return status == CLI_GO_ON ? wrap_run(cli, &wrap) : status;
}

static int run_exec(struct cli *cli)
{
    struct exec_options options = {0};
    int r = cli_parse(cli, &options);
    if (r != CLI_GO_ON) {
        return r;
    }
    if (cli->words_count == 0) {
        return cli_refuse(cli, "expected a command behind --");
    }
    const char *slash = strrchr(cli->words[0], '/');
    const char *name = slash != NULL ? slash + 1 : cli->words[0];
    const char *tag = options.tag != NULL ? options.tag : name;
    struct sources sources = {
        .file = options.file, .keys = cli->keys, .keys_count = cli->keys_count};
    struct configuration *base = NULL;
    int status = configuration_load_or_tell(cli, &base, &sources);
    if (status == CLI_GO_ON && is_own(&sources, base->settings)) {
        status = run_own(cli, &options, tag, base, &sources);
    } else if (status == CLI_GO_ON) {
        status = run_wrapped(cli, &options, tag, run_dir_of(base));
    }
    configuration_close(base);
    return status;
}

const struct command command_exec = {
    .name = "exec",
    .usage = "[OPTIONS] -- COMMAND [ARGUMENTS...]",
    .summary = "run a command; what it writes is logged, and shown all the same",
    .about = "Its lines go to the daemon that runs; with keys of a configuration (--output, "
             "--logger, -c)\n"
             "to outputs of their own, without any daemon. Signals are passed on, and the status "
             "is the\n"
             "command's (128 and more: the signal that ended it). Without a daemon it runs all the "
             "same.\n",
    .examples = "  yarder exec -- ./service --port 8080\n"
                "  yarder exec --output file:/tmp/build.log -- make all\n",
    .options = exec_table,
    .takes_keys = true,
    .ends_at_word = true,
    .run = run_exec,
};
