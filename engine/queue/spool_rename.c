/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>

#include "queue/spool_inside.h"

int spool_rename(const char *state_dir, const char *from, const char *to)
{
    char path[SPOOL_PATH_BYTES_MAX];
    char old[SPOOL_PATH_BYTES_MAX];
    char new[SPOOL_PATH_BYTES_MAX];
    spool_folder_name(from, old, sizeof(old));
    spool_folder_name(to, new, sizeof(new));
    (void)snprintf(path, sizeof(path), "%s/spool", state_dir);
    YARDER_OWN_FD int spools_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spools_fd < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    return renameat2(spools_fd, old, spools_fd, new, RENAME_NOREPLACE) == 0 || errno == ENOENT
               ? 0
               : -errno;
}
