/* SPDX-License-Identifier: Apache-2.0 */
/* What a router takes while it is built: blocks on one list, freed together with the router. */
#ifndef YARDER_ROUTE_MEMORY_H
#define YARDER_ROUTE_MEMORY_H

#include <string.h>

#include "base/base.h"

struct memory {
    struct memory *next;
    max_align_t bytes[];
};

/* Zeroed, of any size; NULL: none left. */
static inline void *memory_take(struct memory **list, size_t count, size_t bytes)
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, bytes, &total) ||
        __builtin_add_overflow(total, sizeof(struct memory), &total)) {
        return NULL;
    }
    struct memory *block = calloc(1, total);
    if (block == NULL) {
        return NULL;
    }
    block->next = *list;
    *list = block;
    return block->bytes;
}

static inline char *memory_copy(struct memory **list, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = memory_take(list, bytes, 1);
    return copy == NULL ? NULL : memcpy(copy, text, bytes);
}

static inline void memory_free(struct memory **list)
{
    while (*list != NULL) {
        struct memory *block = *list;
        *list = block->next;
        free(block);
    }
}

#endif
