/* SPDX-License-Identifier: Apache-2.0 */
/* What is replaced inside a value while it is read. */
#include <string.h>

#include "control/settings_private.h"

void settings_build(struct settings_builder *builder, const char *at, size_t length)
{
    if (length > SETTINGS_LINE_BYTES_MAX - builder->length) {
        builder->full = true;
        return;
    }
    memcpy(builder->at + builder->length, at, length);
    builder->length += length;
}

static void build_text(struct settings_builder *builder, const char *text)
{
    settings_build(builder, text, strlen(text));
}

const char *settings_built(
    struct settings *settings, const struct settings_builder *builder, char why[SETTINGS_WHY_BYTES])
{
    if (builder->full) {
        (void)snprintf(
            why, SETTINGS_WHY_BYTES, "the value is longer than %d bytes", SETTINGS_LINE_BYTES_MAX);
        return NULL;
    }
    return arena_text(&settings->arena, builder->at, builder->length);
}

const char *settings_environment(struct yarder_text name)
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
static bool build_environment(
    struct settings_builder *builder, struct yarder_text inside, char *why)
{
    const char *dash = memmem(inside.at, inside.length, ":-", 2);
    struct yarder_text name = {
        inside.at, dash != NULL ? (size_t)(dash - inside.at) : inside.length};
    const char *value = settings_environment(name);
    if (value != NULL && (dash == NULL || value[0] != '\0')) {
        build_text(builder, value);
    } else if (dash != NULL) {
        settings_build(builder, dash + 2, inside.length - name.length - 2);
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
    struct settings_builder builder = {.at = room, .full = room == NULL};
    const char *at = raw.at;
    const char *end = raw.at + raw.length;
    while (found != NULL && !builder.full) {
        const char *inside = found + sizeof(opening) - 1;
        const char *closing = memchr(inside, '}', (size_t)(end - inside));
        if (closing == NULL) {
            (void)snprintf(why, SETTINGS_WHY_BYTES, "${env: without a closing }");
            return NULL;
        }
        settings_build(&builder, at, (size_t)(found - at));
        struct yarder_text name = {inside, (size_t)(closing - inside)};
        if (!build_environment(&builder, name, why)) {
            return NULL;
        }
        at = closing + 1;
        found = memmem(at, (size_t)(end - at), opening, sizeof(opening) - 1);
    }
    settings_build(&builder, at, (size_t)(end - at));
    return settings_built(settings, &builder, why);
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
