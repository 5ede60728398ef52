/* SPDX-License-Identifier: Apache-2.0 */
/* A template becomes anchors and the values between them. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "codec/request_private.h"

struct variable {
    const char *name;
    struct request_piece piece;
};

#define NUMBER(name)                                                                               \
    {                                                                                              \
        name,                                                                                      \
        {                                                                                          \
            .kind = REQUEST_NUMBER                                                                 \
        }                                                                                          \
    }

/* uWSGI's; what is not here is text. A prefix ends with a point. */
static const struct variable variables[] = {
    {"method", {.kind = REQUEST_FREE, .shape = REQUEST_WORD}},
    {"proto", {.kind = REQUEST_FREE, .shape = REQUEST_WORD}},
    {"host", {.kind = REQUEST_FREE, .shape = REQUEST_WORD}},
    {"addr", {.kind = REQUEST_FREE, .shape = REQUEST_NAME}},
    {"user", {.kind = REQUEST_FREE, .shape = REQUEST_NAME}},
    {"uri", {.kind = REQUEST_FREE, .shape = REQUEST_URI}},
    {"time", {.kind = REQUEST_NUMBER, .clock = REQUEST_CLOCK_S}},
    {"tmsecs", {.kind = REQUEST_NUMBER, .clock = REQUEST_CLOCK_MS}},
    {"tmicros", {.kind = REQUEST_NUMBER, .clock = REQUEST_CLOCK_US}},
    {"ctime", {.kind = REQUEST_CTIME, .clock = REQUEST_CLOCK_CTIME}},
    {"ltime", {.kind = REQUEST_LTIME, .clock = REQUEST_CLOCK_LTIME}},
    {"ftime", {.kind = REQUEST_FREE, .clock = REQUEST_CLOCK_LTIME}},
    {"secs", {.kind = REQUEST_DECIMAL}},
    {"pid", {.kind = REQUEST_NUMBER, .is_pid = true}},
    NUMBER("status"),
    NUMBER("rsize"),
    NUMBER("hsize"),
    NUMBER("size"),
    NUMBER("cl"),
    NUMBER("micros"),
    NUMBER("msecs"),
    NUMBER("epoch"),
    NUMBER("wid"),
    NUMBER("core"),
    NUMBER("switches"),
    NUMBER("vars"),
    NUMBER("vsz"),
    NUMBER("rss"),
    NUMBER("vszM"),
    NUMBER("rssM"),
    NUMBER("pktsize"),
    NUMBER("modifier1"),
    NUMBER("modifier2"),
    NUMBER("headers"),
    NUMBER("werr"),
    NUMBER("rerr"),
    NUMBER("ioerr"),
    NUMBER("metric."),
};

/* What stands in the line of uWSGI's own and has no name there. */
static const struct variable own_variables[] = {
    NUMBER("app"),
    NUMBER("req"),
    NUMBER("reqs"),
    NUMBER("took"),
    NUMBER("uss"),
    NUMBER("ussM"),
    NUMBER("pss"),
    NUMBER("pssM"),
    {"unit", {.kind = REQUEST_UNIT}},
    {"via", {.kind = REQUEST_VIA}},
};

static bool is_variable(const struct variable *variable, struct yarder_text name)
{
    size_t length = strlen(variable->name);
    bool prefix = variable->name[length - 1] == '.';
    return prefix ? name.length > length && memcmp(name.at, variable->name, length) == 0
                  : text_is(name, variable->name);
}

static struct request_piece piece_of(struct yarder_text name, bool own)
{
    struct request_piece piece = {.kind = REQUEST_FREE};
    for (size_t i = 0; i < YARDER_COUNT_OF(variables); i++) {
        if (is_variable(&variables[i], name)) {
            piece = variables[i].piece;
        }
    }
    for (size_t i = 0; own && i < YARDER_COUNT_OF(own_variables); i++) {
        if (is_variable(&own_variables[i], name)) {
            piece = own_variables[i].piece;
        }
    }
    piece.text = name;
    return piece;
}

struct compiler {
    struct request_program *program;
    uint32_t variables_count;
    char *why;
    size_t why_bytes;
};

static bool ends_by_itself(const struct request_piece *piece)
{
    return piece->kind != REQUEST_NUMBER && piece->kind != REQUEST_DECIMAL &&
           piece->kind != REQUEST_FREE;
}

static bool is_number(const struct request_piece *piece)
{
    return piece->kind == REQUEST_NUMBER || piece->kind == REQUEST_DECIMAL;
}

static bool is_digit(const struct request_piece *piece, size_t at)
{
    return piece->kind == REQUEST_LITERAL && (unsigned char)(piece->text.at[at] - '0') <= 9;
}

/* Whether the end of a piece can be told where this one follows. */
static int check_neighbour(
    const struct compiler *compiler, const struct request_piece *before, struct request_piece piece)
{
    bool digit_behind = is_number(before) && is_digit(&piece, 0);
    bool digit_before = is_number(&piece) && is_digit(before, before->text.length - 1);
    if (digit_behind || digit_before) {
        struct yarder_text name = digit_behind ? before->text : piece.text;
        (void)snprintf(compiler->why, compiler->why_bytes,
            "the digit %s %%(%.*s) cannot be told from the number",
            digit_behind ? "behind" : "before", (int)name.length, name.at);
        return -EINVAL;
    }
    bool free = before->kind == REQUEST_FREE || piece.kind == REQUEST_FREE;
    bool touch = before->kind != REQUEST_LITERAL && piece.kind != REQUEST_LITERAL;
    if (touch && (free || !(ends_by_itself(before) || ends_by_itself(&piece)))) {
        (void)snprintf(compiler->why, compiler->why_bytes,
            "nothing stands between %%(%.*s) and %%(%.*s): where one ends cannot be told",
            (int)before->text.length, before->text.at, (int)piece.text.length, piece.text.at);
        return -EINVAL;
    }
    return 0;
}

static int add(struct compiler *compiler, struct request_piece piece)
{
    struct request_program *program = compiler->program;
    if (piece.kind != REQUEST_LITERAL && compiler->variables_count++ == YARDER_FIELDS_MAX) {
        (void)snprintf(
            compiler->why, compiler->why_bytes, "at most %d variables", YARDER_FIELDS_MAX);
        return -EINVAL;
    }
    if (program->pieces_count > 0) {
        const struct request_piece *before = &program->pieces[program->pieces_count - 1];
        int r = check_neighbour(compiler, before, piece);
        piece.is_unsigned =
            before->kind == REQUEST_LITERAL && before->text.at[before->text.length - 1] == '-';
        if (r < 0) {
            return r;
        }
    }
    YARDER_ASSERT(program->pieces_count < REQUEST_PIECES_MAX); /* a literal between two variables */
    uint32_t index = program->pieces_count++;
    program->pieces[index] = piece;
    if (piece.kind == REQUEST_FREE) {
        program->values[program->values_count++] = index;
        program->anchors[program->values_count] = (struct request_anchor){.first = index + 1};
    } else {
        program->anchors[program->values_count].count++;
    }
    return 0;
}

static int add_literal(struct compiler *compiler, const char *from, const char *to)
{
    const struct request_piece piece = {
        .kind = REQUEST_LITERAL, .text = {from, (size_t)(to - from)}};
    return from == to ? 0 : add(compiler, piece);
}

/* Else nearly every line would be a request. */
static bool is_telling(const struct request_program *program)
{
    for (uint32_t i = 0; i < program->pieces_count; i++) {
        const struct request_piece *piece = &program->pieces[i];
        for (size_t k = 0; piece->kind == REQUEST_LITERAL && k < piece->text.length; k++) {
            if (piece->text.at[k] != ' ' && piece->text.at[k] != '\t') {
                return true;
            }
        }
        if (piece->kind != REQUEST_LITERAL && piece->kind != REQUEST_FREE) {
            return true;
        }
    }
    return false;
}

static int compile(struct compiler *compiler, const char *format, bool own)
{
    const char *literal = format;
    const char *open = strstr(format, "%(");
    while (open != NULL) {
        const char *close = strchr(open, ')');
        if (close == NULL) {
            (void)snprintf(compiler->why, compiler->why_bytes, "%.32s has no )", open);
            return -EINVAL;
        }
        struct yarder_text name = {open + 2, (size_t)(close - open) - 2};
        if (name.length == 0) {
            (void)snprintf(compiler->why, compiler->why_bytes, "%%() names no variable");
            return -EINVAL;
        }
        int r = add_literal(compiler, literal, open);
        r = r != 0 ? r : add(compiler, piece_of(name, own));
        if (r != 0) {
            return r;
        }
        literal = close + 1;
        open = strstr(literal, "%(");
    }
    if (literal == format || !is_telling(compiler->program)) {
        (void)snprintf(compiler->why, compiler->why_bytes,
            "%s, so nearly every line would be a request",
            literal == format ? "there is no variable such as %(uri) in it"
                              : "there are neither numbers nor marks but spaces in it");
        return -EINVAL;
    }
    return add_literal(compiler, literal, literal + strlen(literal));
}

int request_compile(
    struct request_program *program, const char *format, bool own, char *why, size_t why_bytes)
{
    *program = (struct request_program){.memory = strdup(format)};
    if (program->memory == NULL) {
        return -ENOMEM;
    }
    /* The framer has cut what ends a line. */
    size_t length = strlen(format);
    while (length > 0 && (format[length - 1] == '\n' || format[length - 1] == '\r')) {
        program->memory[--length] = '\0';
    }
    struct compiler compiler = {.program = program, .why = why, .why_bytes = why_bytes};
    return compile(&compiler, program->memory, own);
}
