/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one question of recovery: how many bytes of a sealed batch stand in the file? Reads, never
 * writes; so a kill during recovery changes nothing. Runs in a file's lane, for reading can hang.
 */
#ifndef YARDER_OUTPUTS_COMPARE_H
#define YARDER_OUTPUTS_COMPARE_H

#include "base/base.h"

struct compare_batch {
    const char *bytes; /* the sealed bytes */
    uint32_t bytes_count;
    bool continues;       /* they begin inside a record, and end at its end at the latest */
    const uint32_t *ends; /* record ends of their buffer, downwards: ends[-1] is the first */
    uint32_t ends_count;
    uint32_t ends_offset;   /* where the sealed bytes begin in that buffer */
    bool after_half;        /* a half line that stands before them is closed by a newline first */
    uint64_t expected_size; /* of the file before the batch: E */
};

struct compare_result {
    uint32_t standing; /* bytes of the batch that stand, from its first */
    uint64_t size;     /* where the piece ends, or the file's size when nothing stands */
    bool at_end;       /* the piece is the end of the file: writing may go on inside the record */
    bool cut;          /* the file is shorter than expected: what stood may have been taken away */
};

/* 0, or -errno of reading. Allocates up to COMPARE_WINDOW_BYTES for a search. */
YARDER_MUST_USE int compare_file(
    int fd, const struct compare_batch *batch, struct compare_result *out);

enum { COMPARE_WINDOW_BYTES = 64 << 20 };

#endif
