/* SPDX-License-Identifier: Apache-2.0 */
/* The table of regions: a list in the order they came, and the events not taken yet. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/limits.h"
#include "control/regions_private.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5: right even if the number was given to another since */
#endif

bool regions_know(const struct regions *regions, const struct os_file_id *file)
{
    for (const struct region *region = regions->first; region != NULL; region = region->next) {
        if (os_file_id_equal(region->file, *file)) {
            return true;
        }
    }
    return false;
}

bool regions_have_room(const struct regions *regions, uint32_t pid, uint64_t region_bytes)
{
    uint64_t total = regions->options.ring_bytes_total;
    uint32_t of_process = 0;
    for (uint32_t i = 0; pid != 0 && i < REFUSED_PROCESSES_MAX; i++) {
        const struct refused_process *refused = &regions->refused[i];
        if (refused->pid == pid && (uint64_t)os_monotonic_ns() < refused->until_ns) {
            return false;
        }
    }
    for (const struct region *region = regions->first; region != NULL; region = region->next) {
        of_process += pid != 0 && region->view.pid == pid;
    }
    return regions->counts.open < YARDER_REGIONS_MAX && of_process < REGIONS_PER_PROCESS_MAX &&
           regions->counts.bytes <= total && region_bytes <= total - regions->counts.bytes;
}

/*
 * What tells of the process's end: *watched_fd is a pidfd, or the socket itself where none can be
 * had; -1: it has ended already. 0 or -errno.
 */
static int watch_of(int socket_fd, pid_t pid, int *watched_fd)
{
    int fd = -1;
    socklen_t size = sizeof(fd);
    int result = getsockopt(socket_fd, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) < 0 ? -errno : 0;
    if (result == -ENOPROTOOPT) {
        result = pid == 0 ? -ENOSYS : os_pidfd_open(&fd, pid);
    }
    switch (-result) {
    case 0:
        *watched_fd = fd;
        return 0;
    case ESRCH:
    case EINVAL: /* as SO_PEERPIDFD says it */
        *watched_fd = -1;
        return 0;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return result;
    default: /* not known here, or forbidden */
        *watched_fd = socket_fd;
        return 0;
    }
}

static void region_free(struct regions *regions, struct region *region)
{
    if (region->watched_fd >= 0) {
        regions_unwatch(regions, region->watched_fd);
    }
    if (region->owns_watched) {
        yarder_fd_drop(&region->watched_fd);
    }
    yarder_fd_drop(&region->view.region_fd);
    yarder_fd_drop(&region->view.socket_fd);
    free(region);
}

/* Everything but the descriptors is in place. */
static int begin_watching(struct regions *regions, struct region *region)
{
    int result = watch_of(region->view.socket_fd, (pid_t)region->view.pid, &region->watched_fd);
    region->owns_watched = region->watched_fd >= 0 && region->watched_fd != region->view.socket_fd;
    if (region->watched_fd >= 0 && !region->owns_watched) {
        region->view.pid = 0;
    }
    if (result == 0 && region->watched_fd >= 0) {
        uint32_t events = region->owns_watched ? EPOLLIN : EPOLLRDHUP;
        result = regions_watch(regions, region->watched_fd, events, &region->source);
    }
    return result;
}

int regions_add(struct regions *regions, const struct region_view *view,
    const struct os_file_id *file, struct region **out)
{
    struct region *region = calloc(1, sizeof(*region));
    if (region == NULL) {
        return -ENOMEM;
    }
    *region = (struct region){
        .view = *view, .source.kind = SOURCE_REGION, .file = *file, .watched_fd = -1};
    int watching = begin_watching(regions, region);
    if (watching < 0) {
        region->view.region_fd = -1;
        region->view.socket_fd = -1;
        region_free(regions, region);
        return watching;
    }
    region->view.gone = region->watched_fd < 0;
    if (regions->last == NULL) {
        regions->first = region;
    } else {
        regions->last->next = region;
    }
    regions->last = region;
    regions->counts.open++;
    regions->counts.bytes += view->region_bytes;
    *out = region;
    return 0;
}

void regions_tell(struct regions *regions, struct region *region)
{
    if (region->pending) {
        return;
    }
    region->pending = true;
    region->pending_next = NULL;
    if (regions->pending_last == NULL) {
        regions->pending_first = region;
    } else {
        regions->pending_last->pending_next = region;
    }
    regions->pending_last = region;
}

void regions_gone(struct regions *regions, struct region *region)
{
    if (region->watched_fd >= 0) {
        regions_unwatch(regions, region->watched_fd);
    }
    if (region->owns_watched) {
        yarder_fd_drop(&region->watched_fd);
    }
    region->watched_fd = -1;
    region->owns_watched = false;
    region->view.gone = true;
    regions_tell(regions, region);
}

void regions_new_image(struct regions *regions, uint32_t pid, uint32_t image)
{
    struct region *region = regions->first;
    for (; region != NULL && pid != 0 && image != 0; region = region->next) {
        if (region->view.pid == pid && region->image != 0 && region->image != image &&
            !region->view.gone) {
            regions_gone(regions, region);
        }
    }
}

enum regions_event_kind regions_next_event(struct regions *regions, const struct region_view **out)
{
    struct region *region = regions->pending_first;
    if (region == NULL) {
        return REGIONS_NONE;
    }
    *out = &region->view;
    bool is_new = !region->told;
    region->told = true;
    if (is_new && region->view.gone) {
        return REGIONS_NEW; /* and stays: its end comes next */
    }
    regions->pending_first = region->pending_next;
    if (regions->pending_first == NULL) {
        regions->pending_last = NULL;
    }
    region->pending = false;
    return is_new ? REGIONS_NEW : REGIONS_GONE;
}

const struct region_view *regions_after(
    const struct regions *regions, const struct region_view *view)
{
    const struct region *region =
        view == NULL ? regions->first : ((const struct region *)(const void *)view)->next;
    return region == NULL ? NULL : &region->view;
}

static void event_drop(struct regions *regions, struct region *region)
{
    struct region *before = NULL;
    struct region *at = regions->pending_first;
    while (at != NULL && at != region) {
        before = at;
        at = at->pending_next;
    }
    if (at == NULL) {
        return;
    }
    if (before == NULL) {
        regions->pending_first = region->pending_next;
    } else {
        before->pending_next = region->pending_next;
    }
    if (regions->pending_last == region) {
        regions->pending_last = before;
    }
}

void regions_remove(struct regions *regions, struct region *region)
{
    struct region *before = NULL;
    for (struct region *at = regions->first; at != region; at = at->next) {
        before = at;
    }
    event_drop(regions, region);
    if (before == NULL) {
        regions->first = region->next;
    } else {
        before->next = region->next;
    }
    if (regions->last == region) {
        regions->last = before;
    }
    regions->counts.open--;
    regions->counts.bytes -= region->view.region_bytes;
    region_free(regions, region);
}

static struct region *find(const struct regions *regions, uint64_t id)
{
    struct region *region = regions->first;
    while (region != NULL && region->view.id != id) {
        region = region->next;
    }
    return region;
}

int regions_refuse(struct regions *regions, uint64_t id)
{
    struct region *region = find(regions, id);
    if (region == NULL) {
        return -ENOENT;
    }
    if (region->view.gone) {
        return -EBUSY;
    }
    regions->refused[regions->refused_next++ % REFUSED_PROCESSES_MAX] =
        (struct refused_process){.pid = region->view.pid,
            .until_ns = (uint64_t)os_monotonic_ns() + REGIONS_REFUSED_MS * UINT64_C(1000000)};
    regions->counts.refused_memory++;
    (void)shutdown(region->view.socket_fd, SHUT_RDWR); /* a worker's duplicate may live on */
    regions_remove(regions, region);
    return 0;
}

int regions_done(struct regions *regions, uint64_t id)
{
    struct region *region = find(regions, id);
    if (region == NULL) {
        return -ENOENT;
    }
    if (!region->view.gone) {
        return -EBUSY;
    }
    regions_remove(regions, region);
    return 0;
}
