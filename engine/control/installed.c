/* SPDX-License-Identifier: Apache-2.0 */
#include "control/installed.h"

#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "control/installed_place.h"

static const char *candidate(struct arena *arena, const char *folder, unsigned which,
    const char *in_build, const char *in_library)
{
    switch (which) {
    case 0:
        return arena_format(arena, "%s/%s", folder, in_build);
    case 1:
        return arena_format(arena, "%s/../%s/yarder/%s", folder, INSTALLED_LIBDIR, in_library);
    default:
        return arena_format(arena, "%s/%s", installed_folder(), in_library);
    }
}

const char *installed_find(struct arena *arena, const char *in_build, const char *in_library)
{
    char folder[YARDER_PATH_BYTES_MAX];
    ssize_t bytes = readlink("/proc/self/exe", folder, sizeof(folder) - 1);
    folder[bytes < 0 ? 0 : bytes] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    for (unsigned i = 0; i < 3; i++) {
        const char *path = candidate(arena, folder, i, in_build, in_library);
        if (access(path, R_OK) == 0) {
            return path;
        }
    }
    return NULL;
}

const char *installed_folder(void)
{
    return INSTALLED_PREFIX "/" INSTALLED_LIBDIR "/yarder";
}
