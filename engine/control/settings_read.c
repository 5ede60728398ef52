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
    to_top(reader);
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

static void take_uwsgi(
    struct reader *reader, struct yarder_text key_raw, const struct yarder_text *raw)
{
    char *key = settings_key(reader->settings, key_raw);
    char why[SETTINGS_WHY_BYTES];
    const char *value = NULL;
    if (raw != NULL) {
        value = settings_expand_uwsgi(reader->settings, &reader->spot, *raw, why);
        const struct config_key *row = config_key_find(key);
        if (value == NULL && row != NULL && config_key_is_uwsgi(row) &&
            row->line < CONFIG_ACCEPTED) {
            report_error(reader->report, reader->spot.where, "%s: %s", key, why);
            return;
        }
    }
    if (raw != NULL && value == NULL) { /* none of ours: kept as it stands */
        value = arena_text(&reader->settings->arena, raw->at, raw->length);
    }
    add(reader, key, value);
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

static int run(struct reader *reader, uint32_t errors_before)
{
    struct yarder_text line;
    bool fresh = false;
    while (settings_stack_line(&reader->stack, &line, &fresh)) {
        if (fresh) {
            to_top(reader);
        }
        take_line(reader, line);
    }
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
    settings_stack_file(&reader.stack, path, NULL);
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
