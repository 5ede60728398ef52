/* SPDX-License-Identifier: Apache-2.0 */
#include "control/explain.h"

#include <string.h>

#include "control/config_keys.h"
#include "control/config_private.h"
#include "outputs/output_private.h"

/* The options of an input or output that hold something, a few to a line. */
static void print_options(
    const struct config_table *table, unsigned kind, const void *target, FILE *to)
{
    enum { COLUMNS = 96, INDENT = 4 };
    size_t column = 0;
    uint32_t kinds = 0;
    const struct yarder_option *option = table->row(0, &kinds);
    for (size_t i = 0; option != NULL; option = table->row(++i, &kinds)) {
        char at[OPTION_WHY_BYTES];
        const char *value = option_show(option, target, at);
        if ((kinds >> kind & 1) == 0 || value[0] == '\0') {
            continue;
        }
        size_t width = strlen(option->name) + strlen(value) + 2;
        if (column == 0 || column + width > COLUMNS) {
            (void)fputs(column == 0 ? "   " : "\n   ", to);
            column = INDENT - 1;
        }
        (void)fprintf(to, " %s=%s", option->name, value);
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
        if (input.record_bytes_max == 0) { /* what holds is the daemon's */
            input.record_bytes_max = config->record_bytes_max;
        }
        if (input.ring_bytes == 0) {
            input.ring_bytes = config->ring_bytes;
        }
        (void)fprintf(to, "input %s is ", input.name);
        print_target(input_kind_names[input.kind], input.target, input.where, to);
        print_options(&config_input_table, input.kind, &input, to);
    }
}

static void explain_outputs(
    const struct daemon_config *config, const struct router *router, FILE *to)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        (void)fprintf(to, "output %s is ", output->name);
        print_target(output_kind_names[output->kind], output->target, output->where, to);
        (void)fputs("    ", to);
        router_explain_output(router, i, to);
        print_options(&config_output_table, output->kind, output, to);
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

static void explain_memory(const struct daemon_config *config, FILE *to)
{
    char queues[OPTION_FORMAT_BYTES];
    char ring[OPTION_FORMAT_BYTES];
    char rings[OPTION_FORMAT_BYTES];
    uint64_t queue_bytes = 0;
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        queue_bytes += config->outputs[i].queue_bytes;
    }
    (void)fprintf(to,
        "memory: queues up to %s, touched as they fill; rings %s for each program, up "
        "to %s in all\n",
        option_format_bytes(queue_bytes, queues), option_format_bytes(config->ring_bytes, ring),
        option_format_bytes(config->ring_bytes_total, rings));
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
    explain_memory(config, to);
    if (config->until_end) {
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
