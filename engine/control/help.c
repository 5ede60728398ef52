/* SPDX-License-Identifier: Apache-2.0 */
#include "control/help.h"

#include <errno.h>
#include <string.h>

#include "codec/encode.h"
#include "control/config_keys.h"
#include "control/config_offload.h"
#include "control/module.h"
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

/* The options of the table for a kind, and a backend of it. */
static void print_common(
    const struct config_table *table, unsigned kind, const struct yarder_backend *backend, FILE *to)
{
    const struct config_rows rows = {table, NULL};
    struct config_row row = {0};
    while (config_row_next(&rows, &row)) {
        if (config_row_applies(&row, kind, backend)) {
            print_row("", row.option, '=', to);
        }
    }
}

/* Of the kinds that need no module: whether the name is one of them. */
static bool print_kinds(
    const struct config_table *table, const char *const *helps, const char *name, FILE *to)
{
    for (unsigned i = 0; i < table->kinds_count; i++) {
        if (name == NULL) {
            (void)fprintf(to, "%s\n", helps[i]);
        } else if (strcmp(name, table->kind_names[i]) == 0) {
            (void)fprintf(to, "%s\n\noptions:\n", helps[i]);
            print_common(table, i, NULL, to);
            return true;
        }
    }
    return false;
}

static int refuse(const struct config_table *table, const char *name, const char *near, char *why)
{
    (void)snprintf(why, HELP_WHY_BYTES, "there is no %s of kind '%.64s'%s%s%s", table->noun, name,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return -ENOENT;
}

static void print_own(const struct yarder_option *row, FILE *to)
{
    for (; row->kind != YARDER_OPTION_END; row++) {
        print_row("", row, '=', to);
    }
}

/* A line of a kind with a module: what is missing is told, nothing is loaded. */
static void print_module(
    const char *name, const char *help, const struct module_kind *kind, FILE *to)
{
    bool missing = !module_is_there(kind);
    bool needs = missing && kind->build != NULL;
    (void)fprintf(to, "%s: %s%s%s%s", name, help, missing ? " (not built here" : "",
        needs ? ": needs " : "", needs ? kind->build : "");
    (void)fputs(missing ? ")\n" : "\n", to);
}

static void print_sources(FILE *to)
{
    for (const struct module_source *at = module_sources; at->name != NULL; at++) {
        print_module(at->name, at->help, module_kind_find(at->module), to);
    }
}

int help_inputs(const char *name, FILE *to, char why[HELP_WHY_BYTES])
{
    const struct config_table *table = &config_input_table;
    if (print_kinds(table, input_kind_helps, name, to)) {
        return 0;
    }
    if (name == NULL) {
        print_sources(to);
        return 0;
    }
    const struct module_kind *kind = module_kind_of_source(name);
    if (kind == NULL) {
        const char *names[CONFIG_ROWS_MAX];
        size_t count = config_kind_names(NULL, table, names);
        return refuse(table, name, text_near(name, names, count), why);
    }
    char reason[MODULE_WHY_BYTES];
    const struct yarder_source *source = NULL;
    if (module_load_source(kind, &source, reason) < 0) {
        (void)snprintf(why, HELP_WHY_BYTES, "%s", reason);
        return -ENOEXEC;
    }
    (void)fprintf(to, "%s\n\noptions of %s:\n", source->help, name);
    print_own(source->options, to);
    (void)fputs("\noptions of all inputs with a module:\n", to);
    print_common(table, INPUT_SOURCE, NULL, to);
    return 0;
}

const char *help_means(enum yarder_means means)
{
    switch (means) {
    case YARDER_MEANS_ACKNOWLEDGED:
        return "the destination has answered for it";
    case YARDER_MEANS_STREAM:
        return "our kernel has taken it for a stream; what lies in the two kernels' buffers when a "
               "peer dies is lost";
    case YARDER_MEANS_SENT:
        break;
    }
    return "it is sent; nobody answers for it";
}

static void print_backend(const struct yarder_backend *backend, FILE *to)
{
    (void)fprintf(
        to, "%s\n\nA record is delivered when %s.\n", backend->help, help_means(backend->means));
    for (const char *const *name = backend->uwsgi_names; name != NULL && *name != NULL; name++) {
        (void)fprintf(to, "uWSGI: logger = %s:ARGUMENT\n", *name);
    }
    if (backend->options[0].kind != YARDER_OPTION_END) {
        (void)fprintf(to, "\noptions of %s:\n", backend->name);
    }
    print_own(backend->options, to);
    (void)fputs("\noptions of all outputs with a backend:\n", to);
    print_common(&config_output_table, OUTPUT_OFFLOAD, backend, to);
}

static void print_modules(FILE *to)
{
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        print_module(kind->name, kind->help, kind, to);
    }
}

int help_outputs(const char *name, FILE *to, char why[HELP_WHY_BYTES])
{
    const struct config_table *table = &config_output_table;
    if (print_kinds(table, output_kind_helps, name, to)) {
        return 0;
    }
    if (name == NULL) {
        print_modules(to);
        return 0;
    }
    char reason[MODULE_WHY_BYTES];
    const struct yarder_backend *backend = NULL;
    const struct module_kind *kind = module_kind_find(name);
    bool is_path = strchr(name, '/') != NULL;
    if (kind == NULL && !is_path) {
        const char *names[CONFIG_ROWS_MAX];
        size_t count = config_kind_names(NULL, table, names);
        size_t length = strlen(name);
        if (length > 3 && strcmp(name + length - 3, ".so") == 0) {
            (void)snprintf(why, HELP_WHY_BYTES,
                "there is no output of kind '%.64s'; the path of a module has a slash: ./%.64s",
                name, name);
            return -ENOENT;
        }
        return refuse(table, name, text_near(name, names, count), why);
    }
    int r =
        is_path ? module_load_file(name, &backend, reason) : module_load(kind, &backend, reason);
    if (r < 0) {
        (void)snprintf(why, HELP_WHY_BYTES, "%s", reason);
        return -ENOEXEC;
    }
    print_backend(backend, to);
    return 0;
}

static void print_keys(bool uwsgi, FILE *to)
{
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (config_key_is_uwsgi(key) == uwsgi && key->line != CONFIG_NOT_BUILT) {
            print_row("--", &key->option, ' ', to);
        }
    }
}

void help_keys(FILE *to)
{
    print_keys(false, to);
    (void)fputs("\nuWSGI's lines, by its grammar:\n", to);
    print_keys(true, to);
}
