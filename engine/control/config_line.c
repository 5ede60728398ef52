/* SPDX-License-Identifier: Apache-2.0 */
/* The one-line form of inputs and outputs: [NAME ]KIND:TARGET[,OPTION=VALUE...]. */
#include "control/config_line.h"

#include <errno.h>
#include <string.h>

#include "base/limits.h"
#include "inputs/input.h"

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at)) {
        at++;
    }
    return at;
}

static bool is_word(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' || byte == '.';
}

static size_t word_length(const char *at)
{
    size_t length = 0;
    while (is_word(at[length])) {
        length++;
    }
    return length;
}

/* An option's name; that of a field may hold what RFC 5424 lets one hold, which is nearly all. */
static size_t key_length(const char *at)
{
    static const char field[] = "field.";
    if (strncmp(at, field, sizeof(field) - 1) == 0) {
        return strcspn(at, " \t,\"=");
    }
    return word_length(at);
}

bool config_name_is_good(const char *name)
{
    size_t length = word_length(name);
    return length > 0 && name[length] == '\0' && length < YARDER_NAME_BYTES_MAX && name[0] != '-' &&
           name[0] != '.';
}

bool config_row_next(const struct config_rows *rows, struct config_row *row)
{
    size_t index = row->option == NULL ? 0 : row->index + 1;
    YARDER_ASSERT(index < CONFIG_ROWS_MAX);
    row->index = index;
    if (!row->own) {
        row->option = rows->table->row(index, &row->kinds);
        if (row->option != NULL) {
            return true;
        }
        row->own = true;
        row->own_base = index;
        row->kinds = rows->table == &config_input_table ? 1u << INPUT_SOURCE : 1u << OUTPUT_OFFLOAD;
    }
    row->option = rows->own != NULL ? &rows->own[index - row->own_base] : NULL;
    return row->option != NULL && row->option->kind != YARDER_OPTION_END;
}

bool config_row_applies(
    const struct config_row *row, unsigned kind, const struct yarder_backend *backend)
{
    static const char *const of_texts[] = {"format", "newlines", "encode"};
    bool takes_text = backend == NULL || (backend->flags & YARDER_BACKEND_TEXT) != 0;
    for (size_t i = 0; i < YARDER_COUNT_OF(of_texts) && !takes_text && !row->own; i++) {
        if (strcmp(row->option->name, of_texts[i]) == 0) {
            return false;
        }
    }
    return (row->kinds >> kind & 1) != 0;
}

bool config_row_find(const struct config_rows *rows, const char *name, struct config_row *out)
{
    bool is_field =
        strncmp(name, "field.", strlen("field.")) == 0 && name[strlen("field.")] != '\0';
    struct config_row row = {0};
    bool found = false;
    while (config_row_next(rows, &row)) { /* a kind's own ones come last, and win */
        if (strcmp(row.option->name, is_field ? "field" : name) == 0) {
            *out = row;
            found = true;
        }
    }
    return found;
}

/* Whether an option's name says the same: "to" in "to-address", "pass" before "password". */
static bool is_kin(const char *option, const char *name)
{
    enum { ROOT_CHARS = 3 };
    static const struct {
        const char *name, *option;
    } synonyms[] = {{"database", "db"}, {"recipient", "to-address"}, {"sender", "from"},
        {"login", "user"}, {"token", "secret-header"}};
    for (size_t i = 0; i < YARDER_COUNT_OF(synonyms); i++) {
        if (strcmp(name, synonyms[i].name) == 0 && strcmp(option, synonyms[i].option) == 0) {
            return true;
        }
    }
    size_t length = strlen(name);
    for (const char *part = option; part != NULL; part = strchr(part, '-')) {
        part += *part == '-';
        if (strcspn(part, "-") == length && memcmp(part, name, length) == 0) {
            return true;
        }
    }
    size_t common = yarder_min(length, strlen(option));
    return common >= ROOT_CHARS && memcmp(option, name, common) == 0;
}

const char *config_row_near(const struct config_rows *rows, const char *name)
{
    const char *names[CONFIG_ROWS_MAX];
    const char *kin = NULL;
    size_t count = 0;
    struct config_row row = {0};
    while (config_row_next(rows, &row)) {
        names[count++] = row.option->name;
        kin = is_kin(row.option->name, name) ? row.option->name : kin; /* its own come last */
    }
    const char *near = text_near(name, names, count);
    return near != NULL ? near : kin;
}

/* NULL: there is none. */
static const struct yarder_option *find_row(
    struct arena *arena, const struct config_rows *rows, struct yarder_text word)
{
    struct config_row row = {0};
    const char *name = arena_text(arena, word.at, word.length);
    return config_row_find(rows, name, &row) ? row.option : NULL;
}

/* Reads "..." at `at` with its \" and \\: the bytes gone through, or 0 with `why`. */
static size_t take_quoted(
    struct arena *arena, const char *at, const char **out, char why[OPTION_WHY_BYTES])
{
    char *text = arena_text(arena, at, strlen(at));
    size_t length = 0;
    for (size_t i = 1; at[i] != '\0'; i++) {
        if (at[i] == '"') {
            text[yarder_min(length, strlen(at))] = '\0';
            *out = text;
            return i + 1;
        }
        bool escaped = at[i] == '\\' && (at[i + 1] == '"' || at[i + 1] == '\\');
        i += escaped ? 1 : 0;
        if (!arena->failed) {
            text[length++] = at[i];
        }
    }
    (void)snprintf(why, OPTION_WHY_BYTES, "a double quote is open; inside quotes it is \\\"");
    return 0;
}

int config_unquote(
    struct arena *arena, const char *value, const char **out, char why[OPTION_WHY_BYTES])
{
    if (value == NULL || value[0] != '"') {
        *out = value;
        return 0;
    }
    size_t length = take_quoted(arena, value, out, why);
    if (length == 0) {
        return -EINVAL;
    }
    if (value[length] != '\0') {
        (void)snprintf(why, OPTION_WHY_BYTES,
            "text behind the closing double quote; a value that "
            "begins with one is quoted as a whole, and inside it is \\\"");
        return -EINVAL;
    }
    return 0;
}

enum comma { COMMA_TEXT, COMMA_OPTION, COMMA_WRONG };

/* What the comma at `at` is: the start of an option, a part of the value, or a mistake. */
static enum comma judge_comma(
    struct arena *arena, const struct config_rows *rows, const char *at, char why[OPTION_WHY_BYTES])
{
    const char *start = skip_blanks(at + 1);
    struct yarder_text word = {start, key_length(start)};
    const char *behind = skip_blanks(start + word.length);
    if (word.length == 0 || (*behind != '=' && *behind != ',' && *behind != '\0')) {
        return COMMA_TEXT;
    }
    const struct yarder_option *option = find_row(arena, rows, word);
    if (*behind == '=' && option != NULL) {
        return COMMA_OPTION;
    }
    int shown = (int)yarder_min(word.length, 64);
    if (*behind != '=') {
        if (option == NULL) {
            return COMMA_TEXT;
        }
        (void)snprintf(why, OPTION_WHY_BYTES, "option %.*s needs a value: %.*s=%s", shown, word.at,
            shown, word.at, option->argument);
        return COMMA_WRONG;
    }
    const char *near = config_row_near(rows, arena_text(arena, word.at, word.length));
    if (near != NULL) {
        (void)snprintf(why, OPTION_WHY_BYTES, "unknown option '%.*s' of an %s; did you mean %s?",
            shown, word.at, rows->table->noun, near);
    } else {
        (void)snprintf(why, OPTION_WHY_BYTES,
            "unknown option '%.*s' of an %s; a comma that belongs "
            "to a value must stand in double quotes",
            shown, word.at, rows->table->noun);
    }
    return COMMA_WRONG;
}

/*
 * A target or an option's value at *at, up to the comma that begins the next option or to the end.
 * *at moves on to that comma or the end.
 */
static int take_value(struct arena *arena, const struct config_rows *rows, const char **at,
    const char **out, char why[OPTION_WHY_BYTES])
{
    const char *start = skip_blanks(*at);
    if (*start == '"') {
        size_t length = take_quoted(arena, start, out, why);
        if (length == 0) {
            return -EINVAL;
        }
        *at = skip_blanks(start + length);
        if (**at == '\0' || **at == ',') {
            return 0;
        }
        (void)snprintf(why, OPTION_WHY_BYTES,
            "text behind the closing double quote; expected a "
            "comma or the end");
        return -EINVAL;
    }
    const char *end = start;
    for (; *end != '\0'; end++) {
        enum comma comma = *end == ',' ? judge_comma(arena, rows, end, why) : COMMA_TEXT;
        if (comma == COMMA_WRONG) {
            return -EINVAL;
        }
        if (comma == COMMA_OPTION) {
            break;
        }
    }
    *at = end;
    while (end > start && is_blank(end[-1])) {
        end--;
    }
    *out = arena_text(arena, start, (size_t)(end - start));
    return 0;
}

static int take_options(struct arena *arena, const struct config_rows *rows, const char *at,
    struct config_split *out, char why[OPTION_WHY_BYTES])
{
    while (*at == ',') {
        const char *start = skip_blanks(at + 1);
        struct yarder_text word = {start, key_length(start)};
        enum comma comma = judge_comma(arena, rows, at, why);
        if (comma == COMMA_TEXT) {
            (void)snprintf(why, OPTION_WHY_BYTES, "expected OPTION=VALUE behind the comma");
        }
        if (comma != COMMA_OPTION) {
            return -EINVAL;
        }
        if (out->pairs_count == CONFIG_PAIRS_MAX) {
            (void)snprintf(why, OPTION_WHY_BYTES, "more than %d options", CONFIG_PAIRS_MAX);
            return -EINVAL;
        }
        struct config_pair *pair = &out->pairs[out->pairs_count++];
        pair->key = arena_text(arena, word.at, word.length);
        at = skip_blanks(start + word.length) + 1;
        int r = take_value(arena, rows, &at, &pair->value, why);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* A target with " OPTION=" in it was meant to have a comma there. */
static int check_blanks(struct arena *arena, const struct config_rows *rows, const char *target,
    char why[OPTION_WHY_BYTES])
{
    for (const char *at = strpbrk(target, " \t"); at != NULL; at = strpbrk(at, " \t")) {
        at = skip_blanks(at);
        struct yarder_text word = {at, key_length(at)};
        const char *behind = skip_blanks(at + word.length);
        if (word.length > 0 && *behind == '=' && find_row(arena, rows, word) != NULL) {
            int shown = (int)yarder_min(word.length, 64);
            (void)snprintf(why, OPTION_WHY_BYTES,
                "a blank stands before '%.*s='; an option begins at a comma, and a target with "
                "that in it must stand in double quotes",
                shown, word.at);
            return -EINVAL;
        }
    }
    return 0;
}

/* A first word with more behind it, and without a colon or comma, is meant as a name. */
static int take_name(
    struct arena *arena, const char **at, const char **name, char why[OPTION_WHY_BYTES])
{
    size_t length = strcspn(*at, " \t:,\"=");
    const char *behind = skip_blanks(*at + length);
    *name = "";
    if (length == 0 || !is_blank((*at)[length]) || *behind == '\0' || *behind == ',') {
        return 0;
    }
    *name = arena_text(arena, *at, length);
    *at = behind;
    if (!config_name_is_good(*name) && !arena->failed) {
        (void)snprintf(why, OPTION_WHY_BYTES,
            "'%.64s' cannot be a name: expected up to %d letters, "
            "digits, _ . or -",
            *name, YARDER_NAME_BYTES_MAX - 1);
        return -EINVAL;
    }
    return 0;
}

int config_split_kind(struct arena *arena, const char *line, struct config_split *out,
    const char **rest, char why[OPTION_WHY_BYTES])
{
    *out = (struct config_split){.name = "", .kind = "", .target = ""};
    const char *at = skip_blanks(line);
    int r = take_name(arena, &at, &out->name, why);
    if (r < 0) {
        return r;
    }
    size_t kind_length = strcspn(at, ":,");
    *rest = at + kind_length;
    while (kind_length > 0 && is_blank(at[kind_length - 1])) {
        kind_length--;
    }
    if (kind_length == 0) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected [NAME ]KIND:TARGET[,OPTION=VALUE...]");
        return -EINVAL;
    }
    out->kind = arena_text(arena, at, kind_length);
    return 0;
}

int config_split_rest(struct arena *arena, const struct config_rows *rows, bool whole,
    const char *rest, struct config_split *out, char why[OPTION_WHY_BYTES])
{
    if (*rest != ':') {
        return take_options(arena, rows, rest, out, why);
    }
    const char *at = skip_blanks(rest + 1);
    if (whole) {
        out->target = arena_text(arena, at, strlen(at));
        return 0;
    }
    bool quoted = *at == '"';
    int r = take_value(arena, rows, &at, &out->target, why);
    if (r == 0 && !quoted) {
        r = check_blanks(arena, rows, out->target, why);
    }
    return r < 0 ? r : take_options(arena, rows, at, out, why);
}

const char *config_list(const char *const *names, size_t count, char at[CONFIG_KINDS_BYTES])
{
    size_t length = 0;
    at[0] = '\0';
    for (size_t i = 0; i < count && length < CONFIG_KINDS_BYTES; i++) {
        const char *behind = i + 1 == count ? "" : i + 2 == count ? " and " : ", ";
        length +=
            (size_t)snprintf(at + length, CONFIG_KINDS_BYTES - length, "%s%s", names[i], behind);
    }
    return at;
}

const char *config_list_kinds(
    const struct config_table *table, uint32_t kinds, char at[CONFIG_KINDS_BYTES])
{
    const char *names[CONFIG_ROWS_MAX];
    size_t count = 0;
    unsigned kinds_count = table->kinds_count + 1; /* and those with a module */
    for (unsigned i = 0; i < kinds_count; i++) {
        if ((kinds >> i & 1) != 0) {
            names[count++] = table->kind_names[i];
        }
    }
    return config_list(names, count, at);
}
