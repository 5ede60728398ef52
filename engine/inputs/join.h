/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long ring records arrive in parts, perhaps over several passes. What came so far is kept in a
 * join of the hold, so a worker's death between two parts loses nothing.
 */
#ifndef YARDER_INPUTS_JOIN_H
#define YARDER_INPUTS_JOIN_H

#include "inputs/batch.h"
#include "ring/reader.h"

/* Free in the private state; the stored commit may still need its memory. */
#define JOIN_REGION_FREED UINT64_MAX

enum {
    JOINS_COUNT = 16,             /* of the hold's: more behind them are inputs/gather.h's */
    JOINS_OF_REGION = 4,          /* one that has more gives up its own first when all are taken */
    JOIN_FIELDS_BYTES = 34 << 10, /* first in a join's memory; the text follows */
    /* For the longest record there can be: what is not used is never touched, and a join fits the
     * next hold whatever record-max says there. */
    JOIN_BYTES = JOIN_FIELDS_BYTES + YARDER_RECORD_BYTES_MAX + (2 << 10),
};

/*
 * Takes a part that is not the last one: 0. -ENOENT: a middle part whose beginning is not here: it
 * is to be delivered by itself, flagged. -ENOSPC: it begins a record and no join is free: see
 * join_oldest.
 */
YARDER_MUST_USE int join_put(
    struct hold *hold, uint64_t region, uint32_t record_bytes_max, const struct ring_record *part);

/*
 * Makes the whole record of the last part and what was joined before. Texts lie in the join, fields
 * in `fields` (YARDER_FIELDS_MAX). 0 or -ENOENT. Changes nothing: join_free when it was placed.
 */
YARDER_MUST_USE int join_last(struct hold *hold, uint64_t region, uint32_t record_bytes_max,
    const struct ring_record *part, struct yarder_field *fields, struct yarder_record *out);
/* That of the record's thread and stream: a thread may have a line of each under way. */
void join_free(struct hold *hold, uint64_t region, const struct yarder_record *record);
/* After a commit (and after hold_load): what was freed before it may be used again. */
void join_settle(struct hold *hold);

/*
 * When no join is free for a part of `region`: the unfinished record that has to go out, flagged
 * PARTIAL, to be placed and freed; its own region is in *owner, its thread in the record. That is
 * the one that got no part for longest: of this region if it has JOINS_OF_REGION or more, else of
 * those that have more, else of all. -EAGAIN: nothing has to go, the next commit frees one.
 */
YARDER_MUST_USE int join_oldest(struct hold *hold, uint64_t region, uint64_t *owner,
    struct yarder_field *fields, struct yarder_record *out);

/* An unfinished record of a region whose process has ended: 0, flagged PARTIAL; -ENOENT: none. */
YARDER_MUST_USE int join_orphan(
    struct hold *hold, uint64_t region, struct yarder_field *fields, struct yarder_record *out);

#endif
