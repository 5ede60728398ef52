/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Alarms: what is done when a record matches, wherever it goes. Asked about records that were
 * placed, so that one which waits and is taken again raises none twice; before a drop or keep in
 * the sense that what these take raises alarms all the same. In uWSGI's order:
 *
 *   for each log-alarm and not-log-alarm line that matches:
 *       not-log-alarm: no line behind it is asked
 *       log-alarm: each of its alarms is raised, unless its last message was the same, and not
 *                  longer ago than alarm-freq
 *
 * What an alarm makes itself (a record of the action log) is placed here, past this question: there
 * is no way to loop inside the daemon. Owned by the writer; nothing here waits.
 */
#ifndef YARDER_WORKER_ALARM_H
#define YARDER_WORKER_ALARM_H

#include "worker/alarm_runner.h"

struct alarms;
struct sink;
struct worker;

/* NULL in *out when the configuration has none. -EINVAL or -ENOMEM with `why`. */
YARDER_MUST_USE int alarms_open(
    struct alarms **out, struct worker *worker, char *why, size_t why_bytes);
void alarms_close(struct alarms *alarms);

/* The first `count` records of the batch have been placed; the sink's verdicts are theirs. */
void alarms_look(struct alarms *alarms, struct sink *sink, const struct yarder_record *records,
    uint32_t count, uint64_t now_ns);

/* Any thread: the counts of one alarm, by its index in the configuration. */
const struct alarm_counts *alarms_counts(const struct alarms *alarms, uint32_t alarm);

#endif
