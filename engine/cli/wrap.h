/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A command whose output goes to a running daemon, line by line, and is shown all the same.
 *
 *   command --stdout--> pipe --> framer --> yarder_put     a record for each line
 *                            \-> our stdout                the same bytes, unchanged
 *
 * To its caller it is the command: standard input, process group, signals, back-pressure of who
 * reads what is shown, SIGPIPE, exit status.
 */
#ifndef YARDER_CLI_WRAP_H
#define YARDER_CLI_WRAP_H

#include "cli/cli.h"
#include "control/preload.h"

struct wrap_options {
    char *const *arguments; /* ends with NULL */
    const char *run_dir;    /* NULL: the user's own */
    const char *tag;
    uint8_t level;
    const struct preload *preload; /* NULL: all comes through the pipes */
    bool show;                     /* what it writes appears on our stdout and stderr too */
    bool quiet;                    /* nothing of ours does */
};

/* Runs it to its end. The exit status: the command's, or 128 and its signal; 126, 127: no start. */
int wrap_run(const struct cli *cli, const struct wrap_options *options);

#endif
