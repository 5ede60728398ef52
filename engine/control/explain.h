/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration told back: in sentences for people, in JSON for programs. */
#ifndef YARDER_CONTROL_EXPLAIN_H
#define YARDER_CONTROL_EXPLAIN_H

#include <cjson/cJSON.h>

#include "control/config.h"
#include "control/report.h"

/*
 * `check --explain`: each input and output with its options as they hold, what reaches each output
 * in a sentence of the router, and how much memory it comes to.
 */
void config_explain(const struct daemon_config *config, const struct router *router, FILE *to);

/* Of that: the alarms. */
void config_explain_alarms(const struct daemon_config *config, FILE *to);
/* `explain LINE`: the lines of alarms that match the record. 0 or -ENOMEM. */
YARDER_MUST_USE int config_explain_raised(
    const struct daemon_config *config, const struct yarder_record *record, FILE *to);

/* `check`'s last line: "ok: 3 inputs, 5 outputs, 2 routes; 1 warning". */
void config_summary(
    const struct daemon_config *config, const struct config_report *report, FILE *to);

/* `check --json`: the caller's, for cJSON_Delete; NULL: no memory. Either may be NULL. */
cJSON *config_to_json(const struct daemon_config *config, const struct config_report *report);

#endif
