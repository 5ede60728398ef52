/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader's private copies of its region's formats. There is one for each unit of the table, made
 * when a record first names it and never again: a producer can make a reader parse as many formats
 * as the table has units, and its memory is what all of them take, touched where used.
 */
#include <errno.h>
#include <string.h>

#include "ring/reader_private.h"

enum { UNITS = REGION_FORMATS_BYTES / REGION_FORMAT_UNIT, LENGTH_BYTES = 4 };

enum state { STATE_NEW = 0, STATE_PARSED, STATE_BAD };

struct reader_formats {
    uint16_t bytes[UNITS];
    uint8_t states[UNITS]; /* enum state */
    struct deferred_format parsed[UNITS];
    char texts[REGION_FORMATS_BYTES]; /* at the places that they have in the region */
};

int formats_open(struct reader_formats **out)
{
    struct reader_formats *formats = mmap(NULL, sizeof(*formats), PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (formats == MAP_FAILED) {
        return -ENOMEM;
    }
    *out = formats;
    return 0;
}

void formats_close(struct reader_formats *formats)
{
    (void)munmap(formats, sizeof(*formats));
}

/* Copies a format and parses the copy. A hostile table's formats may overlap: so do their copies,
 * which changes what is written in a text, and no bounds. */
static void learn(struct reader_formats *formats, const struct region_formats *shared, size_t place)
{
    size_t unit = place / REGION_FORMAT_UNIT;
    const uint8_t *at = (const uint8_t *)shared + place;
    const uint32_t *length_at = (const void *)at;
    uint32_t bytes = __atomic_load_n(length_at, __ATOMIC_ACQUIRE); /* release: format_add */
    size_t room = REGION_FORMATS_BYTES - place - LENGTH_BYTES;
    if (bytes == 0 || bytes > yarder_min(DEFERRED_FORMAT_BYTES_MAX, room)) {
        return;
    }
    char *copy = formats->texts + place;
    memcpy(copy, at + LENGTH_BYTES, bytes);
    __asm__ volatile("" ::: "memory"); /* the source is not looked at again */
    formats->bytes[unit] = (uint16_t)bytes;
    bool good = deferred_parse(&formats->parsed[unit], (struct yarder_text){copy, bytes});
    formats->states[unit] = good ? STATE_PARSED : STATE_BAD;
}

bool formats_find(struct reader_formats *formats, const struct region_formats *shared,
    uint32_t place, struct reader_format *out)
{
    size_t unit = place / REGION_FORMAT_UNIT;
    if (place % REGION_FORMAT_UNIT != 0 || unit == 0 || unit >= UNITS) {
        return false;
    }
    if (YARDER_UNLIKELY(formats->states[unit] == STATE_NEW)) {
        learn(formats, shared, place);
    }
    *out = (struct reader_format){.text = {formats->texts + place, formats->bytes[unit]},
        .parsed = formats->states[unit] == STATE_PARSED ? &formats->parsed[unit] : NULL};
    return formats->states[unit] != STATE_NEW;
}
