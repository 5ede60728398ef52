/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region as an object: what shape it has, making it (supervisor), judging one that came back, and
 * mapping it (both sides). Nothing here allocates; region_map and region_inspect are
 * async-signal-safe.
 */
#ifndef YARDER_RING_REGION_H
#define YARDER_RING_REGION_H

#include "base/base.h"
#include "os/memory.h"
#include "ring/layout.h"

#define REGION_MEMORY_DEFAULT (UINT64_C(4) << 20) /* `ring-memory` */

struct region_shape {
    uint32_t kind;  /* enum region_kind */
    uint32_t clock; /* enum region_clock */
    uint32_t rings;
    uint32_t ring_bytes;
    uint64_t region_bytes; /* the memfd's size: what counts against `ring-memory-total` */
    uint64_t generation;
    uint64_t ticks_per_s;
};

/* Rings that a producer with one for each concurrency id can need here: possible cpus, limited. */
uint32_t region_rings_default(void);

/*
 * Fills rings, ring_bytes and region_bytes: memory_bytes divided among the rings, each rounded down
 * to a power of two but at least RING_BYTES_MIN (so many cores can take more than memory_bytes;
 * pages are only touched by rings in use). rings 0: region_rings_default; more than the limit is
 * cut. The caller sets the other members.
 */
void region_shape_set(struct region_shape *shape, uint64_t memory_bytes, uint32_t rings);

/* A sealed memfd with its header written. -EINVAL: the shape is not one of ours; -ENOMEM, -EMFILE.
 */
YARDER_MUST_USE int region_create(int *out, const struct region_shape *shape);

/*
 * Whether fd is a region: seals, tmpfs, size, and a header whose numbers agree with each other; it
 * is read once into private memory. -EPERM: no sealed memfd; -EPROTO: not a region of this version.
 * `id` tells whether it is known already.
 */
YARDER_MUST_USE int region_inspect(int fd, struct region_shape *shape, struct os_file_id *id);
/*
 * Whether a supervisor under this uid made it (a memfd keeps its maker's uid). With region_inspect
 * and an unknown id, what a region that a client hands back must pass.
 */
YARDER_MUST_USE bool region_is_owned(int fd);

/* A mapping of all of it. The shape is the private copy; the header page is never asked again. */
struct region_map {
    struct region_shape shape;
    struct region_header *header;
    uint8_t *levels;
    struct region_name *names;
    struct region_formats *formats;
    uint8_t *rings; /* ring headers, a page each */
    uint8_t *data;  /* each ring's bytes twice in a row */
};

YARDER_MUST_USE int region_map(struct region_map *out, int fd, const struct region_shape *shape);
void region_unmap(struct region_map *map); /* accepts a zeroed one */
/* A forked child does not get the mapping: its appends would mix with its parent's. */
void region_set_dontfork(const struct region_map *map);

static inline struct ring_header *region_ring(const struct region_map *map, uint32_t ring)
{
    return (struct ring_header *)(void *)(map->rings + (size_t)ring * REGION_PAGE_BYTES);
}
static inline uint8_t *region_data(const struct region_map *map, uint32_t ring)
{
    return map->data + (size_t)ring * 2 * map->shape.ring_bytes;
}

#endif
