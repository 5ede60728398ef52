/* SPDX-License-Identifier: Apache-2.0 */
/* Opening a spool, closing it, and what can be asked of it. */
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "queue/spool_inside.h"

void spool_tell(const struct spool *spool, const char *format, ...)
{
    if (spool->options.tell == NULL) {
        return;
    }
    char line[SPOOL_LINE_BYTES_MAX];
    int used = snprintf(line, sizeof(line), "%s: ", spool->path);
    if (used < 0 || (size_t)used >= sizeof(line)) {
        used = 0;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + used, sizeof(line) - (size_t)used, format, arguments);
    va_end(arguments);
    spool->options.tell(spool->options.owner, line);
}

/* Of a full segment, when all of them may use so many. */
static uint64_t segment_bytes_for(uint64_t limit_bytes, uint32_t record_bytes_max)
{
    uint64_t bytes = limit_bytes / SPOOL_SEGMENTS_IN_LIMIT & ~(uint64_t)(SPOOL_HEAD_BYTES - 1);
    uint64_t least = yarder_align_up(record_bytes_max, SPOOL_HEAD_BYTES) + SPOOL_HEAD_BYTES;
    return yarder_min(yarder_max(bytes, least), SPOOL_SEGMENT_BYTES_MAX);
}

uint64_t spool_limit_min(uint32_t record_bytes_max)
{
    return 4 * segment_bytes_for(0, record_bytes_max);
}

/* parent/name, made if need be; as a descriptor or -errno. */
static int folder_open(int parent_fd, const char *name)
{
    if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

static int lock_take(struct spool *spool, char *why, size_t why_bytes)
{
    spool->lock_fd = openat(spool->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (spool->lock_fd < 0) {
        return -errno;
    }
    char owner[32] = "";
    if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        int error = errno == EWOULDBLOCK ? -EAGAIN : -errno;
        ssize_t got = pread(spool->lock_fd, owner, sizeof(owner) - 1, 0);
        owner[got < 0 ? 0 : got] = '\0';
        (void)snprintf(
            why, why_bytes, "%s: in use by process %ld", spool->path, strtol(owner, NULL, 10));
        return error;
    }
    /* Only told to who comes next: a disk that is full must not keep from us what it is full of. */
    int length = snprintf(owner, sizeof(owner), "%ld\n", (long)getpid());
    if (spool_write_all(spool->lock_fd, owner, (size_t)length, 0) == 0) {
        (void)!ftruncate(spool->lock_fd, length);
    }
    return 0;
}

static int folders_open(struct spool *spool, char *why, size_t why_bytes)
{
    const struct spool_options *options = &spool->options;
    char folder[YARDER_NAME_BYTES_MAX * 3 + 1];
    spool_folder_name(options->name, folder, sizeof(folder));
    (void)snprintf(spool->path, sizeof(spool->path), "%s/spool/%s", options->state_dir, folder);
    YARDER_OWN_FD int state_fd = open(options->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    YARDER_OWN_FD int spools_fd = state_fd < 0 ? -errno : folder_open(state_fd, "spool");
    spool->dir_fd = spools_fd < 0 ? spools_fd : folder_open(spools_fd, folder);
    if (spool->dir_fd < 0) {
        (void)snprintf(why, why_bytes, "%s: %s", spool->path, strerror(-spool->dir_fd));
        return spool->dir_fd;
    }
    return lock_take(spool, why, why_bytes);
}

/* Takes over what the list found; the list's array is the spool's from now on. */
static void take_list(struct spool *spool, struct spool_list *list)
{
    spool->segments = list->segments;
    spool->segments_count = list->count;
    spool->segments_room = list->room;
    list->segments = NULL;
    const struct spool_segment *first = list->count > 0 ? &spool->segments[0] : NULL;
    const struct spool_segment *last = list->count > 0 ? &spool->segments[list->count - 1] : NULL;
    spool->ack = list->ack;
    if (!list->ack_found) {
        spool->ack = (struct spool_ack){.segment = first != NULL ? first->number : 1,
            .offset = SPOOL_HEAD_BYTES,
            .index = first != NULL ? first->first : 0};
    }
    spool->ack.spool_id = spool->id;
    spool->stored = yarder_max(last != NULL ? last->first + last->records : 0,
        spool->ack.index + spool->ack.dropped_ahead);
    spool->next_number = 1 + yarder_max(last != NULL ? last->number : 0,
                                 yarder_max(spool->ack.segment, spool->ack.dropped_through));
    spool->last = last != NULL ? last->last : (struct spool_ids){0};
    for (size_t i = 0; i < spool->segments_count; i++) {
        spool->bytes += spool->segments[i].file_bytes;
    }
}

static int read_folder(struct spool *spool)
{
    struct spool_list list = {.mends = true,
        .walk = &spool->walk,
        .tell = spool->options.tell,
        .owner = spool->options.owner,
        .path = spool->path};
    int r = spool_list_read(&list, spool->dir_fd);
    spool->id = list.spool_id;
    if (r == 0 && spool->id == 0 &&
        getrandom(&spool->id, sizeof(spool->id), 0) != (ssize_t)sizeof(spool->id)) {
        r = -errno;
    }
    if (r == 0) {
        take_list(spool, &list);
    }
    spool_list_free(&list);
    return r;
}

/* Both slots, so that no write of an ack needs room on the disk. */
static int ack_open(struct spool *spool)
{
    spool->ack_fd = openat(spool->dir_fd, "ack", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (spool->ack_fd < 0) {
        return -errno;
    }
    int r = spool_ack_write(spool, false);
    if (r == 0) {
        r = spool_ack_write(spool, true);
    }
    return r < 0 ? r : fsync(spool->dir_fd) < 0 ? -errno : 0;
}

static int open_all(struct spool *spool, char *why, size_t why_bytes)
{
    int r = folders_open(spool, why, why_bytes);
    if (r == 0) {
        r = spool_walk_open(&spool->walk);
    }
    if (r == 0) {
        r = read_folder(spool);
    }
    if (r == 0) {
        r = ack_open(spool);
    }
    if (r == 0 && spool->options.direct) {
        r = spool_direct_open(spool);
    }
    if (r == -EPROTONOSUPPORT) {
        (void)snprintf(why, why_bytes,
            "%s: written by a later yarder; have that one empty it, or move it away", spool->path);
    } else if (r < 0 && why[0] == '\0') {
        (void)snprintf(why, why_bytes, "%s: %s", spool->path, strerror(-r));
    }
    return r;
}

int spool_open(struct spool **out, const struct spool_options *options, char *why, size_t why_bytes)
{
    YARDER_ASSERT(why_bytes > 0);
    why[0] = '\0';
    if (options->record_bytes_max > SPOOL_RECORD_BYTES_MAX ||
        options->limit_bytes < spool_limit_min(options->record_bytes_max)) {
        (void)snprintf(why, why_bytes, "queue=disk: for records of %u bytes at least %lluK",
            options->record_bytes_max,
            (unsigned long long)spool_limit_min(options->record_bytes_max) >> 10);
        return -EINVAL;
    }
    struct spool *spool = calloc(1, sizeof(*spool));
    if (spool == NULL) {
        return -ENOMEM;
    }
    spool->options = *options;
    spool->dir_fd = spool->lock_fd = spool->ack_fd = spool->append_fd = spool->walk.fd = -1;
    spool->segment_bytes = segment_bytes_for(options->limit_bytes, options->record_bytes_max);
    (void)pthread_mutex_init(&spool->lock, NULL);
    (void)pthread_mutex_init(&spool->ack_lock, NULL);
    int r = open_all(spool, why, why_bytes);
    if (r < 0) {
        spool_close(spool);
        return r;
    }
    *out = spool;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (spool == NULL) {
        return;
    }
    if (spool->append_fd >= 0) {
        spool_direct_trim(spool);
    }
    if (spool->append_fd >= 0 && spool_finish(spool) < 0) {
        yarder_fd_drop(&spool->append_fd); /* the next open scans what has no foot */
    }
    spool_direct_close(spool);
    yarder_fd_drop(&spool->walk.fd);
    spool_walk_close(&spool->walk);
    yarder_fd_drop(&spool->ack_fd);
    yarder_fd_drop(&spool->dir_fd);
    yarder_fd_drop(&spool->lock_fd);
    (void)pthread_mutex_destroy(&spool->lock);
    (void)pthread_mutex_destroy(&spool->ack_lock);
    free(spool->segments);
    free(spool);
}

void spool_look(struct spool *spool, struct spool_look *out)
{
    memset(out, 0, sizeof(*out));
    (void)pthread_mutex_lock(&spool->lock);
    out->id = spool->id;
    out->totals = spool->ack.totals;
    out->stored = spool->stored;
    /* What an ack that lags behind has given twice is behind the end. */
    uint64_t known = spool->ack.index + spool->ack.dropped_ahead;
    out->left = spool->stored > known ? spool->stored - known : 0;
    out->bytes = spool->bytes;
    out->segments = (uint32_t)spool->segments_count;
    const struct spool_segment *last =
        spool->segments_count > 0 ? &spool->segments[spool->segments_count - 1] : NULL;
    out->end = last == NULL ? 0 : spool_place_of(last->number, last->data_end);
    for (size_t i = 0; i < spool->segments_count && out->left > 0; i++) {
        if (spool->segments[i].number >= spool->ack.segment && !spool->segments[i].dropped) {
            out->since_ns = spool->segments[i].created_ns;
            break;
        }
    }
    (void)pthread_mutex_unlock(&spool->lock);
}

void spool_release(struct spool_shared *shared, spool_place place)
{
    /* Release: pairs with the acquire in spool_read. Never back: the reader may be there. */
    if (place > shared->released) {
        __atomic_store_n(&shared->released, place, __ATOMIC_RELEASE);
    }
}
