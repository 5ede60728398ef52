/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsync=interval: which files have bytes that are not on the disk, in the order of their first such
 * write, which with one interval for all is the order in which they fall due. A failed sync is not
 * repeated: the kernel has forgotten the pages, and the next one would say that all is well.
 */
#include <errno.h>
#include <string.h>

#include "os/memory.h"
#include "outputs/lane_private.h"

int lane_sync_file(struct lane_files *files, int fd)
{
    lane_enter(files, "fdatasync");
    int r = fdatasync(fd) < 0 ? -errno : 0;
    lane_leave(files);
    return r;
}

static uint32_t unsynced_find(const struct lane_files *files, int fd)
{
    uint32_t i = 0;
    while (i < files->unsynced_count && files->unsynced[i].fd != fd) {
        i++;
    }
    return i;
}

static void unsynced_remove(struct lane_files *files, uint32_t from, uint32_t count)
{
    YARDER_ASSERT(from + count <= files->unsynced_count);
    files->unsynced_count -= count;
    memmove(&files->unsynced[from], &files->unsynced[from + count],
        (files->unsynced_count - from) * sizeof(files->unsynced[0]));
}

int lane_sync_later(struct lane_files *files, int fd)
{
    if (unsynced_find(files, fd) < files->unsynced_count) {
        return 0;
    }
    if (files->unsynced_count == LANE_JOBS_MAX) {
        return lane_sync_file(files, fd);
    }
    files->unsynced[files->unsynced_count] =
        (struct lane_unsynced){fd, (uint64_t)os_monotonic_ns()};
    files->unsynced_count++;
    return 0;
}

int lane_sync_owed(struct lane_files *files, int fd)
{
    uint32_t at = unsynced_find(files, fd);
    if (at == files->unsynced_count) {
        return 0;
    }
    unsynced_remove(files, at, 1);
    return lane_sync_file(files, fd);
}

int lane_sync_due(struct lane_files *files, uint64_t now_ns, bool all, uint64_t *next_ns)
{
    const uint64_t interval_ns = files->options.config->fsync.interval_ns;
    int error = 0;
    uint32_t due = 0;
    while (due < files->unsynced_count &&
           (all || now_ns - files->unsynced[due].since_ns >= interval_ns)) {
        int r = lane_sync_file(files, files->unsynced[due].fd);
        error = error == 0 ? r : error;
        due++;
    }
    unsynced_remove(files, 0, due);
    *next_ns = UINT64_MAX;
    if (files->unsynced_count > 0) {
        uint64_t waited_ns = now_ns - files->unsynced[0].since_ns;
        *next_ns = interval_ns > waited_ns ? interval_ns - waited_ns : 0;
    }
    return error;
}
