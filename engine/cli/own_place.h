/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run directory of its own, for a daemon that nobody is to find: that of `exec` with outputs and
 * of `run` as a filter. It meets no other daemon, and is gone with its own.
 */
#ifndef YARDER_CLI_OWN_PLACE_H
#define YARDER_CLI_OWN_PLACE_H

#include "cli/sources.h"

struct own_place {
    char run_dir[YARDER_PATH_BYTES_MAX];        /* "": none was made */
    char state_dir[YARDER_PATH_BYTES_MAX + 16]; /* "": the user named one */
};

/* Makes one. CLI_GO_ON, or CLI_FAILED and told. */
YARDER_MUST_USE int own_place_make(
    const struct cli *cli, const struct settings *settings, struct own_place *out);
/* Empty folders go; what a crash left in quarantine stays, and its place is told. */
void own_place_remove(const struct cli *cli, const struct own_place *place);

#endif
