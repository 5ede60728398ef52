/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as users write them: sizes and durations, and the word[:argument] forms, each of which is
 * the `parse` of a row in the output option table.
 */
#ifndef YARDER_OUTPUTS_OUTPUT_PRIVATE_H
#define YARDER_OUTPUTS_OUTPUT_PRIVATE_H

#include "base/base.h"

/* Each writes its struct at `target`: 0, or -EINVAL with what was expected in `why`. */
YARDER_MUST_USE int option_parse_queue(void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_on_full(
    void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_fsync(void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_retry(void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_give_up(
    void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_facilities(
    void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_kinds(void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_streams(
    void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_rotate_when(
    void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_rotate_at(
    void *target, const char *text, char *why, size_t why_bytes);

/* "64K": K, M and G are powers of 1024, in either case. 0, -EINVAL or -ERANGE. */
YARDER_MUST_USE int option_parse_bytes(const char *text, uint64_t *out);

/* Times are added to clocks, which no time that is let in may take beyond their end. */
#define OPTION_DURATION_NS_MAX (UINT64_C(365) * 86400 * 1000000000)

/* "5ms", units ms s m h d; "0" needs none. 0, -EINVAL (no or another unit) or -ERANGE. */
YARDER_MUST_USE int option_parse_duration(const char *text, uint64_t *out_ns);

/* The way back, in the largest unit without a rest: "64K", "2s", "for ever" for UINT64_MAX. */
enum { OPTION_FORMAT_BYTES = 32 };
const char *option_format_bytes(uint64_t value, char at[OPTION_FORMAT_BYTES]);
const char *option_format_duration(uint64_t value_ns, char at[OPTION_FORMAT_BYTES]);

#endif
