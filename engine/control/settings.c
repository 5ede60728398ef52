/* SPDX-License-Identifier: Apache-2.0 */
#include "control/settings.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "control/config_keys.h"
#include "control/settings_private.h"

int settings_make(struct settings **out)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    if (settings == NULL) {
        return -ENOMEM;
    }
    arena_init(&settings->arena, SETTINGS_BUDGET_BYTES);
    settings->place = (struct settings_place){"/", "", "", "", false, 0};
    *out = settings;
    return 0;
}

void settings_close(struct settings *settings)
{
    if (settings != NULL) {
        arena_deinit(&settings->arena);
        free(settings->list);
        free(settings);
    }
}

int settings_add(
    struct settings *settings, const struct settings_spot *spot, const char *key, const char *value)
{
    if (settings->count == SETTINGS_MAX) {
        return -E2BIG;
    }
    if (settings->count == settings->room) {
        uint32_t room = settings->room == 0 ? 64 : settings->room * 2;
        struct setting *grown = realloc(settings->list, room * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        settings->list = grown;
        settings->room = room;
    }
    settings->list[settings->count++] = (struct setting){.section = spot->section,
        .section_number = spot->section_number,
        .section_name = spot->section_name,
        .file = spot->file,
        .line = spot->line,
        .where = spot->where,
        .key = key,
        .value = value};
    return settings->arena.failed ? -ENOMEM : 0;
}

const char *settings_secret_find(const struct settings *settings, const char *reference)
{
    for (uint32_t i = 0; i < settings->secrets_count; i++) {
        if (strcmp(settings->secrets[i].reference, reference) == 0) {
            return settings->secrets[i].value;
        }
    }
    return NULL;
}

int settings_secret_keep(
    struct settings *settings, const char *reference, const char *value, const char *where)
{
    struct arena *arena = &settings->arena;
    if (settings->secrets_count == SETTINGS_SECRETS_MAX) {
        return -E2BIG;
    }
    settings->secrets[settings->secrets_count++] = (struct settings_secret){
        .reference = arena_text(arena, reference, strlen(reference)),
        .value = arena_text(arena, value, strlen(value)),
        .where = arena_text(arena, where, strlen(where)),
    };
    return arena->failed ? -ENOMEM : 0;
}

/* $NAME, unless it is unset or empty. */
static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static const char *find_run_dir(struct arena *arena)
{
    const char *given = environment("YARDER_RUN_DIR");
    const char *runtime = environment("XDG_RUNTIME_DIR");
    if (given != NULL) {
        return arena_text(arena, given, strlen(given));
    }
    if (geteuid() == 0) {
        return "/run/yarder";
    }
    return runtime != NULL ? arena_format(arena, "%s/yarder", runtime)
                           : arena_format(arena, "/tmp/yarder-%u", (unsigned)geteuid());
}

static const char *find_state_dir(struct arena *arena, const char *run_dir)
{
    const char *systemd = environment("STATE_DIRECTORY");
    const char *state = environment("XDG_STATE_HOME");
    const char *home = environment("HOME");
    if (systemd != NULL) {
        return arena_text(arena, systemd, strcspn(systemd, ":"));
    }
    if (geteuid() == 0) {
        return "/var/lib/yarder";
    }
    if (state != NULL) {
        return arena_format(arena, "%s/yarder", state);
    }
    return home != NULL ? arena_format(arena, "%s/.local/state/yarder", home)
                        : arena_format(arena, "%s/state", run_dir);
}

/* A pipe, a socket or a file will end; a terminal or /dev/null feeds nothing worth waiting for. */
static bool stdin_feeds(void)
{
    struct stat status;
    return fstat(STDIN_FILENO, &status) == 0 &&
           (S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode) || S_ISSOCK(status.st_mode));
}

static uint64_t machine_memory(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
}

int settings_open(struct settings **out)
{
    struct settings *settings = NULL;
    if (settings_make(&settings) < 0) {
        return -ENOMEM;
    }
    struct arena *arena = &settings->arena;
    char host[HOST_NAME_MAX + 1] = "localhost";
    (void)gethostname(host, sizeof(host) - 1);
    char working_dir[PATH_MAX] = "/";
    if (getcwd(working_dir, sizeof(working_dir)) == NULL) {
        memcpy(working_dir, "/", sizeof("/")); /* it was removed: only absolute paths are left */
    }
    struct settings_place *place = &settings->place;
    place->working_dir = arena_text(arena, working_dir, strlen(working_dir));
    place->run_dir = find_run_dir(arena);
    place->state_dir = find_state_dir(arena, place->run_dir);
    place->host = arena_text(arena, host, strlen(host));
    place->stdin_feeds = stdin_feeds();
    place->memory_bytes = machine_memory();
    if (arena->failed) {
        settings_close(settings);
        return -ENOMEM;
    }
    *out = settings;
    return 0;
}

int settings_default_file(char *path, size_t path_bytes)
{
    const char *config = environment("XDG_CONFIG_HOME");
    const char *home = environment("HOME");
    int length = 0;
    if (geteuid() == 0) {
        length = snprintf(path, path_bytes, "/etc/yarder/yarder.conf");
    } else if (config != NULL) {
        length = snprintf(path, path_bytes, "%s/yarder/yarder.conf", config);
    } else if (home != NULL) {
        length = snprintf(path, path_bytes, "%s/.config/yarder/yarder.conf", home);
    } else {
        return 0;
    }
    return length > 0 && (size_t)length < path_bytes && access(path, F_OK) == 0;
}

/* --output NAME.level=error: what stands before the option's dot is the name of an output. */
static bool split_member(const char *value, struct yarder_text *name, struct yarder_text *key)
{
    size_t before_equals = strcspn(value, "=");
    if (value[before_equals] != '=' || memchr(value, ':', before_equals) != NULL ||
        memchr(value, ' ', before_equals) != NULL || memchr(value, ',', before_equals) != NULL) {
        return false;
    }
    const char *dot = memrchr(value, '.', before_equals);
    const char *field = memmem(value, before_equals, ".field.", strlen(".field."));
    dot = field != NULL ? field : dot;
    if (dot == NULL || dot == value) {
        return false;
    }
    *name = (struct yarder_text){value, (size_t)(dot - value)};
    *key = (struct yarder_text){dot + 1, before_equals - name->length - 1};
    return true;
}

int settings_set(struct settings *settings, const char *key_given, const char *value,
    struct config_report *report)
{
    static const enum settings_section sections[] = {[CONFIG_INPUT] = SETTINGS_INPUT,
        [CONFIG_OUTPUT] = SETTINGS_OUTPUT,
        [CONFIG_LOGGER] = SETTINGS_LOGGER};
    struct settings_spot spot = {SETTINGS_TOP, 0, "", "", 0, "command line"};
    const char *key = settings_key(settings, text_of(key_given));
    const struct config_key *row = config_key_find(key);
    struct yarder_text name;
    struct yarder_text member;
    char why[SETTINGS_WHY_BYTES];
    if (value != NULL) {
        value = settings_expand_native(settings, text_of(value), why);
        if (value == NULL) {
            report_error(report, spot.where, "--%s: %s", key, why);
            return -EINVAL;
        }
    }
    if (row != NULL && row->line < (int)YARDER_COUNT_OF(sections) &&
        sections[row->line] != SETTINGS_TOP && value != NULL &&
        split_member(value, &name, &member)) {
        spot.section = sections[row->line];
        spot.section_name = arena_text(&settings->arena, name.at, name.length);
        key = settings_key(settings, member);
        value = value + strcspn(value, "=") + 1;
    }
    int r = settings_add(settings, &spot, key, value);
    if (r == -E2BIG) {
        report_error(report, spot.where, "more than %d settings", SETTINGS_MAX);
        return -EINVAL;
    }
    return r;
}

/* --include: one file, or all that a pattern matches, sorted. */
static int include(struct settings *settings, const char *pattern, struct config_report *report)
{
    glob_t found = {0};
    int result = 0;
    int r =
        pattern[strcspn(pattern, "*?[")] == '\0' ? GLOB_NOMATCH : glob(pattern, 0, NULL, &found);
    if (r == GLOB_NOMATCH) { /* the file of that very name, or an error that names it */
        return settings_read_file(settings, pattern, report);
    }
    for (size_t i = 0; i < found.gl_pathc && result != -ENOMEM; i++) {
        int one = settings_read_file(settings, found.gl_pathv[i], report);
        result = one < 0 ? one : result;
    }
    globfree(&found);
    return r != 0 ? -ENOMEM : result;
}

int settings_read_argument(struct settings *settings, int arguments_count, char *const *arguments,
    int *at, struct config_report *report)
{
    const char *argument = arguments[*at];
    if (strncmp(argument, "--", 2) != 0) {
        return 0;
    }
    const char *equals = strchr(argument, '=');
    size_t length = equals != NULL ? (size_t)(equals - argument) - 2 : strlen(argument) - 2;
    const char *key = settings_key(settings, (struct yarder_text){argument + 2, length});
    const struct config_key *row = config_key_find(key);
    if (row == NULL) {
        return 0;
    }
    bool takes_next = equals == NULL && config_key_takes_next(row);
    if (takes_next && *at + 1 >= arguments_count) {
        report_error(report, "command line", "--%s needs a value: %s", key, row->option.argument);
        return -EINVAL;
    }
    const char *value = takes_next ? arguments[*at + 1] : equals != NULL ? equals + 1 : NULL;
    *at += takes_next ? 2 : 1;
    int r = row->line == CONFIG_INCLUDE ? include(settings, value, report)
            : row->line == CONFIG_UWSGI_FILE
                ? settings_read_uwsgi(settings, value, "command line", report)
                : settings_set(settings, key, value, report);
    return r < 0 ? r : 1;
}
