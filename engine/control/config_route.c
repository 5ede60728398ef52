/* SPDX-License-Identifier: Apache-2.0 */
/* Route lines, native and uWSGI's, and what the router is made of. */
#include <string.h>

#include "control/config_private.h"

/* Native: names are separated by any blanks and the pattern may be quoted; uWSGI: one space. */
static bool split(struct config_builder *builder, const struct setting *setting, bool native,
    struct route_line *line)
{
    const char *value = setting->value != NULL ? setting->value : "";
    char why[OPTION_WHY_BYTES];
    if (native && config_unquote(builder->arena, value, &value, why) < 0) {
        report_error(builder->report, setting->where, "%s: %s", setting->key, why);
        return false;
    }
    const char *space = strpbrk(value, native ? " \t" : " ");
    if (space == NULL || space == value) {
        report_error(builder->report, setting->where, "%s: expected NAME REGEX", setting->key);
        return false;
    }
    const char *pattern = space + 1;
    if (native) {
        pattern += strspn(pattern, " \t");
        if (config_unquote(builder->arena, pattern, &pattern, why) < 0) {
            report_error(builder->report, setting->where, "%s: %s", setting->key, why);
            return false;
        }
    }
    line->to = arena_text(builder->arena, value, (size_t)(space - value));
    line->pattern = pattern;
    return true;
}

void config_take_route(struct config_builder *builder, const struct setting *setting, bool native,
    enum route_list list)
{
    struct daemon_config *config = builder->config;
    struct route_line line = {.list = list, .native = native, .where = setting->where};
    if (config->routes_count == YARDER_ROUTES_MAX) {
        report_error(builder->report, setting->where, "too many routes, at most %d can be",
            YARDER_ROUTES_MAX);
        return;
    }
    if (config->routes == NULL) {
        size_t room = yarder_min(builder->settings->count, YARDER_ROUTES_MAX);
        config->routes = arena_take(builder->arena, room * sizeof(*config->routes));
    }
    if (config->routes != NULL && split(builder, setting, native, &line)) {
        /* The configuration outlives the settings. */
        line.pattern = arena_text(builder->arena, line.pattern, strlen(line.pattern));
        line.where = arena_text(builder->arena, line.where, strlen(line.where));
        config->routes[config->routes_count++] = line;
        config_check_pattern(builder, setting->where, setting->key, line.pattern, false);
    }
}

void config_route_spec(const struct daemon_config *config, struct config_route_spec *out)
{
    out->spec = worker_route_spec(config, out->outputs, out->input_names);
}
