/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of a scan. Three choices, each by its expected cost in time: how long literals must be
 * at least (longer ones are sampled less often, but more patterns have none), which of its sets a
 * pattern is found by, and which grams of a literal are sampled. A text that many patterns share is
 * taken for a common one: it says little, and it drags all of them in.
 */
#include <errno.h>
#include <string.h>

#include "route/scan.h"

enum {
    COUNTS_LOG2 = 14,
    COUNTS = 1 << COUNTS_LOG2,
    NS = 250,           /* units of cost in a nanosecond, for a record of 200 bytes */
    PLAIN_NS = 20,      /* what asking a pattern costs when machine code can look for its start */
    SLOW_NS = 100,      /* when it has to try everywhere */
    WIDE_NS = 24,       /* of a stride of 1, by wide vectors */
    SLOT_FREE_LOG2 = 1, /* at least twice as many slots as entries */
    SLOTS_LOG2_MIN = 8,
};

/*
 * A way to sample: literals of so many bytes, a gram every so many bytes. Of the cost, some 13 ns
 * are for the branches that a candidate makes unpredictable.
 */
struct shape {
    uint32_t bytes_min;
    uint32_t stride;
    uint32_t cost_ns;
};
static const struct shape shapes[] = {{4, 1, 60}, {5, 2, 42}, {7, 4, 30}, {11, 8, 24}};

/* A literal that is to be scanned for, for a pattern. */
struct want {
    struct literal literal;
    uint32_t pattern;
};

struct build {
    const struct literal_sets *const *sets;
    uint32_t sets_count;
    const struct shape *shape;
    struct want *wants;
    uint32_t wants_count;
    uint16_t shares[COUNTS]; /* by hash: of how many patterns a literal is, saturating */
    uint16_t grams[COUNTS];  /* by hash: in how many places of literals a gram is */
};

static uint32_t hash_of(const struct literal *literal)
{
    uint32_t hash = literal->length;
    for (uint32_t i = 0; i < literal->length; i++) {
        hash = (hash ^ (unsigned char)literal->bytes[i]) * UINT32_C(0x01000193);
    }
    return (hash * UINT32_C(0x9e3779b1)) >> (32 - COUNTS_LOG2);
}

static void count(uint16_t *counter)
{
    *counter = (uint16_t)(*counter + (*counter < UINT16_MAX));
}

static void count_shares(struct build *build)
{
    for (uint32_t i = 0; i < build->sets_count; i++) {
        const struct literal_sets *sets = build->sets[i];
        for (uint32_t s = 0; sets != NULL && s < sets->count; s++) {
            for (uint32_t k = 0; k < sets->at[s].count; k++) {
                count(&build->shares[hash_of(&sets->at[s].at[k])]);
            }
        }
    }
}

/*
 * Machine code looks for one or two first bytes at a time, and fast; with more it tries everywhere.
 * The first set is the one that is nearest to the start.
 */
static uint64_t ask_cost(const struct literal_sets *sets)
{
    bool is_start[UINT8_MAX + 1] = {false};
    uint32_t starts = 0;
    for (uint32_t i = 0; sets != NULL && sets->count > 0 && i < sets->at[0].count; i++) {
        const struct literal *literal = &sets->at[0].at[i];
        bool *seen = &is_start[(unsigned char)literal->bytes[0]];
        starts += *seen ? 0 : literal->fold ? 2 : 1;
        *seen = true;
    }
    return NS * (uint64_t)(starts > 2 ? SLOW_NS : PLAIN_NS);
}

/*
 * Of finding a pattern that costs `ask` by this set. Rules are made for the logs that come: of a
 * literal that is shared by some share of the patterns, that share of the texts is taken to have
 * it. UINT64_MAX: a literal is too short.
 */
static uint64_t set_cost(const struct build *build, const struct shape *shape,
    const struct literal_set *set, uint64_t ask)
{
    uint64_t cost = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct literal *literal = &set->at[i];
        if (literal->length < shape->bytes_min) {
            return UINT64_MAX;
        }
        uint32_t others = build->shares[hash_of(literal)] - UINT32_C(1);
        cost += UINT64_C(1) << (LITERAL_BITS_MAX - literal_bits(literal));
        cost += ask * others / build->sets_count;
    }
    return cost;
}

/* The cheapest set of a pattern, with its cost; NULL: it has none that is usable. */
static const struct literal_set *choose_set(const struct build *build, const struct shape *shape,
    const struct literal_sets *sets, uint64_t *cost)
{
    const struct literal_set *chosen = NULL;
    uint64_t ask = ask_cost(sets);
    *cost = UINT64_MAX;
    for (uint32_t i = 0; sets != NULL && i < sets->count; i++) {
        uint64_t mine = set_cost(build, shape, &sets->at[i], ask);
        if (mine < *cost) {
            *cost = mine;
            chosen = &sets->at[i];
        }
    }
    *cost = chosen == NULL ? ask : yarder_min(*cost, ask / 2);
    return chosen;
}

static bool is_wide(const struct shape *shape, uint32_t literals_count)
{
    return shape->stride == 1 && literals_count <= SCAN_WIDE_LITERALS_MAX && scan_wide_usable();
}

/* Of all patterns, scanned for or asked. */
static uint64_t shape_cost(const struct build *build, const struct shape *shape)
{
    uint64_t sum = 0;
    uint32_t literals_count = 0;
    for (uint32_t i = 0; i < build->sets_count; i++) {
        uint64_t cost = 0;
        const struct literal_set *set = choose_set(build, shape, build->sets[i], &cost);
        literals_count += set == NULL ? 0 : set->count;
        sum += cost;
    }
    return sum + NS * (uint64_t)(is_wide(shape, literals_count) ? WIDE_NS : shape->cost_ns);
}

/* NULL: asking all of them one by one is cheapest. */
static const struct shape *choose_shape(const struct build *build)
{
    const struct shape *chosen = NULL;
    uint64_t best = 0;
    for (uint32_t i = 0; i < build->sets_count; i++) {
        best += ask_cost(build->sets[i]);
    }
    for (size_t s = 0; s < YARDER_COUNT_OF(shapes); s++) {
        uint64_t cost = shape_cost(build, &shapes[s]);
        if (cost < best) {
            best = cost;
            chosen = &shapes[s];
        }
    }
    return chosen;
}

/* In the form that is compared with texts. */
static struct literal compared(const struct literal *literal)
{
    struct literal out = {.length = literal->length, .fold = literal->fold};
    for (uint32_t i = 0; i < literal->length; i++) {
        out.bytes[i] = (char)(literal->bytes[i] | (literal->fold ? 0x20 : 0));
    }
    return out;
}

/* The literals of the patterns that are to be found; those beyond the most remain to be asked. */
static int collect(struct build *build, struct scan *scan)
{
    build->wants = calloc(SCAN_LITERALS_MAX, sizeof(*build->wants));
    if (build->wants == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < build->sets_count; i++) {
        uint64_t cost = 0;
        const struct literal_set *set = choose_set(build, build->shape, build->sets[i], &cost);
        if (set == NULL || build->wants_count + set->count > SCAN_LITERALS_MAX) {
            continue;
        }
        for (uint32_t k = 0; k < set->count; k++) {
            build->wants[build->wants_count++] = (struct want){compared(&set->at[k]), i};
            scan->fold |= set->at[k].fold;
        }
        scan->patterns[i / 64] |= UINT64_C(1) << (i % 64);
        scan->patterns_count++;
    }
    return 0;
}

/* Any order will do in which equal ones are neighbours. */
static int compare_wants(const void *left, const void *right)
{
    const struct want *a = left;
    const struct want *b = right;
    int order = (int)a->literal.length - (int)b->literal.length;
    order = order != 0 ? order : (int)a->literal.fold - (int)b->literal.fold;
    return order != 0 ? order : memcmp(a->literal.bytes, b->literal.bytes, a->literal.length);
}

static void merge_literals(const struct build *build, struct scan *scan)
{
    for (uint32_t i = 0; i < build->wants_count; i++) {
        const struct want *want = &build->wants[i];
        if (i == 0 || compare_wants(want - 1, want) != 0) {
            struct scan_literal *literal = &scan->literals[scan->literals_count++];
            *literal = (struct scan_literal){.literal = want->literal, .first = i};
        }
        scan->owners[i] = want->pattern;
        scan->literals[scan->literals_count - 1].end = i + 1;
    }
}

static uint32_t gram_of(const struct scan *scan, const struct literal *literal, uint32_t offset)
{
    uint32_t gram = 0;
    memcpy(&gram, literal->bytes + offset, sizeof(gram));
    return gram | (scan->fold ? SCAN_FOLD : 0);
}

static uint32_t gram_slot(uint32_t gram)
{
    return scan_hash(gram) >> (32 - COUNTS_LOG2);
}

static void count_grams(struct build *build, const struct scan *scan)
{
    for (uint32_t i = 0; i < scan->literals_count; i++) {
        const struct literal *literal = &scan->literals[i].literal;
        for (uint32_t at = 0; at + SCAN_GRAM_BYTES <= literal->length; at++) {
            count(&build->grams[gram_slot(gram_of(scan, literal, at))]);
        }
    }
}

/* How much work a gram is to be expected to make. */
static uint64_t gram_cost(
    const struct build *build, const struct scan *scan, const struct literal *literal, uint32_t at)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < SCAN_GRAM_BYTES; i++) {
        bits += literal_byte_bits(literal->bytes[at + i]);
    }
    return (uint64_t)build->grams[gram_slot(gram_of(scan, literal, at))] << (32 - bits);
}

/* Where the `stride` grams that are the least work begin. */
static uint32_t choose_window(
    const struct build *build, const struct scan *scan, const struct literal *literal)
{
    uint32_t chosen = 0;
    uint64_t best = UINT64_MAX;
    for (uint32_t at = 0; at + scan->bytes_min <= literal->length; at++) {
        uint64_t cost = 0;
        for (uint32_t i = 0; i < scan->stride; i++) {
            cost += gram_cost(build, scan, literal, at + i);
        }
        if (cost < best) {
            best = cost;
            chosen = at;
        }
    }
    return chosen;
}

/* Grams of all literals: their bits, and entries sorted by slot. */
static void fill_tables(const struct build *build, struct scan *scan)
{
    uint32_t slots_count = UINT32_C(1) << (32 - scan->slot_shift);
    for (uint32_t i = 0; i < scan->literals_count; i++) {
        struct scan_literal *literal = &scan->literals[i];
        literal->window = choose_window(build, scan, &literal->literal);
        for (uint32_t k = 0; k < scan->stride; k++) {
            uint32_t gram = gram_of(scan, &literal->literal, literal->window + k);
            scan->table[scan_place(gram)] = 1;
            if (scan->wide) {
                scan_wide_add(scan, gram);
            }
            scan->slots[scan_hash(gram) >> scan->slot_shift]++;
        }
    }
    for (uint32_t slot = 1; slot <= slots_count; slot++) { /* from counts to ends */
        scan->slots[slot] += scan->slots[slot - 1];
    }
    for (uint32_t i = 0; i < scan->literals_count; i++) { /* from ends to begins */
        const struct scan_literal *literal = &scan->literals[i];
        for (uint32_t at = literal->window; at < literal->window + scan->stride; at++) {
            uint32_t gram = gram_of(scan, &literal->literal, at);
            uint32_t entry = --scan->slots[scan_hash(gram) >> scan->slot_shift];
            scan->entries[entry] = (struct scan_entry){gram, (uint16_t)i, (uint16_t)at};
        }
    }
}

static int take_tables(struct scan *scan, uint32_t wants_count)
{
    uint32_t entries_max = wants_count * scan->stride;
    uint32_t slots_log2 = SLOTS_LOG2_MIN;
    while (UINT32_C(1) << slots_log2 < entries_max << SLOT_FREE_LOG2) {
        slots_log2++;
    }
    scan->slot_shift = 32 - slots_log2;
    scan->table = calloc(1 << SCAN_TABLE_LOG2, sizeof(*scan->table));
    scan->slots = calloc((UINT32_C(1) << slots_log2) + 1, sizeof(*scan->slots));
    scan->entries = calloc(entries_max, sizeof(*scan->entries));
    scan->literals = calloc(wants_count, sizeof(*scan->literals));
    scan->found_at = calloc(wants_count, sizeof(*scan->found_at));
    scan->owners = calloc(wants_count, sizeof(*scan->owners));
    bool taken = scan->table != NULL && scan->slots != NULL && scan->entries != NULL &&
                 scan->literals != NULL && scan->found_at != NULL && scan->owners != NULL;
    return taken ? 0 : -ENOMEM;
}

static int build_tables(struct build *build, struct scan *scan)
{
    scan->bytes_min = build->shape->bytes_min;
    scan->stride = build->shape->stride;
    scan->words = (build->sets_count + 63) / 64;
    scan->patterns = calloc(scan->words, sizeof(*scan->patterns));
    int r = scan->patterns == NULL ? -ENOMEM : collect(build, scan);
    r = r != 0 ? r : take_tables(scan, build->wants_count);
    if (r == 0) {
        scan->wide = is_wide(build->shape, build->wants_count);
        qsort(build->wants, build->wants_count, sizeof(*build->wants), compare_wants);
        merge_literals(build, scan);
        count_grams(build, scan);
        fill_tables(build, scan);
    }
    return r;
}

int scan_open(struct scan **out, const struct literal_sets *const *sets, uint32_t sets_count)
{
    *out = NULL;
    YARDER_OWN_HEAP struct build *build = calloc(1, sizeof(*build));
    if (build == NULL) {
        return -ENOMEM;
    }
    build->sets = sets;
    build->sets_count = sets_count;
    count_shares(build);
    build->shape = choose_shape(build);
    if (build->shape == NULL) {
        return 0;
    }
    struct scan *scan = calloc(1, sizeof(*scan));
    int r = scan == NULL ? -ENOMEM : build_tables(build, scan);
    free(build->wants);
    if (r != 0) {
        scan_close(scan);
        return r;
    }
    *out = scan;
    return 0;
}

void scan_close(struct scan *scan)
{
    if (scan == NULL) {
        return;
    }
    free(scan->table);
    free(scan->slots);
    free(scan->entries);
    free(scan->literals);
    free(scan->found_at);
    free(scan->owners);
    free(scan->patterns);
    free(scan);
}
