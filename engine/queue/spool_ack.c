/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ack file, and what follows from it: segments that go. Two slots are written in turn, so one
 * of them is whole whatever happens to the other. A segment is unlinked after an ack that leaves
 * it behind was forced to the disk, never before.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/checksum.h"
#include "queue/spool_inside.h"

void spool_ack_seal(struct spool_ack *ack)
{
    ack->magic = SPOOL_ACK_MAGIC;
    ack->version = SPOOL_VERSION;
    ack->crc = checksum_crc32c(ack, offsetof(struct spool_ack, crc));
}

static bool is_whole(const struct spool_ack *ack)
{
    return ack->magic == SPOOL_ACK_MAGIC &&
           ack->crc == checksum_crc32c(ack, offsetof(struct spool_ack, crc));
}

static bool makes_sense(const struct spool_ack *ack)
{
    return ack->version == SPOOL_VERSION && ack->segment > 0 && ack->segment <= SPOOL_NUMBER_MAX &&
           ack->dropped_through <= SPOOL_NUMBER_MAX && ack->offset >= SPOOL_HEAD_BYTES &&
           ack->offset <= SPOOL_SEGMENT_BYTES_MAX && ack->index <= SPOOL_INDEX_MAX &&
           ack->dropped_ahead <= SPOOL_INDEX_MAX;
}

int spool_ack_read(int fd, struct spool_ack *out)
{
    bool found = false;
    for (uint64_t slot = 0; slot < 2; slot++) {
        struct spool_ack ack;
        ssize_t got = spool_read_all(fd, &ack, sizeof(ack), slot * SPOOL_HEAD_BYTES);
        if (got < 0) {
            return (int)got;
        }
        if (got != (ssize_t)sizeof(ack) || !is_whole(&ack)) {
            continue;
        }
        if (ack.version > SPOOL_VERSION) {
            return -EPROTONOSUPPORT;
        }
        if (makes_sense(&ack) && (!found || ack.generation > out->generation)) {
            *out = ack;
            found = true;
        }
    }
    return found ? 0 : -ENOENT;
}

static void publish(const struct spool *spool, const struct spool_totals *totals)
{
    struct spool_totals *told = &spool->options.shared->told;
    __atomic_store_n(&told->delivered, totals->delivered, __ATOMIC_RELAXED);
    __atomic_store_n(&told->delivered_bytes, totals->delivered_bytes, __ATOMIC_RELAXED);
    __atomic_store_n(&told->dead, totals->dead, __ATOMIC_RELAXED);
    __atomic_store_n(&told->dropped_oldest, totals->dropped_oldest, __ATOMIC_RELAXED);
    __atomic_store_n(&told->damaged, totals->damaged, __ATOMIC_RELAXED);
}

void spool_totals_read(const struct spool_shared *shared, struct spool_totals *out)
{
    const struct spool_totals *told = &shared->told;
    *out = (struct spool_totals){.delivered = __atomic_load_n(&told->delivered, __ATOMIC_RELAXED),
        .delivered_bytes = __atomic_load_n(&told->delivered_bytes, __ATOMIC_RELAXED),
        .dead = __atomic_load_n(&told->dead, __ATOMIC_RELAXED),
        .dropped_oldest = __atomic_load_n(&told->dropped_oldest, __ATOMIC_RELAXED),
        .damaged = __atomic_load_n(&told->damaged, __ATOMIC_RELAXED)};
}

int spool_ack_write(struct spool *spool, bool sync)
{
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_ack ack = spool->ack;
    ack.generation = ++spool->ack.generation;
    (void)pthread_mutex_unlock(&spool->lock);
    spool_ack_seal(&ack);
    int r =
        spool_write_all(spool->ack_fd, &ack, sizeof(ack), ack.generation % 2 * SPOOL_HEAD_BYTES);
    if (r == 0) {
        publish(spool, &ack.totals);
    }
    if (r == 0 && sync && fdatasync(spool->ack_fd) < 0) {
        r = -errno;
    }
    return r;
}

/* Under `lock`. */
static void forget(struct spool *spool, size_t index)
{
    spool->bytes -= spool->segments[index].file_bytes;
    spool->segments_count--;
    memmove(&spool->segments[index], &spool->segments[index + 1],
        (spool->segments_count - index) * sizeof(spool->segments[0]));
}

/* Under `lock`. Whether its file may be used again: its ids must be of one epoch to be told from
 * later ones. */
static bool is_reusable(const struct spool *spool, const struct spool_segment *segment)
{
    return spool->direct && segment->file_bytes == spool->segment_bytes &&
           segment->before.at[0].epoch_ns == segment->last.at[0].epoch_ns &&
           spool->free_count < YARDER_COUNT_OF(spool->free);
}

/* An ack that leaves it behind is on the disk. The file goes, or waits to be used again. */
static int remove_segment(struct spool *spool, size_t index)
{
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_segment segment = spool->segments[index];
    bool reusable = is_reusable(spool, &segment);
    (void)pthread_mutex_unlock(&spool->lock);
    char name[SPOOL_FILE_NAME_BYTES];
    char free_name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment.number, name);
    (void)snprintf(
        free_name, sizeof(free_name), "%016llx.free", (unsigned long long)segment.number);
    reusable = reusable && renameat(spool->dir_fd, name, spool->dir_fd, free_name) == 0;
    if (!reusable && unlinkat(spool->dir_fd, name, 0) < 0 && errno != ENOENT) {
        return -errno;
    }
    (void)pthread_mutex_lock(&spool->lock);
    forget(spool, index);
    if (reusable) {
        spool->free[spool->free_count++] =
            (struct spool_free){segment.number, segment.last.at[0].epoch_ns};
        spool->bytes += segment.file_bytes;
    }
    (void)pthread_mutex_unlock(&spool->lock);
    return 0;
}

/* Under `lock`: the first segment that an ack with this place leaves behind; segments_count: none.
 */
static size_t left_behind(const struct spool *spool)
{
    for (size_t i = 0; i < spool->segments_count; i++) {
        const struct spool_segment *segment = &spool->segments[i];
        if (segment->number < spool->ack.segment || segment->dropped) {
            return i;
        }
        if (segment->number > spool->ack.dropped_through) {
            break;
        }
    }
    return spool->segments_count;
}

int spool_retire(struct spool *spool)
{
    bool durable = false;
    for (;;) {
        (void)pthread_mutex_lock(&spool->lock);
        size_t index = left_behind(spool);
        bool none = index == spool->segments_count;
        (void)pthread_mutex_unlock(&spool->lock);
        if (none) {
            return 0;
        }
        int r = durable ? 0 : spool_ack_write(spool, true);
        if (r == 0) {
            durable = true;
            r = remove_segment(spool, index); /* only whoever holds ack_lock removes */
        }
        if (r < 0) {
            return r;
        }
    }
}

void spool_settle_index(struct spool_ack *ack, uint64_t index)
{
    uint64_t known = ack->index + ack->dropped_ahead;
    ack->totals.damaged += index > known ? index - known : 0;
}

/*
 * Under `lock`. The oldest finished segment that the reader is not in, and that is not dropped
 * already: its unanswered records are counted, and the place goes behind it.
 */
static bool drop_one(struct spool *spool)
{
    struct spool_ack *ack = &spool->ack;
    for (size_t i = 0; i < spool->segments_count; i++) {
        struct spool_segment *segment = &spool->segments[i];
        if (!segment->finished || segment->dropped || segment->number < ack->segment ||
            segment->number == spool->taken) {
            continue;
        }
        uint64_t end = segment->first + segment->records;
        segment->dropped = true;
        if (segment->number > ack->segment && ack->segment == spool->taken) {
            ack->dropped_through = segment->number;
            ack->dropped_ahead += segment->records;
            ack->totals.dropped_oldest += segment->records;
            return true;
        }
        /* The place is in it, or before it in a segment that is not there any more. */
        uint64_t begin = yarder_max(ack->index, segment->first);
        if (segment->number > ack->segment) {
            spool_settle_index(ack, segment->first);
            ack->dropped_ahead = 0;
            begin = segment->first;
        }
        ack->totals.dropped_oldest += end > begin ? end - begin : 0;
        ack->segment = segment->number + 1;
        ack->offset = SPOOL_HEAD_BYTES;
        ack->index = yarder_max(begin, end);
        return true;
    }
    return false;
}

int spool_drop_oldest(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->ack_lock);
    (void)pthread_mutex_lock(&spool->lock);
    bool pending = left_behind(spool) < spool->segments_count;
    bool dropped = pending || drop_one(spool);
    (void)pthread_mutex_unlock(&spool->lock);
    int r = dropped ? spool_retire(spool) : -ENOSPC;
    (void)pthread_mutex_unlock(&spool->ack_lock);
    return r;
}
