/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "control/module.h"

static const char *const no_names[] = {NULL};
static const char *const socket_names[] = {"socket", NULL};
static const char *const syslog_names[] = {"syslog", "rsyslog", NULL};
static const char *const redis_names[] = {"redislog", NULL};
static const char *const mongodb_names[] = {"mongodblog", NULL};
static const char *const zeromq_names[] = {"zeromq", "zmq", NULL};
static const char *const crypto_names[] = {"crypto", NULL};
static const char *const graylog_names[] = {"graylog2", NULL};
static const char *const journal_names[] = {"systemd", NULL};
static const char *const pipe_names[] = {"pipe", NULL};
static const char *const fd_names[] = {"fd", NULL};

/* clang-format off: a table */
const struct module_kind module_kinds[] = {
    {"blackhole", "takes records slowly, refuses or fails as told, for tests", NULL, NULL,
        no_names},
    {"crypto", "encrypted datagrams, one for each record", "libssl-dev", "libssl3", crypto_names},
    {"fd", "a descriptor that the daemon was started with", NULL, NULL, fd_names},
    {"graylog", "GELF, by UDP or TCP", "zlib1g-dev", "zlib1g", graylog_names},
    {"http", "requests to a web server", "libcurl4-openssl-dev", "libcurl4", no_names},
    {"journal", "systemd's journal", NULL, NULL, journal_names},
    {"mongodb", "documents in a MongoDB collection", "libmongoc-dev", "libmongoc-1.0-0",
        mongodb_names},
    {"pipe", "the standard input of a command", NULL, NULL, pipe_names},
    {"redis", "commands to a redis server", "libhiredis-dev", "libhiredis0.14", redis_names},
    {"smtp", "mail", "libcurl4-openssl-dev", "libcurl4", no_names},
    {"socket", "TCP, TLS, UDP and unix sockets", NULL, "libssl3", socket_names},
    {"syslog", "a syslog server, or the system's", NULL, "libssl3", syslog_names},
    {"winevent", "a Windows event log", NULL, "libcurl4", no_names},
    {"zeromq", "messages of a ZeroMQ socket", "libzmq3-dev", "libzmq5", zeromq_names},
    {.name = NULL},
};

const struct module_source module_sources[] = {
    {"crypto", "crypto", "encrypted datagrams"},
    {"gelf", "graylog", "GELF, by UDP or TCP"},
    {"graylog", "graylog", "the same"},
    {"redis", "redis", "lists, channels and streams of a redis server"},
    {"zeromq", "zeromq", "messages of ZeroMQ peers"},
    {.name = NULL},
};
/* clang-format on */

const struct module_kind *module_kind_of_source(const char *name)
{
    for (const struct module_source *source = module_sources; source->name != NULL; source++) {
        if (strcmp(source->name, name) == 0) {
            return module_kind_find(source->module);
        }
    }
    return NULL;
}

const struct module_kind *module_kind_find(const char *name)
{
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        if (strcmp(kind->name, name) == 0) {
            return kind;
        }
    }
    return NULL;
}

const struct module_kind *module_kind_of_uwsgi(const char *logger)
{
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        for (const char *const *name = kind->uwsgi_names; *name != NULL; name++) {
            if (strcmp(*name, logger) == 0) {
                return kind;
            }
        }
    }
    return NULL;
}
