/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uWSGI's blocks: the lines behind `for = A B` or `if-env = X`, up to endfor or endif, are there
 * for each word, or if that holds, with %(_) as the word or the value. They do not nest.
 */
#include <errno.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>

#include "control/settings_private.h"

enum { REPEATS_MAX = 1000 }; /* of a line by a for block */

static void add(struct settings_uwsgi *uwsgi, const struct settings_spot *spot, const char *key,
    const char *value)
{
    int r = settings_add(uwsgi->settings, spot, key, value);
    if (r == -E2BIG) {
        report_error(uwsgi->report, spot->where, "more than %d settings", SETTINGS_MAX);
    } else if (r < 0) {
        uwsgi->settings->arena.failed = true;
    }
}

/* The value with each "%(_)" as the word; NULL: too long, which is reported. */
static const char *with_word(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *value, const char *word)
{
    static const char mark[] = "%(_)";
    const char *found = value != NULL ? strstr(value, mark) : NULL;
    if (found == NULL) {
        return value;
    }
    YARDER_OWN_HEAP char *room = malloc(SETTINGS_LINE_BYTES_MAX);
    struct settings_builder builder = {.at = room, .full = room == NULL};
    char why[SETTINGS_WHY_BYTES];
    while (found != NULL && !builder.full) {
        settings_build(&builder, value, (size_t)(found - value));
        settings_build(&builder, word, strlen(word));
        value = found + sizeof(mark) - 1;
        found = strstr(value, mark);
    }
    settings_build(&builder, value, strlen(value));
    const char *made = settings_built(uwsgi->settings, &builder, why);
    if (made == NULL) {
        report_error(uwsgi->report, spot->where, "%s", why);
    }
    return made;
}

static void add_with(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value, const char *word)
{
    const char *made = with_word(uwsgi, spot, value, word);
    if (made != NULL || value == NULL) {
        add(uwsgi, spot, key, made);
    }
}

static void refuse_repeats(struct settings_uwsgi *uwsgi, const struct settings_spot *spot)
{
    report_error(
        uwsgi->report, spot->where, "%s: at most %d rounds are read", uwsgi->block, REPEATS_MAX);
}

static void repeat_words(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    const char *at = uwsgi->block_data;
    for (unsigned i = 0; i < REPEATS_MAX && *at != '\0'; i++) {
        size_t length = strcspn(at, " ");
        if (length > 0) {
            add_with(uwsgi, spot, key, value, arena_text(&uwsgi->settings->arena, at, length));
        }
        at += length + (at[length] == ' ');
    }
    if (*at != '\0') {
        refuse_repeats(uwsgi, spot);
    }
}

static void repeat_times(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    unsigned long times = strtoul(uwsgi->block_data, NULL, 10);
    if (times > REPEATS_MAX) {
        refuse_repeats(uwsgi, spot);
        return;
    }
    for (unsigned long i = 1; i <= times; i++) {
        add_with(uwsgi, spot, key, value, arena_format(&uwsgi->settings->arena, "%lu", i));
    }
}

static void repeat_files(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    glob_t found = {0};
    if (glob(uwsgi->block_data, GLOB_MARK, NULL, &found) == 0 && found.gl_pathc > REPEATS_MAX) {
        refuse_repeats(uwsgi, spot);
    } else {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            add_with(uwsgi, spot, key, value, found.gl_pathv[i]);
        }
    }
    globfree(&found);
}

/* if-opt = KEY, KEY=VALUE: whether it was said before. */
static bool has_option(const struct settings_uwsgi *uwsgi)
{
    const char *equals = strchr(uwsgi->block_data, '=');
    struct yarder_text name = {uwsgi->block_data,
        equals != NULL ? (size_t)(equals - uwsgi->block_data) : strlen(uwsgi->block_data)};
    const char *key = settings_key(uwsgi->settings, name);
    for (uint32_t i = uwsgi->first; i < uwsgi->settings->count; i++) {
        const struct setting *setting = &uwsgi->settings->list[i];
        const char *value = setting->value != NULL ? setting->value : "";
        if (setting->section == SETTINGS_UWSGI && strcmp(setting->key, key) == 0 &&
            (equals == NULL || strcmp(value, equals + 1) == 0)) {
            return true;
        }
    }
    return false;
}

/* Whether the block's lines count: what %(_) stands for, NULL if they do not. */
static const char *judge(const struct settings_uwsgi *uwsgi)
{
    const char *block = uwsgi->block;
    const char *data = uwsgi->block_data;
    const char *value = data;
    struct stat facts = {0};
    bool there = stat(data, &facts) == 0;
    bool holds = true;
    if (strcmp(block, "if-env") == 0) {
        value = settings_environment((struct yarder_text){data, strlen(data)});
        holds = value != NULL;
    } else if (strcmp(block, "if-exists") == 0) {
        holds = there;
    } else if (strcmp(block, "if-file") == 0) {
        holds = there && S_ISREG(facts.st_mode);
    } else if (strcmp(block, "if-dir") == 0 || strcmp(block, "if-directory") == 0) {
        holds = there && S_ISDIR(facts.st_mode);
    } else if (strcmp(block, "if-opt") == 0) {
        holds = has_option(uwsgi);
    } else if (strcmp(block, "if-hostname") == 0) {
        holds = strcmp(data, uwsgi->settings->place.host) == 0;
    } else if (strcmp(block, "if-reload") == 0) {
        holds = false; /* what holds at the first start */
    } else {
        return data; /* of those that uWSGI alone can answer; said when it was opened */
    }
    value = value != NULL ? value : "";
    return holds != uwsgi->block_not ? value : NULL;
}

static bool is_known_block(const char *block)
{
    static const char *const known[] = {"if-env", "if-exists", "if-file", "if-dir", "if-directory",
        "if-opt", "if-hostname", "if-reload", "for", "for-times", "for-glob"};
    for (size_t i = 0; i < YARDER_COUNT_OF(known); i++) {
        if (strcmp(block, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool opens_block(const char *key)
{
    return strncmp(key, "if-", 3) == 0 || strncmp(key, "ifnot", 5) == 0 ||
           strcmp(key, "for") == 0 || strncmp(key, "for-", 4) == 0;
}

static bool closes_block(const char *key)
{
    static const char *const known[] = {"end", "endif", "end-if", "endfor", "end-for"};
    for (size_t i = 0; i < YARDER_COUNT_OF(known); i++) {
        if (strcmp(key, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* if-not-X and ifnot-X are X the other way round. */
static void open_block(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    struct arena *arena = &uwsgi->settings->arena;
    bool joined = strncmp(key, "ifnot-", 6) == 0;
    uwsgi->block_not = joined || strncmp(key, "if-not-", 7) == 0;
    uwsgi->block = uwsgi->block_not ? arena_format(arena, "if-%s", key + (joined ? 6 : 7)) : key;
    uwsgi->block_data = value != NULL ? value : "";
    if (!is_known_block(uwsgi->block)) {
        report_warning(uwsgi->report, spot->where,
            "%s is not asked: the lines up to its end are taken as they stand", key);
    }
}

static void take_in_block(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    if (strcmp(uwsgi->block, "for") == 0) {
        repeat_words(uwsgi, spot, key, value);
    } else if (strcmp(uwsgi->block, "for-times") == 0) {
        repeat_times(uwsgi, spot, key, value);
    } else if (strcmp(uwsgi->block, "for-glob") == 0) {
        repeat_files(uwsgi, spot, key, value);
    } else {
        const char *word = judge(uwsgi);
        if (word != NULL) {
            add_with(uwsgi, spot, key, value, word);
        }
    }
}

/* set = KEY=VALUE is that line; set-placeholder = KEY=VALUE is what %(KEY) stands for alone. */
static void take_set(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    const char *key, const char *value)
{
    const char *equals = value != NULL ? strchr(value, '=') : NULL;
    add(uwsgi, spot, key, value);
    if (equals != NULL && strcmp(key, "set") == 0) {
        struct yarder_text name = {value, (size_t)(equals - value)};
        add(uwsgi, spot, settings_key(uwsgi->settings, name), equals + 1);
    }
}

const char *settings_uwsgi_file(
    struct settings_uwsgi *uwsgi, const struct settings_spot *spot, const char *value)
{
    if (uwsgi->block == NULL) {
        return value;
    }
    if (strncmp(uwsgi->block, "for", 3) == 0) {
        report_error(uwsgi->report, spot->where,
            "a file cannot be named in a %s block here; name each of them", uwsgi->block);
        return NULL;
    }
    const char *word = judge(uwsgi);
    return word != NULL ? with_word(uwsgi, spot, value, word) : NULL;
}

void settings_uwsgi_take(struct settings_uwsgi *uwsgi, const struct settings_spot *spot,
    struct yarder_text key_raw, const struct yarder_text *raw)
{
    const char *key = settings_key(uwsgi->settings, key_raw);
    const char *value = NULL;
    if (raw != NULL) {
        value = uwsgi->plain ? arena_text(&uwsgi->settings->arena, raw->at, raw->length)
                             : settings_uwsgi_magic(uwsgi, spot, *raw);
    }
    if (raw != NULL && value == NULL) {
        return;
    }
    if (closes_block(key)) {
        uwsgi->block = NULL;
    } else if (uwsgi->block != NULL) {
        take_in_block(uwsgi, spot, key, value);
    } else if (opens_block(key)) {
        open_block(uwsgi, spot, key, value);
    } else {
        take_set(uwsgi, spot, key, value);
    }
}
