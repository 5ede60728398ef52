/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs with a backend. The module is loaded for what its table and its checks say; what comes
 * out is the backend's `self` as configured, which the output's thread will copy.
 */
#include "control/config_offload.h"

#include <errno.h>
#include <string.h>

size_t config_kind_names(const struct config_builder *builder, const struct config_table *table,
    const char *names[CONFIG_ROWS_MAX])
{
    size_t count = 0;
    for (; count < table->kinds_count; count++) {
        names[count] = table->kind_names[count];
    }
    if (table != &config_output_table) {
        for (const struct module_source *source = module_sources; source->name != NULL; source++) {
            names[count++] = source->name;
        }
        return count;
    }
    for (const struct module_kind *kind = module_kinds; kind->name != NULL; kind++) {
        names[count++] = kind->name;
    }
    for (uint32_t i = 0; builder != NULL && i < builder->plugins_count; i++) {
        names[count++] = builder->plugins[i]->name;
    }
    YARDER_ASSERT(count <= CONFIG_ROWS_MAX);
    return count;
}

const struct yarder_backend *config_backend(
    const struct config_builder *builder, const char *kind, char why[MODULE_WHY_BYTES])
{
    for (uint32_t i = 0; i < builder->plugins_count; i++) {
        if (strcmp(builder->plugins[i]->name, kind) == 0) {
            return builder->plugins[i];
        }
    }
    const struct yarder_backend *backend = NULL;
    const struct module_kind *own = module_kind_find(kind);
    int r = own != NULL ? module_load(own, &backend, why) : -ENOENT;
    return r == 0 ? backend : NULL;
}

static bool name_is_taken(const struct config_builder *builder, const char *name)
{
    const char *names[CONFIG_ROWS_MAX];
    size_t count = config_kind_names(builder, &config_output_table, names);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

void config_take_plugin(struct config_builder *builder, const struct setting *setting)
{
    char why[MODULE_WHY_BYTES];
    const char *path = "";
    const struct yarder_backend *backend = NULL;
    if (config_unquote(builder->arena, setting->value, &path, why) < 0) {
        report_error(builder->report, setting->where, "plugin: %s", why);
    } else if (path == NULL || path[0] == '\0') {
        report_error(builder->report, setting->where, "plugin: expected PATH of a module");
    } else if (builder->plugins_count == MODULE_PLUGINS_MAX) {
        report_error(
            builder->report, setting->where, "plugin: at most %d can be", MODULE_PLUGINS_MAX);
    } else if (module_load_file(config_absolute(builder, path), &backend, why) < 0) {
        report_error(builder->report, setting->where, "plugin: %s", why);
    } else if (name_is_taken(builder, backend->name)) {
        report_error(builder->report, setting->where,
            "plugin: %.256s is of kind %s, which is there already", path, backend->name);
    } else {
        builder->plugins[builder->plugins_count++] = backend;
    }
}

static void set_own_defaults(
    struct config_builder *builder, struct config_item *item, struct output_config *output)
{
    char why[OPTION_WHY_BYTES];
    for (const struct yarder_option *row = output->backend->options; row->kind != YARDER_OPTION_END;
         row++) {
        if (row->default_text != NULL &&
            option_set(row, output->settings, row->default_text, builder->arena, why) < 0) {
            item->broken = true;
            report_error(builder->report, item->where,
                "the module of %s is wrong: the default of its option %s: %s",
                output->backend->name, row->name, why);
        }
    }
}

void config_offload_start(
    struct config_builder *builder, struct config_item *item, const struct yarder_backend *backend)
{
    struct output_config *output = item->target;
    item->kind = OUTPUT_OFFLOAD;
    output->kind = OUTPUT_OFFLOAD;
    output->backend = backend;
    output->where = item->where;
    output->named = item->name[0] != '\0';
    output->settings = arena_take(builder->arena, yarder_max(backend->self_bytes, 1));
    config_item_defaults(builder, item);
    if (output->settings == NULL) {
        item->broken = true; /* the arena's failure ends it all */
        return;
    }
    if (backend->default_format != NULL) {
        output->format =
            arena_text(builder->arena, backend->default_format, strlen(backend->default_format));
    }
    set_own_defaults(builder, item, output);
}

static void refuse(struct config_builder *builder, struct config_item *item, const char *why)
{
    struct output_config *output = item->target;
    item->broken = true;
    report_error(builder->report, item->where, "%s %s: %s", config_item_noun(item),
        item->uwsgi_kind != NULL ? item->uwsgi_kind : output->backend->name,
        why[0] != '\0' ? why : "its target is wrong");
}

/* What may be shown of its target. */
static char *shown_target(struct config_builder *builder, const struct output_config *output)
{
    enum { SHOWN_BYTES = 256 };
    char shown[SHOWN_BYTES] = "";
    output->backend->shown(output->settings, shown, sizeof(shown));
    shown[sizeof(shown) - 1] = '\0';
    return arena_text(builder->arena, shown, strlen(shown));
}

/* A password before the @ of its target, or a key that such a line gave in its place. */
static void note_secret(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    const struct yarder_backend *backend = output->backend;
    bool has = strchr(output->target, '@') != NULL && backend->shown != NULL &&
               strchr(shown_target(builder, output), '@') == NULL;
    for (const struct yarder_option *at = backend->options; at->kind != YARDER_OPTION_END; at++) {
        const char *field = (const char *)output->settings + at->offset;
        has |= at->kind == YARDER_OPTION_SECRET && *(char *const *)(const void *)field != NULL;
    }
    if (has) {
        config_note_secret(builder, item->where);
    }
}

void config_offload_target(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct output_config *output = item->target;
    char why[OPTION_WHY_BYTES] = "";
    char *text = arena_text(builder->arena, target, strlen(target));
    output->target = arena_text(builder->arena, target, strlen(target));
    if (output->backend->target(output->settings, text, why, sizeof(why)) < 0) {
        refuse(builder, item, why);
        return;
    }
    note_secret(builder, item);
}

void config_offload_uwsgi(struct config_builder *builder, struct config_item *item,
    const char *name, const char *argument)
{
    struct output_config *output = item->target;
    char why[OPTION_WHY_BYTES] = "";
    item->uwsgi_kind = name;
    output->uwsgi = arena_format(builder->arena, "%s%s%s", name, argument != NULL ? ":" : "",
        argument != NULL ? argument : "");
    if (output->backend->uwsgi == NULL) {
        config_offload_target(builder, item, argument != NULL ? argument : "");
        return;
    }
    size_t length = argument != NULL ? strlen(argument) : 0;
    char *text = argument != NULL ? arena_text(builder->arena, argument, length) : NULL;
    output->target = arena_text(builder->arena, argument, length);
    if (output->backend->uwsgi(output->settings, name, text, why, sizeof(why)) < 0) {
        refuse(builder, item, why);
        return;
    }
    note_secret(builder, item);
}

static void settle_disk(struct config_builder *builder, struct config_item *item)
{
    static const char *const names[] = {"fsync", "direct"};
    static const struct output_fsync each_second = {OUTPUT_SYNC_INTERVAL, 1000000000};
    struct output_config *output = item->target;
    if (output->queue.disk_bytes > 0) {
        output->fsync = config_item_gave(item, "fsync") ? output->fsync : each_second;
        return;
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        if (config_item_gave(item, names[i])) {
            report_error(builder->report, config_item_where(item, names[i]),
                "%s speaks of a queue on disk, and this one is in memory; expected "
                "queue=disk:SIZE beside it",
                names[i]);
        }
    }
}

static void settle_dead_letter(struct config_builder *builder, const struct config_item *item)
{
    struct output_config *output = item->target;
    if (output->dead_letter == NULL) {
        return;
    }
    output->dead_letter = config_absolute(builder, output->dead_letter);
    size_t length = strlen(output->dead_letter);
    if (length >= YARDER_PATH_BYTES_MAX || output->dead_letter[length - 1] == '/') {
        report_error(builder->report, config_item_where(item, "dead-letter"),
            "dead-letter: expected PATH of a file, of at most %d bytes, not '%.128s'",
            YARDER_PATH_BYTES_MAX - 1, output->dead_letter);
    }
}

void config_offload_settle(struct config_builder *builder, struct config_item *item)
{
    struct output_config *output = item->target;
    char why[OPTION_WHY_BYTES] = "";
    if (output->kind != OUTPUT_OFFLOAD) {
        if (output->queue.disk_bytes > 0) {
            report_error(builder->report, config_item_where(item, "queue"),
                "queue=disk:SIZE is for kinds with a backend, not for %s; expected memory:SIZE",
                config_item_kind(item));
        }
        return;
    }
    settle_disk(builder, item);
    settle_dead_letter(builder, item);
    if (output->backend->check != NULL && !item->refused &&
        output->backend->check(output->settings, why, sizeof(why)) < 0) {
        refuse(builder, item, why);
    }
    output->target =
        output->backend->shown != NULL ? shown_target(builder, output) : output->target;
}

void config_offload_place(struct config_builder *builder, struct config_item *item)
{
    const struct output_config *output = item->target;
    if (output->kind == OUTPUT_OFFLOAD && output->queue.disk_bytes > 0 && item->numbered) {
        report_error(builder->report, item->where,
            "its queue on disk is found again by its name: expected NAME before %s, for there is "
            "another output without one to the same place",
            output->backend->name);
    }
}
