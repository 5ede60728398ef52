/* SPDX-License-Identifier: Apache-2.0 */
#include "control/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <string.h>

enum { BLOCK_BYTES = 16 << 10 };

struct arena_block {
    struct arena_block *next;
    size_t used_bytes;
    size_t size_bytes;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *arena, size_t budget_bytes)
{
    *arena = (struct arena){.budget_bytes = budget_bytes};
}

void arena_deinit(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}

static struct arena_block *block_add(struct arena *arena, size_t bytes)
{
    size_t size_bytes = yarder_max(bytes, BLOCK_BYTES);
    struct arena_block *block = calloc(1, sizeof(*block) + size_bytes);
    if (block == NULL) {
        return NULL;
    }
    block->size_bytes = size_bytes;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *arena_take(struct arena *arena, size_t bytes)
{
    if (bytes > arena->budget_bytes) {
        arena->failed = true;
        return NULL;
    }
    size_t taken_bytes = yarder_align_up(bytes, alignof(max_align_t));
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->size_bytes - block->used_bytes < taken_bytes) {
        block = block_add(arena, taken_bytes);
    }
    if (block == NULL) {
        arena->failed = true;
        return NULL;
    }
    void *taken = block->bytes + block->used_bytes;
    block->used_bytes += taken_bytes;
    arena->budget_bytes -= yarder_min(taken_bytes, arena->budget_bytes);
    return taken;
}

char *arena_text(struct arena *arena, const char *at, size_t length)
{
    static char nothing[1];
    char *text = arena_take(arena, length + 1);
    if (text == NULL) {
        return nothing;
    }
    if (length > 0) {
        memcpy(text, at, length);
    }
    return text;
}

char *arena_format(struct arena *arena, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *formatted = NULL;
    int length = vasprintf(&formatted, format, list);
    va_end(list);
    if (length < 0) {
        arena->failed = true;
        return arena_text(arena, NULL, 0);
    }
    char *text = arena_text(arena, formatted, (size_t)length);
    free(formatted);
    return text;
}

void arena_append(struct arena *arena, struct yarder_texts *texts, char *text)
{
    bool full = (texts->count & (texts->count - 1)) == 0; /* at 0, 1, 2, 4, 8 ... */
    if (full) {
        size_t room = texts->count == 0 ? 1 : (size_t)texts->count * 2;
        char **grown = arena_take(arena, room * sizeof(*grown));
        if (grown == NULL) {
            return;
        }
        if (texts->count > 0) {
            memcpy(grown, texts->at, texts->count * sizeof(*grown));
        }
        texts->at = grown;
    }
    texts->at[texts->count++] = text;
}
