/* SPDX-License-Identifier: Apache-2.0 */
/* Formats into the region's table, arguments into payloads. Async-signal-safe, without a lock. */
#include "client/site.h"

static_assert(YARDER_COUNT_OF(((struct yarder_site *)NULL)->precisions) == DEFERRED_CONVERSIONS_MAX,
    "one for each argument");
static_assert(REGION_FORMATS_BYTES < 1 << SITE_PLACE_BITS, "a place fits");

enum { LENGTH_BYTES = 4 };

/* The text's place in the table, or 0 when that is full. The bytes of one that is too long at the
 * end stay unused. */
static uint32_t format_add(struct region_formats *formats, struct yarder_text text)
{
    size_t need = yarder_align_up(LENGTH_BYTES + text.length, REGION_FORMAT_UNIT);
    size_t room = sizeof(formats->units);
    if (__atomic_load_n(&formats->used, __ATOMIC_RELAXED) >= room) {
        return 0;
    }
    uint64_t at = __atomic_fetch_add(&formats->used, need, __ATOMIC_RELAXED);
    if (at > room - need || at % REGION_FORMAT_UNIT != 0) {
        return 0;
    }
    uint8_t *unit = formats->units + at;
    uint32_t *length_at = (void *)unit;
    memcpy(unit + LENGTH_BYTES, text.at, text.length);
    __atomic_store_n(length_at, (uint32_t)text.length, __ATOMIC_RELEASE); /* acquire: learn */
    return REGION_FORMAT_UNIT + (uint32_t)at;
}

/* What the arguments are, into the site: always the same for a site, whoever writes it. */
static void types_store(struct yarder_site *site, const struct deferred_format *parsed)
{
    unsigned argument = 0;
    for (uint32_t i = 0; i < parsed->pieces_count; i++) {
        const struct deferred_piece *piece = &parsed->pieces[i];
        if (piece->type != DEFERRED_NONE) {
            uint16_t precision =
                piece->precision < 0 ? SITE_NO_PRECISION : (uint16_t)piece->precision;
            __atomic_store_n(&site->precisions[argument++], precision, __ATOMIC_RELAXED);
        }
    }
    __atomic_store_n(&site->types, parsed->types, __ATOMIC_RELAXED);
}

static uint32_t format_register(
    struct yarder_site *site, struct client_attachment *attachment, const char *format)
{
    struct deferred_format parsed;
    struct yarder_text text = {format, strnlen(format, DEFERRED_FORMAT_BYTES_MAX + 1)};
    /* Where a long has 32 bits, what follows l, z and t is not what the daemon takes it for. */
    if (sizeof(long) != sizeof(int64_t) || text.length == 0 || !deferred_parse(&parsed, text)) {
        return 0;
    }
    types_store(site, &parsed);
    return format_add(attachment->producer->map.formats, text);
}

uint32_t site_register(
    struct yarder_site *site, struct client_attachment *attachment, const char *format)
{
    uint64_t serial = attachment->serial << SITE_PLACE_BITS;
    uint64_t word = __atomic_load_n(&site->word, __ATOMIC_RELAXED);
    const char *owner = NULL; /* set once, before any word: types are always of this format */
    if (!__atomic_compare_exchange_n(
            &site->format, &owner, format, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) &&
        owner != format) {
        return 0;
    }
    if (word >> SITE_PLACE_BITS == attachment->serial) {
        return 0; /* busy, or the caller's; a place that another stored since serves the next */
    }
    if (!__atomic_compare_exchange_n(
            &site->word, &word, serial | SITE_BUSY, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
        return 0;
    }
    uint32_t place = format_register(site, attachment, format);
    uint64_t busy = serial | SITE_BUSY;
    /* release: the types before it; not if another attachment has begun meanwhile */
    (void)__atomic_compare_exchange_n(&site->word, &busy,
        serial | (place == 0 ? SITE_CALLER : place), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
    return place;
}
