/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats and arguments of deferred records. The input: a byte, how many bytes of format, the
 * format, arguments. These must be told from a format's own, or rendered within their bounds; and
 * arguments made for the format of the same bytes are always rendered.
 */
#include <string.h>

#include "ring/deferred.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum { MADE_BYTES = 64 << 10, ROOM_LITTLE = 40, PAYLOAD_BYTES = 4096, TEXT_BYTES_MAX = 100 };

static char made[MADE_BYTES];
static char little[ROOM_LITTLE];

/* The same in little room is the same, cut. */
static void check(const struct deferred_format *parsed, struct yarder_text format,
    struct yarder_text arguments, bool must)
{
    size_t used = 0;
    size_t little_used = 0;
    uint64_t work = 0;
    enum deferred_result result =
        deferred_render(made, sizeof(made), &used, &work, parsed, format, arguments);
    enum deferred_result cut =
        deferred_render(little, sizeof(little), &little_used, &work, parsed, format, arguments);
    YARDER_ASSERT(result == DEFERRED_GOOD || (!must && result == DEFERRED_MISMATCH));
    if (result == DEFERRED_MISMATCH) {
        YARDER_ASSERT(cut == DEFERRED_MISMATCH);
        return;
    }
    YARDER_ASSERT(cut == (used > sizeof(little) ? DEFERRED_CUT : DEFERRED_GOOD));
    YARDER_ASSERT(little_used == yarder_min(used, sizeof(little)));
    YARDER_ASSERT(memcmp(made, little, little_used) == 0);
}

static void honest(const struct deferred_format *parsed, struct yarder_text format,
    const uint8_t *bytes, size_t bytes_count)
{
    static char payload[PAYLOAD_BYTES];
    size_t at = sizeof(parsed->types);
    memcpy(payload, &parsed->types, sizeof(parsed->types));
    for (uint32_t i = 0; i < parsed->pieces_count; i++) {
        const struct deferred_piece *piece = &parsed->pieces[i];
        uint64_t value = 0;
        size_t take = yarder_min(bytes_count, sizeof(value));
        memcpy(&value, bytes, take);
        bytes += take;
        bytes_count -= take;
        if (piece->type == DEFERRED_TEXT) {
            uint64_t limit = piece->precision < 0 ? TEXT_BYTES_MAX : (uint64_t)piece->precision;
            uint32_t length = (uint32_t)(value % (yarder_min(limit, TEXT_BYTES_MAX) + 1));
            memcpy(payload + at, &length, sizeof(length));
            memset(payload + at + sizeof(length), 'x', length);
            at += sizeof(length) + length;
        } else if (piece->type != DEFERRED_NONE) {
            memcpy(payload + at, &value, sizeof(value));
            at += sizeof(value);
        }
    }
    check(parsed, format, (struct yarder_text){payload, at}, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    struct deferred_format parsed;
    if (bytes_count < 1 || bytes_count > PAYLOAD_BYTES) {
        return 0;
    }
    size_t format_bytes = yarder_min(bytes[0], bytes_count - 1);
    struct yarder_text format = {(const char *)bytes + 1, format_bytes};
    const uint8_t *rest = bytes + 1 + format_bytes;
    size_t rest_bytes = bytes_count - 1 - format_bytes;
    if (!deferred_parse(&parsed, format)) {
        return 0;
    }
    YARDER_ASSERT(parsed.pieces_count >= 1 && parsed.pieces_count <= DEFERRED_CONVERSIONS_MAX + 1);
    for (uint32_t i = 0; i < parsed.pieces_count; i++) {
        const struct deferred_piece *piece = &parsed.pieces[i];
        YARDER_ASSERT((size_t)piece->literal_at + piece->literal_bytes <= format_bytes);
        YARDER_ASSERT((piece->type == DEFERRED_NONE) == (piece->conversion == '\0'));
        YARDER_ASSERT(piece->width <= DEFERRED_WIDTH_MAX && piece->precision <= DEFERRED_WIDTH_MAX);
    }
    check(&parsed, format, (struct yarder_text){(const char *)rest, rest_bytes}, false);
    honest(&parsed, format, rest, rest_bytes);
    return 0;
}
