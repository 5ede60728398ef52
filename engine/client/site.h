/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call sites whose format the daemon knows. A site's word is the serial of an attachment and, below
 * it, the format's place in that attachment's region: another attachment, a forked child or a
 * library that was loaded anew finds a word that is not its own, and registers.
 *
 *   0, or of another attachment --claimed--> SITE_BUSY --text in the table--> its place
 *                                               \--no room there, or none of ours--> SITE_CALLER
 *
 * Who meets SITE_BUSY, another thread or a signal handler inside the claimer, formats its record
 * itself. A site defers the first format that it was called with and no other: one site may be
 * several plugins' (a C++ inline function's statics are unique in the process). That is a guard;
 * what lies at the address of a format is no key.
 */
#ifndef YARDER_CLIENT_SITE_H
#define YARDER_CLIENT_SITE_H

#include <errno.h>
#include <string.h>

#include "client/client.h"
#include "ring/deferred.h"

enum {
    SITE_PLACE_BITS = 24, /* the serial has the other 40 */
    SITE_BUSY = 1,
    SITE_CALLER = 2,               /* for as long as this attachment lives */
    SITE_PAYLOAD_BYTES_MAX = 2048, /* on the stack of the call */
    SITE_NO_PRECISION = UINT16_MAX,
    SITE_FORMAT_HERE = 256, /* no enum yarder_result: the caller must format */
};

/* The slow part of site_place. */
uint32_t site_register(
    struct yarder_site *site, struct client_attachment *attachment, const char *format);

/* The format's place in the attachment's region, or 0: the caller must format. */
static inline uint32_t site_place(
    struct yarder_site *site, struct client_attachment *attachment, const char *format)
{
    /* acquire: with the place come the types; pairs with site_register */
    uint64_t word = __atomic_load_n(&site->word, __ATOMIC_ACQUIRE);
    uint64_t place = word - (attachment->serial << SITE_PLACE_BITS);
    if (YARDER_LIKELY(place - REGION_FORMAT_UNIT < REGION_FORMATS_BYTES - REGION_FORMAT_UNIT &&
                      __atomic_load_n(&site->format, __ATOMIC_RELAXED) == format)) {
        return (uint32_t)place;
    }
    return site_register(site, attachment, format);
}

/*
 * A text and its length at `at`: bytes used, or 0 when that is over `room`. As for printf NULL is a
 * word, if that fits into the precision, and nothing behind the precision is read.
 */
static inline size_t site_put_text(uint8_t *at, size_t room, const char *text, uint16_t precision)
{
    static const char word[] = "(null)";
    if (YARDER_UNLIKELY(text == NULL)) {
        text = precision < sizeof(word) - 1 ? "" : word;
    }
    size_t length =
        YARDER_LIKELY(precision == SITE_NO_PRECISION) ? strlen(text) : strnlen(text, precision);
    uint32_t bytes = (uint32_t)length;
    if (YARDER_UNLIKELY(room < sizeof(bytes) || length > room - sizeof(bytes))) {
        return 0;
    }
    memcpy(at, &bytes, sizeof(bytes));
    memcpy(at + sizeof(bytes), text, length);
    return sizeof(bytes) + length;
}

/*
 * The payload of a record: its bytes, or 0 when the texts are more than fit. errno is what %m
 * shows. Reads no more of a text than its precision allows.
 */
static inline __attribute__((always_inline)) size_t site_encode(
    uint8_t payload[SITE_PAYLOAD_BYTES_MAX], const struct yarder_site *site, uint32_t place,
    va_list arguments)
{
    enum { NUMBERS_BYTES = DEFERRED_CONVERSIONS_MAX * 8 }; /* kept free for what is no text */
    uint8_t *at = payload + DEFERRED_HEAD_BYTES;
    const uint8_t *texts_end = payload + SITE_PAYLOAD_BYTES_MAX - NUMBERS_BYTES;
    uint64_t types = __atomic_load_n(&site->types, __ATOMIC_RELAXED);
    memcpy(payload, &place, sizeof(place));
    memcpy(payload + sizeof(place), &types, sizeof(types));
    for (unsigned i = 0; types != 0; i++, types >>= DEFERRED_TYPE_BITS) {
        unsigned type = types & DEFERRED_TYPE_MASK;
        uint64_t value;
        if (type == DEFERRED_INT) {
            value = (uint64_t)va_arg(arguments, int);
        } else if (type == DEFERRED_LONG) {
            value = va_arg(arguments, unsigned long);
        } else if (type == DEFERRED_TEXT) {
            const char *text = va_arg(arguments, const char *);
            uint16_t precision = __atomic_load_n(&site->precisions[i], __ATOMIC_RELAXED);
            size_t room = at < texts_end ? (size_t)(texts_end - at) : 0;
            size_t bytes = site_put_text(at, room, text, precision);
            if (bytes == 0) {
                return 0;
            }
            at += bytes;
            continue;
        } else if (type == DEFERRED_DOUBLE) {
            double number = va_arg(arguments, double);
            memcpy(&value, &number, sizeof(value));
        } else {
            value =
                type == DEFERRED_POINTER ? (uintptr_t)va_arg(arguments, void *) : (uint64_t)errno;
        }
        memcpy(at, &value, sizeof(value));
        at += sizeof(value);
    }
    return (size_t)(at - payload);
}

#endif
