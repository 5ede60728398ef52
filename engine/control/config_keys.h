/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of the top level (and of the command line), in one table from which reading, errors,
 * help and the manual are made. What has a field of its own in struct daemon_config is an option
 * like any other; the rest are lines with a grammar.
 */
#ifndef YARDER_CONTROL_CONFIG_KEYS_H
#define YARDER_CONTROL_CONFIG_KEYS_H

#include "api/option.h"
#include "base/base.h"

enum config_line {
    CONFIG_FIELD, /* an option of struct daemon_config */
    CONFIG_INPUT,
    CONFIG_OUTPUT,
    CONFIG_ROUTE,
    CONFIG_INCLUDE,
    CONFIG_PLUGIN,
    CONFIG_UWSGI_FILE,
    CONFIG_LOGGER, /* uWSGI's grammar from here on */
    CONFIG_REQ_LOGGER,
    CONFIG_LOG_KIND, /* log-KIND = ARGUMENT: a logger of that kind */
    CONFIG_RSYSLOG_BYTES,
    CONFIG_RSYSLOG_SPLIT,
    CONFIG_LOG_ROUTE,
    CONFIG_LOG_REQ_ROUTE,
    CONFIG_LOG_DRAIN,
    CONFIG_LOG_FILTER,
    CONFIG_LOGTO, /* each of these four wins over those before it */
    CONFIG_DAEMONIZE,
    CONFIG_LOGTO2,
    CONFIG_DAEMONIZE2,
    CONFIG_LOG_TRUNCATE,
    CONFIG_UDP,
    CONFIG_LOG_ENCODER, /* config_encode.c */
    CONFIG_LOG_REQ_ENCODER,
    CONFIG_ALARM, /* config_alarm.c, to the last of them */
    CONFIG_LOG_ALARM,
    CONFIG_NOT_LOG_ALARM,
    CONFIG_ALARM_FREQ,
    CONFIG_ALARM_MSG_SIZE,
    CONFIG_ALARM_TIMEOUT,
    CONFIG_LOG_MAXSIZE, /* config_rotate.c, to the last of them */
    CONFIG_LOG_BACKUPNAME,
    CONFIG_TOUCH_LOGROTATE,
    CONFIG_TOUCH_LOGREOPEN,
    CONFIG_LOGFILE_CHMOD,
    CONFIG_ACCEPTED,   /* says what yarder does anyhow */
    CONFIG_LOG_FORMAT, /* the form of requests; its %(...) are variables of a request */
    CONFIG_LEFT,       /* uWSGI's own work on a line, done before the line comes here */
    CONFIG_NOT_BUILT,  /* uWSGI's, and not served yet: refused, not ignored */
};

struct config_key {
    struct yarder_option option;
    enum config_line line;
};
extern const struct config_key config_keys[]; /* ends with YARDER_OPTION_END */

/* The key's row, or NULL. */
const struct config_key *config_key_find(const char *name);
/* The name of the key nearest to a wrong one, or NULL. */
const char *config_key_near(const char *name);

/* The first row that writes the same field: itself, unless it is another name of that one. */
const struct config_key *config_key_first(const struct config_key *key);
static inline bool config_key_is_alias(const struct config_key *key)
{
    return config_key_first(key) != key;
}

/* Whether the value is uWSGI's business: no quotes, no options. */
static inline bool config_key_is_uwsgi(const struct config_key *key)
{
    return key->line >= CONFIG_LOGGER;
}

/* The kind of a logger's line, [NAME ]KIND[:ARGUMENT]: where it begins, behind the name. */
const char *config_logger_kind(const char *value);

/* Whether it takes the next argument of a command line, when no '=' gave it a value. */
bool config_key_takes_next(const struct config_key *key);

#endif
