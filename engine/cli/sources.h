/* SPDX-License-Identifier: Apache-2.0 */
/* Where a configuration comes from: a file, and keys of the command line. */
#ifndef YARDER_CLI_SOURCES_H
#define YARDER_CLI_SOURCES_H

#include "cli/cli.h"
#include "control/config.h"

/* A setting that a command adds to what the user said. */
struct source_setting {
    const char *key;
    const char *value;
};

struct sources {
    const char *file;  /* NULL: none was named */
    bool default_file; /* then settings_default_file, if it is there */
    char *const *keys; /* of struct cli */
    int keys_count;
    const struct source_setting *added;
    size_t added_count;
};

/*
 * The sources of a command that takes keys: -c FILE, or FILE as its only word, or neither.
 * CLI_GO_ON, or CLI_USAGE with the mistake told.
 */
YARDER_MUST_USE int sources_of(struct cli *cli, const char *file_option, struct sources *out);

/* Whether a key of the top was said. */
bool sources_have_key(const struct settings *settings, const char *key);

/* Reads all of them: for supervisor_options.read_settings, `context` a struct sources. */
YARDER_MUST_USE int sources_read(
    void *context, struct settings **out, struct config_report *report);

/* What is read, ready for use. */
struct configuration {
    struct settings *settings;
    struct daemon_config *config; /* NULL: it is wrong, see the report */
    struct config_report report;
};

/* Reads and builds. 0; -EINVAL: see the report; -ENOMEM. *out is there in any case but the last. */
YARDER_MUST_USE int configuration_load(struct configuration **out, struct sources *sources);
void configuration_close(struct configuration *configuration);
/* The same, with the report printed and the exit status: CLI_GO_ON, CLI_USAGE or CLI_FAILED. */
YARDER_MUST_USE int configuration_load_or_tell(
    const struct cli *cli, struct configuration **out, struct sources *sources);

/* The router that the daemon would decide by: CLI_GO_ON, or CLI_FAILED with the trouble told. */
YARDER_MUST_USE int configuration_router(
    const struct cli *cli, const struct daemon_config *config, struct router **out);

#endif
