/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading from the place of the first record that is not answered, as far as is released. What is
 * damaged is set aside, and counted as soon as the next index is known: at the end of a segment, or
 * of what it has so far.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "os/memory.h"
#include "queue/spool_inside.h"

static const uint64_t damage_told_ns = 10ull * 1000 * 1000 * 1000;

/*
 * Under `lock`. The place leaves a finished segment behind, or one that is not there. The segment
 * that the reader is in, NULL: none.
 */
static const struct spool_segment *advance(struct spool *spool)
{
    struct spool_ack *ack = &spool->ack;
    const struct spool_segment *own = NULL;
    for (size_t i = 0; i < spool->segments_count; i++) {
        const struct spool_segment *segment = &spool->segments[i];
        if (segment->number < ack->segment || segment->dropped) {
            continue;
        }
        if (segment->number > ack->segment) {
            spool_settle_index(ack, segment->first);
            ack->segment = segment->number;
            ack->offset = SPOOL_HEAD_BYTES;
            ack->index = segment->first;
            ack->dropped_ahead = 0;
        }
        own = segment;
        if (ack->offset < segment->data_end) {
            break;
        }
        if (ack->dropped_ahead == 0) {
            spool_settle_index(ack, segment->first + segment->records);
            ack->index = yarder_max(ack->index, segment->first + segment->records);
        }
        if (!segment->finished) {
            break;
        }
    }
    spool->taken = own != NULL ? own->number : 0;
    return own;
}

/* Set aside, for people to look at, and told once in a while: damage comes in many pieces. */
static void pass_damage(struct spool *spool, const char *name, const struct spool_stretch *stretch)
{
    int r = stretch->zeros
                ? 0
                : spool_set_aside(spool->dir_fd, name, stretch->at, stretch->bytes_count);
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    if (spool->damage_told_ns != 0 && now_ns < spool->damage_told_ns + damage_told_ns) {
        return;
    }
    spool->damage_told_ns = now_ns;
    spool_tell(spool, "%llu bytes at %llu of %s are no record%s%s; going on behind them",
        (unsigned long long)stretch->bytes_count, (unsigned long long)stretch->at, name,
        stretch->zeros ? " but zeros"
        : r == 0       ? ", kept in damaged/"
                       : ", not kept: ",
        r == 0 ? "" : strerror(-r));
}

static void set_offset(struct spool *spool, uint64_t offset)
{
    (void)pthread_mutex_lock(&spool->lock);
    spool->ack.offset = offset;
    (void)pthread_mutex_unlock(&spool->lock);
}

/* 0; -ENOENT: somebody has removed it; -errno. */
static int open_segment(struct spool *spool, const struct spool_segment *segment, const char *name)
{
    if (spool->walk.fd >= 0 && spool->walk_number == segment->number) {
        return 0;
    }
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (spool->direct ? O_DIRECT : 0);
    YARDER_OWN_FD int fd = openat(spool->dir_fd, name, flags);
    if (fd < 0) {
        return -errno;
    }
    yarder_fd_drop(&spool->walk.fd);
    spool_walk_begin(&spool->walk, yarder_fd_take(&fd), segment);
    spool->walk_number = segment->number;
    return 0;
}

/* Where the reader may go on, and up to where. 0 or -EAGAIN. */
static int find_place(struct spool *spool, struct spool_segment *segment, uint64_t *at)
{
    (void)pthread_mutex_lock(&spool->lock);
    uint64_t damaged = spool->ack.totals.damaged;
    const struct spool_segment *own = advance(spool);
    damaged = spool->ack.totals.damaged - damaged;
    if (own != NULL) {
        *segment = *own;
        *at = spool->ack.offset;
    }
    (void)pthread_mutex_unlock(&spool->lock);
    (void)pthread_mutex_lock(&spool->ack_lock);
    int r = damaged > 0 ? spool_ack_write(spool, false) : 0;
    r = r < 0 ? r : spool_retire(spool);
    (void)pthread_mutex_unlock(&spool->ack_lock);
    if (r < 0) {
        return r;
    }
    if (own == NULL) {
        return -EAGAIN;
    }
    /* Acquire: pairs with the release in spool_release. */
    spool_place released = __atomic_load_n(&spool->options.shared->released, __ATOMIC_ACQUIRE);
    uint64_t number = spool_place_segment(released);
    if (number == segment->number) {
        segment->data_end = yarder_min(segment->data_end, spool_place_offset(released));
    }
    return number < segment->number || *at >= segment->data_end ? -EAGAIN : 0;
}

int spool_read(struct spool *spool, struct spool_batch *out)
{
    for (;;) {
        struct spool_segment segment;
        uint64_t at = 0;
        int r = find_place(spool, &segment, &at);
        if (r < 0) {
            return r;
        }
        char name[SPOOL_FILE_NAME_BYTES];
        spool_segment_name(segment.number, name);
        r = open_segment(spool, &segment, name);
        if (r == -ENOENT) {
            spool_tell(spool, "segment %s was removed by somebody; going on behind it", name);
            set_offset(spool, segment.data_end);
            continue;
        }
        if (r < 0) {
            return r;
        }
        spool->walk.at = at;
        spool->walk.end = segment.data_end;
        struct spool_stretch stretch;
        r = spool_walk_next(&spool->walk, SPOOL_READ_BYTES, &stretch);
        if (r < 0) {
            return r;
        }
        if (stretch.records > 0) {
            *out = (struct spool_batch){.bytes = stretch.bytes,
                .bytes_count = stretch.bytes_count,
                .records = stretch.records,
                .last = stretch.last,
                .at = spool_place_of(segment.number, stretch.at)};
            return 0;
        }
        pass_damage(spool, name, &stretch);
        set_offset(spool, stretch.at + stretch.bytes_count);
    }
}

int spool_answer(struct spool *spool, const struct spool_batch *batch, size_t bytes_done,
    const struct spool_answers *answers)
{
    YARDER_ASSERT(bytes_done <= batch->bytes_count);
    (void)pthread_mutex_lock(&spool->ack_lock);
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_ack *ack = &spool->ack;
    YARDER_ASSERT(batch->at == spool_place_of(ack->segment, ack->offset));
    ack->offset += bytes_done;
    ack->index += answers->delivered + answers->dead;
    ack->totals.delivered += answers->delivered;
    ack->totals.delivered_bytes += answers->delivered_bytes;
    ack->totals.dead += answers->dead;
    (void)advance(spool);
    (void)pthread_mutex_unlock(&spool->lock);
    int r = spool_ack_write(spool, false);
    r = r < 0 ? r : spool_retire(spool);
    (void)pthread_mutex_unlock(&spool->ack_lock);
    return r;
}
