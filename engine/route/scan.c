/* SPDX-License-Identifier: Apache-2.0 */
/* The pass itself; its tables are made in scan_build.c. */
#include "route/scan.h"

#include <string.h>

enum {
    BLOCK_GRAMS = 8,
    STRIDE_MAX = 8,
    STEPS_FREE = 16,
    STEPS_BYTES = 256, /* a step for each pattern and so many bytes, and one for each pattern */
};

/* Made once for each stride, as a constant: that doubles the speed. */
#define UNROLLED static inline __attribute__((always_inline))

/* The search in one text. A step is a block or an entry looked at, or a pattern set free. */
struct search {
    struct scan *scan;
    struct yarder_text text;
    uint64_t *cannot;
    uint64_t steps_left;
};

static inline uint32_t load_32(const char *at)
{
    uint32_t value = 0;
    memcpy(&value, at, sizeof(value));
    return value;
}
static inline uint64_t load_64(const char *at)
{
    uint64_t value = 0;
    memcpy(&value, at, sizeof(value));
    return value;
}

/* Whether the literal stands at `at`, which has bytes enough. */
static bool is_same(const char *at, const struct literal *literal)
{
    const uint64_t fold = literal->fold ? UINT64_C(0x2020202020202020) : 0;
    const char *bytes = literal->bytes;
    size_t length = literal->length;
    if (length < sizeof(fold)) {
        uint32_t fold_32 = (uint32_t)fold;
        size_t last = length - sizeof(fold_32);
        return (load_32(at) | fold_32) == load_32(bytes) &&
               (load_32(at + last) | fold_32) == load_32(bytes + last);
    }
    size_t last = length - sizeof(fold);
    uint64_t difference = (load_64(at + last) | fold) ^ load_64(bytes + last);
    for (size_t i = 0; i < last && difference == 0; i += sizeof(fold)) {
        difference = (load_64(at + i) | fold) ^ load_64(bytes + i);
    }
    return difference == 0;
}

static bool free_owners(struct search *search, uint32_t index)
{
    struct scan *scan = search->scan;
    const struct scan_literal *literal = &scan->literals[index];
    if (scan->found_at[index] == scan->texts) {
        return true;
    }
    scan->found_at[index] = scan->texts;
    uint32_t owners_count = literal->end - literal->first;
    if (search->steps_left < owners_count) {
        return false;
    }
    search->steps_left -= owners_count;
    for (uint32_t i = literal->first; i < literal->end; i++) {
        uint32_t pattern = scan->owners[i];
        search->cannot[pattern / 64] &= ~(UINT64_C(1) << (pattern % 64));
    }
    return true;
}

static inline uint32_t gram_at(const struct search *search, size_t at)
{
    return load_32(search->text.at + at) | (search->scan->fold ? SCAN_FOLD : 0);
}

/* Whose is the gram at `at`? false: the steps are used up. */
static bool follow_gram(struct search *search, size_t at)
{
    struct scan *scan = search->scan;
    struct yarder_text text = search->text;
    uint32_t gram = gram_at(search, at);
    uint32_t slot = scan_hash(gram) >> scan->slot_shift;
    uint32_t end = scan->slots[slot + 1];
    uint64_t cost = end - scan->slots[slot];
    if (search->steps_left < cost) {
        return false;
    }
    search->steps_left -= cost;
    for (uint32_t i = scan->slots[slot]; i < end; i++) {
        const struct scan_entry *entry = &scan->entries[i];
        const struct literal *literal = &scan->literals[entry->literal].literal;
        if (entry->gram == gram && at >= entry->offset &&
            at - entry->offset + literal->length <= text.length &&
            is_same(text.at + at - entry->offset, literal) &&
            !free_owners(search, entry->literal)) {
            return false;
        }
    }
    return true;
}

/* A gram of the block at `at` may be of a literal: which? A step for having to look. */
static bool follow(struct search *search, size_t at, size_t stride)
{
    if (search->steps_left == 0) {
        return false;
    }
    search->steps_left--;
    for (size_t i = 0; i < BLOCK_GRAMS; i++, at += stride) {
        if (search->scan->table[scan_place(gram_at(search, at))] != 0 && !follow_gram(search, at)) {
            return false;
        }
    }
    return true;
}

/* Whether one of the BLOCK_GRAMS grams from `at` on may be of a literal. */
UNROLLED bool probe(const uint8_t *table, const char *at, uint32_t fold, size_t stride)
{
    uint32_t hit = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < BLOCK_GRAMS; i++) {
        hit |= table[scan_place(load_32(at + i * stride) | fold)];
    }
    return YARDER_UNLIKELY(hit != 0);
}

/*
 * The last block is moved back to end with the text: it still begins at most a stride behind the
 * gram before it. A text shorter than a block is searched in a copy, behind whose end are zeros.
 */
UNROLLED bool search_blocks(struct search *search, uint32_t fold, size_t stride)
{
    const size_t step = BLOCK_GRAMS * stride;
    const size_t block = step - stride + SCAN_GRAM_BYTES;
    const uint8_t *table = search->scan->table;
    const size_t length = search->text.length;
    char copy[STRIDE_MAX * BLOCK_GRAMS] = {0};
    if (length < block) {
        memcpy(copy, search->text.at, length);
        search->text.at = copy;
        return !probe(table, copy, fold, stride) || follow(search, 0, stride);
    }
    const char *text = search->text.at;
    size_t at = 0;
    for (; at + block <= length; at += step) {
        if (probe(table, text + at, fold, stride) && !follow(search, at, stride)) {
            return false;
        }
    }
    at = length - block;
    return !probe(table, text + at, fold, stride) || follow(search, at, stride);
}

UNROLLED bool search_strides(struct search *search, uint32_t fold)
{
    switch (search->scan->stride) {
    case 1:
        return search_blocks(search, fold, 1);
    case 2:
        return search_blocks(search, fold, 2);
    case 4:
        return search_blocks(search, fold, 4);
    default:
        YARDER_ASSERT(search->scan->stride == STRIDE_MAX);
        return search_blocks(search, fold, STRIDE_MAX);
    }
}

static bool follow_wide(struct search *search, size_t at, uint64_t hits)
{
    for (; hits != 0; hits &= hits - 1) {
        size_t place = at + (uint32_t)__builtin_ctzll(hits);
        if (search->steps_left == 0) {
            return false;
        }
        search->steps_left--;
        if (search->scan->table[scan_place(gram_at(search, place))] != 0 &&
            !follow_gram(search, place)) {
            return false;
        }
    }
    return true;
}

static bool search_wide(struct search *search)
{
    struct yarder_text text = search->text;
    uint64_t hits[SCAN_WIDE_BLOCKS];
    for (size_t at = 0; at < text.length;) {
        uint32_t blocks = scan_wide_probe(search->scan, text.at + at, text.length - at, hits);
        for (uint32_t i = 0; i < blocks; i++, at += 64) {
            if (!follow_wide(search, at, hits[i])) {
                return false;
            }
        }
        at = blocks < SCAN_WIDE_BLOCKS ? text.length : at;
    }
    return true;
}

static bool search_text(struct search *search)
{
    if (search->scan->wide) {
        return search_wide(search);
    }
    return search->scan->fold ? search_strides(search, SCAN_FOLD) : search_strides(search, 0);
}

/* Texts that are given up are paid twice; where they are frequent, better not to try. */
static void give_up(struct scan *scan)
{
    scan->given_up++;
    if (scan->given_up > SCAN_WATCH_TEXTS / 4) {
        scan->rest = SCAN_REST_TEXTS;
        scan->watched = 0;
        scan->given_up = 0;
    }
}

void scan_text(struct scan *scan, struct yarder_text text, uint64_t *cannot)
{
    if (YARDER_UNLIKELY(scan->rest > 0)) {
        scan->rest--;
        memset(cannot, 0, scan->words * sizeof(*cannot));
        return;
    }
    memcpy(cannot, scan->patterns, scan->words * sizeof(*cannot));
    if (text.length < scan->bytes_min) {
        return;
    }
    scan->texts++;
    if (++scan->watched == SCAN_WATCH_TEXTS) {
        scan->watched = 0;
        scan->given_up = 0;
    }
    struct search search = {
        scan, text, cannot, STEPS_FREE + scan->patterns_count * (1 + text.length / STEPS_BYTES)};
    if (YARDER_UNLIKELY(!search_text(&search))) {
        memset(cannot, 0, scan->words * sizeof(*cannot));
        give_up(scan);
    }
}
