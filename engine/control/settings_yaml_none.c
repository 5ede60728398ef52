/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "control/settings_private.h"

int settings_read_yaml(const struct settings_pairs *pairs, const char *bytes, size_t bytes_count,
    uint32_t *line, char why[SETTINGS_WHY_BYTES])
{
    (void)pairs;
    (void)bytes;
    (void)bytes_count;
    *line = 1;
    (void)snprintf(why, SETTINGS_WHY_BYTES,
        "YAML cannot be read here: this build has no libyaml (Debian: libyaml-dev)");
    return -EINVAL;
}
