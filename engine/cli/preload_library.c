/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/preload_library.h"

#include <string.h>

#include "control/installed.h"
#include "preload/variables.h"

int preload_library(struct cli *cli, const char **out)
{
    const char *path =
        installed_find(&cli->arena, "engine/preload/" PRELOAD_LIBRARY, PRELOAD_LIBRARY);
    if (path == NULL) {
        cli_say(cli, "--preload: %s is not there: neither beside this program nor in %s",
            PRELOAD_LIBRARY, installed_folder());
        return CLI_FAILED;
    }
    if (strpbrk(path, ": \t\n") != NULL) {
        cli_say(cli, "--preload: no path with a colon or a space can be preloaded: %s", path);
        return CLI_FAILED;
    }
    *out = path;
    return CLI_GO_ON;
}
