/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing past the page cache. Offsets, lengths and memory are multiples of 4096: the last block of
 * what is stored is padded with zeros, and written again with what comes next. Files have their
 * whole size from the beginning, and are used again: to write over what was written is twice as
 * fast as anything else (measured).
 *
 * What lies behind the end of a file that is used again are records of its former life. Their ids
 * are not after the one that its new head names, so no search takes them for its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "queue/spool_inside.h"

enum { BLOCK_BYTES = SPOOL_HEAD_BYTES, SCRATCH_BYTES = 1 << 20 };

static void free_name(uint64_t number, char *name)
{
    (void)snprintf(name, SPOOL_FILE_NAME_BYTES, "%016llx.free", (unsigned long long)number);
}

/* That a file opens with O_DIRECT proves nothing: whether a block can be written does. */
static int probe(const struct spool *spool)
{
    char name[SPOOL_FILE_NAME_BYTES];
    free_name(0, name);
    YARDER_OWN_FD int fd = openat(
        spool->dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : spool_write_all(fd, spool->block, BLOCK_BYTES, 0);
    (void)unlinkat(spool->dir_fd, name, 0);
    return r;
}

int spool_direct_open(struct spool *spool)
{
    spool->block = aligned_alloc(BLOCK_BYTES, BLOCK_BYTES + SCRATCH_BYTES);
    if (spool->block == NULL) {
        return -ENOMEM;
    }
    memset(spool->block, 0, BLOCK_BYTES + SCRATCH_BYTES);
    int r = probe(spool);
    /* A full disk is full for now: the appends that fail are tried again. */
    spool->direct = r != -EINVAL && r != -EOPNOTSUPP;
    if (!spool->direct) {
        spool_tell(
            spool, "direct=yes: not here (%s); written through the page cache", strerror(-r));
    }
    return 0;
}

bool spool_direct_has_free(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    bool has = spool->free_count > 0;
    (void)pthread_mutex_unlock(&spool->lock);
    return has;
}

/* number 0: there is none. */
static struct spool_free take_free(struct spool *spool)
{
    struct spool_free taken = {0};
    (void)pthread_mutex_lock(&spool->lock);
    if (spool->free_count > 0) {
        taken = spool->free[--spool->free_count];
        spool->bytes -= spool->segment_bytes;
    }
    (void)pthread_mutex_unlock(&spool->lock);
    return taken;
}

static void give(const struct spool *spool, uint64_t number)
{
    char name[SPOOL_FILE_NAME_BYTES];
    free_name(number, name);
    (void)unlinkat(spool->dir_fd, name, 0);
}

void spool_direct_give_free(struct spool *spool)
{
    for (struct spool_free it = take_free(spool); it.number != 0; it = take_free(spool)) {
        give(spool, it.number);
    }
}

void spool_direct_trim(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    uint64_t data_end = spool->segments[spool->segments_count - 1].data_end;
    (void)pthread_mutex_unlock(&spool->lock);
    if (spool->direct) { /* what is not cut only takes room */
        (void)!ftruncate(spool->append_fd, (off_t)yarder_align_up(data_end, BLOCK_BYTES));
    }
}

void spool_direct_close(struct spool *spool)
{
    spool_direct_give_free(spool);
    free(spool->block);
    spool->block = NULL;
}

/* A file of the segment's whole size with its head on it, under a name that nobody reads. */
static int file_make(struct spool *spool, struct spool_segment *segment, uint64_t number)
{
    char name[SPOOL_FILE_NAME_BYTES];
    free_name(number, name);
    YARDER_OWN_FD int fd =
        openat(spool->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    if (fallocate(fd, 0, 0, (off_t)spool->segment_bytes) < 0 && errno != EOPNOTSUPP) {
        return -errno;
    }
    char block[BLOCK_BYTES] = {0};
    struct spool_head head;
    spool_head_make(&head, spool->id, segment);
    memcpy(block, &head, sizeof(head));
    int r = spool_write_all(fd, block, sizeof(block), 0);
    /* The name must not be there before the head is, else what lies behind it came back. */
    return r < 0 ? r : fdatasync(fd) < 0 ? -errno : 0;
}

int spool_direct_create(struct spool *spool, struct spool_segment *segment, const char *name)
{
    struct spool_free again = take_free(spool);
    if (again.number != 0 && again.epoch_ns != segment->before.at[0].epoch_ns) {
        give(spool, again.number); /* what it held could not be told from what will come */
        again.number = 0;
    }
    segment->recycled = again.number != 0;
    char made[SPOOL_FILE_NAME_BYTES];
    uint64_t number = segment->recycled ? again.number : segment->number;
    free_name(number, made);
    int r = file_make(spool, segment, number);
    if (r == 0 && renameat(spool->dir_fd, made, spool->dir_fd, name) < 0) {
        r = -errno;
    }
    if (r < 0) {
        (void)unlinkat(spool->dir_fd, made, 0);
        return r;
    }
    int fd = openat(spool->dir_fd, name, O_RDWR | O_DIRECT | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

int spool_direct_append(
    struct spool *spool, struct spool_segment *segment, const char *bytes, size_t bytes_count)
{
    char *scratch = spool->block + BLOCK_BYTES;
    size_t carried = segment->data_end % BLOCK_BYTES;
    uint64_t at = segment->data_end - carried;
    memcpy(scratch, spool->block, carried);
    while (bytes_count > 0) {
        size_t part = yarder_min(bytes_count, SCRATCH_BYTES - carried);
        memcpy(scratch + carried, bytes, part);
        size_t filled = carried + part;
        size_t padded = yarder_align_up(filled, BLOCK_BYTES);
        memset(scratch + filled, 0, padded - filled);
        int r = spool_write_all(spool->append_fd, scratch, padded, at);
        if (r < 0) {
            return r;
        }
        bytes += part;
        bytes_count -= part;
        carried = filled % BLOCK_BYTES;
        at += filled - carried;
        memmove(scratch, scratch + (filled - carried), carried);
    }
    return 0;
}

void spool_direct_keep(
    struct spool *spool, const struct spool_segment *segment, const char *bytes, size_t bytes_count)
{
    size_t carried = segment->data_end % BLOCK_BYTES;
    size_t now = (segment->data_end + bytes_count) % BLOCK_BYTES;
    if (bytes_count >= now) {
        memcpy(spool->block, bytes + (bytes_count - now), now);
    } else {
        memcpy(spool->block + carried, bytes, bytes_count);
    }
}
