/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/region.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum {
    LEVELS_OFFSET = REGION_PAGE_BYTES,
    NAMES_OFFSET = LEVELS_OFFSET + REGION_LOGGERS_MAX,
    FORMATS_OFFSET = NAMES_OFFSET + REGION_LOGGERS_MAX * REGION_NAME_BYTES,
    RINGS_OFFSET = FORMATS_OFFSET + REGION_FORMATS_BYTES,
    LARGEST_PAGE_BYTES = 64 << 10, /* of any kernel: data is mapped by itself, from there on */
};

static uint64_t data_offset(uint32_t rings)
{
    return yarder_align_up(RINGS_OFFSET + (uint64_t)rings * REGION_PAGE_BYTES, LARGEST_PAGE_BYTES);
}

static uint64_t region_size(uint32_t rings, uint32_t ring_bytes)
{
    return data_offset(rings) + (uint64_t)rings * ring_bytes;
}

static bool shape_is_ours(const struct region_shape *shape)
{
    return shape->rings >= 1 && shape->rings <= REGION_RINGS_MAX &&
           shape->ring_bytes >= RING_BYTES_MIN && shape->ring_bytes <= RING_BYTES_MAX &&
           (shape->ring_bytes & (shape->ring_bytes - 1)) == 0 && shape->kind >= REGION_RSEQ &&
           shape->kind <= REGION_LOCKED && shape->clock >= REGION_CLOCK_TSC &&
           shape->clock <= REGION_CLOCK_NS &&
           shape->region_bytes == region_size(shape->rings, shape->ring_bytes);
}

uint32_t region_rings_default(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_CONF);
    return (uint32_t)yarder_min(cpus < 1 ? 1 : (uint64_t)cpus, REGION_RINGS_MAX);
}

void region_shape_set(struct region_shape *shape, uint64_t memory_bytes, uint32_t rings)
{
    rings = rings == 0 ? region_rings_default() : (uint32_t)yarder_min(rings, REGION_RINGS_MAX);
    uint64_t ring_bytes = RING_BYTES_MIN;
    while (ring_bytes < RING_BYTES_MAX && ring_bytes * 2 <= memory_bytes / rings) {
        ring_bytes *= 2;
    }
    shape->rings = rings;
    shape->ring_bytes = (uint32_t)ring_bytes;
    shape->region_bytes = region_size(rings, shape->ring_bytes);
}

static int write_header(int fd, const struct region_shape *shape)
{
    struct region_header header = {
        .magic = REGION_MAGIC,
        .version = REGION_VERSION,
        .kind = shape->kind,
        .clock = shape->clock,
        .rings = shape->rings,
        .ring_bytes = shape->ring_bytes,
        .levels_offset = LEVELS_OFFSET,
        .names_offset = NAMES_OFFSET,
        .rings_offset = RINGS_OFFSET,
        .data_offset = data_offset(shape->rings),
        .region_bytes = shape->region_bytes,
        .generation = shape->generation,
        .ticks_per_s = shape->ticks_per_s,
        .formats_offset = FORMATS_OFFSET,
    };
    ssize_t written = pwrite(fd, &header, sizeof(header), 0);
    if (written < 0) {
        return -errno;
    }
    return (size_t)written == sizeof(header) ? 0 : -EIO;
}

int region_create(int *out, const struct region_shape *shape)
{
    if (!shape_is_ours(shape)) {
        return -EINVAL;
    }
    YARDER_OWN_FD int fd = -1;
    int result = os_memfd_create(&fd, "yarder-region", shape->region_bytes);
    if (result == 0) {
        result = write_header(fd, shape);
    }
    if (result == 0) {
        *out = yarder_fd_take(&fd);
    }
    return result;
}

int region_inspect(int fd, struct region_shape *shape, struct os_file_id *id)
{
    uint64_t size_bytes = 0;
    int result = os_memfd_check(fd, &size_bytes);
    if (result < 0) {
        return result;
    }
    struct region_header header;
    struct os_file_id identity;
    if (os_file_id(fd, &identity) < 0 ||
        pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return -EPROTO;
    }
    struct region_shape read = {
        .kind = header.kind,
        .clock = header.clock,
        .rings = header.rings,
        .ring_bytes = header.ring_bytes,
        .region_bytes = header.region_bytes,
        .generation = header.generation,
        .ticks_per_s = header.ticks_per_s,
    };
    /* The offsets follow from the shape; they are there for clients that are written by hand. */
    if (header.magic != REGION_MAGIC || header.version != REGION_VERSION || !shape_is_ours(&read) ||
        read.region_bytes != size_bytes) {
        return -EPROTO;
    }
    *shape = read;
    *id = identity;
    return 0;
}

bool region_is_owned(int fd)
{
    struct stat file;
    return fstat(fd, &file) == 0 && file.st_uid == geteuid();
}

int region_map(struct region_map *out, int fd, const struct region_shape *shape)
{
    struct region_map map = {.shape = *shape};
    size_t front_bytes = (size_t)data_offset(shape->rings);
    size_t data_bytes = (size_t)shape->rings * 2 * shape->ring_bytes;
    uint8_t *front = mmap(NULL, front_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (front == MAP_FAILED) {
        return -errno;
    }
    map.header = (void *)front;
    map.levels = front + LEVELS_OFFSET;
    map.names = (void *)(front + NAMES_OFFSET);
    map.formats = (void *)(front + FORMATS_OFFSET);
    map.rings = front + RINGS_OFFSET;
    map.data =
        mmap(NULL, data_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int result = map.data == MAP_FAILED ? -errno : 0;
    map.data = map.data == MAP_FAILED ? NULL : map.data;
    for (uint32_t ring = 0; result == 0 && ring < shape->rings; ring++) {
        uint64_t offset = data_offset(shape->rings) + (uint64_t)ring * shape->ring_bytes;
        result = os_map_twice(fd, offset, shape->ring_bytes, region_data(&map, ring));
    }
    if (result < 0) {
        region_unmap(&map);
        return result;
    }
    *out = map;
    return 0;
}

void region_set_dontfork(const struct region_map *map)
{
    (void)madvise(map->header, (size_t)data_offset(map->shape.rings), MADV_DONTFORK);
    (void)madvise(map->data, (size_t)map->shape.rings * 2 * map->shape.ring_bytes, MADV_DONTFORK);
}

void region_unmap(struct region_map *map)
{
    if (map->header != NULL) {
        (void)munmap(map->header, (size_t)data_offset(map->shape.rings));
    }
    if (map->data != NULL) {
        (void)munmap(map->data, (size_t)map->shape.rings * 2 * map->shape.ring_bytes);
    }
    *map = (struct region_map){0};
}
