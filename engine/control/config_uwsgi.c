/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's own lines, by uWSGI's grammar and nothing added:
 *
 *   logger = [NAME ]KIND[:ARGUMENT]   the first word is a name if it has letters and digits alone
 *   file:PATH             as soon as it has a '=':
 * file:logfile=PATH[,maxsize=BYTES][,backupname=..] stdio[:], fd:1, fd:2  standard output, standard
 * error; fd: alone discards redislog:ARGUMENT     what the module of that kind makes of it
 *   yarder:ARGUMENT       the plugin for uWSGI's: what it logs comes by the ring
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "control/config_keys.h"
#include "control/config_offload.h"
#include "control/config_private.h"

struct logger_line {
    const char *name; /* "" for none */
    const char *kind;
    const char *argument;        /* NULL: nothing stands behind the kind */
    struct output_rotate rotate; /* file:logfile=...,maxsize=... */
};

const char *config_logger_kind(const char *value)
{
    size_t alphanumeric = 0;
    while (isalnum((unsigned char)value[alphanumeric])) {
        alphanumeric++;
    }
    return alphanumeric > 0 && value[alphanumeric] == ' ' ? value + alphanumeric + 1 : value;
}

static void split_logger(struct config_builder *builder, const char *value, struct logger_line *out)
{
    const char *kind = config_logger_kind(value);
    *out = (struct logger_line){.name = ""};
    if (kind != value) {
        out->name = arena_text(builder->arena, value, (size_t)(kind - value) - 1);
        value = kind;
    }
    const char *colon = strchr(value, ':');
    size_t length = colon != NULL ? (size_t)(colon - value) : strlen(value);
    out->kind = arena_text(builder->arena, value, length);
    bool given = colon != NULL && colon[1] != '\0';
    out->argument = given ? arena_text(builder->arena, colon + 1, strlen(colon + 1)) : NULL;
}

static void refuse_kind(
    struct config_builder *builder, const struct setting *setting, const char *kind)
{
    const char *names[CONFIG_ROWS_MAX] = {"file", "stdio"};
    size_t count = 2;
    for (const struct module_kind *own = module_kinds; own->name != NULL; own++) {
        for (const char *const *name = own->uwsgi_names; *name != NULL; name++) {
            names[count++] = *name;
        }
    }
    const char *near = text_near(kind, names, count);
    if (strcmp(kind, "python") == 0) {
        report_error(builder->report, setting->where,
            "%s: python calls the logging of the program inside uWSGI, which nobody outside can; "
            "see yarder outputs",
            setting->key);
    } else if (strchr(kind, ' ') != NULL) {
        report_error(builder->report, setting->where,
            "%s: no kind '%.64s'; a logger's name has "
            "letters and digits alone",
            setting->key, kind);
    } else {
        char list[CONFIG_KINDS_BYTES];
        report_error(builder->report, setting->where, "%s: unknown kind '%.64s'; %s%s%s",
            setting->key, kind, near != NULL ? "did you mean " : "there are ",
            near != NULL ? near : config_list(names, count, list), near != NULL ? "?" : "");
    }
}

/* One KEY=VALUE of file's second form: the path, or NULL with the reason reported. */
static const char *file_pair(struct config_builder *builder, const struct setting *setting,
    const char *pair, size_t length, const char *path, struct output_rotate *rotate)
{
    static const char logfile[] = "logfile=";
    if (strncmp(pair, logfile, sizeof(logfile) - 1) == 0 && length > sizeof(logfile) - 1) {
        return arena_text(builder->arena, pair + sizeof(logfile) - 1, length - sizeof(logfile) + 1);
    }
    if (!config_file_rotates(builder, setting, pair, length, rotate)) {
        report_error(builder->report, setting->where,
            "%s: unknown '%.*s'; with a '=' file: takes logfile=PATH, maxsize=BYTES and "
            "backupname=PATH; a path with a '=' can be had by output = file:PATH",
            setting->key, (int)yarder_min(length, 64), pair);
    }
    return path;
}

static const char *file_path(struct config_builder *builder, const struct setting *setting,
    const char *argument, struct output_rotate *rotate)
{
    const char *path = "";
    if (strchr(argument, '=') == NULL) {
        path = argument;
    } else {
        for (const char *pair = argument; *pair != '\0';) {
            size_t length = strcspn(pair, ",");
            path = file_pair(builder, setting, pair, length, path, rotate);
            pair += length + (pair[length] == ',');
        }
    }
    if (strstr(path, "${") != NULL) {
        report_error(builder->report, setting->where,
            "%s: a path with ${ is taken as it stands by "
            "uWSGI; for a variable use output = file:PATH",
            setting->key);
    }
    return path;
}

/* The kinds that need no backend: whether it is one, and its target. */
static bool is_built_in(struct config_builder *builder, const struct setting *setting,
    struct logger_line *line, enum output_kind *kind, const char **target)
{
    const char *argument = line->argument != NULL ? line->argument : "";
    *target = "";
    if (strcmp(line->kind, "stdio") == 0) {
        *kind = OUTPUT_STDIO;
        return true;
    }
    if (strcmp(line->kind, "fd") == 0) {
        *kind = argument[0] == '\0' ? OUTPUT_NULL : OUTPUT_STDIO;
        *target = strcmp(argument, "2") == 0 ? "stderr" : "";
        return argument[0] == '\0' || strcmp(argument, "1") == 0 || strcmp(argument, "2") == 0;
    }
    if (strcmp(line->kind, "file") == 0) {
        *kind = OUTPUT_FILE;
        *target = file_path(builder, setting, argument, &line->rotate);
        return true;
    }
    return false;
}

static bool has_uwsgi_name(const struct yarder_backend *backend, const char *name)
{
    for (const char *const *known = backend->uwsgi_names; known != NULL && *known != NULL;
         known++) {
        if (strcmp(*known, name) == 0) {
            return true;
        }
    }
    return false;
}

const struct yarder_backend *config_uwsgi_backend(
    struct config_builder *builder, const struct setting *setting, const char *name)
{
    char why[MODULE_WHY_BYTES];
    for (uint32_t i = 0; i < builder->plugins_count; i++) {
        if (has_uwsgi_name(builder->plugins[i], name)) {
            return builder->plugins[i];
        }
    }
    const struct yarder_backend *backend = NULL;
    const struct module_kind *kind = module_kind_of_uwsgi(name);
    if (kind == NULL) {
        refuse_kind(builder, setting, name);
    } else if (module_load(kind, &backend, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
    } else if (!has_uwsgi_name(backend, name)) {
        report_error(builder->report, setting->where,
            "%s: the module of %s does not know uWSGI's %s", setting->key, kind->name, name);
        backend = NULL;
    }
    return backend;
}

struct config_item *config_uwsgi_add(
    struct config_builder *builder, const char *name, const char *where)
{
    struct config_item *item = config_item_add(builder, SETTINGS_LOGGER, name, where);
    if (item != NULL) {
        item->one_line = true;
    }
    return item;
}

void config_uwsgi_start(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct logger_line line;
    enum output_kind kind = OUTPUT_FILE;
    const char *path = "";
    const struct setting setting = {.where = item->where, .key = "uwsgi"};
    split_logger(builder, target, &line);
    if (line.name[0] != '\0') {
        report_error(builder->report, item->where,
            "uwsgi: expected KIND:ARGUMENT of a logger; its name stands before uwsgi");
        item->broken = true;
    } else if (is_built_in(builder, &setting, &line, &kind, &path)) {
        config_item_start(builder, item, kind, path);
    } else {
        const struct yarder_backend *backend = config_uwsgi_backend(builder, &setting, line.kind);
        item->broken = backend == NULL;
        if (backend != NULL) {
            config_offload_start(builder, item, backend);
            config_offload_uwsgi(builder, item, line.kind, line.argument);
        }
    }
    ((struct output_config *)item->target)->bare = true;
}

static void take_logger(struct config_builder *builder, const struct setting *setting,
    const char *value, enum route_reach reach)
{
    struct logger_line line;
    enum output_kind kind = OUTPUT_FILE;
    const char *target = "";
    split_logger(builder, value, &line);
    if (strlen(line.name) >= YARDER_NAME_BYTES_MAX) {
        report_error(builder->report, setting->where, "%s: a name has at most %d bytes",
            setting->key, YARDER_NAME_BYTES_MAX - 1);
        return;
    }
    if (strcmp(line.kind, "yarder") == 0) {
        report_note(builder->report, setting->where,
            "%s: what uWSGI's plugin logs comes by the ring; the line is left to uWSGI",
            setting->key);
        return;
    }
    bool built_in = is_built_in(builder, setting, &line, &kind, &target);
    const struct yarder_backend *backend =
        built_in ? NULL : config_uwsgi_backend(builder, setting, line.kind);
    struct config_item *item = config_uwsgi_add(builder, line.name, setting->where);
    if (item == NULL) {
        return;
    }
    struct output_config *output = item->target;
    item->original = strcmp(line.kind, "stdio") == 0;
    if (built_in) {
        config_item_start(builder, item, kind, target);
        output->rotate.size_bytes = line.rotate.size_bytes;
        output->rotate.to = line.rotate.to;
        output->rotate.names = kind == OUTPUT_FILE ? ROTATE_SECONDS : output->rotate.names;
    } else if (backend != NULL) {
        config_offload_start(builder, item, backend);
        config_offload_uwsgi(builder, item, line.kind, line.argument);
    } else {
        item->broken = true; /* its name is kept, so that routes to it are no error as well */
    }
    output->bare = true;
    output->named = line.name[0] != '\0';
    output->reach = reach;
}

/* log-socket = ARGUMENT is logger = socket:ARGUMENT. */
static void take_alias(
    struct config_builder *builder, const struct setting *setting, const char *value)
{
    const char *kind = setting->key + strlen("log-");
    take_logger(
        builder, setting, arena_format(builder->arena, "%s:%s", kind, value), ROUTE_UWSGI_LOGGER);
}

static void take_filter(
    struct config_builder *builder, const struct setting *setting, struct yarder_texts *to)
{
    const char *value = setting->value != NULL ? setting->value : "";
    if (value[0] == '\0') {
        report_error(builder->report, setting->where, "%s: expected REGEX", setting->key);
        return;
    }
    arena_append(builder->arena, to, arena_text(builder->arena, value, strlen(value)));
    builder->uwsgi_filter = true;
    config_check_pattern(builder, setting->where, setting->key, value, false);
}

/* udp = [HOST]:PORT is input = udp:[HOST]:PORT, whose datagrams go the way of logs. */
static void take_udp(struct config_builder *builder, const struct setting *setting)
{
    const char *value = setting->value != NULL ? setting->value : "";
    struct config_item *item = config_item_add(builder, SETTINGS_INPUT, "", setting->where);
    if (item != NULL) {
        builder->udp_count++;
        item->one_line = true;
        config_item_start_named(builder, item, "udp",
            value[0] == ':' ? arena_format(builder->arena, "0.0.0.0%s", value) : value);
    }
}

/*
 * A key that means one thing: twice in one source is an error, but in uWSGI's own, where the last
 * one holds; the command line wins.
 */
static void take_single(
    struct config_builder *builder, const struct setting *setting, const struct setting **to)
{
    bool both =
        *to != NULL && (*to)->section == SETTINGS_UWSGI && setting->section == SETTINGS_UWSGI;
    if (both) { /* a file may name another one to begin with */
        report_note(builder->report, (*to)->where, "%s at %s holds, as in uWSGI", setting->key,
            setting->where);
    } else if (*to != NULL && ((*to)->file[0] == '\0') == (setting->file[0] == '\0')) {
        report_error(builder->report, setting->where, "%s is given twice, first at %s",
            setting->key, (*to)->where);
        return;
    }
    *to = setting;
}

/* What a line changes by being there, whatever it says. */
static void note_line(struct config_builder *builder, enum config_line line)
{
    bool shapes = line == CONFIG_LOG_DRAIN || line == CONFIG_LOG_FILTER ||
                  line == CONFIG_RSYSLOG_BYTES || line == CONFIG_RSYSLOG_SPLIT ||
                  line == CONFIG_UDP || line == CONFIG_LOG_FORMAT;
    builder->request_pipe |= line == CONFIG_REQ_LOGGER || line == CONFIG_LOG_REQ_ROUTE;
    builder->uwsgi_lines |= !shapes && line != CONFIG_NOT_BUILT && line != CONFIG_LEFT;
}

void config_take_uwsgi(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    if (key->line >= CONFIG_ALARM && key->line <= CONFIG_ALARM_TIMEOUT) {
        config_take_alarm(builder, key, setting);
        return;
    }
    if (key->line >= CONFIG_LOG_MAXSIZE && key->line <= CONFIG_LOGFILE_CHMOD) {
        config_take_rotation(builder, key, setting);
        return;
    }
    note_line(builder, key->line);
    const char *value = setting->value != NULL ? setting->value : "";
    switch ((int)key->line) {
    case CONFIG_LOGGER:
        take_logger(builder, setting, value, ROUTE_UWSGI_LOGGER);
        break;
    case CONFIG_REQ_LOGGER:
        take_logger(builder, setting, value, ROUTE_UWSGI_REQUEST);
        break;
    case CONFIG_LOG_KIND:
        take_alias(builder, setting, value);
        break;
    case CONFIG_RSYSLOG_BYTES:
        take_single(builder, setting, &builder->rsyslog[0]);
        break;
    case CONFIG_RSYSLOG_SPLIT:
        take_single(builder, setting, &builder->rsyslog[1]);
        break;
    case CONFIG_LOG_ROUTE:
    case CONFIG_LOG_REQ_ROUTE:
        config_take_route(builder, setting, false,
            key->line == CONFIG_LOG_REQ_ROUTE ? ROUTE_REQUESTS : ROUTE_BOTH);
        break;
    case CONFIG_LOG_DRAIN:
        take_filter(builder, setting, &builder->config->drop);
        break;
    case CONFIG_LOG_FILTER:
        take_filter(builder, setting, &builder->config->keep);
        break;
    case CONFIG_LOGTO:
    case CONFIG_DAEMONIZE:
    case CONFIG_LOGTO2:
    case CONFIG_DAEMONIZE2:
        take_single(builder, setting, &builder->logto[key->line - CONFIG_LOGTO]);
        break;
    case CONFIG_UDP:
        take_udp(builder, setting);
        break;
    case CONFIG_LOG_TRUNCATE:
        take_single(builder, setting, &builder->log_truncate);
        break;
    case CONFIG_LOG_FORMAT:
        take_single(builder, setting, &builder->log_format);
        break;
    case CONFIG_LOG_ENCODER: /* config_encode.c, when all loggers are there */
    case CONFIG_LOG_REQ_ENCODER:
    case CONFIG_ACCEPTED:
        break;
    case CONFIG_LEFT:
        if (setting->section != SETTINGS_UWSGI && setting->file[0] != '\0') {
            report_warning(builder->report, setting->where,
                "%s does nothing here: uWSGI itself does it, before its lines come", setting->key);
        }
        break;
    default:
        YARDER_ASSERT(key->line == CONFIG_NOT_BUILT);
        report_error(builder->report, setting->where, "%s is not built in yet (%s)", setting->key,
            key->option.help);
    }
}
