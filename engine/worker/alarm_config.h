/* SPDX-License-Identifier: Apache-2.0 */
/* Alarms as configured. Texts belong to the configuration's arena. */
#ifndef YARDER_WORKER_ALARM_CONFIG_H
#define YARDER_WORKER_ALARM_CONFIG_H

#include "api/option.h"
#include "base/base.h"

enum { ALARMS_MAX = 64, ALARM_RULES_MAX = 1024, ALARM_MESSAGE_BYTES_MAX = 64 << 10 };

enum alarm_action {
    ALARM_COMMAND, /* run by sh, the message on its standard input */
    ALARM_SIGNAL,  /* to the process that a file names */
    ALARM_OUTPUT,  /* the record is given to an output as well */
    ALARM_LOG,     /* a record about it, which raises no alarm */
    ALARM_ACTIONS
};
extern const char *const alarm_action_names[ALARM_ACTIONS];

struct alarm_config {
    char *name;
    char *where;
    enum alarm_action action;
    char *argument; /* the command, the file, the output's name, the text before the message */
    int signal;
    uint32_t output; /* its index */
};

struct alarm_rule {
    char *names; /* as given */
    char *pattern;
    char *where;
    uint64_t alarms; /* bit per alarm */
    bool negative;   /* not-log-alarm: a match ends the walk */
};

struct alarms_config {
    struct alarm_config *at; /* NULL: none */
    uint32_t count;
    struct alarm_rule *rules; /* in order */
    uint32_t rules_count;
    uint64_t outputs;   /* bit per output that an alarm names */
    uint64_t quiet_ns;  /* alarm-freq: the same message again is told once in that time */
    uint64_t limit_ns;  /* alarm-timeout: a command is killed then */
    uint64_t bytes_max; /* alarm-msg-size: of a message; longer ones are cut */
    bool logs_only;     /* requests have a way of their own, and it has no alarms */
};

#endif
