/* SPDX-License-Identifier: Apache-2.0 */
#include "control/option_set.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/text.h"
#include "outputs/output_private.h"

static int refuse(char *why, const char *expected)
{
    (void)snprintf(why, OPTION_WHY_BYTES, "expected %s", expected);
    return -EINVAL;
}

static int set_bool(bool *field, const char *text, char *why)
{
    static const char *const yes[] = {"yes", "on", "true", "1"};
    static const char *const no[] = {"no", "off", "false", "0"};
    for (size_t i = 0; i < YARDER_COUNT_OF(yes); i++) {
        if (text == NULL || strcasecmp(text, yes[i]) == 0) {
            *field = true;
            return 0;
        }
        if (strcasecmp(text, no[i]) == 0) {
            *field = false;
            return 0;
        }
    }
    return refuse(why, "yes or no");
}

typedef const char *(*format_number)(uint64_t value, char at[OPTION_FORMAT_BYTES]);

static const char *format_count(uint64_t value, char at[OPTION_FORMAT_BYTES])
{
    (void)snprintf(at, OPTION_FORMAT_BYTES, "%llu", (unsigned long long)value);
    return at;
}

/* Into the field if it lies between the option's limits. */
static int set_number(const struct yarder_option *option, uint64_t *field, uint64_t value,
    format_number format, char *why)
{
    char low[OPTION_FORMAT_BYTES];
    char high[OPTION_FORMAT_BYTES];
    if (value < option->min || value > option->max) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected %s to %s", format(option->min, low),
            format(option->max, high));
        return -EINVAL;
    }
    *field = value;
    return 0;
}

static int set_count(
    const struct yarder_option *option, uint64_t *field, const char *text, char *why)
{
    uint64_t value = 0;
    if (text_to_u64(text_of(text), &value) < 0) {
        return refuse(why, "a number");
    }
    return set_number(option, field, value, format_count, why);
}

static int set_bytes(
    const struct yarder_option *option, uint64_t *field, const char *text, char *why)
{
    uint64_t value = 0;
    if (option_parse_bytes(text, &value) < 0) {
        return refuse(why, "a size such as 65536, 64K, 16M or 1G");
    }
    return set_number(option, field, value, option_format_bytes, why);
}

static int set_duration(
    const struct yarder_option *option, uint64_t *field, const char *text, char *why)
{
    uint64_t value = 0;
    int r = option_parse_duration(text, &value);
    if (r == -ERANGE) {
        return refuse(why, "a time of at most 365d");
    }
    if (r < 0) {
        bool bare = text[0] != '\0' && text[strspn(text, "0123456789")] == '\0';
        return refuse(why, bare ? "a time with its unit: ms, s, m, h or d"
                                : "a time such as 5ms, 2s, 15m, 1h or 7d");
    }
    return set_number(option, field, value, option_format_duration, why);
}

static int set_choice(const struct yarder_option *option, int *field, const char *text, char *why)
{
    size_t length = (size_t)snprintf(why, OPTION_WHY_BYTES, "expected ");
    for (int i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *field = i;
            return 0;
        }
        const char *between = i == 0 ? "" : option->choices[i + 1] == NULL ? " or " : ", ";
        length += (size_t)snprintf(
            why + length, OPTION_WHY_BYTES - length, "%s%s", between, option->choices[i]);
        YARDER_ASSERT(length < OPTION_WHY_BYTES);
    }
    return -EINVAL;
}

static int set_mode(
    const struct yarder_option *option, uint32_t *field, const char *text, char *why)
{
    uint64_t mode = 0;
    size_t length = strspn(text, "01234567");
    for (size_t i = 0; i < length && mode <= option->max; i++) {
        mode = mode * 8 + (uint64_t)(text[i] - '0');
    }
    if (length == 0 || text[length] != '\0' || mode > option->max) {
        return refuse(why, "permissions in octal, such as 0640");
    }
    *field = (uint32_t)mode;
    return 0;
}

/* "warning": that and above; "warning..error"; "..info" and "warning.." leave one end open. */
static int set_levels(struct yarder_levels *field, const char *text, char *why)
{
    const char *dots = strstr(text, "..");
    struct yarder_text low = {text, dots != NULL ? (size_t)(dots - text) : strlen(text)};
    struct yarder_text high = text_of(dots != NULL ? dots + 2 : "");
    struct yarder_levels levels = {0, YARDER_LEVEL_MAX};
    bool good = low.length > 0 || high.length > 0;
    good = good && (low.length == 0 || text_to_level(low, &levels.lowest) == 0);
    good = good && (high.length == 0 || text_to_level(high, &levels.highest) == 0);
    if (!good) {
        return refuse(why, "debug, info, notice, warning, error, critical, alert, emerg or a "
                           "number to 255, or a range such as warning..error");
    }
    if (levels.lowest > levels.highest) {
        return refuse(why, "the lower level first, such as warning..error");
    }
    *field = levels;
    return 0;
}

static int set_special(const struct yarder_option *option, void *field, const char *text, char *why)
{
    YARDER_ASSERT(option->parse != NULL);
    return option->parse(field, text, why, OPTION_WHY_BYTES);
}

/* The first line of a file. */
static int read_secret(const char *path, char at[OPTION_SECRET_BYTES], char *why)
{
    struct stat status;
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0 && fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected a file, which %.128s is not", path);
        return -EINVAL;
    }
    YARDER_OWN_FILE FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (file != NULL) {
        (void)yarder_fd_take(&fd);
    }
    if (file == NULL || fgets(at, OPTION_SECRET_BYTES, file) == NULL) {
        (void)snprintf(why, OPTION_WHY_BYTES,
            "expected a readable file with a line in it: %.128s: %s", path,
            file == NULL || ferror(file) != 0 ? strerror(errno) : "it is empty");
        return -EINVAL;
    }
    size_t length = strcspn(at, "\r\n");
    if (at[length] == '\0' && length == OPTION_SECRET_BYTES - 1) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected a line of less than %d bytes in %.128s",
            OPTION_SECRET_BYTES, path);
        return -EINVAL;
    }
    at[length] = '\0';
    return 0;
}

int option_secret(const char *text, char at[OPTION_SECRET_BYTES], char why[OPTION_WHY_BYTES])
{
    bool of_file = strncmp(text, "file:", 5) == 0;
    const char *value = strncmp(text, "env:", 4) == 0 ? getenv(text + 4) : text;
    int r = of_file ? read_secret(text + 5, at, why) : 0;
    if (value == NULL) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected an environment variable that is set");
        return -EINVAL;
    }
    if (r == 0 && !of_file) {
        r = snprintf(at, OPTION_SECRET_BYTES, "%s", value) < OPTION_SECRET_BYTES ? 0 : -EINVAL;
    }
    if (r == 0 && at[0] != '\0') {
        return 0;
    }
    if (!of_file || r == 0) {
        (void)snprintf(why, OPTION_WHY_BYTES,
            "expected a secret of 1 to %d bytes: file:PATH, env:NAME or a text",
            OPTION_SECRET_BYTES - 1);
    }
    return -EINVAL;
}

static int set_secret(char **field, const char *text, struct arena *arena, char *why)
{
    char secret[OPTION_SECRET_BYTES];
    int r = option_secret(text, secret, why);
    if (r == 0) {
        *field = arena_text(arena, secret, strlen(secret));
    }
    explicit_bzero(secret, sizeof(secret));
    return r;
}

int option_set(const struct yarder_option *option, void *target, const char *text,
    struct arena *arena, char why[OPTION_WHY_BYTES])
{
    void *field = (char *)target + option->offset;
    if (text == NULL && option->kind != YARDER_OPTION_BOOL) {
        (void)snprintf(why, OPTION_WHY_BYTES, "expected a value: %s", option->argument);
        return -EINVAL;
    }
    switch (option->kind) {
    case YARDER_OPTION_BOOL:
        return set_bool(field, text, why);
    case YARDER_OPTION_COUNT:
        return set_count(option, field, text, why);
    case YARDER_OPTION_BYTES:
        return set_bytes(option, field, text, why);
    case YARDER_OPTION_DURATION:
        return set_duration(option, field, text, why);
    case YARDER_OPTION_CHOICE:
        return set_choice(option, field, text, why);
    case YARDER_OPTION_MODE:
        return set_mode(option, field, text, why);
    case YARDER_OPTION_LEVELS:
        return set_levels(field, text, why);
    case YARDER_OPTION_SPECIAL:
        return set_special(option, field, text, why);
    case YARDER_OPTION_TEXT:
    case YARDER_OPTION_PATH:
        if (text[0] == '\0') {
            return refuse(why, option->argument);
        }
        *(char **)field = arena_text(arena, text, strlen(text));
        return 0;
    case YARDER_OPTION_SECRET:
        return set_secret(field, text, arena, why);
    case YARDER_OPTION_TEXTS:
        if (text[0] == '\0') {
            return refuse(why, option->argument);
        }
        arena_append(arena, field, arena_text(arena, text, strlen(text)));
        return 0;
    case YARDER_OPTION_END:
        break;
    }
    YARDER_ASSERT(false);
    return -EINVAL;
}
