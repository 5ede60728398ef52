/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of several lines that are under way, one for each source, in joins of the hold: so that a
 * worker's death between two lines loses nothing. They are the joins behind those of long ring
 * records. Of the first line's record all but its text lies packed where a join has its fields.
 *
 * A source is an input, a number (of a pipe, a connection, a process with rings) and what records
 * state: peer, host, tag, pid, tid and stream.
 */
#ifndef YARDER_INPUTS_GATHER_H
#define YARDER_INPUTS_GATHER_H

#include "codec/multiline.h"
#include "inputs/join.h"

enum { GATHERS_COUNT = 48 };

/* The first and the one behind the last of the hold's joins that are meant here; may be none. */
static inline uint32_t gather_first(void)
{
    return JOINS_COUNT;
}
static inline uint32_t gather_end(const struct hold *hold)
{
    return (uint32_t)yarder_max(hold->shape.joins_count, JOINS_COUNT);
}
static inline bool gather_is_used(const struct hold *hold, uint32_t index)
{
    return hold->joins[index].region != 0 && hold->joins[index].region != JOIN_REGION_FREED;
}

/* What is under way for the source of this record; HOLD_NONE: nothing. */
uint32_t gather_find(const struct hold *hold, const struct yarder_record *record, uint32_t number);

/* Begins with this record. -ENOSPC: there is no room for it, now or ever. */
YARDER_MUST_USE int gather_begin(struct hold *hold, const struct yarder_record *record,
    uint32_t number, multiline_state state, uint32_t *index);

/* Adds a line. -ENOSPC: it would be longer than `bytes_max`, and nothing is changed. */
YARDER_MUST_USE int gather_add(
    struct hold *hold, uint32_t index, struct yarder_text line, bool gap, uint32_t bytes_max);

/*
 * The record as it is; its texts lie in the join, its fields in `fields` (YARDER_FIELDS_MAX). To be
 * placed, and freed then. -EBADMSG: it makes no sense.
 */
YARDER_MUST_USE int gather_record(const struct hold *hold, uint32_t index,
    struct yarder_field *fields, struct yarder_record *out);
void gather_free(struct hold *hold, uint32_t index);

/* After a commit, and after hold_load, before join_settle. */
void gather_settle(struct hold *hold);

/* The join's members in this use. */
static inline multiline_state *gather_state(struct hold *hold, uint32_t index)
{
    return &hold->joins[index].next_part;
}
static inline int64_t *gather_due_ns(struct hold *hold, uint32_t index)
{
    return &hold->joins[index].time_ns; /* monotonic */
}
static inline uint32_t *gather_flags(struct hold *hold, uint32_t index)
{
    return &hold->joins[index].flags; /* beside those of its first line */
}
static inline uint32_t gather_number(const struct hold *hold, uint32_t index)
{
    return hold->joins[index].tid;
}

#endif
