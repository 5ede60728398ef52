/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/preload_library.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cli/preload_place.h"
#include "control/config.h"
#include "preload/variables.h"

static char *candidate(struct arena *arena, const char *folder, unsigned which)
{
    switch (which) {
    case 0:
        return arena_format(arena, "%s/engine/preload/%s", folder, PRELOAD_LIBRARY);
    case 1:
        return arena_format(arena, "%s/../%s/yarder/%s", folder, PRELOAD_LIBDIR, PRELOAD_LIBRARY);
    default:
        return arena_format(
            arena, "%s/%s/yarder/%s", PRELOAD_PREFIX, PRELOAD_LIBDIR, PRELOAD_LIBRARY);
    }
}

int preload_library(struct cli *cli, const char **out)
{
    char folder[YARDER_PATH_BYTES_MAX];
    ssize_t bytes = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    folder[bytes < 0 ? 0 : bytes] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    for (unsigned i = 0; i < 3; i++) {
        const char *path = candidate(&cli->arena, folder, i);
        if (access(path, R_OK) < 0) {
            continue;
        }
        if (strpbrk(path, ": \t\n") != NULL) {
            cli_say(cli, "--preload: no path with a colon or a space can be preloaded: %s", path);
            return CLI_FAILED;
        }
        *out = path;
        return CLI_GO_ON;
    }
    cli_say(cli, "--preload: %s is not there: neither beside this program nor in %s/%s/yarder",
        PRELOAD_LIBRARY, PRELOAD_PREFIX, PRELOAD_LIBDIR);
    return CLI_FAILED;
}
