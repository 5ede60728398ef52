/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's status in words. The first line is the answer: whether it loses records. Losing
 * means that a count of losses grew in the last minute; what was lost before is told and is no
 * alarm any more. Failing: a loss that nobody can count may have happened in the last minute, or
 * what a destination refused went to the dead letters.
 */
#ifndef YARDER_CLI_STATUS_TEXT_H
#define YARDER_CLI_STATUS_TEXT_H

#include <cjson/cJSON.h>

#include "base/base.h"

enum status_state {
    STATUS_HEALTHY, /* nothing was ever lost */
    STATUS_LOST,    /* something was, and no more now */
    STATUS_FAILING, /* an output refused records, or failed where nobody answers for what was sent
                     */
    STATUS_HELD_UP, /* records wait, and their output does not get on: nothing lost yet */
    STATUS_LOSING,
};

struct status_verdict {
    enum status_state state;
    char line[768];
};

/* Of a daemon's answer; at_ns is the time of day. */
void status_judge(const cJSON *report, uint64_t at_ns, struct status_verdict *out);

static inline bool status_is_healthy(enum status_state state)
{
    return state == STATUS_HEALTHY || state == STATUS_LOST;
}

/* "healthy", "lost", "failing", "held up" or "losing". */
const char *status_word(enum status_state state);

/* The line and the tables. */
void status_print(
    const cJSON *report, uint64_t at_ns, const struct status_verdict *verdict, FILE *to);

/* "3d 4h", "12m 3s", "9s". */
enum { STATUS_SPAN_BYTES = 32 };
const char *status_span(uint64_t seconds, char at[STATUS_SPAN_BYTES]);

#endif
