/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/syslog.h"

#include <string.h>

#include "base/text.h"
#include "codec/syslog_private.h"

enum {
    TAG_BYTES_MAX = 128,
    HOST_BYTES_MAX = 255,
    PID_BYTES_MAX = 64,
    PRI_MAX = 191,
};

enum { IN_TAG = 1, IN_HOST = 2 };

/* clang-format off: letters, digits, and the marks that are seen in tags and in host names */
static const uint8_t byte_class[256] = {
    ['#'] = IN_TAG,
    ['$'] = IN_TAG,
    ['%'] = IN_TAG | IN_HOST,
    ['&'] = IN_TAG,
    ['('] = IN_TAG,
    [')'] = IN_TAG,
    ['*'] = IN_TAG,
    ['+'] = IN_TAG,
    ['-'] = IN_TAG | IN_HOST,
    ['.'] = IN_TAG | IN_HOST,
    ['/'] = IN_TAG,
    [':'] = IN_HOST,
    ['@'] = IN_TAG,
    ['\\'] = IN_TAG,
    ['_'] = IN_TAG | IN_HOST,
    ['~'] = IN_TAG,
    ['0'] = 3,
    ['1'] = 3,
    ['2'] = 3,
    ['3'] = 3,
    ['4'] = 3,
    ['5'] = 3,
    ['6'] = 3,
    ['7'] = 3,
    ['8'] = 3,
    ['9'] = 3,
    ['A'] = 3,
    ['B'] = 3,
    ['C'] = 3,
    ['D'] = 3,
    ['E'] = 3,
    ['F'] = 3,
    ['G'] = 3,
    ['H'] = 3,
    ['I'] = 3,
    ['J'] = 3,
    ['K'] = 3,
    ['L'] = 3,
    ['M'] = 3,
    ['N'] = 3,
    ['O'] = 3,
    ['P'] = 3,
    ['Q'] = 3,
    ['R'] = 3,
    ['S'] = 3,
    ['T'] = 3,
    ['U'] = 3,
    ['V'] = 3,
    ['W'] = 3,
    ['X'] = 3,
    ['Y'] = 3,
    ['Z'] = 3,
    ['a'] = 3,
    ['b'] = 3,
    ['c'] = 3,
    ['d'] = 3,
    ['e'] = 3,
    ['f'] = 3,
    ['g'] = 3,
    ['h'] = 3,
    ['i'] = 3,
    ['j'] = 3,
    ['k'] = 3,
    ['l'] = 3,
    ['m'] = 3,
    ['n'] = 3,
    ['o'] = 3,
    ['p'] = 3,
    ['q'] = 3,
    ['r'] = 3,
    ['s'] = 3,
    ['t'] = 3,
    ['u'] = 3,
    ['v'] = 3,
    ['w'] = 3,
    ['x'] = 3,
    ['y'] = 3,
    ['z'] = 3,
};
/* clang-format on */

static bool is_in(char byte, uint8_t class)
{
    return (byte_class[(unsigned char)byte] & class) != 0;
}

static const char *skip_class(const char *at, const char *end, uint8_t class)
{
    while (at < end && is_in(*at, class)) {
        at++;
    }
    return at;
}

void syslog_take_pid(struct syslog_work *work, struct yarder_text text)
{
    uint64_t pid = 0;
    /* Only what the pid gives back digit for digit: no zeros in front. */
    bool number = text.length > 0 && text.at[0] != '0' && text_to_u64(text, &pid) == 0;
    if (number && pid <= UINT32_MAX) {
        work->record->pid = (uint32_t)pid;
    } else if (text.length > 0) {
        (void)syslog_add_field(work, (struct yarder_text){"procid", 6}, text);
    }
}

/* "<0>" to "<191>" with what it says; false: the line begins with something else. */
static bool read_priority(struct syslog_work *work)
{
    const char *at = work->at;
    if (at == work->end || *at != '<') {
        return false;
    }
    uint32_t value = 0;
    uint32_t digits = 0;
    for (at++; at < work->end && digits < 3 && syslog_digit(*at); at++) {
        value = value * 10 + (uint32_t)(*at - '0');
        digits++;
    }
    if (digits == 0 || at == work->end || *at != '>' || value > PRI_MAX) {
        return false;
    }
    work->record->facility = (uint8_t)(value >> 3);
    work->record->level = level_from_severity((uint8_t)(value & 7));
    work->at = at + 1;
    return true;
}

/* "[PID]" behind a tag: its end, or NULL. */
static const char *read_bracket(const char *at, const char *end, struct yarder_text *pid)
{
    const char *limit = end - at > PID_BYTES_MAX ? at + PID_BYTES_MAX : end;
    const char *from = at + 1;
    at = from;
    while (at<limit && * at> ' ' && *at < 127 && *at != ']') {
        at++;
    }
    *pid = (struct yarder_text){from, (size_t)(at - from)};
    return at < limit && *at == ']' && pid->length > 0 ? at + 1 : NULL;
}

/* Tag, pid and one space at `at`; false: no tag there. `stamped`: a bare "tag[pid] " will do. */
static bool read_tag(struct syslog_work *work, const char *at, bool stamped)
{
    const char *end = skip_class(at, work->end, IN_TAG);
    struct yarder_text tag = {at, (size_t)(end - at)};
    struct yarder_text pid = {0};
    if (tag.length == 0 || tag.length > TAG_BYTES_MAX || end == work->end) {
        return false;
    }
    if (*end == '[') {
        end = read_bracket(end, work->end, &pid);
        bool closed = end != NULL && end < work->end && *end == ':';
        bool bare = end != NULL && stamped && (end == work->end || *end == ' ');
        if (!closed && !bare) {
            return false;
        }
        end += closed;
    } else if (*end == ':' && !syslog_digit(*at) && (end + 1 == work->end || end[1] == ' ')) {
        end++;
    } else {
        return false;
    }
    work->record->tag = tag;
    syslog_take_pid(work, pid);
    work->at = end + (end < work->end && *end == ' ');
    return true;
}

/* The words between a stamp and the text. */
static void read_host_and_tag(struct syslog_work *work)
{
    if (work->at < work->end && *work->at == ' ') {
        work->at++; /* a host that was left empty */
    }
    if (read_tag(work, work->at, true)) {
        return;
    }
    const char *end = skip_class(work->at, work->end, IN_HOST);
    struct yarder_text host = {work->at, (size_t)(end - work->at)};
    bool word = host.length > 0 && host.length <= HOST_BYTES_MAX && end < work->end && *end == ' ';
    if (word && read_tag(work, end + 1, true) && !text_is(host, "-")) {
        work->record->host = host;
    }
}

static struct yarder_text cut_end(struct yarder_text line)
{
    static const char ends[] = {'\0', '\n', '\r'};
    for (size_t i = 0; i < sizeof(ends); i++) {
        if (line.length > 0 && line.at[line.length - 1] == ends[i]) {
            line.length--;
        }
    }
    return line;
}

static void read_rfc3164(struct syslog_work *work, bool prioritised)
{
    bool stamped = syslog_read_bsd(work) || syslog_read_iso(work, false);
    if (stamped) {
        work->at += work->at < work->end;
        read_host_and_tag(work);
    } else if (prioritised) {
        (void)read_tag(work, work->at, false);
    } else {
        work->record->flags |= YARDER_FLAG_UNPARSED;
    }
    work->record->text = (struct yarder_text){work->at, (size_t)(work->end - work->at)};
}

void syslog_parse(struct syslog_parser *parser, struct yarder_text line, char *scratch,
    size_t scratch_bytes, struct yarder_field *fields, struct yarder_record *record)
{
    struct yarder_text cut = line.length > 0 ? cut_end(line) : (struct yarder_text){"", 0};
    struct syslog_work work = {.parser = parser,
        .record = record,
        .fields = fields,
        .at = cut.at,
        .end = cut.at + cut.length,
        .scratch = scratch,
        .scratch_end = scratch + scratch_bytes};
    record->time_ns = record->received_ns;
    record->facility = YARDER_FACILITY_NONE;
    record->fields = fields;
    bool prioritised = read_priority(&work);
    if (prioritised && work.end - work.at >= 2 && memcmp(work.at, "1 ", 2) == 0) {
        work.at += 2;
        if (syslog_read_rfc5424(&work)) {
            return;
        }
        work.at -= 2;
    }
    read_rfc3164(&work, prioritised);
    if ((record->flags & YARDER_FLAG_UNPARSED) != 0) {
        record->text = line;
    }
}
