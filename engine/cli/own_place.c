/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/own_place.h"

#include <errno.h>
#include <string.h>

int own_place_make(const struct cli *cli, const struct settings *settings, struct own_place *out)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    *out = (struct own_place){.run_dir = ""};
    if (base == NULL || base[0] == '\0' || access(base, W_OK) < 0) {
        base = getenv("TMPDIR");
    }
    (void)snprintf(out->run_dir, sizeof(out->run_dir), "%s/yarder-own-XXXXXX",
        base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(out->run_dir) == NULL) {
        cli_say(
            cli, "cannot make %s: %s; name a place with --run-dir", out->run_dir, strerror(errno));
        out->run_dir[0] = '\0';
        return CLI_FAILED;
    }
    if (!sources_have_key(settings, "state-dir")) {
        (void)snprintf(out->state_dir, sizeof(out->state_dir), "%s/state", out->run_dir);
    }
    return CLI_GO_ON;
}

void own_place_remove(const struct cli *cli, const struct own_place *place)
{
    static const char *const parts[] = {"/state/quarantine", "/state", ""};
    char path[YARDER_PATH_BYTES_MAX + 32];
    for (size_t i = 0; place->run_dir[0] != '\0' && i < YARDER_COUNT_OF(parts); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", place->run_dir, parts[i]);
        if (rmdir(path) < 0 && errno != ENOENT) {
            cli_say(cli, "%s is left behind: %s", path, strerror(errno));
            return;
        }
    }
}
