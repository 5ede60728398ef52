/* SPDX-License-Identifier: Apache-2.0 */
/* Formats taken apart, the same way by producer and daemon. Pure; async-signal-safe. */
#include "ring/deferred.h"

#include <string.h>

struct cursor {
    const char *at;
    const char *end;
};

/* The byte at the cursor; NUL at its end, which no format's conversion contains. */
static char look(const struct cursor *cursor)
{
    return cursor->at < cursor->end ? *cursor->at : '\0';
}

static bool skip(struct cursor *cursor, char byte)
{
    bool there = cursor->at < cursor->end && *cursor->at == byte;
    cursor->at += there;
    return there;
}

static uint8_t flags_take(struct cursor *cursor)
{
    static const char letters[] = "-+ #0"; /* in the order of enum deferred_flag */
    uint8_t flags = 0;
    while (look(cursor) != '\0') {
        const char *letter = strchr(letters, look(cursor));
        if (letter == NULL) {
            break;
        }
        flags |= (uint8_t)(1u << (letter - letters));
        cursor->at++;
    }
    return flags;
}

/* Decimal digits, perhaps none: 0. False: over the limit. */
static bool number_take(struct cursor *cursor, uint16_t *out)
{
    unsigned number = 0;
    while (look(cursor) >= '0' && look(cursor) <= '9' && number <= DEFERRED_WIDTH_MAX) {
        number = number * 10 + (unsigned)(look(cursor) - '0');
        cursor->at++;
    }
    *out = (uint16_t)yarder_min(number, UINT16_MAX);
    return number <= DEFERRED_WIDTH_MAX;
}

/* A length modifier: how many bytes an integer of it has. *stated: which letter, NUL for none. */
static uint8_t size_take(struct cursor *cursor, char *stated)
{
    char letter = look(cursor);
    *stated = letter;
    switch (letter) {
    case 'h':
        cursor->at++;
        return skip(cursor, 'h') ? 1 : 2;
    case 'l':
        cursor->at++;
        *stated = skip(cursor, 'l') ? 'L' : 'l';
        return 8;
    case 'j':
    case 'z':
    case 't':
        cursor->at++;
        return 8;
    default:
        *stated = '\0';
        return 4;
    }
}

/* What a conversion's letter takes; DEFERRED_NONE: not for us. */
static enum deferred_type type_of(const struct deferred_piece *piece, char stated)
{
    bool aligned_only = (piece->flags & ~DEFERRED_LEFT) == 0 && stated == '\0';
    switch (piece->conversion) {
    case 'd':
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        return piece->size == 8 ? DEFERRED_LONG : DEFERRED_INT;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        return stated == '\0' || stated == 'l' ? DEFERRED_DOUBLE : DEFERRED_NONE;
    case 's':
        return aligned_only ? DEFERRED_TEXT : DEFERRED_NONE;
    case 'm':
        return aligned_only ? DEFERRED_ERRNO : DEFERRED_NONE;
    case 'c':
        return aligned_only && piece->precision < 0 ? DEFERRED_INT : DEFERRED_NONE;
    case 'p':
        return aligned_only && piece->precision < 0 ? DEFERRED_POINTER : DEFERRED_NONE;
    default:
        return DEFERRED_NONE;
    }
}

/* One conversion, behind its percent sign. */
static bool conversion_take(struct cursor *cursor, struct deferred_piece *piece)
{
    uint16_t precision = 0;
    char stated;
    piece->flags = flags_take(cursor);
    if (!number_take(cursor, &piece->width)) {
        return false;
    }
    piece->precision = -1;
    if (skip(cursor, '.')) {
        if (!number_take(cursor, &precision)) {
            return false;
        }
        piece->precision = (int16_t)precision;
    }
    piece->size = size_take(cursor, &stated);
    piece->conversion = look(cursor) == 'i' ? 'd' : look(cursor);
    cursor->at += cursor->at < cursor->end;
    piece->type = (uint8_t)type_of(piece, stated);
    return piece->type != DEFERRED_NONE;
}

/* Text up to the next percent sign; of %%, the first one too. */
static void literal_take(struct cursor *cursor, struct deferred_piece *piece, const char *start)
{
    size_t left = (size_t)(cursor->end - cursor->at);
    const char *percent = left == 0 ? NULL : memchr(cursor->at, '%', left);
    size_t bytes = percent == NULL ? left : (size_t)(percent - cursor->at);
    *piece = (struct deferred_piece){
        .literal_at = (uint16_t)(cursor->at - start), .literal_bytes = (uint16_t)bytes};
    cursor->at += bytes + (percent != NULL);
}

bool deferred_parse(struct deferred_format *out, struct yarder_text format)
{
    if (format.length > DEFERRED_FORMAT_BYTES_MAX) {
        return false;
    }
    struct cursor cursor = {format.at, format.at + format.length};
    unsigned arguments = 0;
    out->types = 0;
    for (uint32_t i = 0; i <= DEFERRED_CONVERSIONS_MAX; i++) {
        struct deferred_piece *piece = &out->pieces[i];
        const char *before = cursor.at;
        literal_take(&cursor, piece, format.at);
        if (cursor.at == before + piece->literal_bytes) { /* no percent sign any more */
            out->pieces_count = i + 1;
            return true;
        }
        if (i == DEFERRED_CONVERSIONS_MAX) {
            break;
        }
        if (skip(&cursor, '%')) {
            piece->literal_bytes++;
        } else if (conversion_take(&cursor, piece)) {
            out->types |= (uint64_t)piece->type << DEFERRED_TYPE_BITS * arguments++;
        } else {
            return false;
        }
    }
    return false;
}
