/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sequence.h"

#include <string.h>

#include "base/text.h"

enum { CRC_WORD = 8, ALPHABET = 26, CHECKSUM_BYTES = 8 };

/* crc_table[k][byte]: the byte, and k zero bytes behind it. */
static uint32_t crc_table[CRC_WORD][256];

/* The alphabet over and over: padding is a piece of it. */
static char letters[SEQUENCE_RECORD_BYTES_MAX + ALPHABET];

void sequence_init(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
        }
        crc_table[0][byte] = crc;
    }
    for (size_t k = 1; k < CRC_WORD; k++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t before = crc_table[k - 1][byte];
            crc_table[k][byte] = (before >> 8) ^ crc_table[0][before & 0xff];
        }
    }
    for (size_t i = 0; i < sizeof(letters); i++) {
        letters[i] = (char)('a' + i % ALPHABET);
    }
}

/* The register of a CRC after so many more bytes, eight at a time. zlib's crc32() turns it around
 * before and after. */
static uint32_t crc_over(uint32_t crc, const char *at, size_t length)
{
    for (; length >= CRC_WORD; at += CRC_WORD, length -= CRC_WORD) {
        unsigned char b[CRC_WORD];
        memcpy(b, at, CRC_WORD);
        crc ^= (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
        crc = crc_table[7][crc & 0xff] ^ crc_table[6][crc >> 8 & 0xff] ^
              crc_table[5][crc >> 16 & 0xff] ^ crc_table[4][crc >> 24] ^ crc_table[3][b[4]] ^
              crc_table[2][b[5]] ^ crc_table[1][b[6]] ^ crc_table[0][b[7]];
    }
    for (; length > 0; at++, length--) {
        crc = (crc >> 8) ^ crc_table[0][(crc ^ (unsigned char)*at) & 0xff];
    }
    return crc;
}

bool sequence_source_is_good(const char *source)
{
    size_t length =
        strspn(source, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return length > 0 && length <= SEQUENCE_SOURCE_BYTES_MAX && source[length] == '\0';
}

/*
 * A CRC is linear: over "head padding" it is that of the padding begun with 0, and that of the head
 * moved on by as many zero bytes. What the move does is known from what it does to each bit.
 */
static void learn_padding(struct sequence *sequence, size_t padding_bytes)
{
    uint32_t moved[32];
    for (size_t bit = 0; bit < YARDER_COUNT_OF(moved); bit++) {
        moved[bit] = 1u << bit;
        for (size_t i = 0; i < padding_bytes; i++) {
            moved[bit] = (moved[bit] >> 8) ^ crc_table[0][moved[bit] & 0xff];
        }
    }
    for (size_t k = 0; k < YARDER_COUNT_OF(sequence->shift); k++) {
        for (size_t byte = 0; byte < 256; byte++) {
            uint32_t sum = 0;
            for (size_t bit = 0; bit < 8; bit++) {
                sum ^= (byte >> bit & 1) != 0 ? moved[8 * k + bit] : 0;
            }
            sequence->shift[k][byte] = sum;
        }
    }
    for (size_t i = 0; i < ALPHABET; i++) {
        sequence->padding_crc[i] = crc_over(0, letters + i, padding_bytes);
    }
    sequence->padding_bytes = padding_bytes;
}

static uint32_t join(const struct sequence *sequence, uint32_t head, size_t first)
{
    return sequence->shift[0][head & 0xff] ^ sequence->shift[1][head >> 8 & 0xff] ^
           sequence->shift[2][head >> 16 & 0xff] ^ sequence->shift[3][head >> 24] ^
           sequence->padding_crc[first];
}

void sequence_open(struct sequence *sequence, const char *source, size_t size)
{
    YARDER_ASSERT(size <= SEQUENCE_RECORD_BYTES_MAX && strlen(source) <= SEQUENCE_SOURCE_BYTES_MAX);
    sequence->size = size;
    sequence->padding_bytes = SIZE_MAX;
    memcpy(sequence->source, source, strlen(source) + 1);
}

static void put_checksum(char *at, uint32_t crc)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < CHECKSUM_BYTES; i++) {
        at[i] = digits[crc >> (28 - 4 * i) & 0xf];
    }
}

size_t sequence_write(struct sequence *sequence, char *at, uint64_t number)
{
    size_t head = strlen(sequence->source);
    memcpy(at, sequence->source, head);
    at[head++] = ' ';
    head += text_from_u64(at + head, number);
    at[head++] = ' ';
    size_t least = head + CHECKSUM_BYTES + 1;
    size_t padding = sequence->size > least ? sequence->size - least : 0;
    if (YARDER_UNLIKELY(padding != sequence->padding_bytes)) { /* the number has one digit more */
        learn_padding(sequence, padding);
    }
    size_t first = (size_t)(number % ALPHABET);
    memcpy(at + least, letters + first, padding);
    put_checksum(at + head, ~join(sequence, crc_over(UINT32_MAX, at, head), first));
    at[least - 1] = ' ';
    return least + padding;
}

/* Where what follows the word at `at` and its space begins; 0: it ends without one. */
static size_t after_word(struct yarder_text record, size_t at)
{
    const char *space = memchr(record.at + at, ' ', record.length - at);
    return space == NULL ? 0 : (size_t)(space - record.at) + 1;
}

bool sequence_read(struct yarder_text record, struct yarder_text *source, uint64_t *number)
{
    size_t source_end = record.length == 0 ? 0 : after_word(record, 0);
    size_t head = source_end == 0 ? 0 : after_word(record, source_end);
    size_t least = head + CHECKSUM_BYTES + 1;
    if (head < 2 || record.length < least || record.at[least - 1] != ' ') {
        return false;
    }
    char checksum[CHECKSUM_BYTES];
    uint32_t crc = crc_over(UINT32_MAX, record.at, head);
    put_checksum(checksum, ~crc_over(crc, record.at + least, record.length - least));
    *source = (struct yarder_text){record.at, source_end - 1};
    const struct yarder_text digits = {record.at + source_end, head - 1 - source_end};
    return memcmp(checksum, record.at + head, sizeof(checksum)) == 0 &&
           text_to_u64(digits, number) == 0;
}
