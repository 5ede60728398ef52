/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings to struct daemon_config (worker/config.h): everything is checked, every error is
 * reported with its place, and what nobody said gets its default.
 *
 * Without inputs: standard input if it feeds something and no file was read (then the daemon
 * leaves at its end), else `ring` and the unix socket RUN_DIR/log.sock. Without outputs: standard
 * output if only stdin and exec feed it, else STATE_DIR/yarder.log.
 */
#ifndef YARDER_CONTROL_CONFIG_H
#define YARDER_CONTROL_CONFIG_H

#include "control/report.h"
#include "control/settings.h"
#include "route/route.h"
#include "worker/config.h"

/*
 * Builds the configuration. It looks at the settings alone, so supervisor and worker come to the
 * same, save that modules are loaded, and that a secret's file is read, or its variable looked at,
 * by who comes first: what it holds is kept in the settings and travels with them. 0, and *out is
 * the caller's until config_close; -EINVAL: see the report (which may hold warnings also when it is
 * 0); -ENOMEM.
 */
YARDER_MUST_USE int config_load(
    struct daemon_config **out, struct settings *settings, struct config_report *report);
/* The same with so much memory for the configuration's texts, for tests; else it is the most. */
YARDER_MUST_USE int config_load_within(struct daemon_config **out, struct settings *settings,
    struct config_report *report, size_t budget_bytes);
void config_close(struct daemon_config *config);

/*
 * What only the machine can tell: users, groups and processors exist, files can be opened. For
 * `check` and the supervisor, before it starts anything. `settings` are those that the
 * configuration was made of. 0, or -EINVAL: see the report, which may also hold warnings.
 */
YARDER_MUST_USE int config_check_machine(const struct daemon_config *config,
    const struct settings *settings, struct config_report *report);
/* Warns of queues on disk that no output takes up. */
void config_check_spools(const struct daemon_config *config, struct config_report *report);

/* What the router is made of. The texts are the configuration's; the arrays are the caller's. */
struct config_route_spec {
    struct route_spec spec;
    struct route_output outputs[YARDER_OUTPUTS_MAX];
    const char *input_names[YARDER_INPUTS_MAX];
};
void config_route_spec(const struct daemon_config *config, struct config_route_spec *out);

#endif
