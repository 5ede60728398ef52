/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ground floor: asserts, ownership guards, and the arithmetic everyone needs. Our own bugs are
 * asserted (and stay asserted in release builds); what comes from the world is validated instead.
 */
#ifndef YARDER_BASE_BASE_H
#define YARDER_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define YARDER_MUST_USE         __attribute__((warn_unused_result))
#define YARDER_PRINTF(at, from) __attribute__((format(printf, at, from)))
#define YARDER_LIKELY(cond)     __builtin_expect(!!(cond), 1)
#define YARDER_UNLIKELY(cond)   __builtin_expect(!!(cond), 0)
#define YARDER_COUNT_OF(array)  (sizeof(array) / sizeof((array)[0]))
#define YARDER_CACHE_LINE       64

/* A bug of ours: says where and aborts. Never for the content of files, sockets or shared memory.
 */
#define YARDER_ASSERT(cond)                                                                        \
    (YARDER_LIKELY(cond) ? (void)0 : yarder_assert_failed(#cond, __FILE__, __LINE__))
__attribute__((noreturn)) void yarder_assert_failed(
    const char *condition, const char *file, int line);

/* A descriptor owned by its scope: closed on every way out, unless taken. */
#define YARDER_OWN_FD __attribute__((cleanup(yarder_fd_drop)))
static inline void yarder_fd_drop(const int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd); /* whoever needs the result of close has synced and checked before */
    }
}
static inline int yarder_fd_take(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

/* Heap memory owned by its scope; only at start and on cold paths. */
#define YARDER_OWN_HEAP __attribute__((cleanup(yarder_heap_drop)))
static inline void yarder_heap_drop(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
static inline void *yarder_heap_take(void *pointer_to_pointer)
{
    void *taken = *(void **)pointer_to_pointer;
    *(void **)pointer_to_pointer = NULL;
    return taken;
}

#define YARDER_OWN_FILE __attribute__((cleanup(yarder_file_drop)))
static inline void yarder_file_drop(FILE **file)
{
    if (*file != NULL) {
        (void)fclose(*file);
    }
}

static inline uint64_t yarder_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
static inline uint64_t yarder_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
/* `unit` is a power of two. */
static inline uint64_t yarder_align_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) & ~(unit - 1);
}

#endif
