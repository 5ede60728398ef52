/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs: their targets, and what holds when nobody said otherwise. */
#include <string.h>

#include "control/config_offload.h"
#include "control/config_private.h"

static const struct yarder_option *output_row(size_t index, uint32_t *kinds)
{
    const struct output_option *row = &output_options[index];
    *kinds = row->kinds;
    return row->option.kind != YARDER_OPTION_END ? &row->option : NULL;
}

const struct config_table config_output_table = {
    .noun = "output",
    .items_max = YARDER_OUTPUTS_MAX,
    .kind_names = output_kind_names,
    .kinds_count = OUTPUT_OFFLOAD,
    .whole_kinds = 0,
    .row = output_row,
};

static void refuse(struct config_builder *builder, struct config_item *item, const char *expected,
    const char *target)
{
    item->broken = true;
    report_error(builder->report, item->where, "output %s: expected %s, not '%.128s'",
        output_kind_names[item->kind], expected, target);
}

void config_output_target(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct output_config *output = item->target;
    output->target = arena_text(builder->arena, target, strlen(target));
    switch (output->kind) {
    case OUTPUT_FILE:
        output->target = config_absolute(builder, target);
        if (target[0] == '\0' || target[strlen(target) - 1] == '/') {
            refuse(builder, item, "file:PATH", target);
        } else if (strlen(output->target) >= YARDER_PATH_BYTES_MAX) {
            refuse(builder, item, "a path of at most 1023 bytes", output->target);
        }
        break;
    case OUTPUT_STDIO:
        if (target[0] != '\0' && strcmp(target, "stdout") != 0 && strcmp(target, "stderr") != 0) {
            refuse(builder, item, "stdio:stdout or stdio:stderr", target);
        }
        break;
    case OUTPUT_NULL:
        if (target[0] != '\0') {
            refuse(builder, item, "no target", target);
        }
        break;
    case OUTPUT_OFFLOAD:
    case OUTPUT_KINDS:
        YARDER_ASSERT(false);
    }
}

void config_default_outputs(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    bool to_stdout = config->inputs_count > 0;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        enum input_kind kind = config->inputs[i].kind;
        to_stdout = to_stdout && (kind == INPUT_STDIN || kind == INPUT_EXEC);
    }
    struct config_item *item = config_item_add(builder, SETTINGS_OUTPUT, "", "default");
    YARDER_ASSERT(item != NULL); /* there was none */
    item->one_line = true;
    const char *path = arena_format(builder->arena, "%s/yarder.log", config->state_dir);
    config_item_start(builder, item, to_stdout ? OUTPUT_STDIO : OUTPUT_FILE, to_stdout ? "" : path);
}

/* A logger passes messages on as they are, until its section gives it a format. */
static void settle_loggers(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        bool bare = item->section == SETTINGS_LOGGER || item->uwsgi_kind != NULL;
        if (bare && config_item_gave(item, "format")) {
            ((struct output_config *)item->target)->bare = false;
        }
    }
}

/*
 * A single output has nothing else that its waiting could hold up. A queue on disk is a file like
 * any other: it has its moments, but does not go away as a peer does.
 */
static void settle_full(struct output_config *output, bool alone)
{
    static const uint64_t block_ns = 2000000000;
    if (output->on_full.policy == OUTPUT_FULL_AUTO) {
        bool peer = output->kind == OUTPUT_OFFLOAD && output->queue.disk_bytes == 0;
        enum output_full among = peer ? OUTPUT_FULL_DROP_NEWEST : OUTPUT_FULL_AUTO;
        output->on_full.policy = alone ? OUTPUT_FULL_BLOCK : among;
        output->on_full.block_ns = alone ? UINT64_MAX : block_ns;
    }
}

void config_settle_outputs(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    settle_loggers(builder);
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        settle_full(&config->outputs[i], config->outputs_count == 1);
    }
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        if (item->table == &config_output_table && !item->broken) {
            config_offload_settle(builder, item);
            config_rotate_settle(builder, item->target);
        }
    }
}

void config_place_outputs(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        if (item->table == &config_output_table && !item->broken) {
            config_offload_place(builder, item);
        }
    }
}
