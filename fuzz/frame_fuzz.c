/* SPDX-License-Identifier: Apache-2.0 */
/* A stream cut anywhere gives the same records as in one piece. Byte 0: framing; 1: how to cut. */
#include <string.h>

#include "codec/frame.h"

enum { RECORD_MAX = 24, SPANS_MAX = 4, HASH_SEED = 1469598103 };

/* What came out, folded into a number and a count. */
struct fold {
    uint64_t hash;
    uint64_t count;
};

static void fold_bytes(struct fold *fold, const void *bytes, size_t bytes_count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < bytes_count; i++) {
        fold->hash = (fold->hash ^ at[i]) * 1099511628211ULL;
    }
}

static void fold_span(struct fold *fold, const struct frame_span *span)
{
    YARDER_ASSERT(span->text.length <= RECORD_MAX);
    fold->count++;
    fold_bytes(fold, &span->text.length, sizeof(span->text.length));
    fold_bytes(fold, &span->flags, sizeof(span->flags));
    fold_bytes(fold, span->text.at, span->text.length);
}

static void take_chunk(
    struct framer *framer, const uint8_t *bytes, size_t bytes_count, struct fold *fold)
{
    struct frame_span spans[SPANS_MAX];
    char *exact = malloc(bytes_count + 1);
    YARDER_ASSERT(exact != NULL);
    memcpy(exact, bytes, bytes_count);
    size_t done = 0;
    int filled = SPANS_MAX;
    while (filled == SPANS_MAX || done < bytes_count) {
        size_t used = 0;
        filled = framer_take(framer, exact + done, bytes_count - done, spans, SPANS_MAX, &used);
        YARDER_ASSERT(filled >= 0 && filled <= SPANS_MAX);
        YARDER_ASSERT(used > 0 || filled > 0 || done == bytes_count);
        for (int i = 0; i < filled; i++) {
            fold_span(fold, &spans[i]);
        }
        done += used;
    }
    free(exact);
}

static struct fold take_all(
    enum frame_kind kind, const uint8_t *bytes, size_t bytes_count, uint32_t cut)
{
    struct fold fold = {.hash = HASH_SEED};
    struct framer framer;
    struct frame_span span;
    framer_init(&framer, kind, RECORD_MAX);
    for (size_t at = 0; at < bytes_count;) {
        cut = cut * 1664525 + 1013904223;
        size_t chunk = cut == 0 ? bytes_count : cut >> 27;
        chunk = yarder_min(chunk + 1, bytes_count - at);
        take_chunk(&framer, bytes + at, chunk, &fold);
        at += chunk;
    }
    if (framer_finish(&framer, cut % 2 == 0, &span) == 1) {
        span.flags &= ~(uint32_t)YARDER_FLAG_PARTIAL;
        fold_span(&fold, &span);
    }
    framer_deinit(&framer);
    return fold;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count < 2) {
        return 0;
    }
    enum frame_kind kind = (enum frame_kind)(bytes[0] % (FRAME_LENGTH4 + 1));
    struct framer whole;
    struct frame_span span;
    struct fold expected = {.hash = HASH_SEED};
    framer_init(&whole, kind, RECORD_MAX);
    take_chunk(&whole, bytes + 2, bytes_count - 2, &expected);
    if (framer_finish(&whole, true, &span) == 1) {
        span.flags &= ~(uint32_t)YARDER_FLAG_PARTIAL;
        fold_span(&expected, &span);
    }
    framer_deinit(&whole);
    for (uint32_t i = 0; i < 3; i++) {
        struct fold got = take_all(kind, bytes + 2, bytes_count - 2, bytes[1] * 3U + i);
        YARDER_ASSERT(got.count == expected.count);
        YARDER_ASSERT(got.hash == expected.hash);
    }
    return 0;
}
