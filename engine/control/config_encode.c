/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoder chains. An output has the steps of its `encode=` options. Before those, one of uWSGI's
 * loggers (standard output as the last resort among them) has the steps of uWSGI's lines:
 *
 *   log-encoder = NAME[ ARGUMENT]            of every logger
 *   log-encoder = NAME:LOGGER[ ARGUMENT]     of the named logger alone
 *   log-req-encoder                          the same, for requests, if they have their own way
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <string.h>

#include "codec/chain.h"
#include "control/config_keys.h"
#include "control/config_private.h"

enum { WHY_BYTES = 512 };

/* One of uWSGI's lines; texts belong to the arena. */
struct encoder_line {
    const struct setting *setting;
    bool request;
    const char *logger; /* "" for all */
    char *step;         /* NAME[ ARGUMENT]; NULL: wrong, and reported */
};

/* A way of lines: which of them, and where they were given. */
struct encoder_lines {
    struct encoder_line *at;
    uint32_t count;
    bool requests_apart; /* a req-logger or log-req-route parts requests from logs */
};

static void split_line(struct config_builder *builder, struct encoder_line *line)
{
    const char *value = line->setting->value != NULL ? line->setting->value : "";
    size_t name_bytes = strcspn(value, " ");
    const char *colon = memchr(value, ':', name_bytes);
    size_t encoder_bytes = colon == NULL ? name_bytes : (size_t)(colon - value);
    line->logger =
        colon == NULL ? "" : arena_text(builder->arena, colon + 1, name_bytes - encoder_bytes - 1);
    line->step =
        arena_format(builder->arena, "%.*s%s", (int)encoder_bytes, value, value + name_bytes);
}

static bool is_request_line(const struct config_key *key)
{
    return key->line == CONFIG_REQ_LOGGER || key->line == CONFIG_LOG_REQ_ROUTE;
}

/* The encoder lines in the order of reading. */
static void find_lines(struct config_builder *builder, struct encoder_lines *lines)
{
    lines->at =
        arena_take(builder->arena, (builder->settings_count + 1) * sizeof(struct encoder_line));
    for (uint32_t i = 0; i < builder->settings_count && lines->at != NULL; i++) {
        const struct setting *setting = builder->ordered[i];
        bool top = setting->section == SETTINGS_TOP || setting->section == SETTINGS_UWSGI;
        const struct config_key *key = top ? config_key_find(setting->key) : NULL;
        if (key == NULL) {
            continue;
        }
        lines->requests_apart |= is_request_line(key);
        if (key->line == CONFIG_LOG_ENCODER || key->line == CONFIG_LOG_REQ_ENCODER) {
            struct encoder_line *line = &lines->at[lines->count++];
            *line = (struct encoder_line){
                .setting = setting, .request = key->line == CONFIG_LOG_REQ_ENCODER};
            split_line(builder, line);
        }
    }
}

/* A JSON encoder with a plain message in it should make JSON: quotes are easily forgotten. */
static void look_at_json(
    struct config_builder *builder, const char *where, const char *key, struct chain *chain)
{
    char made[4096];
    memcpy(chain_input(chain), "a\n", 2);
    ssize_t bytes = chain_run(chain, 0, 2, made, sizeof(made));
    if (bytes < 0) {
        return; /* longer than we care to read */
    }
    cJSON *json = cJSON_ParseWithLength(made, (size_t)bytes);
    if (json == NULL) {
        report_warning(builder->report, where,
            "%s: json: what it makes is no JSON; ${msg} needs quotes around it", key);
    }
    cJSON_Delete(json);
}

/* Whether one step by itself is good; what is wrong with it is reported. */
static bool check_step(struct config_builder *builder, const char *where, const char *key,
    char *step, enum chain_dialect dialect)
{
    char why[WHY_BYTES] = "";
    struct chain *chain = NULL;
    const struct yarder_texts texts = {.at = &step, .count = 1};
    int r = chain_open(&chain, &texts, dialect, why, sizeof(why));
    if (r == -ENOMEM) {
        builder->arena->failed = true;
    } else if (r < 0) {
        report_error(builder->report, where, "%s: %s", key, why);
    } else if (why[0] != '\0') {
        report_warning(builder->report, where, "%s: %s", key, why);
    }
    if (r == 0 && strncmp(step, "json ", 5) == 0) {
        look_at_json(builder, where, key, chain);
    }
    chain_close(chain);
    return r == 0;
}

static bool has_logger(const struct config_builder *builder, const char *name)
{
    for (uint32_t i = 0; i < builder->config->outputs_count; i++) {
        const struct output_config *output = &builder->config->outputs[i];
        if (output->named && output->logger_name != NULL &&
            strcmp(output->logger_name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Also one whose line is wrong: that is said already. */
static bool has_any_logger(const struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->config->outputs_count; i++) {
        if (builder->config->outputs[i].reach != ROUTE_NATIVE) {
            return true;
        }
    }
    return false;
}

static void check_lines(struct config_builder *builder, struct encoder_lines *lines)
{
    for (uint32_t i = 0; i < lines->count && !builder->arena->failed; i++) {
        struct encoder_line *line = &lines->at[i];
        const struct setting *setting = line->setting;
        if (!check_step(builder, setting->where, setting->key, line->step, CHAIN_UWSGI)) {
            line->step = NULL;
        } else if (line->request && !lines->requests_apart) {
            report_warning(builder->report, setting->where,
                "%s does nothing: without a req-logger or log-req-route requests go the way of "
                "logs, and log-encoder is theirs",
                setting->key);
        } else if (line->logger[0] != '\0' && !has_logger(builder, line->logger)) {
            report_warning(builder->report, setting->where,
                "no logger is named '%.64s', so the line does nothing", line->logger);
        } else if (!has_any_logger(builder)) {
            report_warning(builder->report, setting->where,
                "%s does nothing: it is for uWSGI's loggers, and there is none; expected "
                "encode=%.64s in the line of an output",
                setting->key, line->step);
        }
    }
}

/* The steps of uWSGI's lines for a logger, and then its own. */
static struct yarder_texts steps_of(struct config_builder *builder,
    const struct encoder_lines *lines, const struct output_config *output, bool request)
{
    struct yarder_texts steps = {.count = 0};
    const char *name = output->logger_name != NULL ? output->logger_name : "";
    for (uint32_t i = 0; i < lines->count; i++) {
        const struct encoder_line *line = &lines->at[i];
        if (line->step != NULL && line->request == request &&
            (line->logger[0] == '\0' || strcmp(line->logger, name) == 0)) {
            arena_append(builder->arena, &steps, line->step);
        }
    }
    for (uint32_t i = 0; i < output->encode.count; i++) {
        arena_append(builder->arena, &steps, output->encode.at[i]);
    }
    return steps;
}

/* Whether a chain of steps that are good can be made, too; else that is reported. */
static void check_chain(struct config_builder *builder, const struct config_item *item,
    const struct yarder_texts *steps)
{
    struct output_config *output = item->target;
    char why[WHY_BYTES] = "";
    struct chain *chain = NULL;
    if (steps->count == 0) {
        return;
    }
    int r = chain_open(
        &chain, steps, output->encode_uwsgi ? CHAIN_UWSGI : CHAIN_NATIVE, why, sizeof(why));
    if (r == -EINVAL) {
        report_error(builder->report, item->where, "encode: %s", why);
    } else if (r < 0) {
        builder->arena->failed = true;
    } else {
        output->unlined |= !chain_keeps_lines(chain);
    }
    chain_close(chain);
}

/* A backend that makes its own of a record has no text to encode. */
static bool takes_text(const struct output_config *output)
{
    return output->kind != OUTPUT_OFFLOAD || (output->backend->flags & YARDER_BACKEND_TEXT) != 0;
}

/* Whether the output's own steps are good. */
static bool check_own(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    const char *where = output->encode.count > 0 ? config_item_where(item, "encode") : item->where;
    bool good = true;
    for (uint32_t i = 0; i < output->encode.count; i++) {
        good &= check_step(builder, where, "encode", output->encode.at[i], CHAIN_NATIVE);
    }
    if (output->encode.count > 0 && !takes_text(output)) {
        report_error(builder->report, where,
            "encode: %s has no text to encode, it makes its own of a record",
            output_kind_name(output));
        good = false;
    }
    return good;
}

static void settle_logger(struct config_builder *builder, const struct encoder_lines *lines,
    const struct config_item *item)
{
    struct output_config *output = item->target;
    struct yarder_texts requests = steps_of(builder, lines, output, lines->requests_apart);
    struct yarder_texts logs = steps_of(builder, lines, output, false);
    if (!takes_text(output) && logs.count + requests.count > 0) {
        report_warning(builder->report, item->where,
            "no encoder works on this logger: %s makes its own of a record",
            output_kind_name(output));
        return;
    }
    output->encode_uwsgi = logs.count + requests.count > 2 * output->encode.count;
    output->encode_requests = requests;
    output->encode = logs;
}

static void settle_item(struct config_builder *builder, const struct encoder_lines *lines,
    const struct config_item *item)
{
    struct output_config *output = item->target;
    bool good = check_own(builder, item);
    output->encode_requests = output->encode;
    if (output->reach != ROUTE_NATIVE && good) {
        settle_logger(builder, lines, item);
    }
    if (good && !builder->arena->failed) {
        check_chain(builder, item, &output->encode);
        check_chain(builder, item, &output->encode_requests);
    }
}

void config_settle_encoders(struct config_builder *builder)
{
    struct encoder_lines lines = {.count = 0};
    find_lines(builder, &lines);
    check_lines(builder, &lines);
    for (uint32_t i = 0; i < builder->items_count && !builder->arena->failed; i++) {
        const struct config_item *item = &builder->items[i];
        if (item->table == &config_output_table && !item->broken) {
            settle_item(builder, &lines, item);
        }
    }
}
