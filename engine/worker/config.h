/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole configuration as the daemon runs by it: checked, complete, immutable. Built by
 * control/ from settings (files and command line); the supervisor and each worker build it from
 * the same settings, so both see the same inputs and outputs at the same indexes.
 */
#ifndef YARDER_WORKER_CONFIG_H
#define YARDER_WORKER_CONFIG_H

#include <sys/types.h>

#include "inputs/input.h"
#include "io/io.h"
#include "os/processors.h"
#include "outputs/output.h"
#include "route/route.h"
#include "worker/alarm_config.h"

/* What the worker's threads get of the machine; not given: as the daemon has it. */
struct config_cpus {
    bool given;
    cpu_set_t set;
};
struct config_nice {
    bool given;
    int value;
};

struct daemon_config {
    struct input_config inputs[YARDER_INPUTS_MAX];
    uint32_t inputs_count;
    struct output_config outputs[YARDER_OUTPUTS_MAX];
    uint32_t outputs_count;
    struct route_line *routes;
    uint32_t routes_count;
    struct yarder_texts drop;
    struct yarder_texts keep;
    bool uwsgi_filters_logs_only;
    struct alarms_config alarms;

    char *requests;  /* how requests look on inputs that do not say it; NULL: none is looked for */
    char *run_dir;   /* sockets, lock, pid */
    char *state_dir; /* quarantine, later spools */
    char *host;      /* this machine's name for records that state none */
    char *user;      /* uid=; NULL: stay */
    char *group;     /* gid=; NULL: the user's own */

    uint64_t record_bytes_max;
    uint64_t ring_bytes;       /* ring-memory: of each process */
    uint64_t ring_bytes_total; /* ring-memory-total */
    uint64_t drain_ns;         /* drain-timeout: TERM waits so long for outputs */
    struct config_cpus cpus;
    struct config_nice nice;
    int io;        /* enum io_choice */
    int log_level; /* own diagnostics on stderr: 0 errors, 1 warnings, 2 notes, 3 debug */

    bool until_end;    /* leave when stdin and all exec inputs have ended */
    bool standard_run; /* no configuration was given: ring and unix socket to one file, or stdin to
                          stdout */
};

/* Points into the configuration. */
static inline struct processors_share config_share(const struct daemon_config *config)
{
    return (struct processors_share){.cpus = config->cpus.given ? &config->cpus.set : NULL,
        .nice = config->nice.given ? &config->nice.value : NULL};
}

/* What the router is made of, from the configuration; the arrays are the caller's. */
struct route_spec worker_route_spec(const struct daemon_config *config,
    struct route_output outputs[YARDER_OUTPUTS_MAX], const char *input_names[YARDER_INPUTS_MAX]);

#endif
