/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libc's stdout and stderr write from deep inside libc, where no call of ours is passed. So
 * streams of ours take their places, that write by preload_write; they have the same buffering
 * and the same descriptor. Wide characters are beyond such a stream: see wide.c.
 */
#include <errno.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "preload/preload.h"

enum { LIBC_UNBUFFERED = 2 /* in _flags of a glibc stream */ };

static struct place {
    FILE **variable; /* stdout or stderr itself */
    FILE *plain;     /* libc's own */
    FILE *ours;      /* NULL: it did not come to that, or is given up */
    int fd;          /* -1: closed */
} places[2];

/* As libc's: until all is written or an error came; what was written by then. */
static ssize_t put(void *cookie, const char *bytes, size_t bytes_count)
{
    const struct place *place = cookie;
    size_t done = 0;
    while (done < bytes_count) {
        ssize_t written = preload_write(place->fd, bytes + done, bytes_count - done);
        if (written < 0) {
            break;
        }
        done += (size_t)written;
    }
    return (ssize_t)done;
}

static int seek(void *cookie, off64_t *offset, int whence)
{
    (void)cookie, (void)offset, (void)whence;
    errno = ESPIPE;
    return -1;
}

/* What lies in libc's own: from before ours came, by who kept it, or wide characters. */
static int flush_plain(const struct place *place)
{
    FILE *plain = place->plain;
    flockfile(plain);
    bool is_narrow = real()->fwide(plain, 0) <= 0 && __fpending(plain) > 0;
    uint32_t open = is_narrow && plain->_IO_write_ptr[-1] != '\n';
    int result = real()->fflush_unlocked(plain);
    enum yarder_stream stream = is_narrow ? owned_stream(place->fd) : YARDER_STREAM_NONE;
    if (stream != YARDER_STREAM_NONE) {
        __atomic_store_n(&owned_road(stream)->pipe_open, open, __ATOMIC_RELAXED);
    }
    funlockfile(plain);
    return result;
}

static void replace(struct place *place, FILE **variable, int fd)
{
    FILE *plain = *variable;
    if (plain == NULL || fileno(plain) != fd || real()->fwide(plain, 0) > 0 ||
        owned_stream(fd) == YARDER_STREAM_NONE) {
        return;
    }
    const cookie_io_functions_t calls = {.write = put, .seek = seek};
    FILE *ours = fopencookie(place, "w", calls);
    if (ours == NULL) {
        return;
    }
    if (__flbf(plain) != 0) {
        (void)setvbuf(ours, NULL, _IOLBF, 0);
    } else if (fd == STDERR_FILENO || (plain->_flags & LIBC_UNBUFFERED) != 0) {
        (void)setvbuf(ours, NULL, _IONBF, 0);
    }
    ours->_fileno = fd; /* what fileno() says */
    *place = (struct place){.variable = variable, .plain = plain, .ours = ours, .fd = fd};
    *variable = ours;
    (void)flush_plain(place);
}

void stdio_begin(void)
{
    int error = errno;
    replace(&places[0], &stdout, STDOUT_FILENO);
    replace(&places[1], &stderr, STDERR_FILENO);
    errno = error;
}

static struct place *place_of(const FILE *stream)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(places); i++) {
        if (stream != NULL && places[i].ours == stream) {
            return &places[i];
        }
    }
    return NULL;
}

/* Ours is not freed: somebody may have kept it. What is still written to it goes the same way. */
FILE *stdio_plain(FILE *stream)
{
    const struct place *place = place_of(stream);
    if (place == NULL) {
        return stream;
    }
    if (*place->variable == stream) {
        *place->variable = place->plain;
    }
    (void)real()->fflush(stream);
    return place->plain;
}

/*
 * libc's own is closed, too: what is written to it from now on must reach no later file. Ours is
 * not freed, for std::cout keeps it: it has no buffer now, and each write to it fails with EBADF.
 */
static int close_place(struct place *place)
{
    FILE *ours = place->ours;
    int flushed = real()->fflush(ours);
    int error = errno;
    FILE *plain = stdio_plain(ours);
    place->ours = NULL;
    owned_forget(place->fd);
    int closed = real()->fclose(plain);
    error = closed != 0 ? errno : error;
    owned_forget(place->fd);
    place->fd = -1;
    ours->_fileno = -1;
    (void)setvbuf(ours, NULL, _IONBF, 0);
    errno = error;
    return flushed != 0 ? flushed : closed;
}

static int flush(int (*call)(FILE *), FILE *stream)
{
    int result = 0;
    for (size_t i = 0; stream != NULL && i < YARDER_COUNT_OF(places); i++) {
        const struct place *place = &places[i];
        if (place->ours != NULL && stream == place->ours) {
            result = flush_plain(place);
        } else if (place->ours != NULL && stream == place->plain) {
            result = real()->fflush(place->ours);
        }
    }
    int other = call(stream);
    return other != 0 ? other : result;
}

PRELOAD_CALL int fflush(FILE *stream)
{
    return flush(real()->fflush, stream);
}

PRELOAD_CALL int fflush_unlocked(FILE *stream)
{
    return flush(real()->fflush_unlocked, stream);
}

static int number_of(FILE *stream)
{
    int error = errno;
    int fd = fileno(stream);
    errno = error;
    return fd;
}

PRELOAD_CALL int fclose(FILE *stream)
{
    struct place *place = place_of(stream);
    if (place != NULL) {
        return close_place(place);
    }
    int fd = number_of(stream);
    owned_forget(fd);
    int result = real()->fclose(stream);
    owned_forget(fd);
    return result;
}

static FILE *reopen(FILE *(*call)(const char *, const char *, FILE *), const char *path,
    const char *mode, FILE *stream)
{
    int fd = number_of(stream);
    owned_forget(fd);
    FILE *reopened = call(path, mode, stdio_plain(stream)); /* ours cannot become a file */
    owned_forget(fd);
    return reopened;
}

PRELOAD_CALL FILE *freopen(const char *path, const char *mode, FILE *stream)
{
    return reopen(real()->freopen, path, mode, stream);
}

PRELOAD_CALL FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
    return reopen(real()->freopen64, path, mode, stream);
}
