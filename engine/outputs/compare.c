/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/compare.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Reads exactly count bytes, or up to the end of the file. */
static int read_at(int fd, char *to, size_t count, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < count) {
        ssize_t r = pread(fd, to + *got, count - *got, (off_t)(offset + *got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return -errno;
        }
        if (r == 0) {
            break;
        }
        *got += (size_t)r;
    }
    return 0;
}

static size_t common_prefix(const char *a, const char *b, size_t count)
{
    enum { STEP = 64 };
    size_t i = 0;
    while (i + STEP <= count && memcmp(a + i, b + i, STEP) == 0) {
        i += STEP;
    }
    while (i < count && a[i] == b[i]) {
        i++;
    }
    return i;
}

/* The largest record end of the batch at or before `bytes`; ends ascend. */
static uint32_t cut_to_record(const struct compare_batch *batch, uint32_t bytes)
{
    uint64_t most = (uint64_t)batch->ends_offset + bytes;
    uint32_t low = 0; /* ends [0, low) are at or before `most` */
    uint32_t high = batch->ends_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (batch->ends[-(ptrdiff_t)(middle + 1)] <= most) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    uint32_t end = low == 0 ? 0 : batch->ends[-(ptrdiff_t)low];
    return end > batch->ends_offset ? end - batch->ends_offset : 0;
}

/*
 * Looks through the window for the longest run of whole records of the batch (or, at the window's
 * end, of its bytes). It can only stand at a line's start.
 */
static void search(const struct compare_batch *batch, const char *window, size_t window_bytes,
    uint64_t window_at, struct compare_result *out)
{
    size_t x = 0;
    while (x < window_bytes) {
        size_t most = yarder_min(window_bytes - x, batch->bytes_count);
        if (most <= out->standing) {
            return; /* nothing longer can follow: this bounds what lines all alike would cost */
        }
        uint32_t run = (uint32_t)common_prefix(window + x, batch->bytes, most);
        bool at_end = run > 0 && x + run == window_bytes;
        uint32_t standing = at_end || run == batch->bytes_count ? run : cut_to_record(batch, run);
        if (standing > out->standing) {
            out->standing = standing;
            out->size = window_at + x + standing;
            out->at_end = at_end;
        }
        if (out->standing == batch->bytes_count) {
            return;
        }
        const char *newline = memchr(window + x, '\n', window_bytes - x);
        if (newline == NULL) {
            return;
        }
        x = (size_t)(newline - window) + 1;
    }
}

static int search_file(int fd, const struct compare_batch *batch, uint64_t begin, uint64_t size,
    struct compare_result *out)
{
    uint64_t from = out->cut ? 0 : begin;
    if (size - from > COMPARE_WINDOW_BYTES) {
        from = size - COMPARE_WINDOW_BYTES;
    }
    size_t window_bytes = (size_t)(size - from);
    YARDER_OWN_HEAP char *window = malloc(window_bytes + 1);
    if (window == NULL) {
        return -ENOMEM;
    }
    int r = read_at(fd, window, window_bytes, from, &window_bytes);
    if (r == 0) {
        search(batch, window, window_bytes, from, out);
    }
    return r;
}

/*
 * Where the batch begins at the earliest. The newline that closes a half line is none of its bytes,
 * though a record may begin with one.
 */
static int begin_of(int fd, const struct compare_batch *batch, uint64_t *begin)
{
    char last = '\n';
    size_t got = 0;
    *begin = batch->expected_size;
    if (!batch->after_half || *begin == 0) {
        return 0;
    }
    int r = read_at(fd, &last, 1, *begin - 1, &got);
    *begin += last != '\n';
    return r;
}

int compare_file(int fd, const struct compare_batch *batch, struct compare_result *out)
{
    struct stat facts;
    if (fstat(fd, &facts) < 0) {
        return -errno;
    }
    uint64_t size = (uint64_t)facts.st_size;
    *out =
        (struct compare_result){.size = size, .at_end = true, .cut = size < batch->expected_size};
    if (size == batch->expected_size) {
        return 0;
    }
    uint64_t begin = 0;
    int r = begin_of(fd, batch, &begin);
    if (r < 0 || size == begin) {
        return r;
    }
    if (!out->cut) {
        size_t added = (size_t)yarder_min(size - begin, batch->bytes_count);
        YARDER_OWN_HEAP char *standing = malloc(added + 1);
        if (standing == NULL) {
            return -ENOMEM;
        }
        size_t got = 0;
        r = read_at(fd, standing, added, begin, &got);
        if (r < 0) {
            return r;
        }
        if (got == added && common_prefix(standing, batch->bytes, added) == added) {
            out->standing = (uint32_t)added;
            out->size = begin + added;
            out->at_end = out->size == size;
            return 0;
        }
    }
    out->at_end = false;
    if (batch->continues) {
        return 0; /* wherever it stands, it does not stand behind the beginning of its record */
    }
    return search_file(fd, batch, begin, size, out);
}
