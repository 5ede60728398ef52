/* SPDX-License-Identifier: Apache-2.0 */
/* Compiles `${...}` formats. */
#include "codec/template.h"

#include <errno.h>

#include "base/text.h"
#include "codec/encode_names.h"

/* clang-format off: a table */
const struct encode_name encode_variables[] = {
    {"time", "time stated by the sender, local: 2026-11-21T01:14:05.123456+01:00; ${time:%F %T}"},
    {"utc", "the same in UTC: 2026-11-21T00:14:05.123456Z; ${utc:%F %T.%L}"},
    {"received", "time of arrival, local; takes a format as ${time:...} does"},
    {"strftime", "another name of ${time:FORMAT}"},
    {"unix", "seconds since 1970"},
    {"millis", "milliseconds since 1970"},
    {"micros", "microseconds since 1970"},
    {"msg", "the message"},
    {"level", "level in lower case: warning"},
    {"LEVEL", "level in upper case: WARNING"},
    {"severity", "syslog severity, 0 to 7"},
    {"pri", "syslog priority, facility * 8 + severity"},
    {"facility", "syslog facility by name"},
    {"host", "host as stated, else this machine's name"},
    {"peer", "network address that it came from"},
    {"tag", "syslog tag or application name"},
    {"logger", "name of the logger"},
    {"pid", "process id"},
    {"tid", "thread id"},
    {"stream", "stdout or stderr"},
    {"kind", "log or request"},
    {"fields", "all fields as a JSON object"},
    {"field.NAME", "one field"},
    {NULL, NULL},
};
/* clang-format on */

/* In the order of encode_variables. */
static const enum template_kind variable_kinds[] = {TEMPLATE_CLOCK, TEMPLATE_CLOCK, TEMPLATE_CLOCK,
    TEMPLATE_CLOCK, TEMPLATE_UNIX, TEMPLATE_MILLIS, TEMPLATE_MICROS, TEMPLATE_MSG, TEMPLATE_LEVEL,
    TEMPLATE_LEVEL_UPPER, TEMPLATE_SEVERITY, TEMPLATE_PRI, TEMPLATE_FACILITY, TEMPLATE_HOST,
    TEMPLATE_PEER, TEMPLATE_TAG, TEMPLATE_LOGGER, TEMPLATE_PID, TEMPLATE_TID, TEMPLATE_STREAM,
    TEMPLATE_KIND, TEMPLATE_FIELDS, TEMPLATE_FIELD};
enum { VARIABLES_COUNT = YARDER_COUNT_OF(variable_kinds) };
_Static_assert(
    YARDER_COUNT_OF(encode_variables) == VARIABLES_COUNT + 1, "a kind for each variable");

static const char field_prefix[] = "field.";
enum { FIELD_PREFIX_BYTES = sizeof(field_prefix) - 1, NAME_SHOWN_BYTES = 40 };

/* Copies of ours are padded, so that put_padded may read whole steps. */
static char *copy_padded(const char *text, size_t length)
{
    char *copy = calloc(1, length + PUT_STEP_BYTES);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}

int template_add(struct template_list *list, struct template_op op)
{
    YARDER_ASSERT(op.kind < TEMPLATE_KINDS);
    if (list->ops_count == TEMPLATE_OPS_MAX) {
        free(op.text);
        free(op.clock);
        return -E2BIG;
    }
    list->ops[list->ops_count++] = op;
    list->kind_counts[op.kind]++;
    list->fixed_bytes += op.shape.width;
    list->fixed_bytes += op.kind == TEMPLATE_LITERAL ? op.text_bytes : TEMPLATE_SHORT_BYTES_MAX;
    return 0;
}

int template_add_literal(struct template_list *list, const char *text, size_t length)
{
    if (length == 0) {
        return 0;
    }
    char *copy = copy_padded(text, length);
    if (copy == NULL) {
        return -ENOMEM;
    }
    return template_add(
        list, (struct template_op){
                  .kind = TEMPLATE_LITERAL, .text = copy, .text_bytes = (uint32_t)length});
}

int template_add_clock(struct template_list *list, enum template_kind kind, bool received, bool utc,
    const char *format, size_t length)
{
    if (length == 0) {
        return 0;
    }
    struct calendar_text *clock = calloc(1, sizeof(*clock));
    if (clock == NULL) {
        return -ENOMEM;
    }
    YARDER_ASSERT(length <= sizeof(clock->format));
    clock->utc = utc;
    memcpy(clock->format, format, length);
    clock->format_length = (uint8_t)length;
    return template_add(
        list, (struct template_op){.kind = kind, .received = received, .clock = clock});
}

void template_close(struct template_list *list)
{
    for (uint32_t i = 0; i < list->ops_count; i++) {
        free(list->ops[i].text);
        free(list->ops[i].clock);
    }
    list->ops_count = 0;
}

/* Where a compiler stands, and where it says what is wrong. */
struct compiler {
    struct template_list *list;
    const char *format;
    bool in_path;
    char *why;
    size_t why_bytes;
};

static int refuse(
    const struct compiler *compiler, const char *at, const char *what, struct yarder_text name)
{
    int shown = (int)yarder_min(name.length, NAME_SHOWN_BYTES);
    (void)snprintf(compiler->why, compiler->why_bytes, "column %zu: %s%s%.*s%s",
        (size_t)(at - compiler->format) + 1, what, shown > 0 ? " \"" : "", shown,
        shown > 0 ? name.at : "", shown > 0 ? "\"" : "");
    return -EINVAL;
}

static int refuse_name(const struct compiler *compiler, const char *at, struct yarder_text name)
{
    const char *names[VARIABLES_COUNT];
    char word[NAME_SHOWN_BYTES + 1] = "";
    for (size_t i = 0; i < VARIABLES_COUNT; i++) {
        names[i] = encode_variables[i].name;
    }
    if (name.length < sizeof(word)) {
        memcpy(word, name.at, name.length);
    }
    const char *near = text_near(word, names, VARIABLES_COUNT);
    (void)refuse(compiler, at, "unknown variable", name);
    size_t said = strlen(compiler->why);
    if (near != NULL && said < compiler->why_bytes) {
        (void)snprintf(
            compiler->why + said, compiler->why_bytes - said, "; did you mean \"%s\"?", near);
    }
    return -EINVAL;
}

/* %L, %f and %N: the digits of a second. */
static bool is_fraction(char conversion, enum template_kind *kind)
{
    switch (conversion) {
    case 'L':
        *kind = TEMPLATE_FRACTION_MS;
        return true;
    case 'f':
        *kind = TEMPLATE_FRACTION_US;
        return true;
    case 'N':
        *kind = TEMPLATE_FRACTION_NS;
        return true;
    default:
        return false;
    }
}

static int add_clock_checked(
    struct compiler *compiler, bool received, bool utc, const char *from, size_t length)
{
    size_t bad_at = 0;
    int bytes = calendar_measure(from, length, &bad_at);
    if (bytes < 0) {
        return refuse(compiler, from + bad_at, "unknown time conversion",
            (struct yarder_text){from + bad_at, yarder_min(2, length - bad_at)});
    }
    if (bytes > CALENDAR_TEXT_BYTES_MAX || length > CALENDAR_TEXT_BYTES_MAX) {
        return refuse(compiler, from, "time format too long", (struct yarder_text){0});
    }
    return template_add_clock(compiler->list, TEMPLATE_CLOCK, received, utc, from, length);
}

/* A time format as pieces that change once a second and, between them, fractions. */
static int add_time(
    struct compiler *compiler, bool received, bool utc, const char *format, const char *end)
{
    const char *from = format;
    for (const char *at = format; at < end; at++) {
        enum template_kind fraction = TEMPLATE_LITERAL;
        if (*at != '%') {
            continue;
        }
        if (end - at < 2 || !is_fraction(at[1], &fraction)) {
            at += end - at >= 2;
            continue;
        }
        int result = add_clock_checked(compiler, received, utc, from, (size_t)(at - from));
        if (result == 0) {
            result = template_add(
                compiler->list, (struct template_op){.kind = fraction, .received = received});
        }
        if (result < 0) {
            return result;
        }
        at++;
        from = at + 1;
    }
    return add_clock_checked(compiler, received, utc, from, (size_t)(end - from));
}

static int add_time_variable(
    struct compiler *compiler, struct yarder_text name, const char *format, const char *end)
{
    bool received = text_is(name, "received");
    bool utc = text_is(name, "utc");
    if (format != NULL) {
        return add_time(compiler, received, utc, format, end);
    }
    const char *usual = utc ? "%FT%T.%fZ" : "%FT%T.%f%:z";
    return add_time(compiler, received, utc, usual, usual + strlen(usual));
}

static int add_field(struct compiler *compiler, struct yarder_text name)
{
    struct template_op op = {.kind = TEMPLATE_FIELD,
        .text = copy_padded(name.at + FIELD_PREFIX_BYTES, name.length - FIELD_PREFIX_BYTES),
        .text_bytes = (uint32_t)(name.length - FIELD_PREFIX_BYTES)};
    return op.text == NULL ? -ENOMEM : template_add(compiler->list, op);
}

/* One `${...}`: `body` to `end` is what stands between the braces, `at` where it begins. */
static int add_variable(
    struct compiler *compiler, const char *at, const char *body, const char *end)
{
    const char *colon = memchr(body, ':', (size_t)(end - body));
    struct yarder_text name = {body, (size_t)(end - body)};
    if (name.length > FIELD_PREFIX_BYTES && memcmp(body, field_prefix, FIELD_PREFIX_BYTES) == 0) {
        return add_field(compiler, name);
    }
    name.length = colon == NULL ? name.length : (size_t)(colon - body);
    size_t found = 0;
    while (found < VARIABLES_COUNT - 1 && !text_is(name, encode_variables[found].name)) {
        found++;
    }
    if (found == VARIABLES_COUNT - 1) {
        return refuse_name(compiler, at, name);
    }
    enum template_kind kind = variable_kinds[found];
    if (kind == TEMPLATE_CLOCK) {
        return add_time_variable(compiler, name, colon == NULL ? NULL : colon + 1, end);
    }
    if (colon != NULL) {
        return refuse(compiler, at, "takes no format:", name);
    }
    if (compiler->in_path && (kind == TEMPLATE_MSG || kind == TEMPLATE_FIELDS)) {
        return refuse(compiler, at, "cannot stand in a path:", name);
    }
    return template_add(compiler->list, (struct template_op){.kind = kind});
}

static int compile(struct compiler *compiler)
{
    const char *from = compiler->format;
    int result = 0;
    while (result == 0) {
        const char *dollar = strchr(from, '$');
        size_t length = dollar == NULL ? strlen(from) : (size_t)(dollar - from);
        bool variable = dollar != NULL && dollar[1] == '{';
        bool doubled = dollar != NULL && dollar[1] == '$';
        result = template_add_literal(compiler->list, from, length + (dollar != NULL && !variable));
        if (result < 0 || dollar == NULL) {
            return result;
        }
        from = dollar + 1 + doubled;
        if (variable) {
            const char *end = strchr(dollar, '}');
            if (end == NULL) {
                return refuse(
                    compiler, dollar, "\"${\" without its \"}\"", (struct yarder_text){0});
            }
            result = add_variable(compiler, dollar, dollar + 2, end);
            from = end + 1;
        }
    }
    return result;
}

int template_open(
    struct template_list *list, const char *format, bool in_path, char *why, size_t why_bytes)
{
    *list = (struct template_list){0};
    struct compiler compiler = {list, format, in_path, why, why_bytes};
    int result = compile(&compiler);
    if (result == -E2BIG) {
        (void)snprintf(why, why_bytes, "format of more than %d pieces", (int)TEMPLATE_OPS_MAX);
        return -EINVAL;
    }
    return result;
}
