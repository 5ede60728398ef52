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

#include "base/base.h"

enum {
    SEQUENCE_SOURCE_BYTES_MAX = 63,
    SEQUENCE_RECORD_BYTES_MAX = 64 << 10,
    SEQUENCE_HEAD_BYTES_MAX = SEQUENCE_SOURCE_BYTES_MAX + 32, /* what a record has at the least */
};

/* One of a process' threads builds the tables, before any other makes records. */
void sequence_init(void);

/* 1 to SEQUENCE_SOURCE_BYTES_MAX of letters, digits, '_', '.', '-'. */
bool sequence_source_is_good(const char *source);

/*
 * Writes a record of `size` bytes, or as many as it takes without padding, to `at`, which has room
 * for the larger of `size` and SEQUENCE_HEAD_BYTES_MAX. Returns its bytes.
 */
size_t sequence_write(char *at, const char *source, uint64_t number, size_t size);

#endif
