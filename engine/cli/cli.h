/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line. Each subcommand is one file with one struct command: its option table, from
 * which parsing, errors and --help are made, and its run function.
 *
 *   main --> commands (finds it, or the nearest name) --> run --> cli_parse --> the command's work
 *
 * What a command was asked for goes to standard output; all else, errors first, to standard error.
 */
#ifndef YARDER_CLI_CLI_H
#define YARDER_CLI_CLI_H

#include "api/option.h"
#include "base/base.h"
#include "control/arena.h"

enum cli_exit {
    CLI_GOOD = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2, /* also a configuration that is wrong */
    CLI_NO_DAEMON = 3,
    CLI_LOSING = 4, /* a daemon runs, and loses records right now */
    CLI_GO_ON = -1, /* cli_parse: nothing speaks against doing the work */
};

/* A row of a command's table; `letter` is 0 or the short form. Ends with YARDER_OPTION_END. */
struct cli_option {
    struct yarder_option option;
    char letter;
};
#define CLI_OPTIONS_END                                                                            \
    {                                                                                              \
        {.kind = YARDER_OPTION_END}, 0                                                             \
    }

struct cli;

struct command {
    const char *name;
    const char *usage;    /* what stands behind "yarder NAME" */
    const char *summary;  /* a line of the overview */
    const char *about;    /* whole lines below the usage; "" for none */
    const char *examples; /* two of them, whole lines, indented */
    const struct cli_option *options;
    bool takes_keys;   /* all keys of the configuration are options too */
    bool ends_at_word; /* options stand before the first word; what follows is a command */
    bool hidden;
    int (*run)(struct cli *cli);
};

/* One call of a command. */
struct cli {
    const struct command *command;
    int arguments_count; /* behind the command's name */
    char **arguments;

    /* What cli_parse finds. Texts of options belong to the arena, the rest is the caller's. */
    struct arena arena;
    char **words; /* what is no option */
    int words_count;
    char **
        keys; /* options that are keys of the configuration, as given, for settings_read_argument */
    int keys_count;
    bool uwsgi_keys;           /* some of those are uWSGI's: it may be a command line of its */
    const char **uwsgi_others; /* its options that are not about logs, without their values */
    int uwsgi_others_count;
};

/*
 * Reads the arguments by the command's table into `target`. CLI_GO_ON; or what to exit with: help
 * was asked for and given, or the mistake has been told.
 */
YARDER_MUST_USE int cli_parse(struct cli *cli, void *target);

/* "yarder COMMAND: what", and where the help is. CLI_USAGE. */
int cli_refuse(const struct cli *cli, const char *format, ...) YARDER_PRINTF(2, 3);
/* "yarder COMMAND: what" alone. */
void cli_say(const struct cli *cli, const char *format, ...) YARDER_PRINTF(2, 3);

void cli_print_help(const struct command *command, FILE *to);
void cli_print_overview(FILE *to);

/* All commands, in the order of the overview; ends with NULL. */
extern const struct command *const cli_commands[];
/* The command of that name (or alias), or NULL. */
const struct command *cli_find(const char *name);
/* argv to exit status. */
int cli_main(int arguments_count, char **arguments);

extern const struct command command_run, command_worker, command_source, command_check,
    command_explain, command_exec, command_send, command_serve_udp, command_status, command_tap,
    command_doctor, command_reload, command_reopen, command_rotate, command_translate,
    command_inputs, command_outputs, command_spool, command_keys, command_version, command_help;

/* A row for commands that speak to a daemon: `type` has a member `char *run_dir`. */
#define CLI_RUN_DIR(type)                                                                          \
    {                                                                                              \
        {"run-dir", YARDER_OPTION_TEXT, offsetof(type, run_dir), NULL, 0, 0, NULL, NULL, "PATH",   \
            "the daemon's run directory; else $YARDER_RUN_DIR or the user's own"},                 \
            0                                                                                      \
    }
/* Of commands that look at files beside the daemon: ask_state_dir finds what is meant. */
#define CLI_STATE_DIR(type)                                                                        \
    {                                                                                              \
        {"state-dir", YARDER_OPTION_TEXT, offsetof(type, state_dir), NULL, 0, 0, NULL, NULL,       \
            "PATH", "its state directory; else that of the running daemon, or the user's own"},    \
            0                                                                                      \
    }

#endif
