/* SPDX-License-Identifier: Apache-2.0 */
/* Sections, single options of the command line, and the one place where an option is applied. */
#include <string.h>

#include "control/config_private.h"
#include "control/config_source.h"

/* Whether a setting speaks of this item's section, or of its name on the command line. */
static bool is_member(const struct setting *setting, const struct setting *header)
{
    if (setting->section != header->section) {
        return false;
    }
    bool of_section =
        setting->section_number != 0 && setting->section_number == header->section_number;
    bool by_name = setting->section_number == 0 && header->section_name[0] != '\0' &&
                   strcmp(setting->section_name, header->section_name) == 0;
    return of_section || by_name;
}

/* The last value of `type` or `to`: the command line stands behind the files. */
static const char *find_member(
    struct config_builder *builder, const struct setting *header, const char *key)
{
    const char *value = NULL;
    char why[OPTION_WHY_BYTES];
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        if (is_member(setting, header) && strcmp(setting->key, key) == 0 &&
            setting->value != NULL &&
            config_unquote(builder->arena, setting->value, &value, why) < 0) {
            report_error(builder->report, setting->where, "%s: %s", key, why);
        }
    }
    return value;
}

void config_add_section(struct config_builder *builder, const struct setting *header)
{
    const char *type = find_member(builder, header, "type");
    const char *to = find_member(builder, header, "to");
    if (header->section_name[0] != '\0' && !config_name_is_good(header->section_name)) {
        report_error(builder->report, header->where,
            "'%.64s' cannot be a name: expected up to %d "
            "letters, digits, _ . or -",
            header->section_name, YARDER_NAME_BYTES_MAX - 1);
        return;
    }
    if (header->section_number == 0 && type == NULL) {
        report_error(builder->report, header->where, "no %s is named '%.64s'",
            header->section == SETTINGS_INPUT ? "input" : "output", header->section_name);
        return;
    }
    struct config_item *logger =
        header->section == SETTINGS_LOGGER && type == NULL
            ? config_item_find(builder, SETTINGS_LOGGER, header->section_name)
            : NULL;
    if (logger != NULL && logger->section_number != 0) {
        report_error(builder->report, header->where, "section [logger %.64s] is there twice",
            header->section_name);
        return;
    }
    if (logger != NULL) {
        logger->section_number = header->section_number; /* options for a `logger =` line */
        return;
    }
    bool taken = config_item_find(builder, header->section, header->section_name) != NULL;
    struct config_item *item =
        config_item_add(builder, header->section, header->section_name, header->where);
    if (item == NULL) {
        return;
    }
    item->section_number = header->section_number;
    if (type != NULL) {
        config_item_start_named(builder, item, type, to != NULL ? to : "");
        return;
    }
    item->broken = true;
    if (!taken) {
        report_error(builder->report, header->where,
            "the section has no type; expected a line type = KIND; see yarder %ss",
            item->table->noun);
    }
}

/* The item that a setting of a section or of the command line speaks of; made at need. */
static struct config_item *item_of(struct config_builder *builder, const struct setting *setting)
{
    if (setting->section_number == 0) {
        struct config_item *item =
            config_item_find(builder, setting->section, setting->section_name);
        if (item == NULL) {
            config_add_section(builder, setting);
            item = config_item_find(builder, setting->section, setting->section_name);
        }
        return item;
    }
    for (uint32_t i = 0; i < builder->items_count; i++) {
        if (builder->items[i].section_number == setting->section_number) {
            return &builder->items[i];
        }
    }
    return NULL;
}

void config_apply_member(struct config_builder *builder, const struct setting *setting)
{
    char why[OPTION_WHY_BYTES];
    const char *value = NULL;
    struct config_item *item = item_of(builder, setting);
    if (item == NULL) {
        return; /* what is wrong with its section was reported */
    }
    if (config_unquote(builder->arena, setting->value, &value, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
        return;
    }
    bool command_line = setting->file[0] == '\0';
    config_item_apply(builder, item, setting->where, command_line, setting->key, value);
}

static void refuse_key(struct config_builder *builder, const struct config_item *item,
    const char *where, const char *key)
{
    static const char *const members[] = {"type", "to"};
    const struct config_rows rows = config_item_rows(item);
    const char *near = config_row_near(&rows, key);
    if (near == NULL && !item->one_line) {
        near = text_near(key, members, YARDER_COUNT_OF(members));
    }
    if (strcmp(key, "route") == 0 || strcmp(key, "drop") == 0 || strcmp(key, "keep") == 0) {
        report_error(builder->report, where,
            "%s is not an option of one %s; put it above the first "
            "section, or below a [yarder] line",
            key, config_item_noun(item));
    } else if (near != NULL) {
        report_error(builder->report, where, "unknown option '%.64s' of an %s; did you mean %s?",
            key, item->table->noun, near);
    } else {
        report_error(builder->report, where, "unknown option '%.64s' of an %s; see yarder %ss%s%s",
            key, item->table->noun, item->table->noun, item->broken ? "" : " ",
            item->broken ? "" : config_item_kind(item));
    }
}

/* Marks a row as given: false when that is an error. */
static bool note_row(struct config_builder *builder, struct config_item *item, size_t index,
    const char *where, bool command_line, const char *key)
{
    bool *seen = &item->seen[command_line ? 1 : 0][index];
    if (*seen) {
        report_error(
            builder->report, where, "%s is given twice, first at %s", key, item->seen_where[index]);
        return false;
    }
    *seen = true;
    item->seen_where[index] = where;
    return true;
}

static bool row_allowed(struct config_builder *builder, const struct config_item *item,
    const struct config_row *row, const char *where)
{
    const struct yarder_option *option = row->option;
    if (row->own) {
        return true;
    }
    if (item->section == SETTINGS_LOGGER &&
        (option->offset >= offsetof(struct output_config, selectors)) &&
        option->offset <
            offsetof(struct output_config, selectors) + sizeof(struct route_selectors)) {
        report_error(builder->report, where,
            "%s belongs to an output; a logger is reached by "
            "log-route",
            option->name);
        return false;
    }
    const struct yarder_backend *backend = item->table == &config_output_table
                                               ? ((struct output_config *)item->target)->backend
                                               : NULL;
    if ((row->kinds >> item->kind & 1) != 0 && !config_row_applies(row, item->kind, backend)) {
        report_error(builder->report, where,
            "%s is not an option of %s, which takes records as they are", option->name,
            config_item_kind(item));
        return false;
    }
    if ((row->kinds >> item->kind & 1) == 0) {
        char names[CONFIG_KINDS_BYTES];
        report_error(builder->report, where, "%s is not an option of %s; it is one of %s",
            option->name, config_item_kind(item),
            config_list_kinds(item->table, row->kinds, names));
        return false;
    }
    return true;
}

/* Of names a trailing * is a prefix, and no other is anything. */
static void check_name(struct config_builder *builder, const char *where, const char *key,
    const char *value, bool takes_prefix)
{
    const char *star = strchr(value, '*');
    if (star != NULL && !takes_prefix) {
        report_error(builder->report, where,
            "%s: a name takes its children as well, without any *, not '%.64s'", key, value);
    } else if (star != NULL && star[1] != '\0') {
        report_error(builder->report, where,
            "%s: a * stands at the end of a name alone, not in '%.64s'", key, value);
    }
}

/* A value that is a pattern must compile; that of field= stands behind the field's name. */
static void check_value(struct config_builder *builder, const struct config_item *item,
    const struct yarder_option *option, const char *where, const char *key, const char *value)
{
    size_t offset = option->offset;
    struct range range;
    if (item->table != &config_output_table || option->kind != YARDER_OPTION_TEXTS) {
        return;
    }
    if (offset == offsetof(struct output_config, selectors.match) ||
        offset == offsetof(struct output_config, selectors.not_match)) {
        config_check_pattern(builder, where, key, value, false);
    } else if (offset == offsetof(struct output_config, selectors.tag) ||
               offset == offsetof(struct output_config, selectors.host)) {
        check_name(builder, where, key, value, true);
    } else if (offset == offsetof(struct output_config, selectors.logger)) {
        check_name(builder, where, key, value, false);
    } else if (offset == offsetof(struct output_config, selectors.field)) {
        const char *equals = strchr(value, '=');
        if (equals == NULL || equals == value || equals[1] == '\0') {
            report_error(builder->report, where,
                "%s: expected NAME=REGEX or NAME=LOW..HIGH, not '%.64s'", key, value);
        } else if (range_parse(equals + 1, &range) < 0) {
            report_error(builder->report, where, "%s: no number lies in %.64s", key, equals + 1);
        } else if (range_parse(equals + 1, &range) == 0) {
            config_check_pattern(builder, where, key, equals + 1, true);
        }
    }
}

void config_item_apply(struct config_builder *builder, struct config_item *item, const char *where,
    bool command_line, const char *key, const char *value)
{
    enum { ROW_TYPE = CONFIG_ROWS_MAX - 1, ROW_TO = CONFIG_ROWS_MAX - 2 };
    char why[OPTION_WHY_BYTES];
    char refusal[OPTION_REFUSAL_BYTES];
    struct config_row row = {0};
    if (strcmp(key, "type") == 0 || strcmp(key, "to") == 0) {
        size_t index = strcmp(key, "to") == 0 ? ROW_TO : ROW_TYPE;
        if (item->one_line) {
            report_error(builder->report, where, "%s is said by the line at %s", key, item->where);
        } else {
            (void)note_row(
                builder, item, index, where, command_line, key); /* taken by find_member */
        }
        return;
    }
    const struct config_rows rows = config_item_rows(item);
    if (!config_row_find(&rows, key, &row)) {
        refuse_key(builder, item, where, key);
        return;
    }
    const struct yarder_option *option = row.option;
    if (item->broken || !row_allowed(builder, item, &row, where)) {
        return;
    }
    if (option_repeats(option)) {
        item->seen_where[row.index] = where;
    } else if (!note_row(builder, item, row.index, where, command_line, key)) {
        return;
    }
    if (strcmp(key, option->name) != 0 && value != NULL) { /* field.NAME=REGEX */
        value = arena_format(builder->arena, "%s=%s", key + strlen("field."), value);
    }
    void *target = row.own ? config_item_settings(item) : item->target;
    if (option->kind == YARDER_OPTION_PATH && value != NULL && value[0] != '\0') {
        value = config_absolute(builder, value);
    }
    int r = option->kind == YARDER_OPTION_SECRET
                ? config_set_secret(builder, option, target, where, value, why)
                : option_set(option, target, value, builder->arena, why);
    if (r < 0) {
        report_error(
            builder->report, where, "%s: %s", key, option_refusal(option, why, value, refusal));
        item->refused |= row.own;
    } else if (!row.own) {
        check_value(builder, item, option, where, key, value);
    }
}
