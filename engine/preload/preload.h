/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What LD_PRELOAD puts between a program and libc: its log descriptors go to the ring.
 *
 *   write, writev ---+
 *   stdio's streams -+-> owned.c: is it the log's pipe? --yes--> lines.c --> ring
 *                                  |                                |  no room, no daemon
 *                                  no                               v
 *                                  +------------------------> libc's own call
 *   syslog -> log.c -> ring, or libc's own
 *
 * A descriptor is the log's while it is one of the two pipes that `yarder exec` made. All that is
 * known of a process lies in a page that a forked child reads as zeros; a child of vfork, which
 * runs in its parent's memory, neither reads nor changes it. Nothing is ever lost here: what the
 * ring does not take goes where it went before.
 */
#ifndef YARDER_PRELOAD_PRELOAD_H
#define YARDER_PRELOAD_PRELOAD_H

#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <wchar.h>

#include "preload/lines.h"

#define PRELOAD_CALL __attribute__((visibility("default")))

/* libc's own, or those of a library that was preloaded behind us. */
struct real {
    int (*close)(int);
    int (*close_range)(unsigned, unsigned, int);
    void (*closefrom)(int);
    void (*closelog)(void);
    int (*daemon)(int, int);
    int (*dup2)(int, int);
    int (*dup3)(int, int, int);
    int (*fclose)(FILE *);
    int (*fflush)(FILE *);
    int (*fflush_unlocked)(FILE *);
    FILE *(*freopen)(const char *, const char *, FILE *);
    FILE *(*freopen64)(const char *, const char *, FILE *);
    void (*openlog)(const char *, int, int);
    int (*setlogmask)(int);
    int (*vdprintf_chk)(int, int, const char *, va_list);
    void (*vsyslog)(int, const char *, va_list);
    ssize_t (*writev)(int, const struct iovec *, int);
    wint_t (*fputwc)(wchar_t, FILE *);
    wint_t (*fputwc_unlocked)(wchar_t, FILE *);
    int (*fputws)(const wchar_t *, FILE *);
    int (*fputws_unlocked)(const wchar_t *, FILE *);
    int (*fwide)(FILE *, int);
    int (*vfwprintf)(FILE *, const wchar_t *, va_list);
    int (*vfwprintf_chk)(FILE *, int, const wchar_t *, va_list);
    ssize_t (*write)(int, const void *, size_t); /* the last that is found */
};
extern struct real real_found;
void real_find(void);

static inline const struct real *real(void)
{
    /* acquire: the others are stored before; other libraries' constructors may call us first */
    if (YARDER_UNLIKELY(__atomic_load_n(&real_found.write, __ATOMIC_ACQUIRE) == NULL)) {
        real_find();
    }
    return &real_found;
}

/* The two pipes, as `yarder exec` names them in the environment. */
struct preload_pipes {
    uint64_t device[2], inode[2]; /* of stdout's lines, of stderr's */
};

/* False: everything goes to libc. */
bool owned_begin(const struct preload_pipes *pipes);
/* Which of the log's streams is written to by this descriptor; YARDER_STREAM_NONE: it is another's.
 */
enum yarder_stream owned_stream(int fd);
/* This descriptor may be something else by now. */
void owned_forget(int fd);
void owned_forget_range(unsigned first, unsigned last);

/* Of this process, per stream; a forked child begins anew. */
struct road {
    struct line line;
    uint32_t pipe_open; /* a line is under way in the pipe: its end goes there, too */
};
struct road *owned_road(enum yarder_stream stream);
/* How many there were, up to WRITES_OF_A_CHILD: see calls.c. */
enum { WRITES_OF_A_CHILD = 2 };
uint32_t *owned_writes(void);

/* As write(2), through the ring where it is the log's. */
ssize_t preload_write(int fd, const void *bytes, size_t bytes_count);

/* Pages, where malloc must not be called; NULL: none. errno is kept. */
void *preload_memory(size_t bytes);
void preload_memory_free(void *memory, size_t bytes);

/* Takes the places of stdout and stderr where they are the log's. */
void stdio_begin(void);
/* libc's own stream in the place of one of ours, which is given up for good: wide characters. */
FILE *stdio_plain(FILE *stream);

extern bool preload_ready;    /* set once, when the library was loaded */
extern uint8_t preload_level; /* of lines */

/* Whether we are a child of vfork, in our parent's memory. */
bool vfork_child(void);

#endif
