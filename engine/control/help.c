/* SPDX-License-Identifier: Apache-2.0 */
#include "control/help.h"

#include <errno.h>
#include <string.h>

#include "codec/encode.h"
#include "control/config_keys.h"
#include "control/config_line.h"
#include "inputs/input.h"

static const char *default_of(const struct yarder_option *option)
{
    return option->default_text != NULL ? option->default_text : "";
}

/* "  NAME=ARGUMENT" and behind it, or below when it is long, what it does. */
static void print_row(const char *lead, const struct yarder_option *option, char between, FILE *to)
{
    enum { HELP_COLUMN = 30 };
    int width = fprintf(to, "  %s%s%c%s", lead, option->name, between, option->argument);
    if (width >= HELP_COLUMN) {
        (void)fputc('\n', to);
        width = 0;
    }
    (void)fprintf(to, "%*s%s", HELP_COLUMN - width, "", option->help);
    if (default_of(option)[0] != '\0') {
        (void)fprintf(to, " [%s]", default_of(option));
    }
    (void)fputc('\n', to);
}

static void print_kind(
    const struct config_table *table, const char *const *helps, unsigned kind, FILE *to)
{
    const struct config_rows rows = {table, NULL};
    struct config_row row = {0};
    (void)fprintf(to, "%s\n\noptions:\n", helps[kind]);
    while (config_row_next(&rows, &row)) {
        if ((row.kinds >> kind & 1) != 0) {
            print_row("", row.option, '=', to);
        }
    }
}

static int help_kinds(const struct config_table *table, const char *const *helps, const char *name,
    FILE *to, const char **near)
{
    for (unsigned i = 0; i < table->kinds_count; i++) {
        if (name == NULL) {
            (void)fprintf(to, "%s\n", helps[i]);
        } else if (strcmp(name, table->kind_names[i]) == 0) {
            print_kind(table, helps, i, to);
            return 0;
        }
    }
    *near = name != NULL ? text_near(name, table->kind_names, table->kinds_count) : NULL;
    return name == NULL ? 0 : -ENOENT;
}

int help_inputs(const char *name, FILE *to, const char **near)
{
    return help_kinds(&config_input_table, input_kind_helps, name, to, near);
}

int help_outputs(const char *name, FILE *to, const char **near)
{
    return help_kinds(&config_output_table, output_kind_helps, name, to, near);
}

void help_keys(FILE *to)
{
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (!config_key_is_uwsgi(key)) {
            print_row("--", &key->option, ' ', to);
        }
    }
}
