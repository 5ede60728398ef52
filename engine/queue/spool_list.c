/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a spool's folder, read by whoever opens it and by whoever only looks. Nothing in it
 * is believed: a file that is no segment of this spool is named and left out of the count.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "queue/spool_disk.h"

static void tell(const struct spool_list *list, const char *format, ...) YARDER_PRINTF(2, 3);
static void tell(const struct spool_list *list, const char *format, ...)
{
    char line[SPOOL_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (list->tell != NULL) {
        list->tell(list->owner, line);
    }
}

static int add(struct spool_list *list, uint64_t number)
{
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct spool_segment *more = reallocarray(list->segments, room, sizeof(list->segments[0]));
        if (more == NULL) {
            return -ENOMEM;
        }
        list->segments = more;
        list->room = room;
    }
    list->segments[list->count++] = (struct spool_segment){.number = number};
    return 0;
}

static int by_number(const void *a, const void *b)
{
    uint64_t left = ((const struct spool_segment *)a)->number;
    uint64_t right = ((const struct spool_segment *)b)->number;
    return left < right ? -1 : left > right;
}

static bool is_ours(const char *name)
{
    static const char *const names[] = {".", "..", "lock", "ack", "damaged"};
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Segments that waited to be used again, or were being mended, when their process ended. */
static bool is_left_over(const char *name)
{
    size_t length = strlen(name);
    return length > 5 &&
           (strcmp(name + length - 5, ".free") == 0 || strcmp(name + length - 5, ".mend") == 0);
}

static int read_names(struct spool_list *list, int dir_fd)
{
    int listed_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = listed_fd < 0 ? NULL : fdopendir(listed_fd);
    if (folder == NULL) {
        int error = -errno;
        yarder_fd_drop(&listed_fd);
        return error;
    }
    int r = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL && r == 0; entry = readdir(folder)) {
        uint64_t number;
        if (spool_segment_number(entry->d_name, &number)) {
            r = add(list, number);
        } else if (is_left_over(entry->d_name)) {
            if (list->mends) {
                (void)unlinkat(dir_fd, entry->d_name, 0);
            }
        } else if (!is_ours(entry->d_name)) {
            tell(list, "%s: %.100s is none of a spool's files; left alone", list->path,
                entry->d_name);
        }
    }
    (void)closedir(folder);
    return r;
}

/* Not to be read as a segment of this spool: out of the way, for its records may be wanted. */
static void put_aside(struct spool_list *list, int dir_fd, const char *name, const char *what)
{
    int r = list->mends ? spool_set_aside_file(dir_fd, name) : 0;
    tell(list, "%s: segment %s %s%s%s", list->path, name, what,
        !list->mends ? ""
        : r == 0     ? "; moved to damaged/"
                     : "; cannot be moved to damaged/: ",
        r == 0 ? "" : strerror(-r));
}

/* Nobody of this version can say what is damage in it: nothing of it is touched. */
static int leave_alone(struct spool_list *list)
{
    tell(list, "%s: written by a later yarder, which alone can read it; left as it is", list->path);
    return -EPROTONOSUPPORT;
}

/* Nothing was ever stored in it: killed between making it and writing its head. */
static bool is_empty(int fd, uint64_t file_bytes)
{
    char block[1024];
    if (file_bytes > SPOOL_HEAD_BYTES) {
        return false;
    }
    ssize_t got = spool_read_all(fd, block, sizeof(block), 0);
    for (ssize_t i = 0; i < got; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return got >= 0;
}

/*
 * 1: it belongs to the list, its words are set; 0: it does not; -errno. A head that is damaged
 * costs nothing but what it says: `first` stays UINT64_MAX.
 */
static int read_segment(struct spool_list *list, int dir_fd, struct spool_segment *segment)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    YARDER_OWN_FD int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat seen;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
        return -errno;
    }
    if (fd < 0 && errno == ENOENT) {
        return 0; /* answered, and gone since its name was read */
    }
    if (fd < 0 || fstat(fd, &seen) < 0 || !S_ISREG(seen.st_mode)) {
        put_aside(list, dir_fd, name, fd < 0 ? strerror(errno) : "is no regular file");
        return 0;
    }
    segment->file_bytes = segment->data_end = (uint64_t)seen.st_size;
    segment->first = UINT64_MAX;
    segment->created_ns = seen.st_mtim.tv_sec * INT64_C(1000000000);
    struct spool_head head;
    struct spool_foot foot;
    int r = spool_head_read(fd, segment->number, &head, &foot);
    if (r == -EPROTONOSUPPORT) {
        return leave_alone(list);
    }
    if (r == -EBADMSG && is_empty(fd, segment->file_bytes)) {
        if (list->mends) {
            (void)unlinkat(dir_fd, name, 0);
        }
        return 0;
    }
    if (r == -EBADMSG) {
        tell(list, "%s: the head of segment %s is damaged; what is sound behind it is delivered",
            list->path, name);
        return 1;
    }
    if (r < 0) {
        put_aside(list, dir_fd, name, strerror(-r));
        return 0;
    }
    if (list->spool_id == 0) {
        list->spool_id = head.spool_id;
    }
    if (head.spool_id != list->spool_id) {
        put_aside(list, dir_fd, name, "belongs to another spool");
        return 0;
    }
    segment->first = head.first;
    segment->before = head.before;
    segment->created_ns = head.created_ns;
    segment->recycled = head.recycled != 0;
    if (foot.magic != 0) {
        segment->finished = true;
        segment->records = foot.records;
        segment->last = foot.last;
        segment->data_end = yarder_min(foot.data_end, segment->file_bytes);
    }
    return 1;
}

/* What the ack has left behind: killed between writing it and unlinking. */
static bool is_answered(const struct spool_list *list, uint64_t number)
{
    return list->ack_found &&
           (number < list->ack.segment ||
               (number > list->ack.segment && number <= list->ack.dropped_through));
}

/* Was not closed properly: what is sound of it, and where that ends. */
static int scan_segment(struct spool_list *list, int dir_fd, struct spool_segment *segment)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    int flags = (list->mends ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW;
    YARDER_OWN_FD int fd = openat(dir_fd, name, flags);
    struct spool_scan scan;
    int r = fd < 0 ? -errno : spool_scan(list->walk, fd, segment, &scan);
    if (r < 0) {
        return r;
    }
    segment->records = scan.sound + scan.missing;
    segment->data_end = scan.sound_end;
    segment->last = scan.last;
    if (!list->mends) {
        return 0;
    }
    if (scan.tail_bytes > 0 && !scan.tail_zeros && !segment->recycled) {
        r = spool_set_aside(dir_fd, name, scan.sound_end, scan.tail_bytes);
        tell(list, "%s: the last %llu bytes of %s are no whole record and were cut off%s%s",
            list->path, (unsigned long long)scan.tail_bytes, name,
            r == 0 ? "; kept in damaged/" : "; not kept: ", r == 0 ? "" : strerror(-r));
    }
    if (ftruncate(fd, (off_t)segment->data_end) < 0) {
        return -errno;
    }
    segment->file_bytes = segment->data_end;
    segment->finished = true;
    r = spool_foot_write(dir_fd, segment);
    return r < 0 ? r : fdatasync(fd) < 0 ? -errno : 0;
}

/* What heads do not say follows from the segments before, and from the records themselves. */
static int fill_in(struct spool_list *list, int dir_fd)
{
    for (size_t i = 0; i < list->count; i++) {
        struct spool_segment *segment = &list->segments[i];
        if (segment->first == UINT64_MAX) {
            bool at_ack = list->ack_found && list->ack.segment == segment->number;
            segment->first = i > 0    ? segment[-1].first + segment[-1].records
                             : at_ack ? list->ack.index
                                      : 0;
            segment->before = i > 0 ? segment[-1].last : (struct spool_ids){0};
        }
        /* No place could name what is behind. */
        segment->data_end = yarder_min(segment->data_end, SPOOL_SEGMENT_BYTES_MAX);
        int r = segment->finished ? 0 : scan_segment(list, dir_fd, segment);
        if (r < 0) {
            return r;
        }
        const struct spool_segment *next = i + 1 < list->count ? segment + 1 : NULL;
        if (next != NULL && next->number == segment->number + 1 && next->first != UINT64_MAX &&
            next->first >= segment->first) {
            segment->records = next->first - segment->first;
        }
    }
    return 0;
}

static int read_ack(struct spool_list *list, int dir_fd)
{
    YARDER_OWN_FD int fd = openat(dir_fd, "ack", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int r = fd < 0 ? -errno : spool_ack_read(fd, &list->ack);
    if (r == -EPROTONOSUPPORT) {
        return leave_alone(list);
    }
    list->ack_found = r == 0;
    list->spool_id = r == 0 ? list->ack.spool_id : 0;
    return r == 0 || r == -ENOENT || !list->mends ? 0 : r;
}

int spool_list_read(struct spool_list *list, int dir_fd)
{
    int r = read_ack(list, dir_fd);
    if (r == 0) {
        r = read_names(list, dir_fd);
    }
    if (r < 0) {
        return r;
    }
    if (list->count > 0) {
        qsort(list->segments, list->count, sizeof(list->segments[0]), by_number);
    }
    size_t kept = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct spool_segment segment = list->segments[i];
        if (is_answered(list, segment.number)) {
            char name[SPOOL_FILE_NAME_BYTES];
            spool_segment_name(segment.number, name);
            if (list->mends && unlinkat(dir_fd, name, 0) < 0) {
                tell(list, "%s: %s is answered and cannot be removed: %s", list->path, name,
                    strerror(errno));
            }
            continue;
        }
        r = read_segment(list, dir_fd, &segment);
        if (r < 0) {
            return r;
        }
        if (r > 0) {
            list->segments[kept++] = segment;
        }
    }
    list->count = kept;
    if (!list->ack_found && kept > 0) {
        tell(list, "%s: its ack file is missing or damaged; everything in it is delivered again",
            list->path);
    }
    return fill_in(list, dir_fd);
}

void spool_list_free(struct spool_list *list)
{
    free(list->segments);
    list->segments = NULL;
    list->count = list->room = 0;
}
