/* SPDX-License-Identifier: Apache-2.0 */
/* What a client's hello leads to: a new region, its old one back, or a refusal. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "control/regions_private.h"

/* A new region of the shape that the hello asks for, within our limits. */
static enum ring_status make_region(struct regions *regions, const struct ring_hello *hello,
    uint32_t pid, struct region_shape *shape, int *region_fd)
{
    bool ns = (hello->flags & RING_HELLO_CLOCK_NS) != 0 || regions->clock == REGION_CLOCK_NS;
    *shape = (struct region_shape){
        .kind = hello->kind,
        .clock = ns ? REGION_CLOCK_NS : REGION_CLOCK_TSC,
        .generation = regions->next_id,
        .ticks_per_s = ns ? 1000000000 : regions->ticks_per_s,
    };
    uint64_t memory_bytes = regions->options.ring_bytes;
    if (hello->memory_bytes != 0) {
        memory_bytes = yarder_min(memory_bytes, hello->memory_bytes);
    }
    /* More rings than concurrency ids would only be a way around the limit. */
    uint32_t rings = hello->kind == REGION_LOCKED ? 1 : region_rings_default();
    if (hello->rings != 0) {
        rings = (uint32_t)yarder_min(rings, hello->rings);
    }
    region_shape_set(shape, memory_bytes, rings);
    if (!regions_have_room(regions, pid, shape->region_bytes)) {
        regions->counts.refused_memory++;
        return RING_STATUS_MEMORY;
    }
    int created = region_create(region_fd, shape);
    if (created < 0) {
        regions_failed(regions, created);
        return RING_STATUS_MEMORY;
    }
    return RING_STATUS_OK;
}

/* One that outlived its supervisor: ours by owner, seals and shape, and not known yet. */
static enum ring_status judge_region(struct regions *regions, const struct ring_hello *hello,
    uint32_t pid, int handed_back, struct region_shape *shape)
{
    struct os_file_id file;
    if (region_inspect(handed_back, shape, &file) < 0 || !region_is_owned(handed_back) ||
        shape->generation != hello->generation || regions_know(regions, &file)) {
        regions->counts.refused_region++;
        return RING_STATUS_REFUSED;
    }
    if (!regions_have_room(regions, pid, shape->region_bytes)) {
        regions->counts.refused_memory++;
        return RING_STATUS_MEMORY;
    }
    return RING_STATUS_OK;
}

/*
 * The region stands in the table before the client hears of it, for nobody would read what it
 * writes otherwise; a new one whose answer could not be sent was never written to. Owns the view's
 * descriptors when it returns 0.
 */
static int enter(struct regions *regions, const struct region_view *view,
    const struct ring_hello *hello, uint64_t generation, bool back)
{
    struct os_file_id file;
    struct region *region = NULL;
    int result = os_file_id(view->region_fd, &file);
    if (result == 0) {
        result = regions_add(regions, view, &file, &region);
    }
    if (result < 0) {
        (void)!hello_answer(view->socket_fd, RING_STATUS_MEMORY, 0, -1);
        return result;
    }
    regions->next_id++;
    region->image = hello->image;
    int answered =
        hello_answer(view->socket_fd, RING_STATUS_OK, generation, back ? -1 : view->region_fd);
    if (answered < 0 && !back) {
        regions_remove(regions, region);
        regions->counts.refused_hello++;
        return 0;
    }
    regions->counts.accepted++;
    regions->counts.handed_back += back;
    regions_tell(regions, region);
    return 0;
}

void regions_answer(
    struct regions *regions, const struct ring_hello *hello, int *socket_fd, int *handed_back)
{
    struct ucred peer = {0};
    socklen_t peer_bytes = sizeof(peer);
    if (hello->version != RING_HELLO_VERSION ||
        getsockopt(*socket_fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) < 0) {
        regions->counts.refused_hello++;
        (void)!hello_answer(*socket_fd, RING_STATUS_VERSION, 0, -1);
        return;
    }
    bool back = *handed_back >= 0;
    uint32_t pid = (uint32_t)peer.pid;
    regions_new_image(regions, pid, hello->image);
    YARDER_OWN_FD int region_fd = yarder_fd_take(handed_back);
    struct region_shape shape = {0};
    enum ring_status status = back ? judge_region(regions, hello, pid, region_fd, &shape)
                                   : make_region(regions, hello, pid, &shape, &region_fd);
    if (status != RING_STATUS_OK) {
        (void)!hello_answer(*socket_fd, status, 0, -1);
        return;
    }
    struct region_view view = {.id = regions->next_id,
        .pid = pid,
        .uid = peer.uid,
        .region_fd = region_fd,
        .socket_fd = *socket_fd,
        .region_bytes = shape.region_bytes};
    memcpy(view.program, hello->program, sizeof(view.program));
    int entered = enter(regions, &view, hello, shape.generation, back);
    if (entered < 0) {
        regions_failed(regions, entered);
        return;
    }
    (void)yarder_fd_take(&region_fd);
    (void)yarder_fd_take(socket_fd);
}
