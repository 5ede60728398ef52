/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: the flat list of what files and command line say, before anybody knows what it means.
 *
 *   file, include = GLOB, command line --> settings --> config_load --> struct daemon_config
 *
 * The supervisor reads the sources once, with its privileges, and hands the packed list to each
 * worker; so both build the same configuration. Everything that depends on who or where the reader
 * is stands in `place` and travels with the list; ${env:NAME} is resolved while reading.
 *
 * Grammar of a file:
 *   line     = blank | comment | section | setting
 *   comment  = (";" | "#") anything          a whole line; nothing is a comment inside a line
 *   section  = "[" KIND [NAME] "]"           output, input, logger, yarder (back to the top), uwsgi
 *   setting  = KEY ["=" VALUE]               alone means yes, for what is yes or no
 *   include  = "include" "=" GLOB            at its place; ends the current section at both ends
 * In keys '_' is as good as '-'. ${env:NAME} and ${env:NAME:-DEFAULT} stand in any native value.
 * Inside [uwsgi] it is uWSGI's: %% is a %, %d %p %s %n %e %h %c ... and %(key) are known, $(NAME)
 * is the environment; if-env ... endif and for ... endfor; ini = FILE:SECTION. Files whose names
 * end with .yaml, .yml, .json or .js are uWSGI's, in that form (settings_uwsgi.c).
 */
#ifndef YARDER_CONTROL_SETTINGS_H
#define YARDER_CONTROL_SETTINGS_H

#include "control/arena.h"
#include "control/report.h"

enum {
    SETTINGS_MAX = 16384,
    SETTINGS_FILES_MAX = 256,
    SETTINGS_DEPTH_MAX = 8, /* of includes */
    SETTINGS_SECRETS_MAX = 256,
    SETTINGS_LINE_BYTES_MAX = 64 << 10,
    SETTINGS_FILE_BYTES_MAX = 8 << 20,
    SETTINGS_BUDGET_BYTES = 64 << 20, /* of an arena with settings or with a configuration */
};

enum settings_section {
    SETTINGS_TOP, /* also [yarder] */
    SETTINGS_OUTPUT,
    SETTINGS_INPUT,
    SETTINGS_LOGGER,
    SETTINGS_UWSGI,
    SETTINGS_SECTIONS,
};

/* Texts belong to the settings' arena. */
struct setting {
    enum settings_section section;
    uint32_t
        section_number; /* which header opened it; 0: none (top, and --output NAME.key=value) */
    const char *section_name; /* "" for none */
    const char *file;         /* as given; "" for the command line */
    uint32_t line;            /* from 1; 0 for the command line */
    const char *where;        /* "file:line" or "command line" */
    const char *key;          /* "" for the section header itself */
    const char *value;        /* NULL: the key stood alone */
};

/* Who and where the reader is: as found by settings_open, or set by a test. */
struct settings_place {
    const char *working_dir; /* relative paths start here */
    const char *run_dir;     /* defaults of run-dir and state-dir */
    const char *state_dir;
    const char *host;
    bool stdin_feeds; /* standard input is a pipe, a socket or a file: neither terminal nor null */
    uint64_t memory_bytes; /* of this machine */
};

/*
 * What a secret's "file:PATH" or "env:NAME" came to, found by the first who made a configuration:
 * a worker has other rights and another environment. "text:PATH": of none that stands in this file
 * itself more is kept than that.
 */
struct settings_secret {
    const char *reference;
    const char *value;
    const char *where;
};

struct settings {
    struct arena arena;
    struct settings_place place;
    struct setting *list;
    uint32_t count;
    uint32_t room;
    uint32_t sections_count;
    uint32_t files_count;
    struct settings_secret secrets[SETTINGS_SECRETS_MAX];
    uint32_t secrets_count;
};

/*
 * Opens an empty list and finds the place. The run directory is $YARDER_RUN_DIR, else for root
 * /run/yarder, else $XDG_RUNTIME_DIR/yarder, else /tmp/yarder-UID (libyarder has the same rule);
 * the state directory is /var/lib/yarder for root ($STATE_DIRECTORY under systemd), else
 * $XDG_STATE_HOME/yarder, else ~/.local/state/yarder. 0 or -ENOMEM.
 */
YARDER_MUST_USE int settings_open(struct settings **out);
void settings_close(struct settings *settings);

/*
 * The configuration file that is read when none is named: /etc/yarder/yarder.conf for root, else
 * yarder/yarder.conf in $XDG_CONFIG_HOME or ~/.config. 1 and `path` filled if it is there, else 0.
 */
int settings_default_file(char *path, size_t path_bytes);

/* Reads a file with its includes. 0; -EINVAL: see the report; -ENOMEM. */
YARDER_MUST_USE int settings_read_file(
    struct settings *settings, const char *path, struct config_report *report);

/* The same for a file of uWSGI's: FILE or FILE:SECTION, of which no other section is read. */
YARDER_MUST_USE int settings_read_uwsgi(
    struct settings *settings, const char *name, const char *where, struct config_report *report);

/* The same for bytes in memory; `name` stands for the file in messages, includes start at it. */
YARDER_MUST_USE int settings_read_text(struct settings *settings, const char *name,
    const char *bytes, size_t bytes_count, struct config_report *report);

/*
 * The command line: looks at arguments[*at]. 1: it was --KEY=VALUE, --KEY VALUE or --KEY of the
 * configuration, and *at is behind it; 0: it is something else and belongs to the caller;
 * -EINVAL: see the report. --include FILE reads a file; --output NAME.OPTION=VALUE sets one option.
 */
YARDER_MUST_USE int settings_read_argument(struct settings *settings, int arguments_count,
    char *const *arguments, int *at, struct config_report *report);

/* A whole command line of uWSGI's, without its own name. 0; -EINVAL: see the report; -ENOMEM. */
YARDER_MUST_USE int settings_read_uwsgi_arguments(struct settings *settings, int arguments_count,
    char *const *arguments, struct config_report *report);

/* Makes one setting of the command line without an argument list. 0, -EINVAL or -ENOMEM. */
YARDER_MUST_USE int settings_set(
    struct settings *settings, const char *key, const char *value, struct config_report *report);

/* What a reference came to, or NULL: nobody asked yet. */
const char *settings_secret_find(const struct settings *settings, const char *reference);
/* Keeps it. 0, -E2BIG or -ENOMEM. */
YARDER_MUST_USE int settings_secret_keep(
    struct settings *settings, const char *reference, const char *value, const char *where);

/* Whether a file was read (else all of it came from the command line, or nothing at all). */
static inline bool settings_have_file(const struct settings *settings)
{
    return settings->files_count > 0;
}

/*
 * One buffer with everything in it, for a memfd, and the way back; a packed buffer is checked, not
 * trusted. settings_pack: *bytes is the caller's to free. 0; -ENOMEM; unpack: -EBADMSG as well.
 */
YARDER_MUST_USE int settings_pack(
    const struct settings *settings, void **bytes, size_t *bytes_count);
YARDER_MUST_USE int settings_unpack(struct settings **out, const void *bytes, size_t bytes_count);

#endif
