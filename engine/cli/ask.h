/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket of a running daemon, RUN_DIR/control.sock: a line of JSON in, one out. */
#ifndef YARDER_CLI_ASK_H
#define YARDER_CLI_ASK_H

#include <cjson/cJSON.h>

#include "cli/cli.h"

enum { ASK_PATH_BYTES = 108, ASK_ANSWER_MS = 5000 };

/*
 * Asks {"do":"WORD"}; run_dir NULL means the user's own. 0, and *out (an object) is the caller's;
 * -ENOENT, -ECONNREFUSED: there is no daemon; -EPERM: a stranger answers; -ETIMEDOUT; -EBADMSG:
 * that was no answer; -errno. `path`, filled in any case, is where it asked.
 */
YARDER_MUST_USE int ask(
    const char *run_dir, const char *word, cJSON **out, char path[ASK_PATH_BYTES]);

/* The same, with what went wrong told: CLI_GO_ON, CLI_NO_DAEMON or CLI_FAILED. */
YARDER_MUST_USE int ask_or_tell(
    const struct cli *cli, const char *run_dir, const char *word, cJSON **out);

/* The same of one output: {"do":"WORD","output":"NAME"}; NULL: of none in particular. */
YARDER_MUST_USE int ask_or_tell_of(
    const struct cli *cli, const char *run_dir, const char *word, const char *output, cJSON **out);

/*
 * A connection to the control socket for whoever talks by itself: a descriptor, or an error as of
 * ask. `path` likewise.
 */
YARDER_MUST_USE int ask_connect(const char *run_dir, char path[ASK_PATH_BYTES], int *out);

/* Tells that nobody is there (error of ask or yarder_attach), and what to do about it. */
int ask_tell(const struct cli *cli, int error, const char *where);

/* The run directory that is meant: `given`, or the user's own. "" if that cannot be told. */
void ask_run_dir(const char *given, char *at, size_t room);

/*
 * The state directory that is meant: `given`, or that of the daemon that answers at run_dir, or the
 * user's own. 0, or -errno: there is none, or no room for it.
 */
YARDER_MUST_USE int ask_state_dir(const char *given, const char *run_dir, char *at, size_t room);

/* A number of the answer; 0 when it is missing, negative or none. */
uint64_t ask_number(const cJSON *object, const char *name);
/* A text of the answer; "" when it is missing. */
const char *ask_text(const cJSON *object, const char *name);

#endif
