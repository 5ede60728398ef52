/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that lives and goes together: settings and the configuration built of them. A refusal
 * (no memory, or over the budget) is sticky in `failed` and answered at the end, once: until then
 * texts that could not be had are empty ones, so callers need not ask at each step.
 */
#ifndef YARDER_CONTROL_ARENA_H
#define YARDER_CONTROL_ARENA_H

#include "api/option.h"
#include "base/base.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t budget_bytes; /* what may still be taken */
    bool failed;
};

void arena_init(struct arena *arena, size_t budget_bytes);
void arena_deinit(struct arena *arena);

/* Zeroed memory, aligned for anything; NULL and `failed` when it cannot be had. */
void *arena_take(struct arena *arena, size_t bytes);

/* A terminated copy; an empty text (never NULL) when it cannot be had. */
char *arena_text(struct arena *arena, const char *at, size_t length);
char *arena_format(struct arena *arena, const char *format, ...) YARDER_PRINTF(2, 3);

/* Appends to a list that grows by doubling. */
void arena_append(struct arena *arena, struct yarder_texts *texts, char *text);

#endif
