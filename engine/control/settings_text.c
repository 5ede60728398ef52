/* SPDX-License-Identifier: Apache-2.0 */
/* What is replaced inside a value while it is read. */
#include <string.h>

#include "control/settings_private.h"

/* A value under construction, at most as long as a line may be. */
struct builder {
    char *at; /* SETTINGS_LINE_BYTES_MAX */
    size_t length;
    bool full;
};

static void build(struct builder *builder, const char *at, size_t length)
{
    if (length > SETTINGS_LINE_BYTES_MAX - builder->length) {
        builder->full = true;
        return;
    }
    memcpy(builder->at + builder->length, at, length);
    builder->length += length;
}

static void build_text(struct builder *builder, const char *text)
{
    build(builder, text, strlen(text));
}

static const char *finish(struct settings *settings, const struct builder *builder, char *why)
{
    if (builder->full) {
        (void)snprintf(
            why, SETTINGS_WHY_BYTES, "the value is longer than %d bytes", SETTINGS_LINE_BYTES_MAX);
        return NULL;
    }
    return arena_text(&settings->arena, builder->at, builder->length);
}

/* The value of an environment variable whose name is not terminated, or NULL. */
static const char *environment(struct yarder_text name)
{
    enum { NAME_BYTES_MAX = 256 };
    char terminated[NAME_BYTES_MAX];
    if (name.length >= sizeof(terminated)) {
        return NULL;
    }
    memcpy(terminated, name.at, name.length);
    terminated[name.length] = '\0';
    return getenv(terminated);
}

/* Replaces the text between "${env:" and "}"; false with `why`. */
static bool build_environment(struct builder *builder, struct yarder_text inside, char *why)
{
    const char *dash = memmem(inside.at, inside.length, ":-", 2);
    struct yarder_text name = {
        inside.at, dash != NULL ? (size_t)(dash - inside.at) : inside.length};
    const char *value = environment(name);
    if (value != NULL && (dash == NULL || value[0] != '\0')) {
        build_text(builder, value);
    } else if (dash != NULL) {
        build(builder, dash + 2, inside.length - name.length - 2);
    } else {
        int shown = (int)yarder_min(name.length, 64);
        (void)snprintf(why, SETTINGS_WHY_BYTES,
            "environment variable '%.*s' is not set; ${env:%.*s:-x} would stand for x then", shown,
            name.at, shown, name.at);
        return false;
    }
    return true;
}

const char *settings_expand_native(
    struct settings *settings, struct yarder_text raw, char why[SETTINGS_WHY_BYTES])
{
    static const char opening[] = "${env:";
    const char *found = memmem(raw.at, raw.length, opening, sizeof(opening) - 1);
    if (found == NULL) {
        return arena_text(&settings->arena, raw.at, raw.length);
    }
    YARDER_OWN_HEAP char *room = malloc(SETTINGS_LINE_BYTES_MAX);
    struct builder builder = {.at = room, .full = room == NULL};
    const char *at = raw.at;
    const char *end = raw.at + raw.length;
    while (found != NULL && !builder.full) {
        const char *inside = found + sizeof(opening) - 1;
        const char *closing = memchr(inside, '}', (size_t)(end - inside));
        if (closing == NULL) {
            (void)snprintf(why, SETTINGS_WHY_BYTES, "${env: without a closing }");
            return NULL;
        }
        build(&builder, at, (size_t)(found - at));
        struct yarder_text name = {inside, (size_t)(closing - inside)};
        if (!build_environment(&builder, name, why)) {
            return NULL;
        }
        at = closing + 1;
        found = memmem(at, (size_t)(end - at), opening, sizeof(opening) - 1);
    }
    build(&builder, at, (size_t)(end - at));
    return finish(settings, &builder, why);
}

/* One of uWSGI's letters that stand for a part of the file's name. */
static bool build_file_part(struct builder *builder, const struct settings *settings,
    const struct settings_spot *spot, char letter)
{
    bool relative = spot->file[0] != '/';
    const char *slash = strrchr(spot->file, '/');
    const char *name = slash != NULL ? slash + 1 : spot->file;
    const char *dot = strrchr(name, '.');
    size_t dir_length = slash != NULL ? (size_t)(slash - spot->file) + 1 : 0;
    if (relative && (letter == 'p' || letter == 'd')) {
        build_text(builder, settings->place.working_dir);
        build_text(builder, "/");
    }
    switch (letter) {
    case 'p':
        build_text(builder, spot->file);
        return true;
    case 'd':
        build(builder, spot->file, dir_length);
        return true;
    case 's':
        build_text(builder, name);
        return true;
    case 'n':
        build(builder, name, dot != NULL ? (size_t)(dot - name) : strlen(name));
        return true;
    case 'e':
        build_text(builder, dot != NULL ? dot + 1 : "");
        return true;
    case 'h':
        build_text(builder, settings->place.host);
        return true;
    case 'v':
        build_text(builder, settings->place.working_dir);
        return true;
    case '%':
        build_text(builder, "%");
        return true;
    default:
        return false;
    }
}

/* %(key): the value that the key got earlier in the same section. */
static const char *uwsgi_key(
    const struct settings *settings, const struct settings_spot *spot, struct yarder_text key)
{
    for (uint32_t i = settings->count; i > 0; i--) {
        const struct setting *setting = &settings->list[i - 1];
        if (setting->section == SETTINGS_UWSGI && setting->section_number == spot->section_number &&
            setting->value != NULL && text_is(key, setting->key)) {
            return setting->value;
        }
    }
    return NULL;
}

/* "%(key)" or "$(NAME)" at `at`: the bytes gone through, or 0 with `why`. */
static size_t build_parentheses(struct builder *builder, const struct settings *settings,
    const struct settings_spot *spot, struct yarder_text at, char *why)
{
    const char *closing = memchr(at.at, ')', at.length);
    struct yarder_text name = {at.at + 2, closing != NULL ? (size_t)(closing - at.at) - 2 : 0};
    const char *value = NULL;
    if (closing != NULL) {
        value = at.at[0] == '$' ? environment(name) : uwsgi_key(settings, spot, name);
    }
    if (value == NULL) {
        (void)snprintf(why, SETTINGS_WHY_BYTES, "%c(%.*s) is not known here%s", at.at[0],
            (int)yarder_min(name.length, 64), name.at,
            at.at[0] == '%' ? ": only keys above it in this section are; %% is a percent sign"
                            : "");
        return 0;
    }
    build_text(builder, value);
    return name.length + 3;
}

const char *settings_expand_uwsgi(struct settings *settings, const struct settings_spot *spot,
    struct yarder_text raw, char why[SETTINGS_WHY_BYTES])
{
    YARDER_OWN_HEAP char *room = malloc(SETTINGS_LINE_BYTES_MAX);
    struct builder builder = {.at = room, .full = room == NULL};
    for (size_t i = 0; i < raw.length && !builder.full;) {
        struct yarder_text rest = {raw.at + i, raw.length - i};
        char next = rest.length > 1 ? rest.at[1] : '\0';
        if ((rest.at[0] == '%' || rest.at[0] == '$') && next == '(') {
            size_t length = build_parentheses(&builder, settings, spot, rest, why);
            if (length == 0) {
                return NULL;
            }
            i += length;
        } else if (rest.at[0] != '%') {
            build(&builder, rest.at, 1);
            i++;
        } else if (build_file_part(&builder, settings, spot, next)) {
            i += 2;
        } else {
            (void)snprintf(why, SETTINGS_WHY_BYTES,
                "a percent sign is %%%% in a [uwsgi] section; %%d %%p %%s %%n %%e %%h %%v and "
                "%%(key) are known");
            return NULL;
        }
    }
    return finish(settings, &builder, why);
}

bool settings_seem_commented(struct yarder_text value)
{
    bool quoted = false;
    for (size_t i = 0; i < value.length; i++) {
        char byte = value.at[i];
        if (byte == '\\' && quoted) {
            i++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (byte == ';' && !quoted && i > 0) {
            char before = value.at[i - 1];
            char after = i + 1 < value.length ? value.at[i + 1] : ' ';
            if ((before == ' ' || before == '\t') && (after == ' ' || after == '\t')) {
                return true;
            }
        }
    }
    return false;
}

char *settings_key(struct settings *settings, struct yarder_text raw)
{
    char *key = arena_text(&settings->arena, raw.at, raw.length);
    if (strncmp(key, "field.", strlen("field.")) != 0) {
        for (char *at = key; *at != '\0'; at++) {
            *at = *at == '_' ? '-' : *at;
        }
    }
    return key;
}
