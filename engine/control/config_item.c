/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs, outputs and loggers under construction: from lines, from sections, option by option. */
#include <string.h>

#include "control/config_private.h"

static const struct config_table *table_of(enum settings_section section)
{
    return section == SETTINGS_INPUT ? &config_input_table : &config_output_table;
}

const char *config_item_noun(const struct config_item *item)
{
    return item->section == SETTINGS_LOGGER ? "logger" : item->table->noun;
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

static void set_defaults(struct config_builder *builder, struct config_item *item)
{
    char why[OPTION_WHY_BYTES];
    uint32_t kinds = 0;
    const struct yarder_option *option = item->table->row(0, &kinds);
    for (size_t i = 0; option != NULL; option = item->table->row(++i, &kinds)) {
        if (option->default_text != NULL && (kinds >> item->kind & 1) != 0) {
            int r = option_set(option, item->target, option->default_text, builder->arena, why);
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
        set_defaults(builder, item);
        config_input_target(builder, item, target);
        return;
    }
    struct output_config *output = item->target;
    output->kind = (enum output_kind)kind;
    output->where = item->where;
    output->named = item->name[0] != '\0';
    set_defaults(builder, item);
    config_output_target(builder, item, target);
}

const char *config_list_kinds(
    const struct config_table *table, uint32_t kinds, char at[CONFIG_KINDS_BYTES])
{
    size_t length = 0;
    at[0] = '\0';
    kinds &= (1u << table->kinds_count) - 1;
    unsigned left = (unsigned)__builtin_popcount(kinds);
    for (unsigned i = 0; i < table->kinds_count && length < CONFIG_KINDS_BYTES; i++) {
        if ((kinds >> i & 1) != 0) {
            left--;
            const char *behind = left == 0 ? "" : left == 1 ? " and " : ", ";
            length += (size_t)snprintf(
                at + length, CONFIG_KINDS_BYTES - length, "%s%s", table->kind_names[i], behind);
        }
    }
    return at;
}

void config_item_start_named(struct config_builder *builder, struct config_item *item,
    const char *kind_name, const char *target)
{
    const struct config_table *table = item->table;
    for (unsigned i = 0; i < table->kinds_count; i++) {
        if (strcmp(table->kind_names[i], kind_name) == 0) {
            config_item_start(builder, item, i, target);
            return;
        }
    }
    item->broken = true;
    const char *near = text_near(kind_name, table->kind_names, table->kinds_count);
    char kinds[CONFIG_KINDS_BYTES];
    report_error(builder->report, item->where, "unknown kind '%.64s' of an %s; there are %s%s%s%s",
        kind_name, table->noun, config_list_kinds(table, UINT32_MAX, kinds),
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
}

void config_add_line(
    struct config_builder *builder, enum settings_section section, const struct setting *setting)
{
    char why[OPTION_WHY_BYTES];
    struct config_split split;
    const struct config_table *table = table_of(section);
    const char *line = setting->value != NULL ? setting->value : "";
    split.name = "";
    if (config_unquote(builder->arena, line, &line, why) < 0 ||
        config_split_line(builder->arena, table, line, &split, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
        split.kind = NULL;
    }
    struct config_item *item = config_item_add(builder, section, split.name, setting->where);
    if (item == NULL) {
        return;
    }
    if (split.kind == NULL) { /* its name is kept, so that routes to it are no error as well */
        item->broken = true;
        return;
    }
    item->one_line = true;
    config_item_start_named(builder, item, split.kind, split.target);
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
    const char *kind = item->table->kind_names[item->kind];
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
