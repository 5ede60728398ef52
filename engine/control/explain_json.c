/* SPDX-License-Identifier: Apache-2.0 */
/* Names are those of the configuration: an option's value stands under the option's name. */
#include <string.h>

#include "control/config_keys.h"
#include "control/config_private.h"
#include "control/explain.h"

/* Whether all that was asked for could be had; one answer for the whole document. */
struct json {
    bool failed;
};

static void put(struct json *json, cJSON *object, const char *name, cJSON *item)
{
    bool put = object != NULL && item != NULL &&
               (cJSON_IsArray(object) ? cJSON_AddItemToArray(object, item)
                                      : cJSON_AddItemToObject(object, name, item));
    if (!put) {
        cJSON_Delete(item);
        json->failed = true;
    }
}

static void put_text(struct json *json, cJSON *object, const char *name, const char *text)
{
    put(json, object, name, cJSON_CreateString(text));
}

/* A new object or array inside another. */
static cJSON *put_new(struct json *json, cJSON *object, const char *name, cJSON *item)
{
    bool failed_before = json->failed;
    json->failed = false;
    put(json, object, name, item);
    cJSON *result = json->failed ? NULL : item;
    json->failed |= failed_before;
    return result;
}

static void put_texts(
    struct json *json, cJSON *object, const char *name, const struct yarder_texts *texts)
{
    cJSON *array = put_new(json, object, name, cJSON_CreateArray());
    for (uint32_t i = 0; i < texts->count; i++) {
        put_text(json, array, NULL, texts->at[i]);
    }
}

/* Numbers and truth as such, lists as arrays, all else as a user would write it; nothing: null. */
static void put_option(
    struct json *json, cJSON *object, const struct yarder_option *option, const void *target)
{
    char at[OPTION_WHY_BYTES];
    const void *field = (const char *)target + option->offset;
    const char *text = NULL;
    switch ((int)option->kind) {
    case YARDER_OPTION_BOOL:
        put(json, object, option->name, cJSON_CreateBool(*(const bool *)field));
        break;
    case YARDER_OPTION_COUNT:
    case YARDER_OPTION_BYTES:
        put(json, object, option->name, cJSON_CreateNumber((double)*(const uint64_t *)field));
        break;
    case YARDER_OPTION_TEXTS:
        put_texts(json, object, option->name, field);
        break;
    default:
        text = option_show(option, target, at);
        put(json, object, option->name,
            text[0] != '\0' ? cJSON_CreateString(text) : cJSON_CreateNull());
    }
}

static void put_options(struct json *json, cJSON *object, const struct config_rows *rows,
    unsigned kind, const void *target, const void *own, const struct output_config *output)
{
    const struct yarder_backend *backend = output != NULL ? output->backend : NULL;
    struct config_row row = {0};
    cJSON *options = put_new(json, object, "options", cJSON_CreateObject());
    while (config_row_next(rows, &row)) {
        if (config_row_applies(&row, kind, backend)) {
            put_option(json, options, row.option, row.own ? own : target);
        }
    }
}

static void put_inputs(struct json *json, cJSON *root, const struct daemon_config *config)
{
    cJSON *array = put_new(json, root, "inputs", cJSON_CreateArray());
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        const struct input_config *input = &config->inputs[i];
        const struct config_rows rows = config_input_rows(input);
        cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
        put_text(json, object, "name", input->name);
        put_text(json, object, "type", input_kind_name(input));
        put_text(json, object, "to", input->target);
        put_text(json, object, "where", input->where);
        put_options(json, object, &rows, input->kind, input, input->settings, NULL);
    }
}

static void put_outputs(struct json *json, cJSON *root, const struct daemon_config *config)
{
    static const char *const reaches[] = {"output", "logger", "req-logger", "fallback"};
    cJSON *array = put_new(json, root, "outputs", cJSON_CreateArray());
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        const struct config_rows rows = config_output_rows(output);
        cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
        put_text(json, object, "name", output->name);
        put_text(json, object, "type", output_kind_name(output));
        put_text(json, object, "to", output->target);
        put_text(json, object, "where", output->where);
        put_text(json, object, "reach", reaches[output->reach]);
        put_options(json, object, &rows, output->kind, output, output->settings, output);
    }
}

static void put_routes(struct json *json, cJSON *root, const struct daemon_config *config)
{
    cJSON *array = put_new(json, root, "routes", cJSON_CreateArray());
    for (uint32_t i = 0; i < config->routes_count; i++) {
        const struct route_line *route = &config->routes[i];
        const char *uwsgi = route->list == ROUTE_REQUESTS ? "log-req-route" : "log-route";
        cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
        put_text(json, object, "key", route->native ? "route" : uwsgi);
        put_text(json, object, "to", route->to);
        put_text(json, object, "pattern", route->pattern);
        put_text(json, object, "where", route->where);
    }
}

static void put_alarms(struct json *json, cJSON *root, const struct daemon_config *config)
{
    const struct alarms_config *alarms = &config->alarms;
    cJSON *array = put_new(json, root, "alarms", cJSON_CreateArray());
    for (uint32_t i = 0; i < alarms->count; i++) {
        cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
        put_text(json, object, "name", alarms->at[i].name);
        put_text(json, object, "action", alarm_action_names[alarms->at[i].action]);
        put_text(json, object, "argument", alarms->at[i].argument);
        put_text(json, object, "where", alarms->at[i].where);
    }
    array = put_new(json, root, "alarm_lines", cJSON_CreateArray());
    for (uint32_t i = 0; i < alarms->rules_count; i++) {
        const struct alarm_rule *rule = &alarms->rules[i];
        cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
        put_text(json, object, "key", rule->negative ? "not-log-alarm" : "log-alarm");
        put_text(json, object, "names", rule->names);
        put_text(json, object, "pattern", rule->pattern);
        put_text(json, object, "where", rule->where);
    }
}

static void put_report(struct json *json, cJSON *root, const struct config_report *report)
{
    static const char *const names[] = {"errors", "warnings", "notes"};
    for (unsigned severity = 0; severity < REPORT_SEVERITIES; severity++) {
        cJSON *array = put_new(json, root, names[severity], cJSON_CreateArray());
        for (uint32_t i = 0; i < report->entries_count; i++) {
            const struct report_entry *entry = &report->entries[i];
            if (entry->severity == severity) {
                cJSON *object = put_new(json, array, NULL, cJSON_CreateObject());
                put_text(json, object, "where", entry->where);
                put_text(json, object, "what", entry->what);
            }
        }
    }
}

cJSON *config_to_json(const struct daemon_config *config, const struct config_report *report)
{
    struct json json = {false};
    cJSON *root = cJSON_CreateObject();
    put(&json, root, "ok", cJSON_CreateBool(config != NULL));
    if (report != NULL) {
        put_report(&json, root, report);
    }
    for (const struct config_key *key = config_keys;
         config != NULL && key->option.kind != YARDER_OPTION_END; key++) {
        if (key->line == CONFIG_FIELD && !config_key_is_alias(key)) {
            put_option(&json, root, &key->option, config);
        }
    }
    if (config != NULL) {
        put_inputs(&json, root, config);
        put_outputs(&json, root, config);
        put_routes(&json, root, config);
        put_alarms(&json, root, config);
    }
    if (json.failed) {
        cJSON_Delete(root);
        return NULL;
    }
    return root;
}
