/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sequence.h"

#include <string.h>

#include "base/text.h"

enum { CRC_WORD = 8, ALPHABET = 26 };

/* crc_table[k][byte]: the byte, and k zero bytes behind it. */
static uint32_t crc_table[CRC_WORD][256];

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
}

/* As zlib's crc32(): a running checksum begins with 0. Eight bytes at a time. */
static uint32_t crc32_of(uint32_t running, const char *at, size_t length)
{
    uint32_t crc = ~running;
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
    return ~crc;
}

bool sequence_source_is_good(const char *source)
{
    size_t length =
        strspn(source, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
    return length > 0 && length <= SEQUENCE_SOURCE_BYTES_MAX && source[length] == '\0';
}

/* The alphabet over and over, from its letter `first`. */
static void put_padding(char *at, size_t length, uint64_t first)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
    size_t begin = (size_t)(first % ALPHABET);
    size_t done = (size_t)yarder_min(length, ALPHABET);
    memcpy(at, alphabet + begin, done);
    while (done < length) { /* what stands there is a whole number of alphabets */
        size_t more = (size_t)yarder_min(length - done, done);
        memcpy(at + done, at, more);
        done += more;
    }
}

size_t sequence_write(char *at, const char *source, uint64_t number, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    enum { CHECKSUM_BYTES = 8 };
    YARDER_ASSERT(size <= SEQUENCE_RECORD_BYTES_MAX);
    size_t head = strlen(source);
    memcpy(at, source, head);
    at[head++] = ' ';
    head += text_from_u64(at + head, number);
    at[head++] = ' ';
    size_t least = head + CHECKSUM_BYTES + 1;
    size_t padding = size > least ? size - least : 0;
    put_padding(at + least, padding, number);
    uint32_t crc = crc32_of(crc32_of(0, at, head), at + least, padding);
    for (size_t i = 0; i < CHECKSUM_BYTES; i++) {
        at[head + i] = digits[crc >> (28 - 4 * i) & 0xf];
    }
    at[least - 1] = ' ';
    return least + padding;
}
