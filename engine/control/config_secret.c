/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: file:PATH and env:NAME are looked up once, by who has the rights, and kept in the
 * settings; a worker, another user with another environment, finds them there.
 */
#include <errno.h>
#include <string.h>

#include "control/config_private.h"

static bool refers(const char *value)
{
    return value != NULL &&
           (strncmp(value, "file:", strlen("file:")) == 0 || strncmp(value, "env:", 4) == 0);
}

/* What the reference came to, or NULL with `why`. */
static const char *look_up(struct config_builder *builder, const char *where, const char *reference,
    char why[OPTION_WHY_BYTES])
{
    char secret[OPTION_SECRET_BYTES];
    const char *known = settings_secret_find(builder->settings, reference);
    if (known != NULL || option_secret(reference, secret, why) < 0) {
        return known;
    }
    int r = settings_secret_keep(builder->settings, reference, secret, where);
    explicit_bzero(secret, sizeof(secret));
    if (r == -E2BIG) {
        (void)snprintf(why, OPTION_WHY_BYTES, "at most %d secrets of files and variables can be",
            SETTINGS_SECRETS_MAX);
    } else if (r < 0) {
        builder->arena->failed = true;
    }
    return settings_secret_find(builder->settings, reference);
}

void config_note_secret(struct config_builder *builder, const char *where)
{
    const char *colon = strrchr(where, ':');
    if (colon == NULL) {
        return; /* the command line */
    }
    const char *file = arena_text(builder->arena, where, (size_t)(colon - where));
    const char *reference = arena_format(builder->arena, "text:%s", config_absolute(builder, file));
    if (settings_secret_find(builder->settings, reference) == NULL) {
        int r = settings_secret_keep(builder->settings, reference, "", where);
        builder->arena->failed |= r == -ENOMEM; /* too many: it is not looked at */
    }
}

int config_set_secret(struct config_builder *builder, const struct yarder_option *option,
    void *target, const char *where, const char *value, char why[OPTION_WHY_BYTES])
{
    if (!refers(value)) {
        config_note_secret(builder, where);
        return option_set(option, target, value, builder->arena, why);
    }
    bool of_file = value[0] == 'f';
    const char *reference = of_file ? arena_format(builder->arena, "file:%s",
                                          config_absolute(builder, value + strlen("file:")))
                                    : value;
    const char *secret = look_up(builder, where, reference, why);
    if (secret == NULL) {
        return -EINVAL;
    }
    char **field = (char **)(void *)((char *)target + option->offset);
    *field = arena_text(builder->arena, secret, strlen(secret));
    return 0;
}
