/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the files that build a configuration; nobody else includes it.
 *
 *   setting --(config_split: one line)--> item: kind, name, target --(options)--> input or output
 *           \-(section, --output NAME.option)-/
 *
 * An item is an input, output or logger under construction. First all items are made, then the
 * options of sections and of the command line are applied, for `type` may stand below them.
 */
#ifndef YARDER_CONTROL_CONFIG_PRIVATE_H
#define YARDER_CONTROL_CONFIG_PRIVATE_H

#include "base/text.h"
#include "control/config.h"
#include "control/config_line.h"
#include "control/module.h"
#include "control/option_set.h"
#include "route/pattern.h"
#include "route/range.h"

enum {
    CONFIG_LOGTOS = 4, /* logto, daemonize, logto2, daemonize2: each wins over those before */
    CONFIG_IGNORED_SHOWN = 6, /* names of keys that are not about logs */
};

enum { CONFIG_ITEMS_MAX = YARDER_INPUTS_MAX + YARDER_OUTPUTS_MAX };

struct config_item {
    enum settings_section section; /* SETTINGS_INPUT, SETTINGS_OUTPUT or SETTINGS_LOGGER */
    uint32_t section_number;       /* 0: made of a line, or by the command line's members alone */
    bool one_line;
    bool original;    /* uWSGI's stdio: standard output, or the file that logto put there */
    bool broken;      /* its kind or target is wrong and was reported: only the name counts */
    bool refused;     /* one of its backend's options was wrong: they are not judged together */
    const char *name; /* as given; "" for none */
    const char *where;
    const struct config_table *table;
    unsigned kind;
    void *target;                  /* struct input_config or struct output_config */
    const char *uwsgi_kind;        /* a logger with a backend: uWSGI's name of its kind */
    bool numbered;                 /* its name is one of several, told apart by their order */
    bool seen[2][CONFIG_ROWS_MAX]; /* rows given by files, by the command line */
    const char *seen_where[CONFIG_ROWS_MAX];
};

struct config_builder {
    struct daemon_config *config;
    struct arena *arena;
    struct settings *settings;      /* changed by secrets alone */
    const struct setting **ordered; /* files first, then the command line, which wins */
    uint32_t settings_count;
    struct config_report *report;
    struct pattern_set *patterns; /* compiled here to be checked, thrown away at the end */
    struct config_item items[CONFIG_ITEMS_MAX];
    uint32_t items_count;
    bool items_full[2]; /* inputs, outputs: said once */
    const struct yarder_backend *plugins[MODULE_PLUGINS_MAX];
    uint32_t plugins_count;
    const char *top_seen[2][CONFIG_ROWS_MAX];   /* where, by files and by the command line */
    const struct setting *logto[CONFIG_LOGTOS]; /* the last one given holds */
    bool truncate;                              /* log-truncate */
    struct output_rotate logto_rotate;          /* log-maxsize and others, of the file of logto */
    uint32_t logto_mode;                        /* logfile-chmod; 0: not said */
    const char *rotation_where; /* the last of these lines, and whether it came to a file */
    const char *rotation_key;
    bool rotation_used;
    const char *logto_path; /* of the one that holds, or its address; NULL: none, or it is wrong */
    const struct yarder_backend *logto_backend; /* of an address */
    bool logto_used;                            /* a backend has it as its option */
    const struct setting *log_truncate;
    const struct setting *log_format;
    const struct setting *rsyslog[2];          /* packet size, whether to split */
    bool uwsgi_lines;                          /* of those that make uWSGI's walk take part */
    bool uwsgi_filter;                         /* a log-drain or log-filter line */
    bool native_filter;                        /* a drop or keep line */
    bool request_pipe;                         /* a req-logger or log-req-route line */
    uint32_t udp_count;                        /* inputs that udp lines made */
    uint32_t ignored_count;                    /* keys of [uwsgi] that are not about logs */
    const char *ignored_where;                 /* the first */
    const char *ignored[CONFIG_IGNORED_SHOWN]; /* their names, as far as they are told */
};

/* config_item.c */
void config_add_line(
    struct config_builder *builder, enum settings_section section, const struct setting *setting);
/* A new item in its place of the configuration, with the kind's defaults; NULL: there are too many.
 */
struct config_item *config_item_add(struct config_builder *builder, enum settings_section section,
    const char *name, const char *where);
void config_item_start(
    struct config_builder *builder, struct config_item *item, unsigned kind, const char *target);
/* The kind by its name, its module loaded; false: that failed and is reported. */
bool config_item_start_kind(
    struct config_builder *builder, struct config_item *item, const char *kind_name);
void config_item_start_named(struct config_builder *builder, struct config_item *item,
    const char *kind_name, const char *target);
/* Takes an output away, as if its line had not been there. */
void config_item_remove(struct config_builder *builder, struct config_item *item);
const char *config_item_noun(const struct config_item *item);
/* "file", "redis". */
const char *config_item_kind(const struct config_item *item);
struct config_rows config_item_rows(const struct config_item *item);
struct config_rows config_output_rows(const struct output_config *output);
struct config_rows config_input_rows(const struct input_config *input);
bool config_item_is_source(const struct config_item *item);
/* What the own options of its module fill in. */
void *config_item_settings(const struct config_item *item);
/* Whether an option was given; where, else the item's own place. */
bool config_item_gave(const struct config_item *item, const char *option);
const char *config_item_where(const struct config_item *item, const char *option);
/* What holds when nobody says otherwise. */
void config_item_defaults(struct config_builder *builder, struct config_item *item);
struct config_item *config_item_find(
    struct config_builder *builder, enum settings_section section, const char *name);
/* Gives every item without a name one that is unique. */
void config_name_items(struct config_builder *builder);

/* config_member.c */
void config_add_section(struct config_builder *builder, const struct setting *header);
void config_apply_member(struct config_builder *builder, const struct setting *setting);
void config_item_apply(struct config_builder *builder, struct config_item *item, const char *where,
    bool command_line, const char *key, const char *value);

/* config_input.c, config_output.c: the target of a kind, checked and made absolute. */
void config_input_target(
    struct config_builder *builder, struct config_item *item, const char *target);
void config_output_target(
    struct config_builder *builder, struct config_item *item, const char *target);
void config_default_inputs(struct config_builder *builder);
void config_default_outputs(struct config_builder *builder);
void config_settle_inputs(struct config_builder *builder);
void config_settle_outputs(struct config_builder *builder);
void config_place_outputs(struct config_builder *builder); /* once all have names */
/* `path`, or where it starts from the working directory of whoever read the settings. */
char *config_absolute(struct config_builder *builder, const char *path);

/* config_secret.c: the file of `where` ("file:line") says a secret itself. */
void config_note_secret(struct config_builder *builder, const char *where);
/* option_set for a secret. */
YARDER_MUST_USE int config_set_secret(struct config_builder *builder,
    const struct yarder_option *option, void *target, const char *where, const char *value,
    char why[OPTION_WHY_BYTES]);

/* config_offload.c: loads a module, whose kind is known from then on. */
void config_take_plugin(struct config_builder *builder, const struct setting *setting);

/* config_uwsgi.c */
struct config_key;
void config_take_uwsgi(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting);
/* A logger without a kind yet, or NULL: there are too many. */
struct config_item *config_uwsgi_add(
    struct config_builder *builder, const char *name, const char *where);
/* output = uwsgi:KIND:ARGUMENT: the place of that logger of uWSGI's, with yarder's selectors. */
void config_uwsgi_start(
    struct config_builder *builder, struct config_item *item, const char *target);
/* The backend of uWSGI's kind of logger; NULL: there is none, and it is reported. */
const struct yarder_backend *config_uwsgi_backend(
    struct config_builder *builder, const struct setting *setting, const char *name);
/* config_uwsgi_ends.c: once all lines are read, and before options are applied to what they made.
 */
void config_uwsgi_logto(struct config_builder *builder);
/* Keys that are options of loggers' backends: rsyslog-packet-size, logto ... */
void config_uwsgi_pass_on(struct config_builder *builder);
void config_uwsgi_fallback(struct config_builder *builder);

/* config_rotate.c: uWSGI's lines; what they say, put into the output of logto */
void config_take_rotation(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting);
void config_rotate_logto(struct config_builder *builder, struct output_config *output);
/* Whether KEY=VALUE of file:logfile=... is one about rotation, and taken. */
bool config_file_rotates(struct config_builder *builder, const struct setting *setting,
    const char *pair, size_t length, struct output_rotate *rotate);
/* The options of an output, once all are there. */
void config_rotate_settle(struct config_builder *builder, struct output_config *output);
void config_rotate_check(struct config_builder *builder);

/* config_encode.c: the encoder chains of all outputs, put together and compiled once. */
void config_settle_encoders(struct config_builder *builder);

/* config_alarm.c: a line of alarms; what they name, once all outputs have their names. */
void config_take_alarm(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting);
void config_settle_alarms(struct config_builder *builder);
void config_alarm_defaults(struct daemon_config *config);

/* config_route.c: route lines of both kinds, in the order of reading. */
void config_take_route(struct config_builder *builder, const struct setting *setting, bool native,
    enum route_list list);

/* config_check.c: what only the whole can tell. */
void config_check(struct config_builder *builder);
/* Whether a pattern compiles; what is wrong with it is reported. */
void config_check_pattern(struct config_builder *builder, const char *where, const char *key,
    const char *pattern, bool anchored);

#endif
