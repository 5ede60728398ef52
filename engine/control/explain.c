/* SPDX-License-Identifier: Apache-2.0 */
#include "control/explain.h"

#include <string.h>
#include <sys/stat.h>

#include "control/config_keys.h"
#include "control/config_private.h"
#include "outputs/output_private.h"
#include "worker/worker.h"

/* Of an output with a backend: what speaks of a queue on disk. */
static bool is_of_disk(const struct config_row *row)
{
    return strcmp(row->option->name, "fsync") == 0 || strcmp(row->option->name, "direct") == 0;
}

/* The options of an input or output that hold something, a few to a line. */
static void print_options(const struct config_rows *rows, unsigned kind, const void *target,
    const void *own, const struct output_config *output, FILE *to)
{
    enum { COLUMNS = 96, INDENT = 4 };
    size_t column = 0;
    struct config_row row = {0};
    while (config_row_next(rows, &row)) {
        char at[OPTION_WHY_BYTES];
        const struct yarder_backend *backend = output != NULL ? output->backend : NULL;
        const void *holder = row.own ? own : target;
        const char *value = option_show(row.option, holder, at);
        bool unsaid = row.option->default_text == NULL && strcmp(value, "0") == 0;
        if (!config_row_applies(&row, kind, backend) || value[0] == '\0' || unsaid ||
            (backend != NULL && is_of_disk(&row) && output->queue.disk_bytes == 0)) {
            continue;
        }
        size_t width = strlen(row.option->name) + strlen(value) + 2;
        if (column == 0 || column + width > COLUMNS) {
            (void)fputs(column == 0 ? "   " : "\n   ", to);
            column = INDENT - 1;
        }
        (void)fprintf(to, " %s=%s", row.option->name, value);
        column += width;
    }
    (void)fputs(column == 0 ? "" : "\n", to);
}

static void print_target(const char *kind, const char *target, const char *where, FILE *to)
{
    (void)fprintf(to, "%s%s%s (%s)\n", kind, target[0] != '\0' ? ":" : "", target, where);
}

static void explain_inputs(const struct daemon_config *config, FILE *to)
{
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        struct input_config input = config->inputs[i];
        const struct config_rows rows = config_input_rows(&input);
        if (input.record_bytes_max == 0) { /* what holds is the daemon's */
            input.record_bytes_max = config->record_bytes_max;
        }
        if (input.ring_bytes == 0) {
            input.ring_bytes = config->ring_bytes;
        }
        (void)fprintf(to, "input %s is ", input.name);
        print_target(input_kind_name(&input), input.target, input.where, to);
        print_options(&rows, input.kind, &input, input.settings, NULL, to);
    }
}

static void explain_outputs(
    const struct daemon_config *config, const struct router *router, FILE *to)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        const struct config_rows rows = config_output_rows(output);
        (void)fprintf(to, "output %s is ", output->name);
        print_target(output_kind_name(output), output->target, output->where, to);
        (void)fputs("    ", to);
        router_explain_output(router, i, to);
        print_options(&rows, output->kind, output, output->settings, output, to);
    }
}

static void explain_filters(const struct daemon_config *config, FILE *to)
{
    for (uint32_t i = 0; i < config->drop.count; i++) {
        (void)fprintf(to, "dropped before all: what matches %s\n", config->drop.at[i]);
    }
    for (uint32_t i = 0; i < config->keep.count; i++) {
        (void)fprintf(
            to, "%s %s\n", i == 0 ? "kept: only what matches" : "    or", config->keep.at[i]);
    }
}

/* Of the memory that the supervisor will make; 0: it cannot be had here. */
static uint64_t hold_bytes(const struct daemon_config *config)
{
    const struct hold_shape shape = hold_shape_of(config);
    YARDER_OWN_FD int fd = -1;
    struct stat facts;
    return hold_create(&shape, &fd) == 0 && fstat(fd, &facts) == 0 ? (uint64_t)facts.st_size : 0;
}

static void explain_memory(const struct daemon_config *config, FILE *to)
{
    char hold[OPTION_FORMAT_BYTES];
    char ring[OPTION_FORMAT_BYTES];
    char rings[OPTION_FORMAT_BYTES];
    (void)fprintf(to, "memory: %s for queues, pipes and long records, touched as it fills",
        option_format_bytes(hold_bytes(config), hold));
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        if (config->inputs[i].kind == INPUT_RING) {
            uint64_t own = config->inputs[i].ring_bytes;
            (void)fprintf(to, "; rings of %s for each program, up to %s in all",
                option_format_bytes(own != 0 ? own : config->ring_bytes, ring),
                option_format_bytes(config->ring_bytes_total, rings));
        }
    }
    (void)fputc('\n', to);
}

/* Whether the inputs come to an end by themselves: a command that is always restarted does not. */
static bool inputs_end(const struct daemon_config *config)
{
    bool end = config->until_end;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        const struct input_config *input = &config->inputs[i];
        end = end && (input->kind != INPUT_EXEC || input->restart != INPUT_RESTART_ALWAYS);
    }
    return end;
}

static void explain_keys(const struct daemon_config *config, FILE *to)
{
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        char at[OPTION_WHY_BYTES];
        if (key->line != CONFIG_FIELD || option_repeats(&key->option) || config_key_is_alias(key)) {
            continue;
        }
        const char *value = option_show(&key->option, config, at);
        if (value[0] != '\0') {
            (void)fprintf(to, "%s = %s\n", key->option.name, value);
        }
    }
}

void config_explain(const struct daemon_config *config, const struct router *router, FILE *to)
{
    explain_keys(config, to);
    explain_inputs(config, to);
    explain_filters(config, to);
    explain_outputs(config, router, to);
    config_explain_alarms(config, to);
    explain_memory(config, to);
    if (inputs_end(config)) {
        (void)fputs("the daemon leaves when its inputs have ended\n", to);
    }
}

static void print_count(uint32_t count, const char *noun, const char *before, FILE *to)
{
    (void)fprintf(to, "%s%u %s%s", before, (unsigned)count, noun, count == 1 ? "" : "s");
}

void config_summary(
    const struct daemon_config *config, const struct config_report *report, FILE *to)
{
    print_count(config->inputs_count, "input", "ok: ", to);
    print_count(config->outputs_count, "output", ", ", to);
    print_count(config->routes_count, "route", ", ", to);
    if (report->counts[REPORT_WARNING] > 0) {
        print_count(report->counts[REPORT_WARNING], "warning", "; ", to);
    }
    (void)fputc('\n', to);
}
