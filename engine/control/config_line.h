/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a kind, and the one-line form of inputs and outputs that is read by them. */
#ifndef YARDER_CONTROL_CONFIG_LINE_H
#define YARDER_CONTROL_CONFIG_LINE_H

#include "base/text.h"
#include "control/option_set.h"
#include "outputs/output.h"

enum {
    CONFIG_PAIRS_MAX = 64, /* options in one line */
    CONFIG_ROWS_MAX = 160, /* of an option table with a module's own behind it */
    CONFIG_KINDS_BYTES = 512,
};

/* What inputs and outputs have in common for the parser. */
struct config_table {
    const char *noun; /* "input", "output" */
    unsigned items_max;
    const char *const *kind_names;
    unsigned kinds_count;
    uint32_t whole_kinds; /* bit per kind: the whole rest of a line is its target */
    const struct yarder_option *(*row)(size_t index, uint32_t *kinds); /* NULL behind the last */
};
extern const struct config_table config_input_table;
extern const struct config_table config_output_table;

/* The options of one kind: the table's, and behind them a backend's own. */
struct config_rows {
    const struct config_table *table;
    const struct yarder_option *own; /* NULL: none */
};
/* Zeroed, it stands before the first. */
struct config_row {
    const struct yarder_option *option;
    size_t index;
    uint32_t kinds; /* bits */
    bool own;       /* of struct output_config's settings */
    size_t own_base;
};

/* A line taken apart; texts belong to the arena. */
struct config_pair {
    const char *key;
    const char *value;
};
struct config_split {
    const char *name; /* "" for none */
    const char *kind;
    const char *target;
    struct config_pair pairs[CONFIG_PAIRS_MAX];
    uint32_t pairs_count;
};

/*
 * "[NAME ]KIND:TARGET[,OPTION=VALUE...]", in two steps, for what is an option
 * depends on the kind: name and kind, *rest what stands behind; then the rest, which is all target
 * when `whole`. 0, or -EINVAL with `why`, and the name if there is a good one.
 */
YARDER_MUST_USE int config_split_kind(struct arena *arena, const char *line,
    struct config_split *out, const char **rest, char why[OPTION_WHY_BYTES]);
YARDER_MUST_USE int config_split_rest(struct arena *arena, const struct config_rows *rows,
    bool whole, const char *rest, struct config_split *out, char why[OPTION_WHY_BYTES]);
/* A value that begins with a double quote, without its quotes; any other as it is. */
YARDER_MUST_USE int config_unquote(
    struct arena *arena, const char *value, const char **out, char why[OPTION_WHY_BYTES]);
bool config_name_is_good(const char *name);
/*
 * Whether an option means something to an output that is of that kind and has this backend (NULL:
 * none): what says how a text is made is nothing to one that takes records as they are.
 */
bool config_row_applies(
    const struct config_row *row, unsigned kind, const struct yarder_backend *backend);
/* Moves on to the next row; false: there is none. */
bool config_row_next(const struct config_rows *rows, struct config_row *row);
/* The row of an option by name ("field.NAME" counts as "field"); false: there is none. */
bool config_row_find(const struct config_rows *rows, const char *name, struct config_row *out);
/* The option that a wrong name is like, by its letters or by what it says; NULL: there is none. */
const char *config_row_near(const struct config_rows *rows, const char *name);

/* "a, b and c". */
const char *config_list(const char *const *names, size_t count, char at[CONFIG_KINDS_BYTES]);
/* "file, stdio and kinds with a backend": the kinds whose bits are set. */
const char *config_list_kinds(
    const struct config_table *table, uint32_t kinds, char at[CONFIG_KINDS_BYTES]);

#endif
