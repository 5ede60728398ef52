/* SPDX-License-Identifier: Apache-2.0 */
/* Where uWSGI's two roads end: what logto means to loggers, and who gets what no route took. */
#include <string.h>

#include "control/config_offload.h"
#include "control/config_private.h"

static bool is_yes(struct config_builder *builder, const struct setting *setting)
{
    bool yes = false;
    char why[OPTION_WHY_BYTES];
    const struct yarder_option option = {.kind = YARDER_OPTION_BOOL};
    if (setting != NULL && option_set(&option, &yes, setting->value, builder->arena, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
    }
    return yes;
}

/* Whether what no route took on a path, of logs or of requests, finds a logger without a name. */
static bool has_unnamed(const struct daemon_config *config, enum route_reach reach)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].reach == reach && !config->outputs[i].named) {
            return true;
        }
    }
    return false;
}

static bool has_reach(const struct daemon_config *config, enum route_reach reach)
{
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if (config->outputs[i].reach == reach) {
            return true;
        }
    }
    return false;
}

static bool has_uwsgi_route(const struct daemon_config *config)
{
    for (uint32_t i = 0; i < config->routes_count; i++) {
        if (!config->routes[i].native) {
            return true;
        }
    }
    return false;
}

/* Whether uWSGI's walk over loggers and routes takes part at all. */
static bool walks(const struct daemon_config *config)
{
    return has_reach(config, ROUTE_UWSGI_LOGGER) || has_reach(config, ROUTE_UWSGI_REQUEST) ||
           has_uwsgi_route(config);
}

static const struct setting *logto_of(const struct config_builder *builder)
{
    const struct setting *logto = NULL;
    for (unsigned i = 0; i < CONFIG_LOGTOS; i++) {
        logto = builder->logto[i] != NULL ? builder->logto[i] : logto;
    }
    return logto;
}

/* With a colon it is UDP: uWSGI wants a host before the first and a port behind it. */
static bool is_address(struct config_builder *builder, const struct setting *logto, bool *good)
{
    const char *value = logto->value != NULL ? logto->value : "";
    const char *colon = strchr(value, ':');
    *good = colon == NULL || (colon != value && colon[1] != '\0' && strchr(value, ',') == NULL);
    if (!*good) {
        report_error(builder->report, logto->where,
            "%s: expected PATH, or with a colon HOST:PORT, not '%.128s'", logto->key, value);
    }
    return colon != NULL;
}

/* An output where logto says: a file, or datagrams to a server. */
static void start_logto(
    struct config_builder *builder, struct config_item *item, const struct setting *logto)
{
    if (builder->logto_backend != NULL) {
        config_offload_start(builder, item, builder->logto_backend);
        config_offload_uwsgi(builder, item, "socket", builder->logto_path);
        return;
    }
    config_item_start(builder, item, logto != NULL ? OUTPUT_FILE : OUTPUT_STDIO,
        logto != NULL ? builder->logto_path : "");
    ((struct output_config *)item->target)->truncate = builder->truncate;
    config_rotate_logto(builder, item->target);
}

/* The loggers that write where standard output was: logto has put itself there. */
void config_uwsgi_logto(struct config_builder *builder)
{
    const struct setting *logto = logto_of(builder);
    builder->truncate = is_yes(builder, builder->log_truncate);
    if (logto == NULL) {
        return;
    }
    bool good = false;
    bool address = is_address(builder, logto, &good);
    builder->logto_backend =
        good && address ? config_uwsgi_backend(builder, logto, "socket") : NULL;
    if (!good || (address && builder->logto_backend == NULL)) {
        return;
    }
    builder->logto_path = logto->value != NULL ? logto->value : "";
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        if (item->original) {
            start_logto(builder, item, logto);
        }
    }
}

/* Gives a logger's backend the value of a key, if it has such an option and was not told. */
static bool pass_on(struct config_builder *builder, struct config_item *item, const char *option,
    const struct setting *setting)
{
    const struct config_rows rows = config_item_rows(item);
    struct config_row row = {0};
    if (setting != NULL && config_row_find(&rows, option, &row) && row.own &&
        item->seen_where[row.index] == NULL) {
        config_item_apply(builder, item, setting->where, false, option, setting->value);
        return true;
    }
    return false;
}

void config_uwsgi_pass_on(struct config_builder *builder)
{
    const struct setting *logto = builder->logto_backend == NULL ? logto_of(builder) : NULL;
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        if (item->uwsgi_kind == NULL || item->broken) {
            continue;
        }
        if (strcmp(item->uwsgi_kind, "rsyslog") == 0) {
            (void)pass_on(builder, item, "packet-size", builder->rsyslog[0]);
            (void)pass_on(builder, item, "split", builder->rsyslog[1]);
        }
        builder->logto_used |= pass_on(builder, item, "logto", logto);
    }
}

static bool has_original(const struct config_builder *builder)
{
    for (uint32_t i = 0; i < builder->items_count; i++) {
        if (builder->items[i].original) {
            return true;
        }
    }
    return false;
}

/*
 * A logger and a req-logger without names for one file are one output. Where they are the only ones
 * and nothing looks at a record on its way, it need not be known which of the two a record reached.
 */
static void join_loggers(struct config_builder *builder)
{
    struct config_item *ends[2] = {NULL, NULL};
    uint32_t count = 0;
    for (uint32_t i = 0; i < builder->items_count; i++) {
        struct config_item *item = &builder->items[i];
        const struct output_config *output = item->target;
        if (item->section == SETTINGS_LOGGER) {
            ends[output->reach == ROUTE_UWSGI_REQUEST ? 1 : 0] = item;
            count++;
        }
    }
    bool pair = count == 2 && ends[0] != NULL && ends[1] != NULL;
    if (!pair || ends[0]->broken || ends[1]->broken || builder->uwsgi_filter ||
        has_uwsgi_route(builder->config)) {
        return;
    }
    const struct output_config *logger = ends[0]->target;
    const struct output_config *request = ends[1]->target;
    if (!logger->named && !request->named && logger->kind == request->kind &&
        logger->kind != OUTPUT_OFFLOAD && strcmp(logger->target, request->target) == 0) {
        config_item_remove(builder, ends[1]);
        builder->request_pipe = false;
    }
}

/* The file of logto, else standard output. */
static void add_fallback(struct config_builder *builder, const struct setting *logto)
{
    bool fallback = walks(builder->config);
    if (logto != NULL && builder->logto_path == NULL) {
        return;
    }
    struct config_item *item =
        config_uwsgi_add(builder, "", logto != NULL ? logto->where : "default");
    if (item == NULL) {
        return;
    }
    struct output_config *output = item->target;
    start_logto(builder, item, logto);
    output->bare = true;
    /* Nothing walks: all records are what no route took, which is an unnamed logger's part. */
    output->reach = fallback ? ROUTE_UWSGI_FALLBACK : ROUTE_UWSGI_LOGGER;
}

void config_uwsgi_fallback(struct config_builder *builder)
{
    struct daemon_config *config = builder->config;
    const struct setting *logto = logto_of(builder);
    join_loggers(builder);
    for (unsigned i = 0; i < CONFIG_LOGTOS; i++) {
        if (builder->logto[i] != NULL && builder->logto[i] != logto) {
            report_warning(builder->report, builder->logto[i]->where,
                "%s gets nothing: %s at %s stands in its place", builder->logto[i]->key, logto->key,
                logto->where);
        }
    }
    /* A native drop or keep looks at requests too, and then all of them do. */
    config->uwsgi_filters_logs_only =
        builder->request_pipe && builder->uwsgi_filter && !builder->native_filter;
    if (builder->request_pipe && builder->uwsgi_filter && builder->native_filter) {
        report_warning(builder->report, NULL,
            "log-drain and log-filter look at requests as well, "
            "because drop or keep stands beside them");
    }
    bool has_native = has_reach(config, ROUTE_NATIVE);
    if (!builder->uwsgi_lines || (has_native && logto == NULL && !walks(config))) {
        return; /* log-master beside outputs says nothing about them */
    }
    bool logs_end = has_unnamed(config, ROUTE_UWSGI_LOGGER);
    bool requests_end = !builder->request_pipe || has_unnamed(config, ROUTE_UWSGI_REQUEST);
    if (logs_end && requests_end) {
        if (logto != NULL && !builder->logto_used && !has_original(builder)) {
            report_warning(builder->report, logto->where,
                "%s gets nothing: loggers without a name "
                "take what no route took",
                logto->key);
        }
    } else if (logto == NULL && has_native) {
        report_warning(builder->report, NULL,
            "there is no logger without a name: what no log-route "
            "takes goes to the outputs that select it, and to standard output no more");
    } else {
        add_fallback(builder, logto);
    }
}
