/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs, outputs and loggers under construction: from lines, from sections, option by option. */
#include <string.h>

#include "control/config_offload.h"
#include "control/config_private.h"
#include "control/config_source.h"

static const struct config_table *table_of(enum settings_section section)
{
    return section == SETTINGS_INPUT ? &config_input_table : &config_output_table;
}

const char *config_item_noun(const struct config_item *item)
{
    return item->section == SETTINGS_LOGGER ? "logger" : item->table->noun;
}

static bool is_offload(const struct config_item *item)
{
    return item->table == &config_output_table && item->kind == OUTPUT_OFFLOAD;
}

const char *config_item_kind(const struct config_item *item)
{
    const struct output_config *output = item->target;
    if (config_item_is_source(item)) {
        return input_kind_name(item->target);
    }
    return is_offload(item) ? output->backend->name : item->table->kind_names[item->kind];
}

struct config_rows config_output_rows(const struct output_config *output)
{
    return (struct config_rows){
        &config_output_table, output->kind == OUTPUT_OFFLOAD ? output->backend->options : NULL};
}

struct config_rows config_input_rows(const struct input_config *input)
{
    return (struct config_rows){
        &config_input_table, input->kind == INPUT_SOURCE ? input->source->options : NULL};
}

bool config_item_is_source(const struct config_item *item)
{
    return item->table == &config_input_table && item->kind == INPUT_SOURCE;
}

void *config_item_settings(const struct config_item *item)
{
    return item->table == &config_input_table ? ((struct input_config *)item->target)->settings
                                              : ((struct output_config *)item->target)->settings;
}

struct config_rows config_item_rows(const struct config_item *item)
{
    return item->table == &config_output_table ? config_output_rows(item->target)
                                               : config_input_rows(item->target);
}

/* Where an option was given, or NULL. */
static const char *given_at(const struct config_item *item, const char *option)
{
    const struct config_rows rows = config_item_rows(item);
    struct config_row row = {0};
    bool found = config_row_find(&rows, option, &row);
    YARDER_ASSERT(found);
    return item->seen_where[row.index];
}

bool config_item_gave(const struct config_item *item, const char *option)
{
    return given_at(item, option) != NULL;
}

const char *config_item_where(const struct config_item *item, const char *option)
{
    const char *where = given_at(item, option);
    return where != NULL ? where : item->where;
}

struct config_item *config_item_find(
    struct config_builder *builder, enum settings_section section, const char *name)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        if (item->table == table_of(section) && name[0] != '\0' && strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

/* The next place in the configuration's array, or NULL when it is full. */
static void *next_place(struct config_builder *builder, const struct config_table *table)
{
    struct daemon_config *config = builder->config;
    if (table == &config_input_table) {
        return config->inputs_count < YARDER_INPUTS_MAX ? &config->inputs[config->inputs_count++]
                                                        : NULL;
    }
    return config->outputs_count < YARDER_OUTPUTS_MAX ? &config->outputs[config->outputs_count++]
                                                      : NULL;
}

/* A name that is there already is an error; only uWSGI lets two loggers have one name. */
static void check_name(struct config_builder *builder, enum settings_section section,
    const char *name, const char *where)
{
    const struct config_item *other = config_item_find(builder, section, name);
    if (other == NULL) {
        return;
    }
    if (section == SETTINGS_LOGGER && other->section == SETTINGS_LOGGER) {
        return;
    }
    report_error(builder->report, where,
        "the name '%s' is taken by the %s at %s; say all of it in "
        "one line or in one section",
        name, config_item_noun(other), other->where);
}

struct config_item *config_item_add(struct config_builder *builder, enum settings_section section,
    const char *name, const char *where)
{
    const struct config_table *table = table_of(section);
    void *target = next_place(builder, table);
    if (target == NULL) {
        bool *said = &builder->items_full[section == SETTINGS_INPUT ? 0 : 1];
        if (!*said) {
            report_error(builder->report, where, "too many %ss, at most %d can be", table->noun,
                table->items_max);
            *said = true;
        }
        return NULL;
    }
    check_name(builder, section, name, where);
    YARDER_ASSERT(builder->items_count < CONFIG_ITEMS_MAX);
    struct config_item *item = &builder->items[builder->items_count++];
    *item =
        (struct config_item){.section = section, .name = name, .table = table, .target = target};
    item->where = arena_text(builder->arena, where, strlen(where)); /* outlives the settings */
    if (section == SETTINGS_LOGGER) {
        ((struct output_config *)target)->reach = ROUTE_UWSGI_LOGGER;
    }
    return item;
}

void config_item_remove(struct config_builder *builder, struct config_item *item)
{
    struct daemon_config *config = builder->config;
    struct output_config *output = item->target;
    YARDER_ASSERT(item->table == &config_output_table);
    size_t behind = (size_t)(&config->outputs[--config->outputs_count] - output);
    memmove(output, output + 1, behind * sizeof(*output));
    memset(&config->outputs[config->outputs_count], 0, sizeof(*output));
    size_t items_behind = (size_t)(&builder->items[--builder->items_count] - item);
    memmove(item, item + 1, items_behind * sizeof(*item));
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct output_config *other = builder->items[i].target;
        bool moved = builder->items[i].table == &config_output_table && other > output;
        builder->items[i].target = moved ? other - 1 : builder->items[i].target;
    }
}

void config_item_defaults(struct config_builder *builder, struct config_item *item)
{
    char why[OPTION_WHY_BYTES];
    const struct config_rows rows = {item->table, NULL};
    struct config_row row = {0};
    while (config_row_next(&rows, &row)) {
        const char *text = row.option->default_text;
        if (text != NULL && (row.kinds >> item->kind & 1) != 0) {
            int r = option_set(row.option, item->target, text, builder->arena, why);
            YARDER_ASSERT(r == 0); /* a default in our own table */
        }
    }
}

void config_item_start(
    struct config_builder *builder, struct config_item *item, unsigned kind, const char *target)
{
    YARDER_ASSERT(kind < item->table->kinds_count);
    item->kind = kind;
    if (item->table == &config_input_table) {
        struct input_config *input = item->target;
        input->kind = (enum input_kind)kind;
        input->where = item->where;
        config_item_defaults(builder, item);
        config_input_target(builder, item, target);
        return;
    }
    struct output_config *output = item->target;
    output->kind = (enum output_kind)kind;
    output->where = item->where;
    output->named = item->name[0] != '\0';
    config_item_defaults(builder, item);
    config_output_target(builder, item, target);
}

static void refuse_kind(
    struct config_builder *builder, struct config_item *item, const char *kind_name)
{
    const char *names[CONFIG_ROWS_MAX];
    char list[CONFIG_KINDS_BYTES];
    size_t count = config_kind_names(builder, item->table, names);
    const char *near = text_near(kind_name, names, count);
    bool secret = strchr(kind_name, '@') != NULL; /* a target with its password, by mistake */
    report_error(builder->report, item->where, "unknown kind '%.64s' of an %s; %s%s%s",
        secret ? "..." : kind_name, item->table->noun,
        near != NULL ? "did you mean " : "there are ",
        near != NULL ? near : config_list(names, count, list), near != NULL ? "?" : "");
}

bool config_item_start_kind(
    struct config_builder *builder, struct config_item *item, const char *kind_name)
{
    const struct config_table *table = item->table;
    for (unsigned i = 0; i < table->kinds_count; i++) {
        if (strcmp(table->kind_names[i], kind_name) == 0) {
            item->kind = i;
            return true;
        }
    }
    char why[MODULE_WHY_BYTES] = "";
    const struct yarder_source *source =
        table == &config_input_table ? config_source(kind_name, why) : NULL;
    const struct yarder_backend *backend =
        table == &config_output_table ? config_backend(builder, kind_name, why) : NULL;
    if (backend != NULL) {
        config_offload_start(builder, item, backend);
    } else if (source != NULL) {
        config_source_start(builder, item, source);
    } else if (why[0] != '\0') {
        report_error(builder->report, item->where, "%s", why);
    } else {
        refuse_kind(builder, item, kind_name);
    }
    item->broken |= backend == NULL && source == NULL;
    return !item->broken;
}

/* The target of an item whose kind is known. */
static void start_target(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    if (is_offload(item)) {
        config_offload_target(builder, item, target);
    } else if (config_item_is_source(item)) {
        config_source_target(builder, item, target);
    } else {
        config_item_start(builder, item, item->kind, target);
    }
}

void config_item_start_named(struct config_builder *builder, struct config_item *item,
    const char *kind_name, const char *target)
{
    if (item->table == &config_output_table && strcmp(kind_name, "uwsgi") == 0) {
        config_uwsgi_start(builder, item, target);
    } else if (config_item_start_kind(builder, item, kind_name)) {
        start_target(builder, item, target);
    }
}

/* Whether the rest of a line is a target with commas and all. */
static bool takes_whole(const struct config_item *item)
{
    const struct output_config *output = item->target;
    return is_offload(item) ? (output->backend->flags & YARDER_BACKEND_WHOLE) != 0
                            : (item->table->whole_kinds >> item->kind & 1) != 0;
}

void config_add_line(
    struct config_builder *builder, enum settings_section section, const struct setting *setting)
{
    char why[OPTION_WHY_BYTES];
    struct config_split split;
    const char *line = setting->value != NULL ? setting->value : "";
    const char *rest = "";
    split.name = "";
    int r = config_unquote(builder->arena, line, &line, why);
    r = r < 0 ? r : config_split_kind(builder->arena, line, &split, &rest, why);
    struct config_item *item = config_item_add(builder, section, split.name, setting->where);
    if (item == NULL) {
        return;
    }
    item->one_line = true;
    if (r == 0 && section == SETTINGS_OUTPUT && strcmp(split.kind, "uwsgi") == 0) {
        config_uwsgi_start(builder, item, rest); /* all of it: commas are uWSGI's */
        return;
    }
    if (r == 0 && config_item_start_kind(builder, item, split.kind)) {
        const struct config_rows rows = config_item_rows(item);
        r = config_split_rest(builder->arena, &rows, takes_whole(item), rest, &split, why);
    }
    if (r < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
        item->broken = true;
    }
    if (item->broken) { /* its name is kept, so that routes to it are no error as well */
        return;
    }
    start_target(builder, item, split.target);
    bool command_line = setting->file[0] == '\0';
    for (uint32_t i = 0; i < split.pairs_count; i++) {
        config_item_apply(
            builder, item, setting->where, command_line, split.pairs[i].key, split.pairs[i].value);
    }
}

static bool name_is_taken(
    const struct config_builder *builder, const struct config_item *self, const char *name)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        if (item != self && item->table == self->table && strcmp(item->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* A name that is too long loses its end, one that is taken gets a number. */
static const char *make_name(
    struct config_builder *builder, const struct config_item *item, const char *wished)
{
    char name[YARDER_NAME_BYTES_MAX];
    (void)snprintf(name, sizeof(name), "%.*s", YARDER_NAME_BYTES_MAX - 1, wished);
    for (unsigned number = 2; name_is_taken(builder, item, name); number++) {
        int room = YARDER_NAME_BYTES_MAX - 1 - snprintf(NULL, 0, "#%u", number);
        (void)snprintf(name, sizeof(name), "%.*s#%u", room, wished, number);
    }
    return arena_text(builder->arena, name, strlen(name));
}

static const char *wished_name(struct config_builder *builder, const struct config_item *item)
{
    const char *kind = item->broken ? "" : config_item_kind(item);
    const char *target = item->table == &config_input_table
                             ? ((const struct input_config *)item->target)->target
                             : ((const struct output_config *)item->target)->target;
    return target == NULL || target[0] == '\0'
               ? kind
               : arena_format(builder->arena, "%s:%s", kind, target);
}

void config_name_items(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        char *logger_name = item->section == SETTINGS_LOGGER && item->name[0] != '\0'
                                ? arena_text(builder->arena, item->name, strlen(item->name))
                                : NULL;
        bool again = item->section == SETTINGS_LOGGER &&
                     config_item_find(builder, item->section, item->name) != item;
        if (item->name[0] == '\0' || again) {
            const char *wished =
                again && item->name[0] != '\0' ? item->name : wished_name(builder, item);
            item->name = make_name(builder, item, wished);
            item->numbered = strcmp(item->name, wished) != 0;
        }
        char *name = arena_text(builder->arena, item->name, strlen(item->name));
        if (item->table == &config_input_table) {
            ((struct input_config *)item->target)->name = name;
        } else {
            struct output_config *output = item->target;
            output->name = name;
            output->logger_name = logger_name;
        }
    }
}
