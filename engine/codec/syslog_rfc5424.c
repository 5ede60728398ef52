/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"
#include "codec/syslog_private.h"

static bool is_printable(char byte)
{
    return byte > ' ' && byte < 127;
}

/* A header's word and the space behind it, "-" read as empty; false: none there. */
static bool read_word(struct syslog_work *work, struct yarder_text *out)
{
    const char *at = work->at;
    while (at < work->end && *at != ' ') {
        if ((unsigned char)*at < ' ' || *at == 127) {
            return false;
        }
        at++;
    }
    size_t length = (size_t)(at - work->at);
    if (length == 0) {
        return false;
    }
    bool nil = length == 1 && *work->at == '-';
    *out = nil ? (struct yarder_text){0} : (struct yarder_text){work->at, length};
    work->at = at + (at < work->end);
    return true;
}

/* SD-NAME: printable bytes without '=', ']' and '"'. */
static struct yarder_text read_name(struct syslog_work *work)
{
    const char *at = work->at;
    while (at < work->end && is_printable(*at) && *at != '=' && *at != ']' && *at != '"') {
        at++;
    }
    struct yarder_text name = {work->at, (size_t)(at - work->at)};
    work->at = at;
    return name;
}

/* ID.NAME in scratch, or what needs no joining. */
static bool join_key(struct syslog_work *work, struct yarder_text id, struct yarder_text name,
    struct yarder_text *key)
{
    if (text_is(id, SYSLOG_OWN_ID)) {
        *key = name;
        return true;
    }
    if ((size_t)(work->scratch_end - work->scratch) < id.length + 1 + name.length) {
        return false;
    }
    *key = (struct yarder_text){work->scratch, id.length + 1 + name.length};
    memcpy(work->scratch, id.at, id.length);
    work->scratch[id.length] = '.';
    memcpy(work->scratch + id.length + 1, name.at, name.length);
    work->scratch += key->length;
    return true;
}

static bool is_escape(const char *at, const char *end)
{
    return *at == '\\' && end - at > 1 && (at[1] == '"' || at[1] == '\\' || at[1] == ']');
}

/* Copies a value with escapes into scratch. */
static bool unescape(struct syslog_work *work, struct yarder_text raw, struct yarder_text *out)
{
    if ((size_t)(work->scratch_end - work->scratch) < raw.length) {
        return false;
    }
    char *to = work->scratch;
    const char *end = raw.at + raw.length;
    for (const char *at = raw.at; at < end; at++) {
        at += is_escape(at, end);
        *to++ = *at;
    }
    *out = (struct yarder_text){work->scratch, (size_t)(to - work->scratch)};
    work->scratch = to;
    return true;
}

/* What stands between the quotes; `at` is behind the first and moves behind the second. */
static bool read_value(struct syslog_work *work, struct yarder_text *out)
{
    const char *from = work->at;
    const char *at = from;
    bool escaped = false;
    while (at < work->end && *at != '"') {
        bool escape = is_escape(at, work->end);
        escaped |= escape;
        at += 1 + escape;
    }
    if (at >= work->end) {
        return false;
    }
    work->at = at + 1;
    *out = (struct yarder_text){from, (size_t)(at - from)};
    return !escaped || unescape(work, *out, out);
}

/* `[ID NAME="VALUE" ...]`; false: malformed, or no room. */
static bool read_element(struct syslog_work *work)
{
    work->at++;
    struct yarder_text id = read_name(work);
    if (id.length == 0 || work->at == work->end) {
        return false;
    }
    if (*work->at == ']') {
        work->at++;
        return syslog_add_field(work, id, (struct yarder_text){0});
    }
    while (work->at < work->end && *work->at == ' ') {
        work->at++;
        struct yarder_text name = read_name(work);
        if (name.length == 0 || work->end - work->at < 2 || memcmp(work->at, "=\"", 2) != 0) {
            return false;
        }
        work->at += 2;
        struct yarder_text value;
        struct yarder_text key;
        if (!read_value(work, &value) || !join_key(work, id, name, &key) ||
            !syslog_add_field(work, key, value)) {
            return false;
        }
    }
    if (work->at == work->end || *work->at != ']') {
        return false;
    }
    work->at++;
    return true;
}

static bool read_structured(struct syslog_work *work)
{
    if (work->at == work->end) {
        return true; /* some leave the end of the header out when there is no message */
    }
    const char *start = work->at;
    if (*start == '-') {
        work->at++;
    }
    while (*start == '[' && work->at < work->end && *work->at == '[') {
        if (!read_element(work)) {
            return false;
        }
    }
    return work->at > start && (work->at == work->end || *work->at == ' ');
}

static void read_text(struct syslog_work *work)
{
    const char *structured = work->at;
    uint32_t fields_before = work->record->fields_count;
    if (read_structured(work)) {
        work->at += work->at < work->end;
        bool marked = work->end - work->at >= 3 && memcmp(work->at, "\xEF\xBB\xBF", 3) == 0;
        work->at += marked ? 3 : 0;
    } else {
        work->record->fields_count = fields_before;
        work->at = structured;
    }
    work->record->text = (struct yarder_text){work->at, (size_t)(work->end - work->at)};
}

static bool read_header(
    struct syslog_work *work, struct yarder_text *process, struct yarder_text *message_id)
{
    if (work->end - work->at >= 2 && memcmp(work->at, "- ", 2) == 0) {
        work->at += 2;
    } else if (syslog_read_iso(work, true) && work->at < work->end) {
        work->at++;
    } else {
        return false;
    }
    return read_word(work, &work->record->host) && read_word(work, &work->record->tag) &&
           read_word(work, process) && read_word(work, message_id);
}

bool syslog_read_rfc5424(struct syslog_work *work)
{
    struct yarder_record *record = work->record;
    const char *start = work->at;
    struct yarder_text process;
    struct yarder_text message_id;
    if (!read_header(work, &process, &message_id)) {
        record->time_ns = record->received_ns;
        record->host = (struct yarder_text){0};
        record->tag = (struct yarder_text){0};
        work->at = start;
        return false;
    }
    syslog_take_pid(work, process);
    if (message_id.length > 0) {
        (void)syslog_add_field(work, (struct yarder_text){"msgid", 5}, message_id);
    }
    read_text(work);
    return true;
}
