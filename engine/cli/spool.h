/* SPDX-License-Identifier: Apache-2.0 */
/* `yarder spool`: what its verbs share. */
#ifndef YARDER_CLI_SPOOL_H
#define YARDER_CLI_SPOOL_H

#include "cli/cli.h"

struct spool_command {
    char *run_dir;
    const char *state_dir;
    char *to;
    bool json;
};

/* Each: exit status. `names` may be none: all spools there are. */
int spool_list_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count);
int spool_check_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count);
int spool_repair_command(
    const struct cli *cli, const struct spool_command *options, char *const *names, int count);
int spool_replay_command(
    const struct cli *cli, const struct spool_command *options, const char *source);

/* Writes a line of dead letters (offload/dead_letter.h) as a packed record. Its bytes in *taken; 0:
 * it is no such line. -ENOMEM; -EMSGSIZE. */
YARDER_MUST_USE int letter_pack(const char *line, char *at, size_t room, size_t *taken);

#endif
