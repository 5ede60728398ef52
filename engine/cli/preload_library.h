/* SPDX-License-Identifier: Apache-2.0 */
#ifndef YARDER_CLI_PRELOAD_LIBRARY_H
#define YARDER_CLI_PRELOAD_LIBRARY_H

#include "cli/cli.h"

/* Where the library lies that `exec --preload` puts in: CLI_GO_ON, or CLI_FAILED and told. */
YARDER_MUST_USE int preload_library(struct cli *cli, const char **out);

#endif
