/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters: a file of records that a destination refused for good, a line of JSON each, from
 * which every byte of the record can be had back.
 *
 *   {"refused":"2026-11-21T13:20:11.123456Z","output":"NAME","reason":"...","id":"EPOCH-NUMBER",
 *    "record":{...}}                                                        (on one line)
 *
 * A TEXT is a JSON string when its bytes are UTF-8 without a NUL, else {"base64":"..."} (RFC 4648,
 * padded). `output` and `reason` are strings for people, `id` is two decimal numbers. The record:
 *
 *   "time_ns" "received_ns"   strings of a decimal number (larger than a JSON number holds exactly)
 *   "level" "facility" "kind" "stream" "flags" "pid" "tid" "lost_before" "input"   numbers, of
 *       api/record.h; left out when 0; no "facility": YARDER_FACILITY_NONE (0 is written)
 *   "text" "host" "peer" "tag" "logger"   TEXT, left out when empty
 *   "fields"  [{"key":TEXT,"type":"text|int|uint|float|bool","value":V}, ...]; left out when none.
 *       V of a text is a TEXT; of the others a string, the value as a decimal number or true or
 *       false, or {"base64":"..."} of the raw bytes where those are no such value or not finite
 *
 * Lines are appended with one write for a batch. A line that a full disk or a death cut is ended by
 * the next one; who reads skips what is no such line.
 */
#ifndef YARDER_OFFLOAD_DEAD_LETTER_H
#define YARDER_OFFLOAD_DEAD_LETTER_H

#include "api/backend.h"
#include "base/base.h"

/* Letters of one batch. Zero is a valid empty one. */
struct dead_letters {
    char *bytes;
    size_t bytes_count, room;
};

/* Adds a line. 0 or -ENOMEM. */
YARDER_MUST_USE int dead_letter_put(struct dead_letters *letters, const char *output_name,
    const char *reason, struct yarder_id id, const struct yarder_record *record);

/*
 * Appends them to the file, which is made (0640) if it is not there, and forgets them. 0, or -errno
 * with *call ("open", "write"): some of them may stand.
 */
YARDER_MUST_USE int dead_letters_write(
    struct dead_letters *letters, const char *path, const char **call);
void dead_letters_drop(struct dead_letters *letters);

#endif
