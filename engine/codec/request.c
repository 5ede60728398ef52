/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/request.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "codec/request_private.h"

#define LINE                                                                                       \
    "[pid: %(pid)|app: %(app)|req: %(req)/%(reqs)] %(addr) (%(user)) {%(vars) vars in "            \
    "%(pktsize) bytes} [%(ctime)] %(method) %(uri) => generated %(rsize) bytes in "                \
    "%(took) %(unit)%(via) (%(proto) %(status)) %(headers) headers in %(hsize) bytes "             \
    "(%(switches) switches on core %(core))"
#define MEMORY                                                                                     \
    "{address space usage: %(vsz) bytes/%(vszM)MB} "                                               \
    "{rss usage: %(rss) bytes/%(rssM)MB} "
#define MEMORY_2 MEMORY "{uss usage: %(uss) bytes/%(ussM)MB} {pss usage: %(pss) bytes/%(pssM)MB} "
#define HOST     "%(host) "

/*
 * The optional parts are all at the line's beginning, which tells which of these to try. A host may
 * be anything: the lines with one are tried last, and the longest first.
 */
static const char *const uwsgi_lines[] = {
    LINE, MEMORY LINE, MEMORY_2 LINE, HOST MEMORY_2 LINE, HOST MEMORY LINE, HOST LINE};

enum { UWSGI_LINES = YARDER_COUNT_OF(uwsgi_lines), UWSGI_WITH_HOST = 3 };

struct request_format {
    uint32_t count;
    bool uwsgi;
    struct request_program programs[]; /* of uwsgi_lines, or one */
};

static const char format_prefix[] = "format:";

static int compile_all(struct request_format *format, const char *what, char *why, size_t why_bytes)
{
    if (!format->uwsgi) {
        return request_compile(
            &format->programs[0], what + sizeof(format_prefix) - 1, false, why, why_bytes);
    }
    int r = 0;
    for (uint32_t i = 0; i < UWSGI_LINES && r == 0; i++) {
        r = request_compile(&format->programs[i], uwsgi_lines[i], true, why, why_bytes);
    }
    return r;
}

int request_open(struct request_format **out, const char *what, char *why, size_t why_bytes)
{
    bool uwsgi = strcmp(what, "uwsgi") == 0;
    if (!uwsgi && strncmp(what, format_prefix, sizeof(format_prefix) - 1) != 0) {
        (void)snprintf(why, why_bytes, "expected uwsgi or format:TEMPLATE, not '%.64s'", what);
        return -EINVAL;
    }
    uint32_t count = uwsgi ? UWSGI_LINES : 1;
    struct request_format *format =
        calloc(1, sizeof(*format) + count * sizeof(struct request_program));
    if (format == NULL) {
        return -ENOMEM;
    }
    format->count = count;
    format->uwsgi = uwsgi;
    int r = compile_all(format, what, why, why_bytes);
    if (r < 0) {
        request_close(format);
        return r;
    }
    *out = format;
    return 0;
}

void request_close(struct request_format *format)
{
    for (uint32_t i = 0; format != NULL && i < format->count; i++) {
        free(format->programs[i].memory);
    }
    free(format);
}

static bool begins(struct yarder_text text, const char *with)
{
    size_t length = strlen(with);
    return text.length >= length && memcmp(text.at, with, length) == 0;
}

/* Programs of uWSGI's line to be tried: from *first on; the index behind the last. */
static uint32_t candidates(struct yarder_text line, uint32_t *first)
{
    static const char end[] = ")";
    *first = UWSGI_WITH_HOST;
    if (begins(line, "[pid: ")) {
        *first = 0;
        return 1;
    }
    if (line.length == 0 || line.at[line.length - 1] != end[0]) {
        return *first;
    }
    *first = begins(line, "{address space") ? 1 : UWSGI_WITH_HOST;
    return *first == 1 ? UWSGI_WITH_HOST : UWSGI_LINES;
}

/* uWSGI writes an address into the line that is too long for its buffer: not the client's. */
static void drop_made_up(struct request_work *work)
{
    bool method = false;
    uint32_t addr = work->fields_count;
    for (uint32_t i = work->record->fields_count; i < work->fields_count; i++) {
        const struct yarder_field *field = &work->fields[i];
        method |= text_is(field->key, "method");
        addr = text_is(field->key, "addr") && text_is(field->value, "0.0.0.0") ? i : addr;
    }
    if (!method && addr < work->fields_count) {
        work->fields_count--;
        memmove(&work->fields[addr], &work->fields[addr + 1],
            (work->fields_count - addr) * sizeof(work->fields[0]));
    }
}

bool request_parse(const struct request_format *format, struct request_memo *memo, char *scratch,
    struct yarder_field *fields, struct yarder_record *record)
{
    uint32_t first = 0;
    uint32_t last = format->uwsgi ? candidates(record->text, &first) : 1;
    for (uint32_t i = first; i < last; i++) {
        struct request_work work = {.program = &format->programs[i],
            .memo = memo,
            .record = record,
            .fields = fields,
            .fields_count = record->fields_count,
            .scratch = scratch,
            .time_ns = record->time_ns,
            .pid = record->pid,
            .end = record->text.at + record->text.length};
        if (record->text.length == 0 || !request_match(&work)) {
            continue;
        }
        if (format->uwsgi) {
            drop_made_up(&work);
        }
        record->kind = YARDER_KIND_REQUEST;
        record->fields = fields;
        record->fields_count = work.fields_count;
        record->time_ns = work.time_ns;
        record->pid = work.pid;
        return true;
    }
    return false;
}
