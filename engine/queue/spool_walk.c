/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A segment's bytes as stretches: sound records, and what is none. After damage the next sound
 * record is looked for at each multiple of 8 bytes: a head that makes sense, then its crc.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "queue/spool_disk.h"

/* Bytes whose crc one search may work out: bytes made to look like heads must not hold it up. */
#define RESYNC_CRC_BYTES_MAX (UINT64_C(1) << 30)

int spool_walk_open(struct spool_walk *walk)
{
    memset(walk, 0, sizeof(*walk));
    void *memory =
        mmap(NULL, SPOOL_WALK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    walk->buffer = memory;
    walk->fd = -1;
    return 0;
}

void spool_walk_close(struct spool_walk *walk)
{
    if (walk->buffer != NULL) {
        (void)munmap(walk->buffer, SPOOL_WALK_BYTES);
        walk->buffer = NULL;
    }
}

void spool_walk_begin(struct spool_walk *walk, int fd, const struct spool_segment *segment)
{
    walk->fd = fd;
    walk->at = SPOOL_HEAD_BYTES;
    walk->end = segment->data_end;
    walk->before = segment->before;
    walk->window_at = 0;
    walk->window_bytes = 0;
}

bool spool_record_is_plausible(const char *at, size_t bytes_count, struct pack_head *head)
{
    if (bytes_count < sizeof(*head)) {
        return false;
    }
    memcpy(head, at, sizeof(*head));
    if (head->bytes < sizeof(*head) || head->bytes > bytes_count ||
        head->bytes > SPOOL_RECORD_BYTES_MAX || head->bytes % PACK_UNIT_BYTES != 0 ||
        head->version != PACK_VERSION || head->fields_count > YARDER_FIELDS_MAX) {
        return false;
    }
    uint64_t texts = (uint64_t)head->text_bytes + head->host_bytes + head->peer_bytes +
                     head->tag_bytes + head->logger_bytes;
    return texts <= head->bytes - sizeof(*head);
}

/* Brings bytes [at, at + need) into the window. How many there are from `at` on, or -errno. */
static ssize_t look_at(struct spool_walk *walk, uint64_t at, uint64_t need)
{
    need = yarder_min(need, walk->end - at);
    if (at < walk->window_at || at + need > walk->window_at + walk->window_bytes) {
        uint64_t from = at & ~(uint64_t)(SPOOL_HEAD_BYTES - 1);
        uint64_t want = yarder_max(at + need - from, SPOOL_READ_BYTES);
        want = yarder_align_up(yarder_min(want, walk->end - from), SPOOL_HEAD_BYTES);
        YARDER_ASSERT(want <= SPOOL_WALK_BYTES);
        ssize_t got = spool_read_all(walk->fd, walk->buffer, (size_t)want, from);
        if (got < 0) {
            walk->window_bytes = 0;
            return got;
        }
        walk->window_at = from;
        walk->window_bytes = (size_t)yarder_min((uint64_t)got, walk->end - from);
    }
    uint64_t window_end = walk->window_at + walk->window_bytes;
    return window_end <= at ? 0 : (ssize_t)(window_end - at);
}

static const char *in_window(const struct spool_walk *walk, uint64_t at)
{
    return walk->buffer + (at - walk->window_at);
}

/* 1: a sound record, all of it in the window; 0: not; -errno. crc_bytes: adds what it looked at. */
static int sound_at(
    struct spool_walk *walk, uint64_t at, struct pack_head *head, uint64_t *crc_bytes)
{
    ssize_t got = look_at(walk, at, sizeof(*head));
    if (got < (ssize_t)sizeof(*head)) {
        return got < 0 ? (int)got : 0;
    }
    size_t left = (size_t)yarder_min(walk->end - at, SPOOL_RECORD_BYTES_MAX);
    const char *bytes = in_window(walk, at);
    memcpy(head, bytes, sizeof(*head));
    if (!spool_record_is_plausible(bytes, left, head) ||
        spool_id_is_past((struct yarder_id){head->epoch_ns, head->number}, &walk->before)) {
        return 0;
    }
    got = look_at(walk, at, head->bytes);
    if (got < (ssize_t)head->bytes) {
        return got < 0 ? (int)got : 0;
    }
    *crc_bytes += head->bytes;
    return pack_is_sound(in_window(walk, at));
}

/* More sound records behind the one at walk->at, as far as the window goes. */
static void run_on(struct spool_walk *walk, size_t bytes_max, const struct pack_head *first,
    struct spool_stretch *out)
{
    struct pack_head head = *first;
    uint64_t at = walk->at + head.bytes;
    uint64_t window_end = walk->window_at + walk->window_bytes;
    struct yarder_id last = {head.epoch_ns, head.number};
    uint32_t records = 1;
    while (at < window_end && at - walk->at < bytes_max) {
        const char *bytes = in_window(walk, at);
        if (!spool_record_is_plausible(bytes, (size_t)(window_end - at), &head)) {
            break;
        }
        struct yarder_id id = {head.epoch_ns, head.number};
        if (id.epoch_ns != last.epoch_ns || spool_id_is_past(id, &walk->before) ||
            !pack_is_sound(bytes)) {
            break;
        }
        last = id;
        records++;
        at += head.bytes;
    }
    *out = (struct spool_stretch){.at = walk->at,
        .bytes_count = at - walk->at,
        .bytes = in_window(walk, walk->at),
        .records = records,
        .first = {first->epoch_ns, first->number},
        .last = last};
    walk->at = at;
}

/* walk->at is no record's beginning: how far that goes. */
static int skip_damage(struct spool_walk *walk, struct spool_stretch *out)
{
    struct pack_head head;
    uint64_t crc_bytes = 0;
    bool zeros = true;
    uint64_t at = walk->at;
    for (; at < walk->end; at += PACK_UNIT_BYTES) {
        int sound = at == walk->at ? 0 : sound_at(walk, at, &head, &crc_bytes);
        if (sound < 0) {
            return sound;
        }
        if (sound == 1) {
            break;
        }
        ssize_t got = look_at(walk, at, PACK_UNIT_BYTES);
        if (got < 0) {
            return (int)got;
        }
        uint64_t word = 0;
        memcpy(&word, in_window(walk, at), (size_t)yarder_min((uint64_t)got, sizeof(word)));
        zeros = zeros && word == 0;
        if (got == 0 || crc_bytes > RESYNC_CRC_BYTES_MAX) {
            at = walk->end; /* the file is shorter than it was; or it is not worth more */
            break;
        }
    }
    at = yarder_min(at, walk->end);
    *out = (struct spool_stretch){.at = walk->at, .bytes_count = at - walk->at, .zeros = zeros};
    walk->at = at;
    return 0;
}

int spool_walk_next(struct spool_walk *walk, size_t bytes_max, struct spool_stretch *out)
{
    if (walk->at >= walk->end) {
        return -ENODATA;
    }
    struct pack_head head;
    uint64_t crc_bytes = 0;
    int sound = sound_at(walk, walk->at, &head, &crc_bytes);
    if (sound == 0) {
        walk->window_bytes = 0; /* nothing is called damaged before it was read once more */
        sound = sound_at(walk, walk->at, &head, &crc_bytes);
    }
    if (sound < 0) {
        return sound;
    }
    if (sound == 0) {
        return skip_damage(walk, out);
    }
    run_on(walk, bytes_max, &head, out);
    return 0;
}

/* How many records a stretch that is none has cost, by the ids around it. */
static uint64_t missing_between(struct yarder_id before, struct yarder_id after, uint64_t bytes)
{
    if (before.epoch_ns != after.epoch_ns || after.number <= before.number) {
        return 1;
    }
    return yarder_min(after.number - before.number - 1, bytes / sizeof(struct pack_head) + 1);
}

int spool_scan(
    struct spool_walk *walk, int fd, const struct spool_segment *segment, struct spool_scan *out)
{
    *out = (struct spool_scan){
        .sound_end = SPOOL_HEAD_BYTES, .tail_zeros = true, .last = segment->before};
    spool_walk_begin(walk, fd, segment);
    struct spool_stretch stretch;
    int r;
    while ((r = spool_walk_next(walk, SPOOL_READ_BYTES, &stretch)) == 0) {
        if (stretch.records == 0) {
            out->tail_bytes += stretch.bytes_count;
            out->tail_zeros = out->tail_zeros && stretch.zeros;
            continue;
        }
        if (out->tail_bytes > 0) { /* it was not the tail */
            out->missing += missing_between(out->last.at[0], stretch.first, out->tail_bytes);
            out->bad_bytes += out->tail_bytes;
            out->stretches++;
            out->tail_bytes = 0;
            out->tail_zeros = true;
        }
        out->sound += stretch.records;
        out->sound_end = stretch.at + stretch.bytes_count;
        spool_ids_note(&out->last, stretch.last);
    }
    walk->fd = -1; /* the caller's, who closes it */
    return r == -ENODATA ? 0 : r;
}
