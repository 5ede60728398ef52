/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Appending. A run of records goes out as one write; where a segment ends, the next one begins. No
 * word about a record changes before its bytes are written (and, with sync=BATCH, on the disk), so
 * a failed append may be given again: it writes over what it had written.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "os/memory.h"
#include "queue/spool_inside.h"

/* A run that goes to one segment. */
struct run {
    size_t bytes;
    uint32_t records;
    struct spool_ids last;
};

static struct yarder_id id_of(const struct pack_head *head)
{
    return (struct yarder_id){head->epoch_ns, head->number};
}

/* Records that were stored before: how many bytes of them stand at the beginning. */
static size_t pass_doubles(
    const struct spool *spool, const char *bytes, size_t bytes_count, uint32_t *doubles)
{
    struct pack_head head;
    size_t at = 0;
    while (at < bytes_count && spool_record_is_plausible(bytes + at, bytes_count - at, &head) &&
           spool_id_is_past(id_of(&head), &spool->last)) {
        at += head.bytes;
        ++*doubles;
    }
    return at;
}

/* As many records as `room` takes, with their crcs. */
static struct run seal_run(
    const struct spool *spool, char *bytes, size_t bytes_count, uint64_t room)
{
    struct run run = {.last = spool->last};
    struct pack_head head;
    while (run.bytes < bytes_count &&
           spool_record_is_plausible(bytes + run.bytes, bytes_count - run.bytes, &head) &&
           head.bytes <= room - run.bytes && !spool_id_is_past(id_of(&head), &run.last)) {
        pack_seal(bytes + run.bytes);
        run.bytes += head.bytes;
        run.records++;
        spool_ids_note(&run.last, id_of(&head));
    }
    return run;
}

/* The segment that is written; it has one while append_fd is open. */
static struct spool_segment current(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    YARDER_ASSERT(spool->segments_count > 0);
    struct spool_segment segment = spool->segments[spool->segments_count - 1];
    (void)pthread_mutex_unlock(&spool->lock);
    return segment;
}

int spool_finish(struct spool *spool)
{
    YARDER_ASSERT(spool->append_fd >= 0);
    struct spool_segment segment = current(spool);
    if (spool->options.sync != SPOOL_SYNC_NONE && fdatasync(spool->append_fd) < 0) {
        return -errno;
    }
    spool->unsynced_ns = 0;
    int r = spool_foot_write(spool->dir_fd, &segment);
    if (r < 0) {
        return r;
    }
    yarder_fd_drop(&spool->append_fd);
    spool->append_fd = -1;
    (void)pthread_mutex_lock(&spool->lock);
    spool->segments[spool->segments_count - 1].finished = true;
    (void)pthread_mutex_unlock(&spool->lock);
    return 0;
}

/* Room for one more in the array. Under `lock`. */
static int make_place(struct spool *spool)
{
    if (spool->segments_count < spool->segments_room) {
        return 0;
    }
    size_t room = spool->segments_room == 0 ? 64 : spool->segments_room * 2;
    struct spool_segment *more = reallocarray(spool->segments, room, sizeof(more[0]));
    if (more == NULL) {
        return -ENOMEM;
    }
    spool->segments = more;
    spool->segments_room = room;
    return 0;
}

static int segment_create(struct spool *spool, struct spool_segment *segment)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    if (spool->direct) {
        return spool_direct_create(spool, segment, name);
    }
    YARDER_OWN_FD int fd =
        openat(spool->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    char block[SPOOL_HEAD_BYTES] = {0};
    struct spool_head head;
    spool_head_make(&head, spool->id, segment);
    memcpy(block, &head, sizeof(head));
    int r = spool_write_all(fd, block, sizeof(block), 0);
    if (r < 0) {
        (void)unlinkat(spool->dir_fd, name, 0);
        return r;
    }
    return yarder_fd_take(&fd);
}

static int begin(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_segment segment = {.number = spool->next_number,
        .first = spool->stored,
        .data_end = SPOOL_HEAD_BYTES,
        .file_bytes = spool->direct ? spool->segment_bytes : SPOOL_HEAD_BYTES,
        .created_ns = os_realtime_ns(),
        .before = spool->last,
        .last = spool->last};
    int r = make_place(spool);
    (void)pthread_mutex_unlock(&spool->lock);
    int fd = r < 0 ? r : segment_create(spool, &segment);
    if (fd < 0) {
        return fd;
    }
    if (spool->options.sync != SPOOL_SYNC_NONE && fsync(spool->dir_fd) < 0) {
        int error = -errno; /* the file stays: the next try takes the next number */
        yarder_fd_drop(&fd);
        (void)pthread_mutex_lock(&spool->lock);
        spool->next_number++;
        (void)pthread_mutex_unlock(&spool->lock);
        return error;
    }
    spool->append_fd = fd;
    (void)pthread_mutex_lock(&spool->lock);
    spool->segments[spool->segments_count++] = segment;
    spool->bytes += segment.file_bytes;
    spool->next_number++;
    (void)pthread_mutex_unlock(&spool->lock);
    return 0;
}

/* What the limit leaves, in bytes. */
static uint64_t limit_room(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    uint64_t limit = spool->options.limit_bytes;
    uint64_t room = spool->bytes < limit ? limit - spool->bytes : 0;
    (void)pthread_mutex_unlock(&spool->lock);
    return room;
}

void spool_widen(struct spool *spool, uint64_t bytes)
{
    (void)pthread_mutex_lock(&spool->lock);
    spool->options.limit_bytes += bytes + 2 * spool->segment_bytes; /* heads, and a part of one */
    (void)pthread_mutex_unlock(&spool->lock);
}

/* Makes the limit leave `bytes`. */
static int make_room(struct spool *spool, uint64_t bytes)
{
    while (limit_room(spool) < bytes) {
        spool_direct_give_free(spool);
        if (limit_room(spool) >= bytes) {
            break;
        }
        int r = spool->options.drop_oldest ? spool_drop_oldest(spool) : -ENOSPC;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Somebody has unlinked the segment that is written: what goes there would be seen by nobody. */
static bool is_removed(const struct spool *spool)
{
    struct stat seen;
    return fstat(spool->append_fd, &seen) == 0 && seen.st_nlink == 0;
}

static void leave_removed(struct spool *spool)
{
    spool_tell(spool, "the segment that was written is gone; going on in a new one");
    yarder_fd_drop(&spool->append_fd);
    spool->append_fd = -1;
    (void)pthread_mutex_lock(&spool->lock);
    spool->segments[spool->segments_count - 1].finished = true;
    (void)pthread_mutex_unlock(&spool->lock);
}

/*
 * The file system is full, perhaps of what has been answered: the last segment is kept for the ids
 * in its foot, which needs its first block alone. True: the rest of it has been given back, and the
 * next record begins a new one.
 */
static bool give_answered_back(struct spool *spool)
{
    (void)pthread_mutex_lock(&spool->lock);
    size_t count = spool->segments_count;
    struct spool_segment last = count > 0 ? spool->segments[count - 1] : (struct spool_segment){0};
    const struct spool_ack *ack = &spool->ack;
    bool answered = last.data_end > SPOOL_HEAD_BYTES && ack->segment == last.number &&
                    ack->offset >= last.data_end;
    (void)pthread_mutex_unlock(&spool->lock);
    if (!answered || (spool->append_fd >= 0 && spool_finish(spool) < 0)) {
        return false;
    }
    (void)pthread_mutex_lock(&spool->ack_lock);
    int r = spool_ack_write(spool, true); /* before what it leaves behind goes */
    (void)pthread_mutex_unlock(&spool->ack_lock);
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(last.number, name);
    YARDER_OWN_FD int fd = openat(spool->dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return r == 0 && fd >= 0 &&
           fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SPOOL_HEAD_BYTES,
               (off_t)SPOOL_SEGMENT_BYTES_MAX) == 0;
}

/* Sees to it that a record of this size can be written. *room: and how much more. */
static int prepare(struct spool *spool, uint32_t record_bytes, uint64_t *room)
{
    if (record_bytes > spool->segment_bytes - SPOOL_HEAD_BYTES) {
        return -EMSGSIZE;
    }
    if (spool->append_fd >= 0 && is_removed(spool)) {
        leave_removed(spool);
    }
    int r = 0;
    if (spool->append_fd >= 0 && spool->segment_bytes - current(spool).data_end < record_bytes) {
        r = spool_finish(spool);
    }
    if (r == 0 && spool->append_fd < 0) {
        uint64_t least = spool->direct ? spool->segment_bytes : SPOOL_HEAD_BYTES + record_bytes;
        r = spool_direct_has_free(spool) ? 0 : make_room(spool, least);
        r = r < 0 ? r : begin(spool);
    }
    if (r == 0 && !spool->direct) {
        r = make_room(spool, record_bytes);
    }
    if (r < 0) {
        return r;
    }
    *room = spool->segment_bytes - current(spool).data_end;
    if (!spool->direct) {
        *room = yarder_min(*room, limit_room(spool));
    }
    return 0;
}

static int write_run(struct spool *spool, const char *bytes, const struct run *run)
{
    struct spool_segment segment = current(spool);
    int r = spool->direct ? spool_direct_append(spool, &segment, bytes, run->bytes)
                          : spool_write_all(spool->append_fd, bytes, run->bytes, segment.data_end);
    if (r == 0 && spool->options.sync == SPOOL_SYNC_BATCH && fdatasync(spool->append_fd) < 0) {
        r = -errno;
    }
    if (r < 0) {
        return r;
    }
    if (spool->options.sync == SPOOL_SYNC_INTERVAL && spool->unsynced_ns == 0) {
        spool->unsynced_ns = (uint64_t)os_monotonic_ns();
    }
    if (spool->direct) {
        spool_direct_keep(spool, &segment, bytes, run->bytes);
    }
    spool->last = run->last;
    (void)pthread_mutex_lock(&spool->lock);
    struct spool_segment *written = &spool->segments[spool->segments_count - 1];
    written->data_end += run->bytes;
    written->records += run->records;
    written->last = run->last;
    if (!spool->direct) {
        written->file_bytes += run->bytes;
        spool->bytes += run->bytes;
    }
    spool->stored += run->records;
    (void)pthread_mutex_unlock(&spool->lock);
    return 0;
}

/* Stores the first of the bytes, which are new, as many as one segment takes. */
static int store_some(
    struct spool *spool, char *bytes, size_t bytes_count, uint32_t record_bytes, struct run *run)
{
    uint64_t room = 0;
    int r = prepare(spool, record_bytes, &room);
    if (r < 0) {
        return r;
    }
    *run = seal_run(spool, bytes, bytes_count, room);
    return write_run(spool, bytes, run);
}

/* The same, and what was stored before. */
static int append_some(
    struct spool *spool, char *bytes, size_t bytes_count, struct spool_stored *out)
{
    uint32_t doubles = 0;
    size_t passed = pass_doubles(spool, bytes, bytes_count, &doubles);
    out->bytes += passed;
    out->records += doubles;
    out->doubles += doubles;
    if (passed == bytes_count) {
        return 0;
    }
    bytes += passed;
    bytes_count -= passed;
    struct pack_head head;
    if (!spool_record_is_plausible(bytes, bytes_count, &head)) {
        return -EBADMSG;
    }
    struct run run;
    int r = store_some(spool, bytes, bytes_count, head.bytes, &run);
    if ((r == -ENOSPC || r == -EDQUOT) && give_answered_back(spool)) {
        r = store_some(spool, bytes, bytes_count, head.bytes, &run);
    }
    if (r == 0) {
        out->bytes += run.bytes;
        out->records += run.records;
    }
    return r;
}

int spool_append(struct spool *spool, char *bytes, size_t bytes_count, struct spool_stored *out)
{
    struct spool_stored stored = {0};
    int r = 0;
    while (r == 0 && stored.bytes < bytes_count) {
        r = append_some(spool, bytes + stored.bytes, bytes_count - stored.bytes, &stored);
    }
    if (stored.bytes == 0 && bytes_count > 0) {
        return r;
    }
    struct spool_look look;
    spool_look(spool, &look);
    stored.end = look.end;
    stored.index = look.stored;
    *out = stored;
    return 0;
}

int spool_sync_due(struct spool *spool, uint64_t now_ns, uint64_t *next_ns)
{
    *next_ns = UINT64_MAX;
    if (spool->unsynced_ns == 0) {
        return 0;
    }
    uint64_t due_ns = spool->unsynced_ns + spool->options.sync_interval_ns;
    if (now_ns < due_ns) {
        *next_ns = due_ns;
        return 0;
    }
    /* Once, whatever comes of it: after a failure the kernel has thrown the bytes away. */
    spool->unsynced_ns = 0;
    return spool->append_fd >= 0 && fdatasync(spool->append_fd) < 0 ? -errno : 0;
}
