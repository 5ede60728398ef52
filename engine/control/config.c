/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config.h"

#include <errno.h>
#include <string.h>

#include "control/config_keys.h"
#include "control/config_private.h"
#include "control/uwsgi_names.h"

/* What config_load gives out is the first member. */
struct config_owner {
    struct daemon_config config;
    struct arena arena;
};

void config_close(struct daemon_config *config)
{
    if (config != NULL) {
        struct config_owner *owner = (struct config_owner *)(void *)config;
        arena_deinit(&owner->arena);
        free(owner);
    }
}

/* Where a key was given by files or by the command line; an alias counts as its key. */
static const char **seen_place(
    struct config_builder *builder, const struct config_key *key, bool command_line)
{
    size_t index = (size_t)(config_key_first(key) - config_keys);
    YARDER_ASSERT(index < CONFIG_ROWS_MAX);
    return &builder->top_seen[command_line ? 1 : 0][index];
}

static void take_field(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    char why[OPTION_WHY_BYTES];
    char refusal[OPTION_REFUSAL_BYTES];
    const char *value = NULL;
    const char **seen = seen_place(builder, key, setting->file[0] == '\0');
    if (!option_repeats(&key->option)) {
        if (*seen != NULL) {
            report_error(builder->report, setting->where, "%s is given twice, first at %s",
                setting->key, *seen);
            return;
        }
        *seen = setting->where;
    }
    if (config_unquote(builder->arena, setting->value, &value, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
    } else if (option_set(&key->option, builder->config, value, builder->arena, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key,
            option_refusal(&key->option, why, value, refusal));
    } else if (option_repeats(&key->option)) { /* drop and keep */
        builder->native_filter = true;
        config_check_pattern(builder, setting->where, setting->key, value, false);
    }
}

static void refuse_key(struct config_builder *builder, const struct setting *setting)
{
    const struct config_rows outputs = {&config_output_table, NULL};
    const struct config_rows inputs = {&config_input_table, NULL};
    struct config_row row = {0};
    const char *near = config_key_near(setting->key);
    if (config_row_find(&outputs, setting->key, &row)) {
        report_error(builder->report, setting->where,
            "%s is an option of an output: it belongs "
            "below an [output NAME] line, or behind a comma of the output's line",
            setting->key);
    } else if (config_row_find(&inputs, setting->key, &row)) {
        report_error(builder->report, setting->where,
            "%s is an option of an input: it belongs "
            "below an [input NAME] line, or behind a comma of the input's line",
            setting->key);
    } else {
        report_error(builder->report, setting->where, "unknown key '%.64s'%s%s%s", setting->key,
            near != NULL ? "; did you mean " : "", near != NULL ? near : "",
            near != NULL ? "?" : "");
    }
}

/* A key of ours that uWSGI does not know, in its section by mistake. */
static bool is_own(const char *key)
{
    static const char *const lines[] = {"input", "output", "route"};
    bool own = config_key_find(key) != NULL;
    for (size_t i = 0; i < YARDER_COUNT_OF(lines); i++) {
        own |= strcmp(key, lines[i]) == 0;
    }
    return own && uwsgi_argument(key) == UWSGI_UNKNOWN;
}

/* Not about logs: counted, and named as far as a line goes. */
static void ignore(struct config_builder *builder, const struct setting *setting)
{
    if (is_own(setting->key)) {
        report_warning(builder->report, setting->where,
            "%s is yarder's own, and does nothing in uWSGI's section: it belongs above [uwsgi], or "
            "below [yarder]",
            setting->key);
        return;
    }
    for (uint32_t i = 0; i < yarder_min(builder->ignored_count, CONFIG_IGNORED_SHOWN); i++) {
        if (strcmp(builder->ignored[i], setting->key) == 0) {
            return;
        }
    }
    if (builder->ignored_count == 0) {
        builder->ignored_where = setting->where;
    }
    if (builder->ignored_count < CONFIG_IGNORED_SHOWN) {
        builder->ignored[builder->ignored_count] = setting->key;
    }
    builder->ignored_count++;
}

static void tell_ignored(struct config_builder *builder)
{
    char names[CONFIG_KINDS_BYTES];
    uint32_t count = builder->ignored_count;
    uint32_t shown = (uint32_t)yarder_min(count, CONFIG_IGNORED_SHOWN);
    size_t length = 0;
    for (uint32_t i = 0; i < shown && length < sizeof(names); i++) {
        length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%.64s",
            i == 0 ? "" : ", ", builder->ignored[i]);
    }
    if (count > 0) {
        report_note(builder->report, builder->ignored_where,
            "%u %s about logs %s left to uWSGI: %s%s", (unsigned)count,
            count == 1 ? "key that is not" : "keys that are not", count == 1 ? "is" : "are", names,
            count > shown ? ", ..." : "");
    }
}

/* A key of [uwsgi]: its logging keys are ours, all others are uWSGI's own business. */
static const struct config_key *uwsgi_key(
    struct config_builder *builder, const struct setting *setting)
{
    const struct config_key *key = config_key_find(setting->key);
    if (key != NULL && config_key_is_uwsgi(key)) {
        return key;
    }
    if (setting->key[0] == '\0') {
        return NULL;
    }
    bool known = uwsgi_argument(setting->key) != UWSGI_UNKNOWN;
    const char *near =
        !known && strstr(setting->key, "log") != NULL ? config_key_near(setting->key) : NULL;
    if (near != NULL) {
        report_warning(builder->report, setting->where,
            "unknown key '%.64s' is left to uWSGI; did you mean %s?", setting->key, near);
    }
    ignore(builder, setting);
    return NULL;
}

static void take_top(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    switch ((int)key->line) {
    case CONFIG_FIELD:
        take_field(builder, key, setting);
        break;
    case CONFIG_INPUT:
        config_add_line(builder, SETTINGS_INPUT, setting);
        break;
    case CONFIG_OUTPUT:
        config_add_line(builder, SETTINGS_OUTPUT, setting);
        break;
    case CONFIG_ROUTE:
        config_take_route(builder, setting, true, ROUTE_BOTH);
        break;
    case CONFIG_INCLUDE: /* was followed while reading */
    case CONFIG_PLUGIN:  /* was loaded before all lines */
    case CONFIG_UWSGI_FILE:
        break;
    default:
        config_take_uwsgi(builder, key, setting);
    }
}

/* First round: fields, lines, and the headers of sections, in the order of reading. */
static void take_setting(struct config_builder *builder, const struct setting *setting)
{
    const struct config_key *key = NULL;
    switch (setting->section) {
    case SETTINGS_TOP:
        key = config_key_find(setting->key);
        if (key == NULL) {
            refuse_key(builder, setting);
        }
        break;
    case SETTINGS_UWSGI:
        key = uwsgi_key(builder, setting);
        break;
    case SETTINGS_INPUT:
    case SETTINGS_OUTPUT:
        if (setting->key[0] == '\0') {
            config_add_section(builder, setting);
        }
        break;
    case SETTINGS_LOGGER: /* may add to a line that stands below it */
    case SETTINGS_SECTIONS:
        break;
    }
    if (key != NULL) {
        take_top(builder, key, setting);
    }
}

static bool is_item_section(const struct setting *setting)
{
    return setting->section == SETTINGS_INPUT || setting->section == SETTINGS_OUTPUT ||
           setting->section == SETTINGS_LOGGER;
}

/* Before all lines: a plugin makes a kind. */
static void take_plugins(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        if (setting->section == SETTINGS_TOP && strcmp(setting->key, "plugin") == 0) {
            config_take_plugin(builder, setting);
        }
    }
}

static void take_all(struct config_builder *builder)
{
    take_plugins(builder);
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        take_setting(builder, builder->ordered[i]);
    }
    config_uwsgi_logto(builder);
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        if (setting->section == SETTINGS_LOGGER && setting->key[0] == '\0') {
            config_add_section(builder, setting);
        }
    }
    for (uint32_t i = 0; i < builder->settings_count; i++) {
        const struct setting *setting = builder->ordered[i];
        if (is_item_section(setting) && setting->key[0] != '\0') {
            config_apply_member(builder, setting);
        }
    }
    config_uwsgi_pass_on(builder);
    tell_ignored(builder);
}

/* Files first, whatever was read first: the command line wins. */
static void order_settings(struct config_builder *builder)
{
    const struct settings *settings = builder->settings;
    builder->ordered =
        arena_take(builder->arena, (settings->count + 1) * sizeof(*builder->ordered));
    for (unsigned command_line = 0; command_line < 2 && builder->ordered != NULL; command_line++) {
        for (uint32_t i = 0; i < settings->count; i++) {
            if ((settings->list[i].file[0] == '\0') == (command_line == 1)) {
                builder->ordered[builder->settings_count++] = &settings->list[i];
            }
        }
    }
}

static void set_defaults(struct config_builder *builder)
{
    char why[OPTION_WHY_BYTES];
    for (const struct config_key *key = config_keys; key->option.kind != YARDER_OPTION_END; key++) {
        if (key->option.default_text != NULL) {
            int r = option_set(
                &key->option, builder->config, key->option.default_text, builder->arena, why);
            YARDER_ASSERT(r == 0); /* a default in our own table */
        }
    }
    config_alarm_defaults(builder->config);
}

/* What was not said and depends on the place. */
static void set_place(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    const struct settings_place *place = &builder->settings->place;
    config->run_dir =
        config_absolute(builder, config->run_dir != NULL ? config->run_dir : place->run_dir);
    config->state_dir =
        config_absolute(builder, config->state_dir != NULL ? config->state_dir : place->state_dir);
    if (config->host == NULL) {
        config->host = arena_text(builder->arena, place->host, strlen(place->host));
    }
    if (config->ring_bytes_total == 0) {
        uint64_t eighth = place->memory_bytes / 8 & ~UINT64_C(0xfffff); /* whole mebibytes */
        config->ring_bytes_total = yarder_max(eighth, config->ring_bytes);
    }
}

static void complete(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    bool no_inputs = config->inputs_count == builder->udp_count;
    config->standard_run =
        config->inputs_count == 0 && config->outputs_count == 0 && !builder->uwsgi_lines;
    set_place(builder);
    if (no_inputs) {
        config_default_inputs(builder);
    }
    config_uwsgi_fallback(builder);
    if (config->outputs_count == 0) {
        config_default_outputs(builder);
    }
    config_settle_inputs(builder);
    config_settle_outputs(builder);
    config_name_items(builder);
    config_place_outputs(builder);
    config_settle_encoders(builder);
    config_settle_alarms(builder);
}

static void owner_drop(struct config_owner **owner)
{
    if (*owner != NULL) {
        config_close(&(*owner)->config);
    }
}

int config_load_within(struct daemon_config **out, struct settings *settings,
    struct config_report *report, size_t budget_bytes)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    __attribute__((cleanup(owner_drop))) struct config_owner *owner = calloc(1, sizeof(*owner));
    YARDER_OWN_HEAP struct config_builder *builder = calloc(1, sizeof(*builder));
    if (owner == NULL || builder == NULL) {
        return -ENOMEM;
    }
    __attribute__((cleanup(pattern_set_close))) struct pattern_set patterns;
    if (pattern_set_open(&patterns) < 0) {
        return -ENOMEM;
    }
    builder->patterns = &patterns;
    arena_init(&owner->arena, budget_bytes);
    builder->config = &owner->config;
    builder->arena = &owner->arena;
    builder->settings = settings;
    builder->report = report;
    order_settings(builder);
    set_defaults(builder);
    take_all(builder);
    complete(builder);
    if (!owner->arena.failed) {
        config_check(builder);
    }
    report_sort(report);
    if (owner->arena.failed) {
        return -ENOMEM;
    }
    if (report->counts[REPORT_ERROR] > errors_before) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < builder->items_count; i++) {
        YARDER_ASSERT(!builder->items[i].broken); /* whoever marked it reported why */
    }
    *out = &owner->config;
    owner = NULL;
    return 0;
}

int config_load(struct daemon_config **out, struct settings *settings, struct config_report *report)
{
    return config_load_within(out, settings, report, SETTINGS_BUDGET_BYTES);
}
