/* SPDX-License-Identifier: Apache-2.0 */
/* Checks across the whole configuration. What an item itself got wrong was said before. */
#include <errno.h>
#include <string.h>
#include <sys/un.h>

#include "codec/encode.h"
#include "control/config_private.h"

enum { WHY_BYTES = 512 };

void config_check_pattern(struct config_builder *builder, const char *where, const char *key,
    const char *pattern, bool anchored)
{
    char why[WHY_BYTES];
    uint32_t index = 0;
    int r = pattern_add(builder->patterns, pattern, anchored, key, &index, why, sizeof(why));
    if (r == -EINVAL) {
        report_error(builder->report, where, "%s", why);
    } else if (r < 0) {
        builder->arena->failed = true;
    }
}

static void check_templates(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    const char *host = builder->config->host;
    char why[WHY_BYTES];
    struct encoder *encoder = NULL;
    struct path_template *path = NULL;
    int r = encoder_open(
        &encoder, output->format, (enum encode_newlines)output->newlines, host, why, sizeof(why));
    if (r == -EINVAL) {
        report_error(builder->report, config_item_where(item, "format"), "format: %s", why);
    } else if (r < 0) {
        builder->arena->failed = true;
    } else {
        encoder_close(encoder);
    }
    if (output->kind != OUTPUT_FILE) {
        return;
    }
    r = path_template_open(&path, output->target, host, why, sizeof(why));
    if (r == -EINVAL) {
        report_error(builder->report, item->where, "path %.128s: %s", output->target, why);
    } else if (r < 0) {
        builder->arena->failed = true;
    } else {
        path_template_close(path);
    }
}

static void check_input_names(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    const struct yarder_texts *names = &output->selectors.input;
    const struct daemon_config *config = builder->config;
    const char *known[YARDER_INPUTS_MAX];
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        known[i] = config->inputs[i].name;
    }
    for (uint32_t i = 0; i < names->count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < config->inputs_count; k++) {
            found = found || strcmp(names->at[i], known[k]) == 0;
        }
        const char *near = text_near(names->at[i], known, config->inputs_count);
        if (!found) {
            report_error(builder->report, config_item_where(item, "input"),
                "input: no input is named "
                "'%.64s'%s%s%s",
                names->at[i], near != NULL ? "; did you mean " : "", near != NULL ? near : "",
                near != NULL ? "?" : "");
        }
    }
}

/* The path without doubled slashes and "/." parts, which name the same file. */
static char *plain_path(struct config_builder *builder, const char *path)
{
    char *plain = arena_text(builder->arena, path, strlen(path));
    size_t length = 0;
    for (size_t i = 0; plain[i] != '\0'; i++) {
        bool dot = plain[i] == '/' && plain[i + 1] == '.' && plain[i + 2] == '/';
        bool doubled = plain[i] == '/' && plain[i + 1] == '/';
        i += dot ? 1 : 0;
        if (!dot && !doubled) {
            plain[length++] = plain[i];
        }
    }
    plain[yarder_min(length, strlen(plain))] = '\0';
    return plain;
}

/* What must not be there twice: NULL when anything may. */
static const char *unique_target(struct config_builder *builder, const struct config_item *item)
{
    if (item->table == &config_output_table) {
        const struct output_config *output = item->target;
        return output->kind == OUTPUT_FILE ? plain_path(builder, output->target) : NULL;
    }
    const struct input_config *input = item->target;
    if (input->kind == INPUT_EXEC || input->kind == INPUT_SOURCE) {
        return NULL;
    }
    return input->kind == INPUT_UNIX ? plain_path(builder, input->target) : input->target;
}

static void check_unique(struct config_builder *builder)
{
    const char *targets[CONFIG_ITEMS_MAX] = {NULL};
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        targets[i] = item->broken ? NULL : unique_target(builder, item);
        for (uint32_t k = 0; k < i && targets[i] != NULL; k++) {
            const struct config_item *other = &builder->items[k];
            if (targets[k] != NULL && other->table == item->table && other->kind == item->kind &&
                strcmp(targets[k], targets[i]) == 0) {
                report_error(builder->report, item->where, "the same %s%s%.128s is at %s already",
                    config_item_kind(item), targets[i][0] != '\0' ? ":" : "", targets[i],
                    other->where);
                break;
            }
        }
    }
}

/* Two that read the standard input would each get a part of it. */
static void check_stdin(struct config_builder *builder)
{
    const struct config_item *reader = NULL;
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        const struct input_config *input = item->target;
        if (item->table != &config_input_table || item->broken ||
            (input->kind != INPUT_STDIN && input->program_stdin != INPUT_STDIN_INHERIT)) {
            continue;
        }
        if (reader != NULL && (item->kind != INPUT_STDIN || reader->kind != INPUT_STDIN)) {
            report_error(builder->report, item->where, "standard input is read by %s at %s already",
                reader->name, reader->where);
        }
        reader = item;
    }
}

static const char *route_name(const struct config_item *item)
{
    const struct output_config *output = item->target;
    return output->logger_name != NULL ? output->logger_name : item->name;
}

/* A native route names outputs and loggers; uWSGI's name loggers, those of requests both lists. */
static bool route_reaches(const struct route_line *line, const struct config_item *item)
{
    if (item->table != &config_output_table || strcmp(line->to, route_name(item)) != 0) {
        return false;
    }
    const struct output_config *output = item->target;
    return line->native ||
           (item->section == SETTINGS_LOGGER && (item->broken || line->list == ROUTE_REQUESTS ||
                                                    output->reach == ROUTE_UWSGI_LOGGER));
}

static void check_route(struct config_builder *builder, const struct route_line *line)
{
    const char *names[CONFIG_ITEMS_MAX];
    size_t names_count = 0;
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        if (route_reaches(line, item)) {
            return;
        }
        bool candidate = item->table == &config_output_table &&
                         (line->native || item->section == SETTINGS_LOGGER);
        names[names_count] = candidate ? route_name(item) : "";
        names_count += candidate ? 1 : 0;
    }
    const char *near = text_near(line->to, names, names_count);
    const char *question = near != NULL ? "; did you mean " : "";
    if (line->native) {
        report_error(builder->report, line->where, "route: no output is named '%.64s'%s%s%s",
            line->to, question, near != NULL ? near : "", near != NULL ? "?" : "");
    } else {
        report_warning(builder->report, line->where,
            "no logger is named '%.64s', so the line does "
            "nothing%s%s%s",
            line->to, question, near != NULL ? near : "", near != NULL ? "?" : "");
    }
}

static bool is_routed(const struct config_builder *builder, const struct config_item *item)
{
    for (uint32_t i = 0; i < builder->config->routes_count; i++) {
        if (route_reaches(&builder->config->routes[i], item)) {
            return true;
        }
    }
    return false;
}

static bool is_alarmed(const struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    return (builder->config->alarms.outputs >> (output - builder->config->outputs) & 1) != 0;
}

/* What is raw states no facility, nor does a ring. An input that is wrong may have said so. */
static bool any_has_facility(const struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        const struct input_config *input = item->target;
        if (item->table == &config_input_table &&
            (item->broken || input->parse != INPUT_PARSE_RAW)) {
            return true;
        }
    }
    return false;
}

static void check_facility(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    if (output->selectors.facilities != 0 && !any_has_facility(builder)) {
        bool syslog = strcmp(output_kind_name(output), "syslog") == 0;
        report_warning(builder->report, config_item_where(item, "facility"),
            "facility= chooses records, and no input with parse=syslog brings any that have one: "
            "this output gets nothing%s",
            syslog ? "; what is sent is default-facility=" : "");
    }
}

/* uWSGI leads routes to the first logger of a name. */
static const struct config_item *shadowed_by(
    const struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    for (const struct config_item *other = builder->items; other < item; other++) {
        const struct output_config *earlier = other->target;
        if (other->section == SETTINGS_LOGGER && earlier->reach == output->reach &&
            strcmp(route_name(other), route_name(item)) == 0) {
            return other;
        }
    }
    return NULL;
}

static void check_logger(struct config_builder *builder, const struct config_item *item)
{
    const struct config_item *first = shadowed_by(builder, item);
    if (first != NULL) {
        report_warning(builder->report, item->where,
            "logger '%.64s' gets nothing: routes lead to "
            "the first of that name, at %s",
            route_name(item), first->where);
    } else if (!is_routed(builder, item) && !is_alarmed(builder, item)) {
        report_warning(builder->report, item->where,
            "logger '%.64s' gets nothing: it has a name, "
            "and no log-route names it",
            route_name(item));
    }
}

/* Loggers that can never get anything. */
static void check_reach(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        const struct output_config *output = item->target;
        if (!item->broken && item->section == SETTINGS_LOGGER && output->named) {
            check_logger(builder, item);
        }
    }
}

static void check_limits(struct config_builder *builder)
{
    const struct daemon_config *config = builder->config;
    struct sockaddr_un address;
    if (config->ring_bytes > config->ring_bytes_total) {
        report_error(builder->report, NULL, "ring-memory is more than ring-memory-total");
    }
    if (strlen(config->run_dir) + sizeof("/control.sock") > sizeof(address.sun_path)) {
        report_error(builder->report, NULL,
            "run-dir: %.128s is too long for the sockets in it: at "
            "most %zu bytes",
            config->run_dir, sizeof(address.sun_path) - sizeof("/control.sock"));
    }
}

void config_check(struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        if (item->table == &config_output_table && !item->broken) {
            check_templates(builder, item);
            check_input_names(builder, item);
            check_facility(builder, item);
        }
    }
    for (uint32_t i = 0; i < builder->config->routes_count; i++) {
        check_route(builder, &builder->config->routes[i]);
    }
    check_unique(builder);
    config_rotate_check(builder);
    check_stdin(builder);
    check_reach(builder);
    check_limits(builder);
}
