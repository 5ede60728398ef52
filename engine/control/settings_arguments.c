/* SPDX-License-Identifier: Apache-2.0 */
/* A command line of uWSGI's, as getopt_long takes it apart: all of it is uWSGI's grammar. */
#include <errno.h>
#include <string.h>

#include "control/config_keys.h"
#include "control/settings_private.h"
#include "control/uwsgi_names.h"

struct arguments {
    struct settings_uwsgi uwsgi;
    struct settings_spot spot;
    char *const *at;
    int count;
    int next;
};

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text);
    size_t wanted = strlen(ending);
    return length > wanted && strcmp(text + length - wanted, ending) == 0;
}

static bool names_file(const char *name)
{
    const struct config_key *key = config_key_find(name);
    return key != NULL && (key->line == CONFIG_UWSGI_FILE || key->line == CONFIG_INCLUDE);
}

static int take(struct arguments *arguments, const char *name, const char *value)
{
    if (names_file(name) && value != NULL) {
        return settings_read_uwsgi(
            arguments->uwsgi.settings, value, arguments->spot.where, arguments->uwsgi.report);
    }
    struct yarder_text text = {value, value != NULL ? strlen(value) : 0};
    settings_uwsgi_take(&arguments->uwsgi, &arguments->spot,
        (struct yarder_text){name, strlen(name)}, value != NULL ? &text : NULL);
    return 0;
}

/* The value of an option that needs one: behind its '=' or letter, else the next argument. */
static const char *value_of(
    struct arguments *arguments, const char *name, const char *given, int *result)
{
    if (given != NULL || uwsgi_argument(name) != UWSGI_WITH_ARGUMENT) {
        return given;
    }
    if (arguments->next < arguments->count) {
        return arguments->at[arguments->next++];
    }
    report_error(arguments->uwsgi.report, arguments->spot.where, "--%s needs a value", name);
    *result = -EINVAL;
    return NULL;
}

static int take_long(struct arguments *arguments, const char *argument)
{
    struct arena *arena = &arguments->uwsgi.settings->arena;
    size_t length = strcspn(argument, "=");
    const char *name = arena_text(arena, argument, length);
    const char *key = settings_key(arguments->uwsgi.settings, (struct yarder_text){name, length});
    int result = 0;
    if (uwsgi_argument(name) == UWSGI_UNKNOWN && config_key_find(key) == NULL) {
        const char *near = config_key_near(key);
        report_error(arguments->uwsgi.report, arguments->spot.where,
            "uWSGI has no option --%.64s%s%s%s", name, near != NULL ? "; did you mean --" : "",
            near != NULL ? near : "", near != NULL ? "?" : "");
        return -EINVAL;
    }
    const char *given = argument[length] == '=' ? argument + length + 1 : NULL;
    const char *value = value_of(arguments, name, given, &result);
    return result < 0 ? result : take(arguments, name, value);
}

static int take_letters(struct arguments *arguments, const char *letters)
{
    int result = 0;
    for (; *letters != '\0' && result == 0; letters++) {
        const char *name = uwsgi_letter(*letters);
        if (name == NULL) {
            report_error(arguments->uwsgi.report, arguments->spot.where, "uWSGI has no option -%c",
                *letters > ' ' && *letters < 0x7f ? *letters : '?');
            return -EINVAL;
        }
        bool alone = uwsgi_argument(name) == UWSGI_WITHOUT_ARGUMENT;
        const char *given = !alone && letters[1] != '\0' ? letters + 1 : NULL;
        const char *value = value_of(arguments, name, given, &result);
        int r = result < 0 ? result : take(arguments, name, value);
        result = r;
        if (!alone) {
            break;
        }
    }
    return result;
}

/* Words are files if they look like it; an address or a path of an application is not ours. */
static int take_word(struct arguments *arguments, const char *word)
{
    static const char *const endings[] = {".ini", ".yaml", ".yml", ".json", ".js"};
    const char *colon = strrchr(word, ':');
    const char *path =
        colon != NULL ? arena_text(&arguments->uwsgi.settings->arena, word, (size_t)(colon - word))
                      : word;
    for (size_t i = 0; i < YARDER_COUNT_OF(endings); i++) {
        if (ends_with(path, endings[i])) {
            return settings_read_uwsgi(
                arguments->uwsgi.settings, word, arguments->spot.where, arguments->uwsgi.report);
        }
    }
    return 0;
}

int settings_read_uwsgi_arguments(struct settings *settings, int arguments_count,
    char *const *arguments_at, struct config_report *report)
{
    struct arguments arguments = {.uwsgi = {.settings = settings,
                                      .report = report,
                                      .first = settings->count,
                                      .plain = true,
                                      .asked = ""},
        .spot = {SETTINGS_UWSGI, ++settings->sections_count, "", "", 0, "command line"},
        .at = arguments_at,
        .count = arguments_count};
    int result = 0;
    while (arguments.next < arguments.count && result != -ENOMEM) {
        const char *argument = arguments.at[arguments.next++];
        int r = 0;
        if (strncmp(argument, "--", 2) == 0 && argument[2] != '\0') {
            r = take_long(&arguments, argument + 2);
        } else if (argument[0] == '-' && argument[1] != '-' && argument[1] != '\0') {
            r = take_letters(&arguments, argument + 1);
        } else if (argument[0] != '-') {
            r = take_word(&arguments, argument);
        }
        result = r < 0 ? r : result;
    }
    settings_uwsgi_finish(&arguments.uwsgi);
    return settings->arena.failed ? -ENOMEM : result;
}
