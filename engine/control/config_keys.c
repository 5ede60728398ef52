/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config_keys.h"

#include <string.h>

#include "base/limits.h"
#include "base/text.h"
#include "control/option_share.h"
#include "control/uwsgi_names.h"
#include "worker/config.h"

static const char *const io_choices[] = {"auto", "uring", "epoll", NULL};
static const char *const log_level_choices[] = {"error", "warning", "note", "debug", NULL};

#define FIELD(member) offsetof(struct daemon_config, member)
#define LINE(name, what, argument, help)                                                           \
    {                                                                                              \
        {name, YARDER_OPTION_TEXTS, 0, NULL, 0, 0, NULL, NULL, argument, help}, what               \
    }
#define FLAG(name, what, help)                                                                     \
    {                                                                                              \
        {name, YARDER_OPTION_BOOL, 0, NULL, 0, 0, NULL, NULL, "yes|no", help}, what                \
    }

/* clang-format off: a table */
const struct config_key config_keys[] = {
    LINE("input", CONFIG_INPUT, "[NAME ]KIND:TARGET[,OPTION=VALUE...]",
        "where records come from; see `yarder inputs`"),
    LINE("output", CONFIG_OUTPUT, "[NAME ]KIND:TARGET[,OPTION=VALUE...]",
        "where records go; see `yarder outputs`"),
    LINE("route", CONFIG_ROUTE, "NAME REGEX",
        "the named output gets what matches, and nothing that no route gives it"),
    {{"drop", YARDER_OPTION_TEXTS, FIELD(drop), NULL, 0, 0, NULL, NULL, "REGEX",
         "records whose text matches go nowhere"},
        CONFIG_FIELD},
    {{"keep", YARDER_OPTION_TEXTS, FIELD(keep), NULL, 0, 0, NULL, NULL, "REGEX",
         "only records whose text matches one of these go on"},
        CONFIG_FIELD},
    LINE("include", CONFIG_INCLUDE, "GLOB", "reads more files here, sorted; relative to this file"),
    LINE("plugin", CONFIG_PLUGIN, "PATH",
        "a module of somebody's: its kind of output is there as ours are"),
    LINE("ini", CONFIG_UWSGI_FILE, "FILE[:SECTION]",
        "reads a file of uWSGI's: its lines about logs"),
    LINE("yaml", CONFIG_UWSGI_FILE, "FILE[:SECTION]", "the same, in YAML"),
    LINE("yml", CONFIG_UWSGI_FILE, "FILE[:SECTION]", "the same as yaml"),
    LINE("json", CONFIG_UWSGI_FILE, "FILE[:SECTION]", "the same, in JSON"),
    {{"user", YARDER_OPTION_TEXT, FIELD(user), NULL, 0, 0, NULL, NULL, "USER",
         "who the workers run as; else whoever starts it"},
        CONFIG_FIELD},
    {{"uid", YARDER_OPTION_TEXT, FIELD(user), NULL, 0, 0, NULL, NULL, "USER", "the same as user"},
        CONFIG_FIELD},
    {{"group", YARDER_OPTION_TEXT, FIELD(group), NULL, 0, 0, NULL, NULL, "GROUP",
         "group of the workers; else the user's own"},
        CONFIG_FIELD},
    {{"gid", YARDER_OPTION_TEXT, FIELD(group), NULL, 0, 0, NULL, NULL, "GROUP",
         "the same as group"},
        CONFIG_FIELD},
    {{"run-dir", YARDER_OPTION_TEXT, FIELD(run_dir), NULL, 0, 0, NULL, NULL, "PATH",
         "sockets, lock and pid; default /run/yarder, or for a user $XDG_RUNTIME_DIR/yarder"},
        CONFIG_FIELD},
    {{"state-dir", YARDER_OPTION_TEXT, FIELD(state_dir), NULL, 0, 0, NULL, NULL, "PATH",
         "what outlives the daemon; default /var/lib/yarder, or for a user $XDG_STATE_HOME/yarder"},
        CONFIG_FIELD},
    {{"host", YARDER_OPTION_TEXT, FIELD(host), NULL, 0, 0, NULL, NULL, "NAME",
         "this machine's name in records; else the system's"},
        CONFIG_FIELD},
    {{"requests", YARDER_OPTION_TEXT, FIELD(requests), NULL, 0, 0, NULL, NULL,
         "uwsgi|format:TEMPLATE|none", "lines that are requests, on inputs that do not say it"},
        CONFIG_FIELD},
    {{"record-max", YARDER_OPTION_BYTES, FIELD(record_bytes_max), "64K", 64,
         YARDER_RECORD_BYTES_MAX, NULL, NULL, "SIZE", "longer records are cut and flagged"},
        CONFIG_FIELD},
    {{"ring-memory", YARDER_OPTION_BYTES, FIELD(ring_bytes), "4M", 64 << 10, 1ull << 32, NULL, NULL,
         "SIZE", "shared memory of each producer process"},
        CONFIG_FIELD},
    {{"ring-memory-total", YARDER_OPTION_BYTES, FIELD(ring_bytes_total), NULL, 64 << 10, 1ull << 44,
         NULL, NULL, "SIZE", "of all producers; default an eighth of the machine's memory"},
        CONFIG_FIELD},
    {{"drain-timeout", YARDER_OPTION_DURATION, FIELD(drain_ns), "10s", 0, UINT64_MAX, NULL, NULL,
         "TIME", "how long a stop waits for outputs"},
        CONFIG_FIELD},
    {{"cpus", YARDER_OPTION_SPECIAL, FIELD(cpus), NULL, 0, 0, NULL, option_parse_cpus, "LIST",
         "processors that the worker's threads may run on, such as 0,2-3; else as the daemon may"},
        CONFIG_FIELD},
    {{"nice", YARDER_OPTION_SPECIAL, FIELD(nice), NULL, 0, 0, NULL, option_parse_nice, "NUMBER",
         "-20 to 19, of the worker's threads; below the daemon's own it needs CAP_SYS_NICE"},
        CONFIG_FIELD},
    {{"io", YARDER_OPTION_CHOICE, FIELD(io), "auto", 0, 0, io_choices, NULL, "auto|uring|epoll",
         "how sockets are read"},
        CONFIG_FIELD},
    {{"log-level", YARDER_OPTION_CHOICE, FIELD(log_level), "note", 0, 0, log_level_choices, NULL,
         "error|warning|note|debug", "own messages on standard error"},
        CONFIG_FIELD},

    LINE("logger", CONFIG_LOGGER, "[NAME ]KIND[:ARGUMENT]",
        "uWSGI: a logger; with a name it gets only what log-route gives it"),
    LINE("req-logger", CONFIG_REQ_LOGGER, "[NAME ]KIND[:ARGUMENT]", "uWSGI: a logger of requests"),
    LINE(
        "logger-req", CONFIG_REQ_LOGGER, "[NAME ]KIND[:ARGUMENT]", "uWSGI: the same as req-logger"),
    LINE("log-route", CONFIG_LOG_ROUTE, "NAME REGEX", "uWSGI: the named logger gets what matches"),
    LINE("log-req-route", CONFIG_LOG_REQ_ROUTE, "NAME REGEX", "uWSGI: the same for requests"),
    LINE("log-drain", CONFIG_LOG_DRAIN, "REGEX", "uWSGI: drop"),
    LINE("log-filter", CONFIG_LOG_FILTER, "REGEX", "uWSGI: keep"),
    LINE("logto", CONFIG_LOGTO, "PATH|HOST:PORT",
        "uWSGI: the file, or by UDP the server, of what reaches no logger, instead of standard "
        "output"),
    LINE("logto2", CONFIG_LOGTO2, "PATH|HOST:PORT", "uWSGI: the same as logto, and wins over it"),
    FLAG("log-truncate", CONFIG_LOG_TRUNCATE, "uWSGI: the logto file is emptied at start"),
    FLAG("log-master", CONFIG_ACCEPTED, "uWSGI: accepted; it is always so"),
    FLAG("threaded-logger", CONFIG_ACCEPTED, "uWSGI: accepted; it is always so"),
    FLAG("log-reopen", CONFIG_ACCEPTED, "uWSGI: accepted; files are followed by themselves"),
    LINE("log-syslog", CONFIG_LOG_KIND, "[ARGUMENT]", "uWSGI: logger = syslog:ARGUMENT"),
    LINE("log-socket", CONFIG_LOG_KIND, "ADDRESS", "uWSGI: logger = socket:ADDRESS"),
    LINE("log-zeromq", CONFIG_LOG_KIND, "ADDRESS", "uWSGI: logger = zeromq:ADDRESS"),
    LINE("rsyslog-packet-size", CONFIG_RSYSLOG_BYTES, "BYTES",
        "uWSGI: longest packet of all rsyslog loggers"),
    FLAG("rsyslog-split-messages", CONFIG_RSYSLOG_SPLIT,
        "uWSGI: longer messages of rsyslog loggers take several packets"),
    LINE("log-encoder", CONFIG_LOG_ENCODER, "ENCODER[:LOGGER][ ARGUMENT]",
        "uWSGI: a step of the encoder chain of all loggers, or of the named one"),
    LINE("log-req-encoder", CONFIG_LOG_REQ_ENCODER, "ENCODER[:LOGGER][ ARGUMENT]",
        "uWSGI: the same for requests, where a req-logger or log-req-route parts them from logs"),
    LINE("alarm", CONFIG_ALARM, "NAME ACTION:ARGUMENT",
        "uWSGI: what an alarm does: cmd:COMMAND (the message on its standard input), "
        "signal:SIGNAL,PIDFILE, output:OUTPUT (gives the record to it), log:[TEXT]"),
    LINE("log-alarm", CONFIG_LOG_ALARM, "NAME[,NAME...] REGEX",
        "uWSGI: raises alarms for what matches, drained or not"),
    LINE("alarm-log", CONFIG_LOG_ALARM, "NAME[,NAME...] REGEX", "uWSGI: the same as log-alarm"),
    LINE("not-log-alarm", CONFIG_NOT_LOG_ALARM, "NAME[,NAME...] REGEX",
        "uWSGI: what matches raises none of the alarms in lines behind this one"),
    LINE("not-alarm-log", CONFIG_NOT_LOG_ALARM, "NAME[,NAME...] REGEX",
        "uWSGI: the same as not-log-alarm"),
    LINE("alarm-freq", CONFIG_ALARM_FREQ, "SECONDS|TIME",
        "uWSGI: an alarm is not raised again by the same message in so long [3]"),
    LINE("alarm-msg-size", CONFIG_ALARM_MSG_SIZE, "SIZE",
        "uWSGI: longer messages of alarms are cut [8192]"),
    LINE("alarm-timeout", CONFIG_ALARM_TIMEOUT, "TIME",
        "not of uWSGI: the command of an alarm is killed after that [30s]"),
    FLAG("alarm-list", CONFIG_LEFT, "uWSGI: shows its kinds of alarms"),
    FLAG("alarms-list", CONFIG_LEFT, "uWSGI: the same as alarm-list"),
    LINE("alarm-cheap", CONFIG_LEFT, "ANY", "uWSGI: its own threads"),
    LINE("log-maxsize", CONFIG_LOG_MAXSIZE, "BYTES",
        "uWSGI: the logto file is put aside when it would become longer; see rotate-size="),
    LINE("log-backupname", CONFIG_LOG_BACKUPNAME, "PATH",
        "uWSGI: what it is called then, else PATH.SECONDS; a taken name gets a counter"),
    LINE("touch-logrotate", CONFIG_TOUCH_LOGROTATE, "PATH",
        "uWSGI: the logto file is put aside when this file is touched"),
    LINE("touch-logreopen", CONFIG_TOUCH_LOGREOPEN, "PATH",
        "uWSGI: the logto file is opened anew when this file is touched"),
    LINE("daemonize", CONFIG_DAEMONIZE, "PATH|HOST:PORT",
        "uWSGI: logto, and wins over it; yarder itself stays in the foreground"),
    LINE("daemonize2", CONFIG_DAEMONIZE2, "PATH|HOST:PORT",
        "uWSGI: the same as daemonize, and wins over logto2"),
    LINE("logfile-chmod", CONFIG_LOGFILE_CHMOD, "MODE",
        "uWSGI: mode of the logto file, and of those after it; see mode="),
    FLAG("logfile-chown", CONFIG_ACCEPTED, "uWSGI: accepted; files are made by the daemon's user"),
    LINE("udp", CONFIG_UDP, "[HOST]:PORT", "uWSGI: its log server: input = udp:ADDRESS"),
    LINE("worker-logger", CONFIG_NOT_BUILT, "LOGGER", "uWSGI: a logger inside a worker"),
    LINE("worker-logger-req", CONFIG_NOT_BUILT, "LOGGER", "uWSGI: the same for requests"),
    LINE("worker-log-encoder", CONFIG_NOT_BUILT, "ENCODER", "uWSGI: a step of the encoder chain"),
    LINE("worker-log-req-encoder", CONFIG_NOT_BUILT, "ENCODER", "uWSGI: the same for requests"),
    FLAG("log-master-stream", CONFIG_LEFT, "uWSGI: its own pipe"),
    FLAG("log-master-req-stream", CONFIG_LEFT, "uWSGI: its own pipe of requests"),
    LINE("log-master-bufsize", CONFIG_LEFT, "BYTES", "uWSGI: its own pipe's longest line"),
    LINE("log-date", CONFIG_LEFT, "[FORMAT]", "uWSGI: what its own lines begin with"),
    LINE("logdate", CONFIG_LEFT, "[FORMAT]", "uWSGI: the same as log-date"),
    LINE("log-prefix", CONFIG_LEFT, "[FORMAT]", "uWSGI: the same as log-date"),
    FLAG("disable-logging", CONFIG_LEFT, "uWSGI: no lines of requests, but for those below"),
    FLAG("log-zero", CONFIG_LEFT, "uWSGI: requests with an empty answer"),
    LINE("log-slow", CONFIG_LEFT, "MS", "uWSGI: slow requests"),
    FLAG("log-4xx", CONFIG_LEFT, "uWSGI: requests with status 4xx"),
    FLAG("log-5xx", CONFIG_LEFT, "uWSGI: requests with status 5xx"),
    LINE("log-big", CONFIG_LEFT, "BYTES", "uWSGI: requests with a big answer"),
    LINE("log-sendfile", CONFIG_LEFT, "ANY", "uWSGI: requests answered by sendfile"),
    LINE("log-ioerror", CONFIG_LEFT, "ANY", "uWSGI: requests with an error of the connection"),
    FLAG("log-micros", CONFIG_LEFT, "uWSGI: microseconds in lines of requests"),
    FLAG("log-x-forwarded-for", CONFIG_LEFT, "uWSGI: that address in lines of requests"),
    LINE("log-format", CONFIG_LOG_FORMAT, "TEMPLATE",
        "uWSGI: the form of lines of requests, by which inputs without requests= know them"),
    LINE("logformat", CONFIG_LOG_FORMAT, "TEMPLATE", "uWSGI: the same as log-format"),
    LINE("yarder-run-dir", CONFIG_LEFT, "PATH", "uWSGI: of its plugin for yarder"),
    LINE("yarder-tag", CONFIG_LEFT, "NAME", "uWSGI: of its plugin for yarder"),
    FLAG("yarder-by-pipe", CONFIG_LEFT, "uWSGI: of its plugin for yarder"),
    FLAG("log-format-strftime", CONFIG_LEFT, "uWSGI: times in log-format by log-date"),
    FLAG("logformat-strftime", CONFIG_LEFT, "uWSGI: the same as log-format-strftime"),
    FLAG("memory-report", CONFIG_LEFT, "uWSGI: memory in lines of requests"),
    LINE("alarm-fd", CONFIG_LEFT, "ALARM FD[:BYTES] TEXT", "uWSGI: an alarm that it raises itself"),
    LINE("alarm-backlog", CONFIG_LEFT, "ALARM", "uWSGI: an alarm that it raises itself"),
    LINE("backlog-alarm", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-backlog"),
    LINE("lq-alarm", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-backlog"),
    LINE("alarm-lq", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-backlog"),
    LINE("alarm-listen-queue", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-backlog"),
    LINE("listen-queue-alarm", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-backlog"),
    LINE("alarm-segfault", CONFIG_LEFT, "ALARM", "uWSGI: an alarm that it raises itself"),
    LINE("segfault-alarm", CONFIG_LEFT, "ALARM", "uWSGI: the same as alarm-segfault"),
    LINE("metric-threshold", CONFIG_LEFT, "KEY=VALUE,...", "uWSGI: limit and alarm of a metric"),
    LINE("metric-alarm", CONFIG_LEFT, "KEY=VALUE,...", "uWSGI: the same as metric-threshold"),
    LINE("alarm-metric", CONFIG_LEFT, "KEY=VALUE,...", "uWSGI: the same as metric-threshold"),
    FLAG("logger-list", CONFIG_LEFT, "uWSGI: shows its kinds of loggers"),
    FLAG("loggers-list", CONFIG_LEFT, "uWSGI: the same as logger-list"),
    {{.kind = YARDER_OPTION_END}, CONFIG_FIELD},
};
/* clang-format on */

const struct config_key *config_key_find(const char *name)
{
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (strcmp(key->option.name, name) == 0) {
            return key;
        }
    }
    return NULL;
}

const char *config_key_near(const char *name)
{
    const char *names[YARDER_COUNT_OF(config_keys)];
    size_t count = 0;
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (key->line != CONFIG_NOT_BUILT) {
            names[count++] = key->option.name;
        }
    }
    return text_near(name, names, count);
}

const struct config_key *config_key_first(const struct config_key *key)
{
    const struct config_key *first = config_keys;
    if (key->line != CONFIG_FIELD) {
        return key;
    }
    while (first->line != CONFIG_FIELD || first->option.offset != key->option.offset) {
        first++;
    }
    return first;
}

bool config_key_takes_next(const struct config_key *key)
{
    enum uwsgi_argument uwsgi = UWSGI_UNKNOWN;
    if (config_key_is_uwsgi(key)) {
        uwsgi = uwsgi_argument(key->option.name);
    }
    return uwsgi == UWSGI_UNKNOWN ? key->option.kind != YARDER_OPTION_BOOL
                                  : uwsgi == UWSGI_WITH_ARGUMENT;
}
