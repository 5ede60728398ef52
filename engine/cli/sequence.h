/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records that can be audited: who made it, its number, a checksum of all the rest, and padding
 * that differs from one record to the next. What came out of a daemon is held against what went in.
 *
 *     SOURCE NUMBER CHECKSUM PADDING
 *
 * CHECKSUM is the CRC-32 of zlib over "SOURCE NUMBER " and PADDING, in eight hexadecimal digits.
 */
#ifndef YARDER_CLI_SEQUENCE_H
#define YARDER_CLI_SEQUENCE_H

#include "api/record.h"
#include "base/base.h"

enum {
    SEQUENCE_SOURCE_BYTES_MAX = 63,
    SEQUENCE_RECORD_BYTES_MAX = 64 << 10,
    SEQUENCE_HEAD_BYTES_MAX = SEQUENCE_SOURCE_BYTES_MAX + 32, /* what a record has at the least */
};

/*
 * One sender's records. Its padding repeats with the number, so its checksums are worked out once
 * and joined to that of the head: a record costs little more than its copy, and a load can go as
 * fast as what it is to measure.
 */
struct sequence {
    char source[SEQUENCE_SOURCE_BYTES_MAX + 1];
    size_t size;              /* of a record, in bytes, or as many as it takes without padding */
    size_t padding_bytes;     /* what the words below are for; SIZE_MAX: nothing yet */
    uint32_t padding_crc[26]; /* by its first letter, begun with 0 */
    uint32_t shift[4][256];   /* what so many bytes do to a checksum before them */
};

/* One of a process' threads builds the tables, before any other makes records. */
void sequence_init(void);

/* 1 to SEQUENCE_SOURCE_BYTES_MAX of letters, digits, '_', '.', '-'. */
bool sequence_source_is_good(const char *source);

/* The source is good; size at most SEQUENCE_RECORD_BYTES_MAX. */
void sequence_open(struct sequence *sequence, const char *source, size_t size);

/*
 * Writes a record to `at`, which has room for the larger of `size` and SEQUENCE_HEAD_BYTES_MAX.
 * Returns its bytes.
 */
size_t sequence_write(struct sequence *sequence, char *at, uint64_t number);

/*
 * Reads a record back. false: it is none, or not whole. The source is a text inside of it.
 */
bool sequence_read(struct yarder_text record, struct yarder_text *source, uint64_t *number);

#endif
