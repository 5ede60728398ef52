/* SPDX-License-Identifier: Apache-2.0 */
#include "control/translate.h"

#include <errno.h>
#include <string.h>

#include "codec/chain.h"
#include "control/config_keys.h"
#include "control/config_private.h"
#include "control/translate_private.h"

bool config_parts_requests(const struct daemon_config *config)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].reach == ROUTE_UWSGI_REQUEST) {
            return true;
        }
    }
    for (uint32_t i = 0; i < config->routes_count; i++) {
        if (config->routes[i].list == ROUTE_REQUESTS) {
            return true;
        }
    }
    return false;
}

static const struct config_key *key_of(const struct setting *setting)
{
    bool top = setting->section == SETTINGS_TOP || setting->section == SETTINGS_UWSGI;
    const struct config_key *key =
        top && setting->key[0] != '\0' ? config_key_find(setting->key) : NULL;
    return key != NULL && config_key_is_uwsgi(key) ? key : NULL;
}

/* Of a key that means one thing the last one holds, the command line's before all. */
static bool is_overruled(
    const struct settings *settings, uint32_t index, const struct config_key *key)
{
    const struct setting *setting = &settings->list[index];
    bool single = (key->line >= CONFIG_LOGTO && key->line <= CONFIG_LOG_TRUNCATE) ||
                  key->line == CONFIG_RSYSLOG_BYTES || key->line == CONFIG_RSYSLOG_SPLIT;
    for (uint32_t i = 0; single && i < settings->count; i++) {
        const struct setting *other = &settings->list[i];
        bool lines = other->file[0] != '\0';
        bool later = (i > index && lines == (setting->file[0] != '\0')) ||
                     (!lines && setting->file[0] != '\0');
        if (later && key_of(other) == key) {
            return true;
        }
    }
    return false;
}

/* Lines that stay with uWSGI, or say what is so anyhow. */
static void put_left(struct translation *translation)
{
    char text[1024];
    for (uint32_t i = 0; i < translation->settings->count; i++) {
        const struct setting *setting = &translation->settings->list[i];
        const struct config_key *key = key_of(setting);
        const char *value = setting->value != NULL ? setting->value : "";
        bool unknown =
            key != NULL && key->line == CONFIG_LOG_FORMAT && translation->config->requests == NULL;
        if (key == NULL || (!unknown && key->line != CONFIG_LEFT && key->line != CONFIG_ACCEPTED)) {
            continue;
        }
        (void)snprintf(text, sizeof(text), "%s%s%.600s: %s", setting->key,
            value[0] != '\0' ? " = " : "", value,
            unknown ? "no line; requests are not known by it"
            : key->line == CONFIG_LEFT
                ? "stays in uWSGI's own file, which does it before its lines "
                  "come here"
                : "no line; it is always so");
        translate_comment(translation, setting->where, text);
    }
}

/* Lines of alarms, inputs and encoders' likes that are the same keys in both. */
static void put_shared(struct translation *translation)
{
    for (uint32_t i = 0; i < translation->settings->count; i++) {
        const struct setting *setting = &translation->settings->list[i];
        const struct config_key *key = key_of(setting);
        if (key == NULL || is_overruled(translation->settings, i, key)) {
            continue;
        }
        if (key->line >= CONFIG_ALARM && key->line <= CONFIG_ALARM_TIMEOUT) {
            translate_uwsgi(translation, setting);
        } else if (key->line == CONFIG_RSYSLOG_BYTES || key->line == CONFIG_RSYSLOG_SPLIT) {
            translate_uwsgi(translation, setting);
        }
    }
}

/* udp lines; what is there without a word has to be said beside them. */
static void put_inputs(struct translation *translation, bool with_inputs)
{
    const struct daemon_config *config = translation->config;
    bool said = false;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        said |= strcmp(config->inputs[i].where, "default") != 0;
    }
    for (uint32_t i = 0; i < config->inputs_count && said; i++) {
        const struct input_config *input = &config->inputs[i];
        bool usual = strcmp(input->where, "default") == 0;
        const char *kind = input_kind_names[input->kind];
        if (!usual) {
            translate_comment(translation, input->where,
                "a record is the datagram alone; uWSGI writes [udp:IP:PORT] before it");
        }
        if (!usual || with_inputs) {
            const char *colon = input->target[0] != '\0' ? ":" : "";
            char text[YARDER_PATH_BYTES_MAX + 64];
            (void)snprintf(text, sizeof(text), "%s%s%s", kind, colon, input->target);
            translate_put(translation, input->where, "input", text);
        }
    }
}

/* The logger that a route means, as the router finds it; UINT32_MAX: none. */
static uint32_t find_target(const struct daemon_config *config, const struct route_line *route)
{
    static const enum route_reach ways[2][2] = {
        {ROUTE_UWSGI_LOGGER, ROUTE_UWSGI_LOGGER}, {ROUTE_UWSGI_REQUEST, ROUTE_UWSGI_LOGGER}};
    for (unsigned way = 0; way < 2; way++) {
        for (uint32_t i = 0; i < config->outputs_count; i++) {
            const struct output_config *output = &config->outputs[i];
            if (output->reach == ways[route->list == ROUTE_REQUESTS ? 1 : 0][way] &&
                output->named && output->logger_name != NULL &&
                strcmp(output->logger_name, route->to) == 0) {
                return i;
            }
        }
    }
    return UINT32_MAX;
}

static uint32_t count_routes(
    const struct daemon_config *config, uint32_t output, enum route_list list)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < config->routes_count; i++) {
        count +=
            config->routes[i].list == list && find_target(config, &config->routes[i]) == output;
    }
    return count;
}

static bool has_unnamed(const struct daemon_config *config, enum route_reach reach)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].reach == reach && !config->outputs[i].named) {
            return true;
        }
    }
    return false;
}

/* Whether an output sees logs (bit 0) and requests (bit 1). */
static unsigned kinds_of(const struct translation *translation, uint32_t index)
{
    const struct daemon_config *config = translation->config;
    const struct output_config *output = &config->outputs[index];
    unsigned kinds = 0;
    if (!translation->apart) {
        return 3;
    }
    if (output->named) {
        kinds |= count_routes(config, index, ROUTE_BOTH) > 0 ? 1 : 0;
        kinds |= count_routes(config, index, ROUTE_REQUESTS) > 0 ? 2 : 0;
    } else if (output->reach == ROUTE_UWSGI_FALLBACK) {
        kinds |= has_unnamed(config, ROUTE_UWSGI_LOGGER) ? 0 : 1;
        kinds |= has_unnamed(config, ROUTE_UWSGI_REQUEST) ? 0 : 2;
    } else {
        kinds = output->reach == ROUTE_UWSGI_REQUEST ? 2 : 1;
    }
    return kinds;
}

static bool same_texts(const struct yarder_texts *one, const struct yarder_texts *two)
{
    if (one->count != two->count) {
        return false;
    }
    for (uint32_t i = 0; i < one->count; i++) {
        if (strcmp(one->at[i], two->at[i]) != 0) {
            return false;
        }
    }
    return true;
}

/* Whether yarder's own dialect has these steps as well. */
static bool is_native_chain(const struct yarder_texts *steps)
{
    char why[512] = "";
    struct chain *chain = NULL;
    int r = steps->count > 0 ? chain_open(&chain, steps, CHAIN_NATIVE, why, sizeof(why)) : 0;
    chain_close(chain);
    return r == 0;
}

/* Why uWSGI's own lines must stay; NULL: yarder's do the same. */
static const char *find_obstacle(const struct translation *translation)
{
    const struct daemon_config *config = translation->config;
    if (translation->apart && config->alarms.rules_count > 0) {
        return "alarms look at logs alone where requests have a way of their own";
    }
    if (translation->apart && config->keep.count > 0 && config->routes_count > 0) {
        return "log-filter beside routes looks at logs alone where requests have a way of their "
               "own";
    }
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_config *output = &config->outputs[i];
        unsigned kinds = kinds_of(translation, i);
        if (kinds == 3 && translation->apart && config->drop.count + config->keep.count > 0) {
            return "log-drain and log-filter look at logs alone, and one place takes both";
        }
        if (output->truncate) {
            return "log-truncate has no other form";
        }
        if (kinds == 3 && output->named && translation->apart) {
            return "a logger is reached by log-route and by log-req-route";
        }
        if (kinds == 3 && !same_texts(&output->encode, &output->encode_requests)) {
            return "logs and requests are encoded otherwise on their way to the same place";
        }
        if (!is_native_chain(kinds == 2 ? &output->encode_requests : &output->encode)) {
            return "an encoder has a variable that yarder's own encode= refuses";
        }
    }
    return NULL;
}

/* uWSGI's lines, which are keys of a yarder.conf, too. */
static void put_as_they_are(struct translation *translation, const char *obstacle)
{
    translate_comment(translation, "",
        "These lines stay as they are: yarder reads them as uWSGI does, and has no other form.");
    translate_comment(translation, "", obstacle);
    for (uint32_t i = 0; i < translation->settings->count; i++) {
        const struct setting *setting = &translation->settings->list[i];
        const struct config_key *key = key_of(setting);
        if (key != NULL && key->line < CONFIG_ACCEPTED && key->line != CONFIG_UDP &&
            key->line != CONFIG_RSYSLOG_BYTES && key->line != CONFIG_RSYSLOG_SPLIT &&
            !(key->line >= CONFIG_ALARM && key->line <= CONFIG_ALARM_TIMEOUT) &&
            !is_overruled(translation->settings, i, key)) {
            translate_uwsgi(translation, setting);
        }
    }
}

static void put_filters(struct translation *translation)
{
    const struct daemon_config *config = translation->config;
    if (translation->apart) {
        return; /* options of the outputs, for requests are not asked */
    }
    for (uint32_t i = 0; i < config->drop.count; i++) {
        translate_put(translation, "log-drain", "drop", config->drop.at[i]);
    }
    for (uint32_t i = 0; i < config->keep.count; i++) {
        translate_put(translation, "log-filter", "keep", config->keep.at[i]);
    }
}

static void put_routes(struct translation *translation)
{
    const struct daemon_config *config = translation->config;
    for (uint32_t i = 0; i < config->routes_count; i++) {
        const struct route_line *route = &config->routes[i];
        uint32_t target = find_target(config, route);
        if (target == UINT32_MAX) {
            translate_comment(translation, route->where,
                "no line: no logger has that name, so uWSGI ignores the route as well");
        } else if (!translation->apart) {
            (void)fprintf(translation->to, "route = %s ", config->outputs[target].name);
            translate_value(translation, route->where, route->pattern);
        }
    }
}

/* The options that are not as they would be without a word. */
/* What files put aside are called matters where some are. */
static bool rotates(const struct output_config *output)
{
    return output->rotate.size_bytes > 0 || output->rotate.touch.count > 0;
}

static void put_options(struct translation *translation, const struct output_config *output)
{
    static const char *const own[] = {"on-full", "encode", "match", "not-match", "kind", "rest"};
    const struct config_rows rows = config_output_rows(output);
    struct config_row row = {0};
    while (config_row_next(&rows, &row)) {
        char at[OPTION_WHY_BYTES];
        char why[OPTION_WHY_BYTES];
        char usual_at[OPTION_WHY_BYTES];
        struct output_config usual = {0};
        struct arena arena;
        bool skipped = row.own || !config_row_applies(&row, output->kind, output->backend);
        for (size_t i = 0; i < YARDER_COUNT_OF(own); i++) {
            skipped |= strcmp(own[i], row.option->name) == 0;
        }
        if (skipped) {
            continue;
        }
        arena_init(&arena, 1 << 16);
        int r = row.option->default_text != NULL
                    ? option_set(row.option, &usual, row.option->default_text, &arena, why)
                    : 0;
        const char *value = option_show(row.option, output, at);
        const char *without = r == 0 ? option_show(row.option, &usual, usual_at) : "";
        bool idle = strcmp(row.option->name, "rotate-names") == 0 && !rotates(output);
        if (strcmp(value, without) != 0 && strcmp(row.option->name, "format") != 0 && !idle) {
            translate_put(translation, output->where, row.option->name, value);
        }
        arena_deinit(&arena);
    }
}

static void put_selectors(struct translation *translation, uint32_t index, unsigned kinds)
{
    const struct daemon_config *config = translation->config;
    const struct output_config *output = &config->outputs[index];
    if (!output->named) {
        translate_put(translation, output->where, "rest", "yes");
    }
    if (!translation->apart) {
        return;
    }
    if (kinds != 3) {
        translate_put(translation, output->where, "kind", kinds == 2 ? "request" : "log");
    }
    for (uint32_t i = 0; output->named && i < config->routes_count; i++) {
        if (find_target(config, &config->routes[i]) == index) {
            translate_put(translation, config->routes[i].where, "match", config->routes[i].pattern);
        }
    }
    for (uint32_t i = 0; kinds == 1 && i < config->drop.count; i++) {
        translate_put(translation, "log-drain", "not-match", config->drop.at[i]);
    }
    for (uint32_t i = 0; kinds == 1 && i < config->keep.count; i++) {
        translate_put(translation, "log-filter", "match", config->keep.at[i]);
    }
}

static void put_target(struct translation *translation, const struct output_config *output)
{
    if (output->kind == OUTPUT_OFFLOAD) {
        translate_put(translation, output->where, "type", "uwsgi");
        translate_put(translation, output->where, "to", output->uwsgi);
        return;
    }
    translate_put(translation, output->where, "type", output_kind_names[output->kind]);
    if (output->target[0] != '\0') {
        translate_put(translation, output->where, "to", output->target);
    }
}

static void put_output(struct translation *translation, uint32_t index)
{
    const struct daemon_config *config = translation->config;
    const struct output_config *output = &config->outputs[index];
    unsigned kinds = kinds_of(translation, index);
    bool alarmed = (config->alarms.outputs >> index & 1) != 0;
    if (output->named &&
        (kinds == 0 || (!translation->apart && count_routes(config, index, ROUTE_BOTH) == 0))) {
        if (!alarmed) {
            translate_comment(translation, output->where,
                "no line: no route names this logger, so it gets nothing in uWSGI either");
            return;
        }
    }
    (void)fputc('\n', translation->to);
    translate_comment(translation, output->where,
        output->reach == ROUTE_UWSGI_FALLBACK ? "what no logger took" : "");
    if (count_routes(config, index, ROUTE_BOTH) > 1 ||
        count_routes(config, index, ROUTE_REQUESTS) > 1) {
        translate_comment(translation, "",
            "difference: uWSGI writes a line here as often as routes match it, this once");
    }
    (void)fprintf(translation->to, output->named ? "[output %s]\n" : "[output]\n", output->name);
    put_target(translation, output);
    put_selectors(translation, index, kinds);
    const struct yarder_texts *steps = kinds == 2 ? &output->encode_requests : &output->encode;
    for (uint32_t i = 0; i < steps->count; i++) {
        translate_put(translation, output->where, "encode", steps->at[i]);
    }
    put_options(translation, output);
}

/* What of yarder's own stands in the sources already. */
static const struct setting *find_own(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->list[i];
        const struct config_key *key =
            setting->section == SETTINGS_TOP ? config_key_find(setting->key) : NULL;
        bool item = setting->section == SETTINGS_INPUT || setting->section == SETTINGS_OUTPUT ||
                    setting->section == SETTINGS_LOGGER;
        if (item || (key != NULL && !config_key_is_uwsgi(key))) {
            return setting;
        }
    }
    return NULL;
}

static bool has_lines(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct config_key *key = key_of(&settings->list[i]);
        if (key != NULL && key->line < CONFIG_ACCEPTED) {
            return true;
        }
    }
    return false;
}

int config_translate(const struct settings *settings, const struct daemon_config *config,
    bool with_inputs, FILE *to, char why[TRANSLATE_WHY_BYTES])
{
    struct translation translation = {.settings = settings,
        .config = config,
        .to = to,
        .apart = config_parts_requests(config),
        .why = why};
    const struct setting *own = find_own(settings);
    if (own != NULL) {
        (void)snprintf(why, TRANSLATE_WHY_BYTES,
            "%s: that is yarder's own already; translate reads what is uWSGI's alone", own->where);
        return -EINVAL;
    }
    put_left(&translation);
    if (config->requests != NULL) {
        translate_put(&translation, "", "requests", config->requests);
    }
    put_inputs(&translation, with_inputs);
    if (!has_lines(settings)) {
        translate_comment(&translation, "", "nothing here says where logs go");
        return ferror(to) != 0 ? -EIO : 0;
    }
    put_shared(&translation);
    const char *obstacle = find_obstacle(&translation);
    if (obstacle != NULL) {
        put_as_they_are(&translation, obstacle);
    } else {
        put_filters(&translation);
        put_routes(&translation);
        for (uint32_t i = 0; i < config->outputs_count; i++) {
            put_output(&translation, i);
        }
    }
    if (ferror(to) != 0) {
        return -EIO;
    }
    return translation.full ? -EINVAL : 0;
}
