/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter for machines with wide vectors: it looks at 64 places of a text at once, where the
 * table of scan.c takes a load for each. A gram has two hashes of 8 bits, each a linear one of its
 * four bytes (what the machine multiplies with is a matrix of bits), and a bit in each of two
 * tables of 1024 bits, which stay in registers:
 *
 *   first[low hash % 128], bit high hash % 8    and    second[high hash % 128], bit low hash % 8
 *
 * Both set: the gram may be of a literal. With more than a few hundred literals they all are.
 */
#include <string.h>

#include "route/scan.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vbmi,gfni")))

enum { LANES = 64, TABLE_MASK = SCAN_WIDE_TABLE_BYTES - 1 };

/* For each byte of a gram; invertible, else arbitrary. */
static const uint64_t low_matrix[SCAN_GRAM_BYTES] = {UINT64_C(0xd23f0824128b2f33),
    UINT64_C(0x3d9c172411e20b8f), UINT64_C(0x90c192cfd3ac94af), UINT64_C(0xa170b33839263059)};
static const uint64_t high_matrix[SCAN_GRAM_BYTES] = {UINT64_C(0x0fd630f1f29d0da9),
    UINT64_C(0x95e60af593bd04cf), UINT64_C(0x0cb1e29c658cda14), UINT64_C(0x3898d190f9ebdacc)};

bool scan_wide_usable(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("gfni");
}

/* What the machine does to each byte: bit i of the result is the parity of row 7 - i and the byte.
 */
static uint8_t multiply(uint64_t matrix, uint8_t byte)
{
    uint32_t product = 0;
    for (uint32_t i = 0; i < 8; i++) {
        uint32_t row = (uint32_t)(matrix >> (8 * (7 - i))) & UINT8_MAX;
        product |= (uint32_t)__builtin_parity(row & byte) << i;
    }
    return (uint8_t)product;
}

static uint8_t hash(const uint64_t *matrix, uint32_t gram)
{
    uint8_t bytes[SCAN_GRAM_BYTES];
    memcpy(bytes, &gram, sizeof(bytes));
    uint8_t sum = 0;
    for (uint32_t i = 0; i < SCAN_GRAM_BYTES; i++) {
        sum ^= multiply(matrix[i], bytes[i]);
    }
    return sum;
}

void scan_wide_add(struct scan *scan, uint32_t gram)
{
    uint8_t low = hash(low_matrix, gram);
    uint8_t high = hash(high_matrix, gram);
    scan->wide_first[low & TABLE_MASK] |= (uint8_t)(1 << (high & 7));
    scan->wide_second[high & TABLE_MASK] |= (uint8_t)(1 << (low & 7));
}

WIDE static inline __m512i multiply_lanes(__m512i bytes, uint64_t matrix)
{
    return _mm512_gf2p8affine_epi64_epi8(bytes, _mm512_set1_epi64((int64_t)matrix), 0);
}

/* The first to the fourth byte of the gram of each lane. */
struct lanes {
    __m512i first;
    __m512i second;
    __m512i third;
    __m512i fourth;
};

WIDE static inline __m512i hash_lanes(const struct lanes *lanes, const uint64_t *matrix)
{
    __m512i left = _mm512_xor_si512(
        multiply_lanes(lanes->first, matrix[0]), multiply_lanes(lanes->second, matrix[1]));
    __m512i right = _mm512_xor_si512(
        multiply_lanes(lanes->third, matrix[2]), multiply_lanes(lanes->fourth, matrix[3]));
    return _mm512_xor_si512(left, right);
}

/* Lanes whose bit, of the lower three bits of `which`, is set in the table at `index`. */
WIDE static inline uint64_t look_up(const uint8_t *table, __m512i index, __m512i which)
{
    const __m512i bits = _mm512_set1_epi64((int64_t)UINT64_C(0x8040201008040201));
    __m512i found = _mm512_permutex2var_epi8(
        _mm512_loadu_si512(table), index, _mm512_loadu_si512(table + LANES));
    __m512i bit = _mm512_shuffle_epi8(bits, _mm512_and_si512(which, _mm512_set1_epi8(7)));
    return _mm512_test_epi8_mask(found, bit);
}

WIDE static inline uint64_t probe_lanes(const struct scan *scan, struct lanes lanes)
{
    if (scan->fold) {
        const __m512i fold = _mm512_set1_epi8(0x20);
        lanes.first = _mm512_or_si512(lanes.first, fold);
        lanes.second = _mm512_or_si512(lanes.second, fold);
        lanes.third = _mm512_or_si512(lanes.third, fold);
        lanes.fourth = _mm512_or_si512(lanes.fourth, fold);
    }
    __m512i low = hash_lanes(&lanes, low_matrix);
    __m512i high = hash_lanes(&lanes, high_matrix);
    return look_up(scan->wide_first, low, high) & look_up(scan->wide_second, high, low);
}

WIDE static inline struct lanes load_lanes(const char *at)
{
    return (struct lanes){_mm512_loadu_si512(at), _mm512_loadu_si512(at + 1),
        _mm512_loadu_si512(at + 2), _mm512_loadu_si512(at + 3)};
}

/* Reads only what the lanes of the mask need. */
WIDE static inline struct lanes load_some_lanes(const char *at, uint64_t mask)
{
    return (struct lanes){_mm512_maskz_loadu_epi8(mask, at), _mm512_maskz_loadu_epi8(mask, at + 1),
        _mm512_maskz_loadu_epi8(mask, at + 2), _mm512_maskz_loadu_epi8(mask, at + 3)};
}

WIDE uint32_t scan_wide_probe(const struct scan *scan, const char *at, size_t bytes, uint64_t *hits)
{
    uint32_t blocks = 0;
    while (blocks < SCAN_WIDE_BLOCKS && bytes >= LANES + SCAN_GRAM_BYTES - 1) {
        hits[blocks++] = probe_lanes(scan, load_lanes(at));
        at += LANES;
        bytes -= LANES;
    }
    if (blocks < SCAN_WIDE_BLOCKS && bytes >= SCAN_GRAM_BYTES) {
        uint64_t mask = (UINT64_C(1) << (bytes - SCAN_GRAM_BYTES + 1)) - 1;
        hits[blocks++] = probe_lanes(scan, load_some_lanes(at, mask)) & mask;
    }
    return blocks;
}

#else

bool scan_wide_usable(void)
{
    return false;
}
void scan_wide_add(struct scan *scan, uint32_t gram)
{
    (void)scan;
    (void)gram;
}
uint32_t scan_wide_probe(const struct scan *scan, const char *at, size_t bytes, uint64_t *hits)
{
    (void)scan;
    (void)at;
    (void)bytes;
    (void)hits;
    YARDER_ASSERT(scan_wide_usable());
    return 0;
}

#endif
