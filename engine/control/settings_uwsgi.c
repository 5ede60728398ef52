/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's own ways with a configuration, as its show-config shows them:
 *
 *   %p %d %s ...          of the file; any other letter behind a '%' is nothing, and both are gone
 *   $(NAME)               the environment; unset: left as it stands
 *   %(key)                the first value of that key anywhere; unknown: left as it stands
 *   @(FILE)               what the file contains
 */
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "control/config_keys.h"
#include "control/settings_private.h"

enum {
    REPLACED_MAX = 64, /* placeholders in a value, those inside placeholders too */
    NAME_BYTES_MAX = 256,
};

/* A key of ours: uWSGI's work on other values harms nobody, so they are not complained about. */
static bool is_ours(const char *key)
{
    const struct config_key *row = config_key_find(key);
    return row != NULL && config_key_is_uwsgi(row) && row->line < CONFIG_ACCEPTED;
}

static void build_text(struct settings_builder *builder, const char *text)
{
    settings_build(builder, text, strlen(text));
}

/* The part of a path's folder that has this number, from 0. */
static struct yarder_text folder_part(struct yarder_text folder, int number)
{
    const char *at = folder.at;
    const char *end = folder.at + folder.length;
    for (int i = 0; at < end; i++) {
        at += *at == '/' ? 1 : 0;
        const char *slash = memchr(at, '/', (size_t)(end - at));
        const char *stop = slash != NULL ? slash : end;
        if (i == number) {
            return (struct yarder_text){at, (size_t)(stop - at)};
        }
        at = stop;
    }
    return (struct yarder_text){at, 0};
}

/* Of the file: its whole name, its folder with the slash, its last part. */
struct file_name {
    const char *path;
    struct yarder_text folder;
    const char *last;
};

static struct file_name name_file(struct settings *settings, const char *file)
{
    const char *path =
        file[0] == '/' ? file
                       : arena_format(&settings->arena, "%s/%s", settings->place.working_dir, file);
    const char *slash = strrchr(path, '/');
    size_t folder_bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    return (struct file_name){path, {path, folder_bytes}, path + folder_bytes};
}

static void build_of_file(
    struct settings_builder *builder, const struct file_name *name, const char *file, char letter)
{
    const char *dot = strrchr(name->last, '.');
    struct yarder_text folder = name->folder;
    switch (letter) {
    case 'o':
        build_text(builder, file);
        break;
    case 'p':
        build_text(builder, name->path);
        break;
    case 'd':
        settings_build(builder, folder.at, folder.length);
        break;
    case 's':
        build_text(builder, name->last);
        break;
    case 'n':
        settings_build(
            builder, name->last, dot != NULL ? (size_t)(dot - name->last) : strlen(name->last));
        break;
    case 'e':
        build_text(builder, dot != NULL ? dot + 1 : "");
        break;
    default: /* c: the folder's own name */
        while (folder.length > 1 && folder.at[folder.length - 1] == '/') {
            folder.length--;
        }
        const char *slash = memrchr(folder.at, '/', folder.length);
        size_t skipped = slash != NULL ? (size_t)(slash - folder.at) + 1 : 0;
        settings_build(builder, folder.at + skipped, folder.length - skipped);
    }
}

/* Letters that say something about who and where; false: it is none of them. */
static bool build_of_machine(
    struct settings_builder *builder, const struct settings_uwsgi *uwsgi, char letter)
{
    char number[32];
    const struct passwd *user = letter == 'U' ? getpwuid(geteuid()) : NULL;
    const struct group *group = letter == 'G' ? getgrgid(getegid()) : NULL;
    long long value = 0;
    switch (letter) {
    case '%':
        build_text(builder, "%");
        return true;
    case '[':
        build_text(builder, "\033");
        return true;
    case 'h':
        build_text(builder, uwsgi->settings->place.host);
        return true;
    case 'v':
        build_text(builder, uwsgi->settings->place.working_dir);
        return true;
    case 'x':
        build_text(builder, uwsgi->asked);
        return true;
    case 'U':
        build_text(builder, user != NULL ? user->pw_name : "");
        return true;
    case 'G':
        build_text(builder, group != NULL ? group->gr_name : "");
        return true;
    case 'u':
        value = geteuid();
        break;
    case 'g':
        value = getegid();
        break;
    case 'k':
        value = sysconf(_SC_NPROCESSORS_ONLN);
        break;
    case 't':
        value = time(NULL);
        break;
    default:
        return false;
    }
    (void)snprintf(number, sizeof(number), "%lld", value);
    build_text(builder, number);
    return true;
}

/* What uWSGI alone knows, or nobody: it would stand for something else, or for nothing. */
static void warn_letter(
    const struct settings_uwsgi *uwsgi, const struct settings_spot *spot, char letter)
{
    char shown[8];
    (void)snprintf(shown, sizeof(shown), letter > ' ' && letter < 0x7f ? "%%%c" : "%%", letter);
    report_warning(uwsgi->report, spot->where, "%s is %s: in [uwsgi] a percent sign is %%%%", shown,
        letter != '\0' && strchr("VTjJiI", letter) != NULL ? "what uWSGI alone knows, and left out"
                                                           : "nothing, as in uWSGI");
}

const char *settings_uwsgi_magic(
    struct settings_uwsgi *uwsgi, const struct settings_spot *spot, struct yarder_text raw)
{
    YARDER_OWN_HEAP char *room = malloc(SETTINGS_LINE_BYTES_MAX);
    struct settings_builder builder = {.at = room, .full = room == NULL};
    struct file_name name = name_file(uwsgi->settings, spot->file);
    for (size_t i = 0; i < raw.length; i++) {
        char next = i + 1 < raw.length ? raw.at[i + 1] : '\0';
        if (raw.at[i] != '%' || next == '(') {
            settings_build(&builder, raw.at + i, 1);
            continue;
        }
        i++;
        const char lower = (char)(next | 0x20);
        if (next >= '0' && next <= '9') {
            struct yarder_text part = folder_part(name.folder, next - '0');
            settings_build(&builder, part.at, part.length);
        } else if (next != '\0' && strchr("opdsnecOPDSNEC", next) != NULL) {
            build_of_file(&builder, &name, spot->file, lower);
        } else if (!build_of_machine(&builder, uwsgi, next)) {
            warn_letter(uwsgi, spot, next);
        }
    }
    char why[SETTINGS_WHY_BYTES];
    const char *made = settings_built(uwsgi->settings, &builder, why);
    if (made == NULL) {
        report_error(uwsgi->report, spot->where, "%s", why);
    }
    return made;
}

/* %(key): the first value that it got anywhere. */
static const char *find_key(const struct settings_uwsgi *uwsgi, const char *name)
{
    struct settings *settings = uwsgi->settings;
    const char *key = settings_key(settings, (struct yarder_text){name, strlen(name)});
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->list[i];
        const char *value = setting->value != NULL ? setting->value : "";
        size_t length = strlen(name);
        if (setting->section != SETTINGS_UWSGI) {
            continue;
        }
        if (strcmp(setting->key, key) == 0) {
            return value;
        }
        bool set =
            strcmp(setting->key, "set-placeholder") == 0 || strcmp(setting->key, "set-ph") == 0;
        if (set && strncmp(value, name, length) == 0 && value[length] == '=') {
            return value + length + 1;
        }
    }
    return NULL;
}

/* @(FILE), without the newline at its end; NULL: it cannot be read. */
static const char *read_whole(struct settings *settings, const char *path)
{
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    YARDER_OWN_HEAP char *room = malloc(SETTINGS_LINE_BYTES_MAX);
    struct stat facts = {0};
    if (fd < 0 || room == NULL || fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode)) {
        return NULL;
    }
    ssize_t bytes = read(fd, room, SETTINGS_LINE_BYTES_MAX);
    if (bytes < 0 || memchr(room, '\0', (size_t)bytes) != NULL) {
        return NULL;
    }
    bytes -= bytes > 0 && room[bytes - 1] == '\n';
    return arena_text(&settings->arena, room, (size_t)bytes);
}

static const char *look_up(struct settings_uwsgi *uwsgi, char symbol, const char *name)
{
    switch (symbol) {
    case '$':
        return settings_environment((struct yarder_text){name, strlen(name)});
    case '%':
        return find_key(uwsgi, name);
    default:
        return read_whole(uwsgi->settings, name);
    }
}

/* Of a key of ours alone. */
static void tell(struct settings_uwsgi *uwsgi, const struct setting *setting,
    enum report_severity severity, const char *what, const char *at, size_t length)
{
    if (is_ours(setting->key)) {
        report_add(uwsgi->report, severity, setting->where, "%s: it %s %.*s", setting->key, what,
            (int)yarder_min(length, 64), at);
    }
}

/* Each SYMBOL(name) of a value, from its beginning again after each that was replaced. */
static const char *replace_all(
    struct settings_uwsgi *uwsgi, const struct setting *setting, char symbol)
{
    const char opening[] = {symbol, '(', '\0'};
    YARDER_OWN_HEAP char *made = NULL;
    const char *value = setting->value;
    const char *at = strstr(value, opening);
    struct yarder_text unknown = {value, 0};
    unsigned count = 0;
    while (at != NULL) {
        const char *closing = strchr(at, ')');
        size_t length = closing != NULL ? (size_t)(closing - at) - 2 : 0;
        const char *found = NULL;
        if (length > 0 && length < NAME_BYTES_MAX) {
            char *name = arena_text(&uwsgi->settings->arena, at + 2, length);
            found = look_up(uwsgi, symbol, name);
        }
        if (found == NULL) {
            unknown = (struct yarder_text){at, length + (closing != NULL ? 3 : 2)};
            at = strstr(at + 2, opening);
            continue;
        }
        unknown.length = 0;
        char *grown = NULL;
        if (++count > REPLACED_MAX || strlen(value) + strlen(found) > SETTINGS_LINE_BYTES_MAX ||
            asprintf(&grown, "%.*s%s%s", (int)(at - value), value, found, closing + 1) < 0) {
            tell(uwsgi, setting, REPORT_ERROR, "grows beyond all bounds by", at, 64);
            return setting->value;
        }
        free(made);
        value = made = grown;
        at = strstr(value, opening);
    }
    if (unknown.length > 0) {
        tell(uwsgi, setting, REPORT_WARNING, "stands as it is, nobody knows", unknown.at,
            unknown.length);
    }
    return made != NULL ? arena_text(&uwsgi->settings->arena, made, strlen(made)) : value;
}

void settings_uwsgi_finish(struct settings_uwsgi *uwsgi)
{
    static const char symbols[] = "$%@";
    for (const char *symbol = symbols; *symbol != '\0'; symbol++) {
        for (uint32_t i = uwsgi->first; i < uwsgi->settings->count; i++) {
            struct setting *setting = &uwsgi->settings->list[i];
            bool looked_at = *symbol != '@' || is_ours(setting->key); /* no files for others */
            if (setting->section == SETTINGS_UWSGI && setting->value != NULL && looked_at) {
                setting->value = replace_all(uwsgi, setting, *symbol);
            }
        }
    }
}
