/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles Python's %-style formats. Attributes that a record has no member for (funcName, lineno,
 * whatever `extra` brought) are fields of the same name.
 */
#include <errno.h>

#include "base/text.h"
#include "codec/template.h"

struct attribute {
    const char *name;
    enum template_kind kind;
    bool number; /* takes %d and %f as well as %s */
};

/* clang-format off: a table */
static const struct attribute attributes[] = {
    {"message", TEMPLATE_MSG, false},
    {"levelname", TEMPLATE_LEVEL_PYTHON, false},
    {"levelno", TEMPLATE_LEVEL_NUMBER, true},
    {"name", TEMPLATE_LOGGER, false},
    {"asctime", TEMPLATE_ASCTIME, false},
    {"created", TEMPLATE_CREATED, true},
    {"msecs", TEMPLATE_MSECS, true},
    {"process", TEMPLATE_PID, true},
    {"thread", TEMPLATE_TID, true},
    {"pathname", TEMPLATE_FIELD, false},
    {"filename", TEMPLATE_FIELD, false},
    {"module", TEMPLATE_FIELD, false},
    {"lineno", TEMPLATE_FIELD, true},
    {"funcName", TEMPLATE_FIELD, false},
    {"processName", TEMPLATE_FIELD, false},
    {"threadName", TEMPLATE_FIELD, false},
    {"taskName", TEMPLATE_FIELD, false},
    {"relativeCreated", TEMPLATE_FIELD, true},
};
/* clang-format on */

enum { NAME_BYTES_MAX = 64, FRACTION_DIGITS_MAX = 9, FRACTION_DIGITS_USUAL = 6 };
static const char asctime_format[] = "%F %T";

struct reader {
    struct template_list *list;
    const char *format;
    char *why;
    size_t why_bytes;
};

static int refuse(const struct reader *reader, const char *at, const char *what, const char *name)
{
    (void)snprintf(reader->why, reader->why_bytes, "column %zu: %s%s",
        (size_t)(at - reader->format) + 1, what, name);
    return -EINVAL;
}

static const struct attribute *find_attribute(const char *name)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(attributes); i++) {
        if (strcmp(attributes[i].name, name) == 0) {
            return &attributes[i];
        }
    }
    return NULL;
}

/* An unknown name is a field that `extra` brings, unless it is nearly an attribute's. */
static int find_kind(
    const struct reader *reader, const char *at, const char *name, struct attribute *out)
{
    const char *names[YARDER_COUNT_OF(attributes)];
    const struct attribute *known = find_attribute(name);
    if (known != NULL) {
        *out = *known;
        return 0;
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(attributes); i++) {
        names[i] = attributes[i].name;
    }
    *out = (struct attribute){name, TEMPLATE_FIELD, true};
    if (strncmp(name, "field.", 6) == 0) {
        out->name = name + 6;
        return 0;
    }
    const char *near = text_near(name, names, YARDER_COUNT_OF(names));
    if (near == NULL) {
        return 0;
    }
    (void)snprintf(reader->why, reader->why_bytes,
        "column %zu: unknown attribute \"%s\"; did you mean \"%s\"? (for a field of that name: "
        "%%(field.%s)s)",
        (size_t)(at - reader->format) + 1, name, near, name);
    return -EINVAL;
}

static const char *read_number(const char *at, uint32_t *out)
{
    *out = 0;
    while (*at >= '0' && *at <= '9' && *out <= TEMPLATE_WIDTH_MAX) {
        *out = *out * 10 + (uint32_t)(*at++ - '0');
    }
    return at;
}

/* Flags, width, precision and conversion; returns what follows, or NULL. */
static const char *read_shape(const char *at, struct template_shape *shape)
{
    uint32_t width = 0;
    uint32_t precision = 0;
    for (; *at != '\0' && strchr("#0- +", *at) != NULL; at++) {
        shape->left |= *at == '-';
        shape->zeros |= *at == '0';
    }
    at = read_number(at, &width);
    if (*at == '.') {
        at = read_number(at + 1, &precision);
        shape->cut = true;
    }
    if (width > TEMPLATE_WIDTH_MAX || precision > TEMPLATE_WIDTH_MAX || *at == '\0') {
        return NULL;
    }
    shape->width = (uint8_t)width;
    shape->precision = (uint8_t)precision;
    shape->conversion = *at == 'i' || *at == 'u' ? 'd' : *at;
    shape->shaped = width > 0 || (shape->cut && shape->conversion == 's');
    return at + 1;
}

static int add_attribute(
    const struct reader *reader, const struct attribute *attribute, struct template_shape shape)
{
    if (attribute->kind == TEMPLATE_ASCTIME) {
        int result = template_add_clock(reader->list, TEMPLATE_ASCTIME, false, false,
            asctime_format, sizeof(asctime_format) - 1);
        if (result == 0) {
            reader->list->ops[reader->list->ops_count - 1].shape = shape;
            reader->list->fixed_bytes += shape.width;
        }
        return result;
    }
    struct template_op op = {.kind = attribute->kind, .shape = shape};
    if (attribute->kind == TEMPLATE_FIELD) {
        op.text_bytes = (uint32_t)strlen(attribute->name);
        op.text = strdup(attribute->name);
        if (op.text == NULL) {
            return -ENOMEM;
        }
    }
    return template_add(reader->list, op);
}

/* `%(name)...`; *after is what follows. */
static int read_attribute(const struct reader *reader, const char *at, const char **after)
{
    char name[NAME_BYTES_MAX + 1] = "";
    const char *close = strchr(at, ')');
    if (close == NULL) {
        return refuse(reader, at, "\"%(\" without its \")\"", "");
    }
    size_t length = (size_t)(close - at) - 2;
    if (length == 0 || length > NAME_BYTES_MAX) {
        return refuse(reader, at, "expected a name of 1 to 64 bytes", "");
    }
    memcpy(name, at + 2, length);
    struct template_shape shape = {0};
    struct attribute attribute;
    *after = read_shape(close + 1, &shape);
    if (*after == NULL || strchr("sdf", shape.conversion) == NULL) {
        return refuse(reader, at, "expected s, d or f behind ", name);
    }
    int result = find_kind(reader, at, name, &attribute);
    if (result < 0) {
        return result;
    }
    if (shape.conversion != 's' && !attribute.number) {
        return refuse(reader, at, "is a text, and takes %s only: ", name);
    }
    if (shape.conversion == 'f' && shape.cut && shape.precision > FRACTION_DIGITS_MAX) {
        return refuse(reader, at, "more than 9 digits behind the point: ", name);
    }
    return add_attribute(reader, &attribute, shape);
}

static int compile(const struct reader *reader)
{
    const char *from = reader->format;
    int result = 0;
    while (result == 0) {
        const char *percent = strchr(from, '%');
        size_t length = percent == NULL ? strlen(from) : (size_t)(percent - from);
        bool doubled = percent != NULL && percent[1] == '%';
        result = template_add_literal(reader->list, from, length + doubled);
        if (result < 0 || percent == NULL) {
            return result;
        }
        from = percent + 2;
        if (!doubled && percent[1] != '(') {
            return refuse(reader, percent, "expected \"%(name)s\" or \"%%\"", "");
        }
        if (!doubled) {
            result = read_attribute(reader, percent, &from);
        }
    }
    return result;
}

int template_open_python(
    struct template_list *list, const char *format, char *why, size_t why_bytes)
{
    *list = (struct template_list){0};
    struct reader reader = {list, format, why, why_bytes};
    int result = compile(&reader);
    if (result == 0) {
        result = template_add(list, (struct template_op){.kind = TEMPLATE_TRACEBACK});
    }
    if (result == -E2BIG) {
        (void)snprintf(why, why_bytes, "format of more than %d pieces", (int)TEMPLATE_OPS_MAX);
        return -EINVAL;
    }
    return result;
}
