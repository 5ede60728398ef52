/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/spool_check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "queue/spool_disk.h"

static void tell(const struct spool_check_options *options, const char *format, ...)
    YARDER_PRINTF(2, 3);
static void tell(const struct spool_check_options *options, const char *format, ...)
{
    char line[SPOOL_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (options->tell != NULL) {
        options->tell(options->owner, line);
    }
}

/* A spool that is looked at. */
struct look {
    const struct spool_check_options *options;
    char path[SPOOL_PATH_BYTES_MAX];
    int dir_fd;
    struct spool_walk walk;
    struct spool_list list;
};

static void look_close(struct look *look)
{
    yarder_fd_drop(&look->dir_fd);
    spool_walk_close(&look->walk);
    spool_list_free(&look->list);
}
#define OWN_LOOK __attribute__((cleanup(look_close)))

static int look_open(struct look *look, bool mends)
{
    const struct spool_check_options *options = look->options;
    (void)snprintf(
        look->path, sizeof(look->path), "%s/spool/%s", options->state_dir, options->folder);
    look->dir_fd = open(look->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (look->dir_fd < 0) {
        return -errno;
    }
    int r = spool_walk_open(&look->walk);
    look->list = (struct spool_list){.mends = mends,
        .walk = &look->walk,
        .tell = options->tell,
        .owner = options->owner,
        .path = look->path};
    return r;
}

static uint32_t count_aside(int dir_fd)
{
    int fd = openat(dir_fd, "damaged", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (folder == NULL) {
        yarder_fd_drop(&fd);
        return 0;
    }
    uint32_t files = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        files += entry->d_name[0] != '.';
    }
    (void)closedir(folder);
    return files;
}

static int64_t who_has(int dir_fd)
{
    char text[32] = "";
    YARDER_OWN_FD int fd = openat(dir_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
        return 0; /* closing it gives the lock back */
    }
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);
    text[got < 0 ? 0 : got] = '\0';
    return strtol(text, NULL, 10);
}

/* From the place on: 0, or the offset in this segment. */
static uint64_t from_of(const struct look *look, const struct spool_segment *segment)
{
    const struct spool_ack *ack = &look->list.ack;
    bool here = look->list.ack_found && ack->segment == segment->number;
    return here ? ack->offset : SPOOL_HEAD_BYTES;
}

static int open_segment(const struct look *look, const struct spool_segment *segment)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    int fd = openat(look->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

/* When the first record that is left was received. */
static int64_t first_time(struct look *look)
{
    for (size_t i = 0; i < look->list.count; i++) {
        const struct spool_segment *segment = &look->list.segments[i];
        YARDER_OWN_FD int fd = open_segment(look, segment);
        struct spool_stretch stretch;
        struct pack_head head;
        if (fd < 0) {
            continue;
        }
        spool_walk_begin(&look->walk, fd, segment);
        look->walk.at = yarder_min(from_of(look, segment), look->walk.end);
        while (spool_walk_next(&look->walk, 1, &stretch) == 0) {
            if (stretch.records > 0) {
                memcpy(&head, stretch.bytes, sizeof(head));
                return head.received_ns;
            }
        }
    }
    return 0;
}

static int read_segment(
    struct look *look, const struct spool_segment *segment, struct spool_report *out)
{
    YARDER_OWN_FD int fd = open_segment(look, segment);
    if (fd < 0) {
        return fd;
    }
    struct spool_scan scan;
    int r = spool_scan(&look->walk, fd, segment, &scan);
    if (r < 0) {
        return r;
    }
    uint64_t bad = scan.bad_bytes + (segment->finished ? scan.tail_bytes : 0);
    uint64_t missing = yarder_max(segment->records, scan.sound) - scan.sound;
    out->sound += scan.sound;
    out->missing += missing;
    out->bad_bytes += bad;
    if (bad + missing > 0) {
        out->bad_segments++;
        tell(look->options,
            "%s: segment %016llx: %llu sound records, %llu missing, %llu bytes "
            "that are none",
            look->path, (unsigned long long)segment->number, (unsigned long long)scan.sound,
            (unsigned long long)missing, (unsigned long long)bad);
    }
    return 0;
}

int spool_check(struct spool_report *out, const struct spool_check_options *options)
{
    OWN_LOOK struct look look = {.options = options, .dir_fd = -1};
    *out = (struct spool_report){0};
    int r = look_open(&look, false);
    if (r == 0) {
        r = spool_list_read(&look.list, look.dir_fd);
    }
    if (r < 0) {
        return r;
    }
    const struct spool_list *list = &look.list;
    uint64_t index = list->ack_found   ? list->ack.index + list->ack.dropped_ahead
                     : list->count > 0 ? list->segments[0].first
                                       : 0;
    uint64_t stored = index;
    out->totals = list->ack_found ? list->ack.totals : (struct spool_totals){0};
    out->no_ack = !list->ack_found && list->count > 0;
    out->segments = (uint32_t)list->count;
    out->aside = count_aside(look.dir_fd);
    out->process = who_has(look.dir_fd);
    for (size_t i = 0; i < list->count && r == 0; i++) {
        const struct spool_segment *segment = &list->segments[i];
        out->missing += i > 0 && segment->first > stored ? segment->first - stored : 0;
        out->bytes += segment->file_bytes;
        stored = yarder_max(stored, segment->first + segment->records);
        r = options->reads ? read_segment(&look, segment, out) : 0;
    }
    out->records = stored - index;
    out->first_ns = out->records > 0 ? first_time(&look) : 0;
    return r;
}

/* From walk->at on. */
static int visit(struct spool_walk *walk, spool_visitor *each, void *owner)
{
    struct spool_stretch stretch;
    int r;
    while ((r = spool_walk_next(walk, SPOOL_READ_BYTES, &stretch)) == 0) {
        r = stretch.records == 0 ? 0
                                 : each(owner, stretch.bytes, stretch.bytes_count, stretch.records);
        if (r != 0) {
            return r;
        }
    }
    return r == -ENODATA ? 0 : r;
}

int spool_visit(const struct spool_check_options *options, spool_visitor *each, void *owner)
{
    OWN_LOOK struct look look = {.options = options, .dir_fd = -1};
    int r = look_open(&look, false);
    if (r == 0) {
        r = spool_list_read(&look.list, look.dir_fd);
    }
    for (size_t i = 0; i < look.list.count && r == 0; i++) {
        const struct spool_segment *segment = &look.list.segments[i];
        YARDER_OWN_FD int fd = open_segment(&look, segment);
        if (fd >= 0) { /* else answered, and removed meanwhile */
            spool_walk_begin(&look.walk, fd, segment);
            look.walk.at = yarder_min(from_of(&look, segment), look.walk.end);
            r = visit(&look.walk, each, owner);
        }
    }
    return r;
}

int spool_visit_file(int fd, spool_visitor *each, void *owner)
{
    struct stat seen;
    struct spool_walk walk;
    if (fstat(fd, &seen) < 0) {
        return -errno;
    }
    int r = spool_walk_open(&walk);
    if (r < 0) {
        return r;
    }
    /* Its own head, if it has one, is passed over as what is no record. */
    const struct spool_segment segment = {.data_end = (uint64_t)seen.st_size};
    spool_walk_begin(&walk, fd, &segment);
    walk.at = 0;
    r = visit(&walk, each, owner);
    spool_walk_close(&walk);
    return r;
}

/* All sound records of a segment, to the same place of another file; *end: where they end. */
static int copy_sound(struct look *look, const struct spool_segment *segment, int from, int to,
    uint64_t *from_offset, uint64_t *end)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    uint64_t place = from_of(look, segment);
    struct spool_stretch stretch;
    int r;
    *end = SPOOL_HEAD_BYTES;
    *from_offset = 0;
    spool_walk_begin(&look->walk, from, segment);
    while ((r = spool_walk_next(&look->walk, SPOOL_READ_BYTES, &stretch)) == 0) {
        if (stretch.records == 0) {
            r = stretch.zeros
                    ? 0
                    : spool_set_aside(look->dir_fd, name, stretch.at, stretch.bytes_count);
            if (r < 0) {
                return r; /* nothing is thrown away that could not be kept */
            }
            continue;
        }
        if (*from_offset == 0 && stretch.at + stretch.bytes_count > place) {
            *from_offset = *end + (place > stretch.at ? place - stretch.at : 0);
        }
        r = spool_write_all(to, stretch.bytes, stretch.bytes_count, *end);
        if (r < 0) {
            return r;
        }
        *end += stretch.bytes_count;
    }
    look->walk.fd = -1;
    *from_offset = *from_offset == 0 ? *end : *from_offset;
    return r == -ENODATA ? 0 : r;
}

/* The place moves with the bytes before it. Written before the segment is put in its place: an ack
 * that lags behind costs doubles, one ahead would cost records. */
static int move_place(struct look *look, uint64_t offset)
{
    YARDER_OWN_FD int fd = openat(look->dir_fd, "ack", O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    struct spool_ack ack = look->list.ack;
    ack.offset = offset;
    int r = fd < 0 ? -errno : 0;
    for (int slot = 0; slot < 2 && r == 0; slot++) {
        ack.generation++;
        spool_ack_seal(&ack);
        r = spool_write_all(fd, &ack, sizeof(ack), ack.generation % 2 * SPOOL_HEAD_BYTES);
    }
    look->list.ack = ack;
    return r < 0 ? r : fdatasync(fd) < 0 ? -errno : 0;
}

/* Writes the segment anew beside the old one and puts it in its place. */
static int mend(struct look *look, const struct spool_segment *segment, int from)
{
    char name[SPOOL_FILE_NAME_BYTES];
    char made[SPOOL_FILE_NAME_BYTES];
    char block[SPOOL_HEAD_BYTES] = {0};
    spool_segment_name(segment->number, name);
    (void)snprintf(made, sizeof(made), "%.16s.mend", name);
    YARDER_OWN_FD int to =
        openat(look->dir_fd, made, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct spool_segment again = *segment;
    struct spool_head head;
    uint64_t place = 0;
    again.recycled = false;
    spool_head_make(&head, look->list.spool_id, &again);
    memcpy(block, &head, sizeof(head));
    int r = to < 0 ? -errno : spool_write_all(to, block, sizeof(block), 0);
    if (r == 0) {
        r = copy_sound(look, segment, from, to, &place, &again.data_end);
    }
    if (r == 0 && fdatasync(to) < 0) {
        r = -errno;
    }
    if (r == 0 && place < from_of(look, segment)) {
        r = move_place(look, place);
    }
    if (r == 0 && renameat(look->dir_fd, made, look->dir_fd, name) < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = spool_foot_write(look->dir_fd, &again);
    }
    return r < 0 ? r : fsync(look->dir_fd) < 0 ? -errno : 0;
}

static int repair_segment(struct look *look, const struct spool_segment *segment, uint32_t *mended)
{
    struct spool_scan scan;
    YARDER_OWN_FD int fd = open_segment(look, segment);
    int r = fd < 0 ? fd : spool_scan(&look->walk, fd, segment, &scan);
    if (r < 0 || scan.bad_bytes + scan.tail_bytes == 0) {
        return r;
    }
    r = mend(look, segment, fd);
    if (r == 0) {
        ++*mended;
        tell(look->options, "%s: segment %016llx is whole again: %llu records", look->path,
            (unsigned long long)segment->number, (unsigned long long)scan.sound);
    }
    return r;
}

int spool_repair(const struct spool_check_options *options, uint32_t *mended)
{
    OWN_LOOK struct look look = {.options = options, .dir_fd = -1};
    *mended = 0;
    int r = look_open(&look, true);
    if (r < 0) {
        return r;
    }
    YARDER_OWN_FD int lock_fd =
        openat(look.dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock_fd < 0 || flock(lock_fd, LOCK_EX | LOCK_NB) < 0) {
        return errno == EWOULDBLOCK ? -EAGAIN : -errno;
    }
    r = spool_list_read(&look.list, look.dir_fd);
    for (size_t i = 0; i < look.list.count && r == 0; i++) {
        r = repair_segment(&look, &look.list.segments[i], mended);
    }
    return r;
}

static int is_folder(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int spool_folders(const char *state_dir, void (*each)(void *owner, const char *folder), void *owner)
{
    char path[SPOOL_PATH_BYTES_MAX];
    struct dirent **entries = NULL;
    (void)snprintf(path, sizeof(path), "%s/spool", state_dir);
    int count = scandir(path, &entries, is_folder, alphasort);
    if (count < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    for (int i = 0; i < count; i++) {
        each(owner, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return 0;
}

static int digit_of(char byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

void spool_name_of_folder(const char *folder, char *at, size_t room)
{
    size_t used = 0;
    for (const char *from = folder; *from != '\0' && used + 1 < room; from++) {
        bool coded = *from == '%' && digit_of(from[1]) >= 0 && digit_of(from[2]) >= 0;
        at[used++] = coded ? (char)(digit_of(from[1]) * 16 + digit_of(from[2])) : *from;
        from += coded ? 2 : 0;
    }
    at[used] = '\0';
}
