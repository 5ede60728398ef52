/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over a text that says of hundreds of patterns which of them can match it: those of which
 * a necessary literal (literal.h) occurs. The cost hardly grows with the number of patterns.
 *
 *   text      ... w o r k e r   1 2   r e s p a w n e d ...
 *   samples           [. . . .]       [. . . .]       [. .     every `stride` bytes, a gram of 4
 *   table                  no             yes                  "some literal has such a gram"
 *   slots, entries                        "worker 12 respawned", 9 bytes in -> compared -> patterns
 *
 * Where the machine has vectors of 64 bytes that can look up bits, and literals are not too many, a
 * filter of those (scan_wide.c) takes the table's work, at every byte.
 *
 * Of each literal `stride` grams that follow one another are in the table, those that are rarest in
 * logs and among the literals; so, wherever it stands, one of them is sampled.
 *
 * The bound: a text that is made of near misses ends the scan early, and every pattern may match it
 * then; when such texts are frequent the scan rests. That costs a fraction of asking all patterns.
 */
#ifndef YARDER_ROUTE_SCAN_H
#define YARDER_ROUTE_SCAN_H

#include "api/record.h"
#include "route/literal.h"

enum {
    SCAN_GRAM_BYTES = 4,
    SCAN_TABLE_LOG2 = 16, /* with half of it 1000 patterns are a fifth dearer */
    SCAN_LITERALS_MAX = 1 << 15,
    SCAN_WATCH_TEXTS = 256, /* a quarter of so many given up: it rests */
    SCAN_REST_TEXTS = 16384,
    SCAN_WIDE_LITERALS_MAX = 256,
    SCAN_WIDE_TABLE_BYTES = 128,
    SCAN_WIDE_BLOCKS = 16, /* of 64 places, looked at in one call */
};

/* One gram of one literal. */
struct scan_entry {
    uint32_t gram;
    uint16_t literal;
    uint16_t offset; /* in the literal */
};

struct scan_literal {
    struct literal literal; /* with bit 0x20 set in all bytes when `fold` */
    uint32_t first;         /* of its patterns in `owners` */
    uint32_t end;
    uint32_t window; /* where the grams begin that are in the table */
};

struct scan {
    uint32_t bytes_min; /* of a literal */
    uint32_t stride;
    bool fold; /* grams are compared with bit 0x20 set in all bytes */
    uint32_t slot_shift;
    uint32_t patterns_count; /* that are scanned for */
    uint32_t literals_count;
    uint32_t words;  /* of bitmaps of patterns */
    uint8_t *table;  /* 1: some literal has a gram of this place */
    uint32_t *slots; /* the first entry of each, and one more for the end */
    struct scan_entry *entries;
    struct scan_literal *literals;
    uint32_t *owners;
    uint64_t *patterns; /* bitmap of those that are scanned for; the others always may match */
    bool wide;          /* the filter of scan_wide.c stands before the table */
    uint8_t wide_first[SCAN_WIDE_TABLE_BYTES];
    uint8_t wide_second[SCAN_WIDE_TABLE_BYTES];
    /* What changes: */
    uint64_t *found_at; /* of each literal, the last text that has it */
    uint64_t texts;
    uint32_t watched; /* texts, and how many of them were given up */
    uint32_t given_up;
    uint32_t rest; /* texts left to rest */
};

/*
 * sets[i] is what pattern i must contain; NULL: unknown. *out is NULL when asking the patterns one
 * by one is cheaper. -ENOMEM. Nothing is borrowed.
 */
YARDER_MUST_USE int scan_open(
    struct scan **out, const struct literal_sets *const *sets, uint32_t sets_count);
void scan_close(struct scan *scan);

/* Sets in `cannot` (scan->words words) the bits of the patterns that do not match the text. */
void scan_text(struct scan *scan, struct yarder_text text, uint64_t *cannot);

/* Whether this machine can; if not, the others must not be called. */
bool scan_wide_usable(void);
void scan_wide_add(struct scan *scan, uint32_t gram);

/*
 * Up to SCAN_WIDE_BLOCKS words with a bit for each place of `bytes` whose gram may be of a literal.
 * The count of words.
 */
uint32_t scan_wide_probe(const struct scan *scan, const char *at, size_t bytes, uint64_t *hits);

#define SCAN_FOLD UINT32_C(0x20202020)

/* The upper bits say where a gram is in the table, and which slot is its own. */
static inline uint32_t scan_hash(uint32_t gram)
{
    return gram * UINT32_C(0x9e3779b1);
}
static inline uint32_t scan_place(uint32_t gram)
{
    return scan_hash(gram) >> (32 - SCAN_TABLE_LOG2);
}

#endif
