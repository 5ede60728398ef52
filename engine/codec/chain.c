/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling a chain and running it. What a step is made of: chain_template.c, chain_msgpack.c. */
#include "codec/chain.h"

#include <errno.h>
#include <stdarg.h>

#include "codec/chain_private.h"

enum { NAME_SHOWN_BYTES = 40, PIECES_MAX = 4096 };

/* clang-format off: a table */
const struct encode_name chain_encoders[] = {
    {"prefix TEXT", "puts TEXT before it"},
    {"suffix TEXT", "puts TEXT behind it, behind the newline too"},
    {"nl", "puts a newline behind it"},
    {"format TEMPLATE", "a text with ${msg}, ${msgnl} (with its newline), ${unix}, ${millis}, "
                        "${micros}, ${strftime:FORMAT}"},
    {"json TEMPLATE", "the same, for strings inside JSON: values are escaped"},
    {"gzip", "a gzip member for each message"},
    {"compress", "a zlib stream for each message"},
    {"msgpack ITEM|ITEM...", "of map:N array:N str:S bin:S int:N float:X nil true false msg msgnl "
                             "msgbin msgbinnl unix micros strftime:FORMAT"},
    {NULL, NULL},
};
/* clang-format on */

/* In the order of chain_encoders. */
enum encoder_kind {
    ENCODER_PREFIX,
    ENCODER_SUFFIX,
    ENCODER_NL,
    ENCODER_FORMAT,
    ENCODER_JSON,
    ENCODER_GZIP,
    ENCODER_COMPRESS,
    ENCODER_MSGPACK,
    ENCODER_KINDS
};
static const char *const encoder_names[ENCODER_KINDS] = {
    "prefix", "suffix", "nl", "format", "json", "gzip", "compress", "msgpack"};

int chain_refuse(struct chain_build *build, const char *format, ...)
{
    va_list arguments;
    int said = snprintf(build->why, build->why_bytes, "%s: ", build->name);
    size_t at = yarder_min((size_t)said, build->why_bytes - 1);
    va_start(arguments, format);
    (void)vsnprintf(build->why + at, build->why_bytes - at, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

int chain_unknown(struct chain_build *build, const char *what, struct yarder_text name,
    const char *const *names, size_t names_count)
{
    char word[NAME_SHOWN_BYTES + 1] = "";
    memcpy(word, name.at, yarder_min(name.length, NAME_SHOWN_BYTES));
    bool lenient = build->dialect == CHAIN_UWSGI;
    const char *near = text_near(word, names, names_count);
    int r = chain_refuse(build, "unknown %s \"%s\"%s%s%s%s", what, word,
        lenient ? " is taken for nothing, as in uWSGI" : "", near != NULL ? "; did you mean " : "",
        near != NULL ? near : "", near != NULL ? "?" : "");
    return lenient ? 0 : r;
}

static int add_piece(struct chain_build *build, struct chain_piece piece)
{
    struct chain_step *step = build->step;
    if (step->pieces_count == PIECES_MAX) {
        return chain_refuse(build, "more than %d pieces", PIECES_MAX);
    }
    struct chain_piece *pieces = reallocarray(step->pieces, step->pieces_count + 1, sizeof(piece));
    if (pieces == NULL) {
        return -ENOMEM;
    }
    pieces[step->pieces_count++] = piece;
    step->pieces = pieces;
    return 0;
}

int chain_add(struct chain_build *build, enum chain_what what, enum chain_form form)
{
    return add_piece(build, (struct chain_piece){.what = what, .form = form});
}

int chain_add_literal(struct chain_build *build, const char *text, size_t length)
{
    struct chain_step *step = build->step;
    uint32_t count = step->pieces_count;
    if (length == 0) {
        return 0;
    }
    if (count == 0 || step->pieces[count - 1].what != CHAIN_LITERAL) {
        int r = chain_add(build, CHAIN_LITERAL, CHAIN_PLAIN);
        if (r < 0) {
            return r;
        }
    }
    struct chain_piece *last = &step->pieces[step->pieces_count - 1];
    char *whole = realloc(last->text, last->text_bytes + length);
    if (whole == NULL) {
        return -ENOMEM;
    }
    memcpy(whole + last->text_bytes, text, length);
    last->text = whole;
    last->text_bytes += length;
    return 0;
}

static void clock_close(struct chain_clock *clock)
{
    if (clock != NULL) {
        free(clock->format);
        free(clock);
    }
}

int chain_add_clock(struct chain_build *build, struct yarder_text format, enum chain_form form)
{
    struct chain_clock *clock = calloc(1, sizeof(*clock));
    if (clock == NULL) {
        return -ENOMEM;
    }
    clock->format = strndup(format.at, format.length);
    int r = clock->format == NULL
                ? -ENOMEM
                : add_piece(build,
                      (struct chain_piece){.what = CHAIN_STRFTIME, .form = form, .clock = clock});
    if (r < 0) {
        clock_close(clock);
    }
    return r;
}

static int add_zlib(struct chain_build *build, enum chain_zlib_kind kind)
{
    int r = chain_zlib_open(&build->step->zlib, kind);
    return r == -ENOSYS ? chain_refuse(build, "built without zlib (Debian: zlib1g-dev)") : r;
}

static bool ends_as_its_input(const struct chain_step *step)
{
    if (step->pieces_count == 0) {
        return false;
    }
    const struct chain_piece *last = &step->pieces[step->pieces_count - 1];
    return last->what == CHAIN_MSGNL && last->form == CHAIN_PLAIN;
}

/* `argument` is what stands behind the first space, "" for nothing. */
static int compile_step(
    struct chain_build *build, enum encoder_kind kind, const char *argument, bool *keeps_lines)
{
    int r = 0;
    switch (kind) {
    case ENCODER_PREFIX:
        r = chain_add_literal(build, argument, strlen(argument));
        return r < 0 ? r : chain_add(build, CHAIN_MSGNL, CHAIN_PLAIN);
    case ENCODER_SUFFIX:
        r = chain_add(build, CHAIN_MSGNL, CHAIN_PLAIN);
        *keeps_lines = *keeps_lines && argument[0] == '\0';
        return r < 0 ? r : chain_add_literal(build, argument, strlen(argument));
    case ENCODER_NL:
        r = chain_add(build, CHAIN_MSGNL, CHAIN_PLAIN);
        *keeps_lines = true;
        return r < 0 ? r : chain_add_literal(build, "\n", 1);
    case ENCODER_FORMAT:
    case ENCODER_JSON:
        r = chain_template(build, argument, kind == ENCODER_JSON ? CHAIN_JSON : CHAIN_PLAIN);
        *keeps_lines = *keeps_lines && ends_as_its_input(build->step);
        return r;
    case ENCODER_GZIP:
    case ENCODER_COMPRESS:
        *keeps_lines = false;
        return add_zlib(build, kind == ENCODER_GZIP ? CHAIN_GZIP : CHAIN_COMPRESS);
    case ENCODER_MSGPACK:
        *keeps_lines = false;
        return chain_msgpack(build, argument);
    case ENCODER_KINDS:
        break;
    }
    YARDER_ASSERT(false);
    return -EINVAL;
}

static int refuse_encoder(struct yarder_text name, char *why, size_t why_bytes)
{
    char word[NAME_SHOWN_BYTES + 1] = "";
    memcpy(word, name.at, yarder_min(name.length, NAME_SHOWN_BYTES));
    const char *near = text_near(word, encoder_names, ENCODER_KINDS);
    (void)snprintf(why, why_bytes,
        "no encoder '%s'; there are prefix, suffix, nl, format, json, gzip, compress and "
        "msgpack%s%s%s",
        word, near != NULL ? "; did you mean " : "", near != NULL ? near : "",
        near != NULL ? "?" : "");
    return -EINVAL;
}

static int add_step(
    struct chain *chain, const char *text, enum chain_dialect dialect, char *why, size_t why_bytes)
{
    struct yarder_text name = {text, strcspn(text, " ")};
    const char *argument = text + name.length + (text[name.length] == ' ');
    unsigned kind = 0;
    while (kind < ENCODER_KINDS && !text_is(name, encoder_names[kind])) {
        kind++;
    }
    if (kind == ENCODER_KINDS) {
        return refuse_encoder(name, why, why_bytes);
    }
    if (chain->steps_count == CHAIN_STEPS_MAX) {
        (void)snprintf(why, why_bytes, "more than %d encoders for one output", CHAIN_STEPS_MAX);
        return -EINVAL;
    }
    struct chain_build build = {.step = &chain->steps[chain->steps_count++],
        .name = encoder_names[kind],
        .dialect = dialect,
        .why = why,
        .why_bytes = why_bytes};
    bool takes = kind != ENCODER_NL && kind != ENCODER_GZIP && kind != ENCODER_COMPRESS;
    if (dialect == CHAIN_NATIVE && takes != (argument[0] != '\0')) {
        return takes ? chain_refuse(&build, "expected %s", chain_encoders[kind].name)
                     : chain_refuse(&build, "takes nothing behind it, not '%.40s'", argument);
    }
    return compile_step(&build, (enum encoder_kind)kind, argument, &chain->keeps_lines);
}

int chain_open(struct chain **out, const struct yarder_texts *steps, enum chain_dialect dialect,
    char *why, size_t why_bytes)
{
    YARDER_ASSERT(why_bytes > 0);
    why[0] = '\0';
    *out = NULL;
    if (steps == NULL || steps->count == 0) {
        return 0;
    }
    struct chain *chain = calloc(1, sizeof(*chain));
    if (chain == NULL) {
        return -ENOMEM;
    }
    chain->keeps_lines = true;
    int r = 0;
    for (uint32_t i = 0; i < CHAIN_BUFFERS; i++) {
        chain->buffers[i] = malloc(CHAIN_BYTES_MAX);
        r = chain->buffers[i] == NULL ? -ENOMEM : r;
    }
    for (uint32_t i = 0; i < steps->count && r == 0; i++) {
        r = add_step(chain, steps->at[i], dialect, why, why_bytes);
    }
    if (r < 0) {
        chain_close(chain);
        return r;
    }
    *out = chain;
    return 0;
}

void chain_close(struct chain *chain)
{
    if (chain == NULL) {
        return;
    }
    for (uint32_t i = 0; i < chain->steps_count; i++) {
        struct chain_step *step = &chain->steps[i];
        for (uint32_t k = 0; k < step->pieces_count; k++) {
            free(step->pieces[k].text);
            clock_close(step->pieces[k].clock);
        }
        free(step->pieces);
        chain_zlib_close(step->zlib);
    }
    for (uint32_t i = 0; i < CHAIN_BUFFERS; i++) {
        free(chain->buffers[i]);
    }
    free(chain);
}

bool chain_keeps_lines(const struct chain *chain)
{
    return chain->keeps_lines;
}
