/* SPDX-License-Identifier: Apache-2.0 */
/* From lines to settings. */
#include <errno.h>
#include <string.h>

#include "control/config_keys.h"
#include "control/config_private.h"
#include "control/settings.h"
#include "control/settings_private.h"
#include "control/settings_stack.h"

struct reader {
    struct settings *settings;
    struct config_report *report;
    struct settings_stack stack;
    struct settings_spot spot;
    bool skipping; /* lines of a section that is not ours */
    bool found;    /* the section of the first file that is asked for */
    struct settings_uwsgi uwsgi;
    struct settings_spot resume[SETTINGS_DEPTH_MAX + 1]; /* of [uwsgi], where it names a file */
};

static const char *const section_names[SETTINGS_SECTIONS] = {
    [SETTINGS_TOP] = "yarder",
    [SETTINGS_OUTPUT] = "output",
    [SETTINGS_INPUT] = "input",
    [SETTINGS_LOGGER] = "logger",
    [SETTINGS_UWSGI] = "uwsgi",
};

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

static struct yarder_text trim(struct yarder_text text)
{
    while (text.length > 0 && is_blank(text.at[0])) {
        text.at++;
        text.length--;
    }
    while (text.length > 0 && is_blank(text.at[text.length - 1])) {
        text.length--;
    }
    return text;
}

static void to_top(struct reader *reader)
{
    reader->spot.section = SETTINGS_TOP;
    reader->spot.section_name = "";
    reader->spot.section_number = 0;
    reader->skipping = false;
}

static void add(struct reader *reader, const char *key, const char *value)
{
    int r = settings_add(reader->settings, &reader->spot, key, value);
    if (r == -E2BIG) {
        report_error(reader->report, reader->spot.where, "more than %d settings", SETTINGS_MAX);
        settings_stack_clear(&reader->stack);
    } else if (r < 0) {
        reader->settings->arena.failed = true;
    }
}

static enum settings_section find_section(struct yarder_text kind)
{
    for (unsigned i = 0; i < SETTINGS_SECTIONS; i++) {
        if (text_is(kind, section_names[i])) {
            return (enum settings_section)i;
        }
    }
    return SETTINGS_SECTIONS;
}

/* A section that nobody knows: another program's, in an .ini file; else a mistake. */
static void skip_section(struct reader *reader, struct yarder_text inside, struct yarder_text kind)
{
    const char *dot = strrchr(reader->spot.file, '.');
    int shown = (int)yarder_min(inside.length, 64);
    char *word = arena_text(&reader->settings->arena, kind.at, kind.length);
    const char *near = text_near(word, section_names, SETTINGS_SECTIONS);
    reader->skipping = true;
    if (near == NULL && dot != NULL && strcmp(dot, ".ini") == 0) {
        report_note(
            reader->report, reader->spot.where, "section [%.*s] is not read", shown, inside.at);
    } else if (near != NULL) {
        report_error(reader->report, reader->spot.where,
            "unknown section [%.*s]; did you mean [%s]?", shown, inside.at, near);
    } else {
        report_error(reader->report, reader->spot.where,
            "unknown section [%.*s]; expected "
            "[output NAME], [input NAME], [logger NAME], [yarder] or [uwsgi]",
            shown, inside.at);
    }
}

static void take_section(struct reader *reader, struct yarder_text line)
{
    const char *asked = settings_stack_top(&reader->stack)->section;
    to_top(reader);
    if (asked != NULL) { /* uWSGI reads that one alone */
        reader->skipping = !text_is((struct yarder_text){line.at + 1, line.length - 2}, asked);
        reader->found |= !reader->skipping && reader->stack.depth == 1;
        reader->spot.section = reader->skipping ? SETTINGS_TOP : SETTINGS_UWSGI;
        reader->spot.section_number = ++reader->settings->sections_count;
        return;
    }
    if (line.at[line.length - 1] != ']') {
        report_error(
            reader->report, reader->spot.where, "expected [SECTION] and nothing behind it");
        reader->skipping = true;
        return;
    }
    struct yarder_text inside = trim((struct yarder_text){line.at + 1, line.length - 2});
    const char *space = memchr(inside.at, ' ', inside.length);
    struct yarder_text kind = {
        inside.at, space != NULL ? (size_t)(space - inside.at) : inside.length};
    struct yarder_text name =
        trim((struct yarder_text){inside.at + kind.length, inside.length - kind.length});
    enum settings_section section = find_section(kind);
    if (section == SETTINGS_SECTIONS) {
        skip_section(reader, inside, kind);
        return;
    }
    if (name.length > 0 && (section == SETTINGS_TOP || section == SETTINGS_UWSGI)) {
        report_error(reader->report, reader->spot.where, "section [%s] takes no name",
            section_names[section]);
    }
    if (section == SETTINGS_TOP) {
        return;
    }
    reader->spot.section = section;
    reader->spot.section_number = ++reader->settings->sections_count;
    reader->spot.section_name = arena_text(&reader->settings->arena, name.at, name.length);
    add(reader, "", NULL);
}

static bool key_is_good(struct yarder_text key)
{
    static const char field[] = "field.";
    size_t prefix = sizeof(field) - 1;
    if (key.length > prefix && memcmp(key.at, field, prefix) == 0) {
        return memchr(key.at, ' ', key.length) == NULL && memchr(key.at, '"', key.length) == NULL;
    }
    for (size_t i = 0; i < key.length; i++) {
        char byte = key.at[i];
        bool good = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                    (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.';
        if (!good) {
            return false;
        }
    }
    return key.length > 0;
}

/* Keys of [uwsgi] that name a file, whose [uwsgi] comes next. */
static bool names_file(struct yarder_text key)
{
    static const char *const keys[] = {
        "ini", "yaml", "yml", "json", "js", "include", "inherit", "config"};
    for (size_t i = 0; i < YARDER_COUNT_OF(keys); i++) {
        if (text_is(key, keys[i])) {
            return true;
        }
    }
    return false;
}

/* FILE, FILE:SECTION, or :SECTION of this file; a path starts from the working directory. */
static void push_uwsgi(struct reader *reader, const char *value)
{
    struct arena *arena = &reader->settings->arena;
    const char *colon = strrchr(value, ':');
    size_t length = colon != NULL ? (size_t)(colon - value) : strlen(value);
    const char *path = length > 0 ? arena_text(arena, value, length)
                                  : arena_text(arena, reader->spot.file, strlen(reader->spot.file));
    unsigned depth = reader->stack.depth;
    if (depth > 0) {
        reader->resume[depth - 1] = reader->spot;
    }
    settings_stack_file(&reader->stack, path,
        colon != NULL && colon[1] != '\0' ? colon + 1 : "uwsgi", reader->spot.where);
}

static void take_uwsgi(struct reader *reader, struct yarder_text key, const struct yarder_text *raw)
{
    if (names_file(key)) {
        const struct yarder_text none = {"", 0};
        const char *value =
            settings_uwsgi_magic(&reader->uwsgi, &reader->spot, raw != NULL ? *raw : none);
        value = value != NULL ? settings_uwsgi_file(&reader->uwsgi, &reader->spot, value) : NULL;
        if (value != NULL) {
            push_uwsgi(reader, value);
        }
    } else {
        settings_uwsgi_take(&reader->uwsgi, &reader->spot, key, raw);
    }
}

static void take_include(struct reader *reader, const char *value)
{
    char why[OPTION_WHY_BYTES];
    if (config_unquote(&reader->settings->arena, value, &value, why) < 0) {
        report_error(reader->report, reader->spot.where, "include: %s", why);
    } else {
        settings_stack_include(&reader->stack, value, reader->spot.where);
    }
    to_top(reader);
}

static void take_native(
    struct reader *reader, struct yarder_text key_raw, const struct yarder_text *raw)
{
    const char *where = reader->spot.where;
    if (!key_is_good(key_raw)) {
        report_error(reader->report, where,
            "expected KEY = VALUE, [SECTION], or a comment line that begins with ; or #");
        return;
    }
    char *key = settings_key(reader->settings, key_raw);
    const struct config_key *row =
        reader->spot.section == SETTINGS_TOP ? config_key_find(key) : NULL;
    bool uwsgi = row != NULL && config_key_is_uwsgi(row);
    if (raw != NULL && !uwsgi && settings_seem_commented(*raw)) {
        report_error(reader->report, where,
            "%s: a comment needs its own line; a value that means "
            "' ; ' must stand in double quotes",
            key);
        return;
    }
    char why[SETTINGS_WHY_BYTES];
    const char *value = NULL;
    if (raw != NULL) {
        value = settings_expand_native(reader->settings, *raw, why);
        if (value == NULL) {
            report_error(reader->report, where, "%s: %s", key, why);
            return;
        }
    }
    if (strcmp(key, "include") == 0) {
        take_include(reader, value != NULL ? value : "");
    } else if (row != NULL && row->line == CONFIG_UWSGI_FILE) {
        push_uwsgi(reader, value != NULL ? value : "");
    } else {
        add(reader, key, value);
    }
}

static void take_line(struct reader *reader, struct yarder_text line)
{
    const struct settings_file *file = settings_stack_top(&reader->stack);
    reader->spot.file = file->name;
    reader->spot.line = file->line;
    line = trim(line);
    if (line.length == 0 || line.at[0] == ';' || line.at[0] == '#') {
        return;
    }
    if (reader->skipping && line.at[0] != '[') {
        return;
    }
    reader->spot.where =
        arena_format(&reader->settings->arena, "%s:%u", file->name, (unsigned)file->line);
    if (line.length > SETTINGS_LINE_BYTES_MAX) {
        report_error(reader->report, reader->spot.where,
            "the line has %zu bytes, at most %d may be", line.length, SETTINGS_LINE_BYTES_MAX);
        return;
    }
    if (memchr(line.at, '\0', line.length) != NULL) {
        report_error(reader->report, reader->spot.where, "a NUL byte; is this a text file?");
        return;
    }
    if (line.at[0] == '[') {
        take_section(reader, line);
        return;
    }
    const char *equals = memchr(line.at, '=', line.length);
    struct yarder_text key = line;
    struct yarder_text value = {line.at, 0};
    if (equals != NULL) {
        key = trim((struct yarder_text){line.at, (size_t)(equals - line.at)});
        value =
            trim((struct yarder_text){equals + 1, line.length - (size_t)(equals - line.at) - 1});
    }
    if (reader->spot.section == SETTINGS_UWSGI) {
        take_uwsgi(reader, key, equals != NULL ? &value : NULL);
    } else {
        take_native(reader, key, equals != NULL ? &value : NULL);
    }
}

static void to_uwsgi(struct reader *reader)
{
    reader->spot.section = SETTINGS_UWSGI;
    reader->spot.section_name = "";
    reader->spot.section_number = ++reader->settings->sections_count;
    reader->skipping = false;
    add(reader, "", NULL);
}

static void take_pair(
    void *context, uint32_t line, struct yarder_text key, struct yarder_text value)
{
    struct reader *reader = context;
    reader->spot.line = line;
    reader->spot.where =
        arena_format(&reader->settings->arena, "%s:%u", reader->spot.file, (unsigned)line);
    if (key.length > SETTINGS_LINE_BYTES_MAX || value.length > SETTINGS_LINE_BYTES_MAX) {
        report_error(
            reader->report, reader->spot.where, "longer than %d bytes", SETTINGS_LINE_BYTES_MAX);
    } else if ((key.length > 0 && memchr(key.at, '\0', key.length) != NULL) ||
               (value.length > 0 && memchr(value.at, '\0', value.length) != NULL)) {
        report_error(reader->report, reader->spot.where, "a NUL byte; is this a text file?");
    } else {
        take_uwsgi(reader, key, value.at != NULL ? &value : NULL);
    }
}

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name);
    size_t wanted = strlen(ending);
    return length > wanted && strcmp(name + length - wanted, ending) == 0;
}

/* A file of the top of the stack that has no lines: true, and it is read. */
static bool take_whole(struct reader *reader)
{
    struct settings_file *file = &reader->stack.files[reader->stack.depth - 1];
    bool yaml = ends_with(file->name, ".yaml") || ends_with(file->name, ".yml");
    bool json = ends_with(file->name, ".json") || ends_with(file->name, ".js");
    if (!yaml && !json) {
        return false;
    }
    char why[SETTINGS_WHY_BYTES];
    uint32_t line = 1;
    const char *name = file->name;
    reader->spot.file = name;
    reader->spot.line = 1;
    reader->spot.where = arena_format(&reader->settings->arena, "%s:1", name);
    to_uwsgi(reader);
    const struct settings_pairs pairs = {.take = take_pair,
        .context = reader,
        .section = file->section != NULL ? file->section : "uwsgi"};
    file->at = file->bytes_count;
    reader->found = true; /* or it is told below */
    int r = (yaml ? settings_read_yaml : settings_read_json)(
        &pairs, file->bytes, file->bytes_count, &line, why);
    const char *where = arena_format(&reader->settings->arena, "%s:%u", name, (unsigned)line);
    if (r == SETTINGS_NO_SECTION) {
        report_error(reader->report, where,
            "there is no '%.64s' in it, expected that key with "
            "those of the configuration below it",
            pairs.section);
    } else if (r == -EINVAL) {
        report_error(reader->report, where, "%s", why);
    } else if (r < 0) {
        reader->settings->arena.failed = true;
    }
    return true;
}

/* The first line of a file, or the next one after a file that it named. */
static void arrive(struct reader *reader)
{
    unsigned top = reader->stack.depth - 1;
    const struct settings_file *file = &reader->stack.files[top];
    if (file->line > 1 && reader->resume[top].where != NULL) {
        reader->spot = reader->resume[top];
        reader->skipping = false;
        reader->resume[top].where = NULL;
        return;
    }
    to_top(reader);
    reader->skipping = file->section != NULL;
    reader->uwsgi.asked = file->section != NULL && strcmp(file->section, "uwsgi") != 0
                              ? file->section
                              : reader->uwsgi.asked;
}

static int run(struct reader *reader, uint32_t errors_before)
{
    struct yarder_text line;
    bool fresh = false;
    reader->uwsgi = (struct settings_uwsgi){.settings = reader->settings,
        .report = reader->report,
        .first = reader->settings->count,
        .asked = ""};
    while (settings_stack_line(&reader->stack, &line, &fresh)) {
        if (fresh && settings_stack_top(&reader->stack)->line == 1 && take_whole(reader)) {
            continue;
        }
        if (fresh) {
            arrive(reader);
        }
        take_line(reader, line);
    }
    settings_uwsgi_finish(&reader->uwsgi);
    if (reader->settings->arena.failed) {
        return -ENOMEM;
    }
    return reader->report->counts[REPORT_ERROR] > errors_before ? -EINVAL : 0;
}

int settings_read_file(struct settings *settings, const char *path, struct config_report *report)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    struct reader reader = {.settings = settings, .report = report};
    reader.stack.settings = settings;
    reader.stack.report = report;
    const char *colon = strrchr(path, ':');
    /* uWSGI's FILE:SECTION */
    if (colon != NULL && colon != path && colon[1] != '\0' && access(path, F_OK) < 0) {
        settings_stack_file(&reader.stack,
            arena_text(&settings->arena, path, (size_t)(colon - path)),
            arena_text(&settings->arena, colon + 1, strlen(colon + 1)), NULL);
    } else {
        settings_stack_file(&reader.stack, path, NULL, NULL);
        reader.found = true;
    }
    int r = run(&reader, errors_before);
    if (r == 0 && !reader.found) {
        report_error(report, path, "there is no section [%s] in it", colon + 1);
        r = -EINVAL;
    }
    return r;
}

int settings_read_uwsgi(
    struct settings *settings, const char *name, const char *where, struct config_report *report)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    struct reader reader = {.settings = settings, .report = report};
    reader.stack.settings = settings;
    reader.stack.report = report;
    reader.spot = (struct settings_spot){.section_name = "", .file = "", .where = where};
    push_uwsgi(&reader, name);
    return run(&reader, errors_before);
}

int settings_read_text(struct settings *settings, const char *name, const char *bytes,
    size_t bytes_count, struct config_report *report)
{
    uint32_t errors_before = report->counts[REPORT_ERROR];
    struct reader reader = {.settings = settings, .report = report};
    reader.stack.settings = settings;
    reader.stack.report = report;
    char *copy = malloc(bytes_count + (bytes_count == 0));
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, bytes, bytes_count);
    settings_stack_bytes(&reader.stack, name, copy, bytes_count);
    return run(&reader, errors_before);
}
