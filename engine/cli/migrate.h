/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files of a migration: uWSGI's own without its lines about logs, but with those by which
 * its logs reach yarder, and a yarder.conf that takes them.
 */
#ifndef YARDER_CLI_MIGRATE_H
#define YARDER_CLI_MIGRATE_H

#include "cli/sources.h"

/*
 * Writes both and shows the difference; `lines` is what yarder.conf says of outputs. `folder` NULL:
 * beside the original. Nothing that is there is written over. An exit status.
 */
int migrate(const struct cli *cli, const struct configuration *made, const char *file,
    const char *folder, const char *lines);

#endif
