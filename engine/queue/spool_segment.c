/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files: names, heads and feet, and the folder for what is no part of a spool. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>

#include "base/checksum.h"
#include "queue/spool_disk.h"

enum {
    ASIDE_FILES_MAX = 64,
    ASIDE_BYTES_MAX = 16 << 20, /* of one stretch; what is longer is kept up to here */
};

static const char segment_suffix[] = ".seg";

void spool_segment_name(uint64_t number, char *name)
{
    (void)snprintf(
        name, SPOOL_FILE_NAME_BYTES, "%016llx%s", (unsigned long long)number, segment_suffix);
}

bool spool_segment_number(const char *name, uint64_t *number)
{
    char again[SPOOL_FILE_NAME_BYTES];
    uint64_t read = strtoull(name, NULL, 16);
    spool_segment_name(read, again);
    if (strcmp(name, again) != 0 || read == 0 || read > SPOOL_NUMBER_MAX) {
        return false;
    }
    *number = read;
    return true;
}

void spool_folder_name(const char *name, char *at, size_t room)
{
    static const char digits[] = "0123456789ABCDEF";
    YARDER_ASSERT(room > 3);
    size_t used = 0;
    for (const char *from = name; *from != '\0' && used + 4 <= room; from++) {
        unsigned char byte = (unsigned char)*from;
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || byte == '_' || byte == '-' ||
                     (byte == '.' && from != name);
        if (plain) {
            at[used++] = (char)byte;
            continue;
        }
        at[used++] = '%';
        at[used++] = digits[byte >> 4];
        at[used++] = digits[byte & 15];
    }
    at[used] = '\0';
}

void spool_head_make(
    struct spool_head *head, uint64_t spool_id, const struct spool_segment *segment)
{
    memset(head, 0, sizeof(*head));
    head->magic = SPOOL_HEAD_MAGIC;
    head->version = SPOOL_VERSION;
    head->recycled = segment->recycled;
    head->spool_id = spool_id;
    head->number = segment->number;
    head->first = segment->first;
    head->before = segment->before;
    head->created_ns = segment->created_ns;
    head->crc = checksum_crc32c(head, offsetof(struct spool_head, crc));
}

/* 0, -EPROTONOSUPPORT or -EBADMSG. */
static int judge_head(const struct spool_head *head, uint64_t number)
{
    if (head->magic != SPOOL_HEAD_MAGIC ||
        head->crc != checksum_crc32c(head, offsetof(struct spool_head, crc))) {
        return -EBADMSG;
    }
    if (head->version > SPOOL_VERSION) {
        return -EPROTONOSUPPORT;
    }
    return head->version == SPOOL_VERSION && head->number == number &&
                   head->first <= SPOOL_INDEX_MAX
               ? 0
               : -EBADMSG;
}

static bool foot_is_good(const struct spool_foot *foot, uint64_t number)
{
    return foot->magic == SPOOL_FOOT_MAGIC && foot->number == number &&
           foot->data_end >= SPOOL_HEAD_BYTES &&
           foot->records <= foot->data_end / PACK_UNIT_BYTES &&
           foot->crc == checksum_crc32c(foot, offsetof(struct spool_foot, crc));
}

int spool_head_read(int fd, uint64_t number, struct spool_head *head, struct spool_foot *foot)
{
    memset(foot, 0, sizeof(*foot));
    ssize_t got = spool_read_all(fd, head, sizeof(*head), 0);
    if (got < 0) {
        return (int)got;
    }
    int r = got == (ssize_t)sizeof(*head) ? judge_head(head, number) : -EBADMSG;
    if (r < 0) {
        return r;
    }
    got = spool_read_all(fd, foot, sizeof(*foot), SPOOL_FOOT_AT);
    if (got < 0) {
        return (int)got;
    }
    if (got != (ssize_t)sizeof(*foot) || !foot_is_good(foot, number)) {
        memset(foot, 0, sizeof(*foot));
    }
    return 0;
}

int spool_foot_write(int dir_fd, const struct spool_segment *segment)
{
    struct spool_foot foot = {.magic = SPOOL_FOOT_MAGIC,
        .number = segment->number,
        .records = segment->records,
        .data_end = segment->data_end,
        .last = segment->last};
    foot.crc = checksum_crc32c(&foot, offsetof(struct spool_foot, crc));
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    YARDER_OWN_FD int fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : spool_write_all(fd, &foot, sizeof(foot), SPOOL_FOOT_AT);
}

int spool_write_all(int fd, const void *bytes, size_t bytes_count, uint64_t at)
{
    for (size_t done = 0; done < bytes_count;) {
        ssize_t written =
            pwrite(fd, (const char *)bytes + done, bytes_count - done, (off_t)(at + done));
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? -errno : -EIO;
        }
        done += (size_t)written;
    }
    return 0;
}

ssize_t spool_read_all(int fd, void *at, size_t room, uint64_t offset)
{
    size_t done = 0;
    while (done < room) {
        ssize_t got = pread(fd, (char *)at + done, room - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -errno;
        }
        done += (size_t)got;
        if (got == 0 || done % SPOOL_HEAD_BYTES != 0) {
            break; /* the end: where it is not aligned, O_DIRECT must not be asked again */
        }
    }
    return (ssize_t)done;
}

/* damaged/ of the spool, while it has less than enough files. */
static int aside_open(int dir_fd)
{
    if (mkdirat(dir_fd, "damaged", 0700) < 0 && errno != EEXIST) {
        return -errno;
    }
    YARDER_OWN_FD int fd = openat(dir_fd, "damaged", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int listed_fd = fd < 0 ? -1 : openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = listed_fd < 0 ? NULL : fdopendir(listed_fd);
    if (folder == NULL) {
        int error = -errno;
        yarder_fd_drop(&listed_fd);
        return error;
    }
    unsigned files = 0;
    while (readdir(folder) != NULL) {
        files++;
    }
    (void)closedir(folder);
    return files > ASIDE_FILES_MAX ? -ENOSPC : yarder_fd_take(&fd);
}

int spool_set_aside(int dir_fd, const char *name, uint64_t at, uint64_t bytes_count)
{
    YARDER_OWN_FD int aside_fd = aside_open(dir_fd);
    if (aside_fd < 0) {
        return aside_fd;
    }
    YARDER_OWN_FD int from = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0) {
        return -errno;
    }
    char to_name[SPOOL_FILE_NAME_BYTES * 2];
    (void)snprintf(to_name, sizeof(to_name), "%.16s-%llu", name, (unsigned long long)at);
    YARDER_OWN_FD int to =
        openat(aside_fd, to_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (to < 0) {
        return -errno;
    }
    off_t offset = (off_t)at;
    for (uint64_t left = yarder_min(bytes_count, ASIDE_BYTES_MAX); left > 0;) {
        ssize_t sent = sendfile(to, from, &offset, left);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return sent < 0 ? -errno : 0; /* the file ends before: there is no more to keep */
        }
        left -= (uint64_t)sent;
    }
    return 0;
}

int spool_set_aside_file(int dir_fd, const char *name)
{
    YARDER_OWN_FD int aside_fd = aside_open(dir_fd);
    if (aside_fd < 0) {
        return aside_fd;
    }
    char to_name[SPOOL_FILE_NAME_BYTES * 2];
    (void)snprintf(to_name, sizeof(to_name), "%.20s-%llu", name, (unsigned long long)time(NULL));
    return renameat(dir_fd, name, aside_fd, to_name) < 0 ? -errno : 0;
}
