/* SPDX-License-Identifier: Apache-2.0 */
#include "offload/dead_letter.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/text.h"
#include "codec/calendar.h"
#include "codec/put.h"
#include "os/memory.h"

enum {
    KEYS_BYTES_MAX = 1024, /* all keys, numbers and quotes of a letter but its fields' */
    FIELD_KEYS_BYTES_MAX = 96,
    LETTER_MODE = 0640,
};

#define PUT(at, literal) put_bytes((at), (literal), sizeof(literal) - 1)

static char *put_base64(char *at, struct yarder_text text)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *from = (const unsigned char *)text.at;
    for (size_t i = 0; i < text.length; i += 3) {
        size_t have = yarder_min(text.length - i, 3);
        uint32_t three = (uint32_t)from[i] << 16;
        three |= have > 1 ? (uint32_t)from[i + 1] << 8 : 0;
        three |= have > 2 ? from[i + 2] : 0u;
        at[0] = digits[three >> 18];
        at[1] = digits[three >> 12 & 63];
        at[2] = have > 1 ? digits[three >> 6 & 63] : '=';
        at[3] = have > 2 ? digits[three & 63] : '=';
        at += 4;
    }
    return at;
}

static char *put_raw(char *at, struct yarder_text text)
{
    at = put_base64(PUT(at, "{\"base64\":\""), text);
    return PUT(at, "\"}");
}

/* Whether a JSON string gives back the same bytes: many a reader ends at a NUL. */
static bool is_clean(struct yarder_text text)
{
    size_t length = 1;
    for (size_t i = 0; i < text.length && length > 0; i += length) {
        length = text.at[i] == '\0' ? 0 : put_utf8_length(text.at + i, text.length - i);
    }
    return length > 0;
}

static char *put_string(char *at, struct yarder_text text)
{
    *at = '"';
    at = put_json_text(at + 1, text);
    *at = '"';
    return at + 1;
}

static char *put_any(char *at, struct yarder_text text)
{
    return is_clean(text) ? put_string(at, text) : put_raw(at, text);
}

/* `key` brings its comma, quotes and colon. */
static char *put_member(char *at, const char *key, struct yarder_text text)
{
    return text.length == 0 ? at : put_any(put_text(at, text_of(key)), text);
}

static char *put_count(char *at, const char *key, uint32_t value)
{
    return value == 0 ? at : put_unsigned(put_text(at, text_of(key)), value);
}

static bool has_a_value(const struct yarder_field *field)
{
    double number = 0;
    if (field->type == YARDER_FIELD_FLOAT && field->value.length == sizeof(number)) {
        memcpy(&number, field->value.at, sizeof(number));
        return isfinite(number);
    }
    return field->type != YARDER_FIELD_BOOL ||
           (field->value.length == 1 && (unsigned char)field->value.at[0] <= 1);
}

static char *put_value(char *at, const struct yarder_field *field)
{
    if (field->type == YARDER_FIELD_TEXT) {
        return put_any(at, field->value);
    }
    char *end = has_a_value(field) ? put_number(at + 1, field) : at + 1;
    if (end == at + 1) {
        return put_raw(at, field->value);
    }
    at[0] = end[0] = '"';
    return end + 1;
}

static char *put_fields(char *at, const struct yarder_record *record)
{
    static const char *const types[] = {"", "text", "int", "uint", "float", "bool"};
    at = PUT(at, ",\"fields\":[");
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        at = put_any(put_text(at, text_of(i == 0 ? "{\"key\":" : ",{\"key\":")), field->key);
        at = put_text(PUT(at, ",\"type\":\""), text_of(types[field->type]));
        at = put_value(PUT(at, "\",\"value\":"), field);
        *at++ = '}';
    }
    *at = ']';
    return at + 1;
}

static char *put_record(char *at, const struct yarder_record *record)
{
    at = put_signed(PUT(at, "{\"time_ns\":\""), record->time_ns);
    at = put_signed(PUT(at, "\",\"received_ns\":\""), record->received_ns);
    at = PUT(at, "\"");
    at = put_count(at, ",\"level\":", record->level);
    if (record->facility != YARDER_FACILITY_NONE) {
        at = put_unsigned(PUT(at, ",\"facility\":"), record->facility);
    }
    at = put_count(at, ",\"kind\":", record->kind);
    at = put_count(at, ",\"stream\":", record->stream);
    at = put_count(at, ",\"flags\":", record->flags);
    at = put_count(at, ",\"pid\":", record->pid);
    at = put_count(at, ",\"tid\":", record->tid);
    at = put_count(at, ",\"lost_before\":", record->lost_before);
    at = put_count(at, ",\"input\":", record->input);
    at = put_member(at, ",\"text\":", record->text);
    at = put_member(at, ",\"host\":", record->host);
    at = put_member(at, ",\"peer\":", record->peer);
    at = put_member(at, ",\"tag\":", record->tag);
    at = put_member(at, ",\"logger\":", record->logger);
    at = record->fields_count > 0 ? put_fields(at, record) : at;
    *at = '}';
    return at + 1;
}

static char *put_now(char *at)
{
    enum { MICROSECOND_NS = 1000, DIGITS = 6 };
    struct calendar_time now;
    int64_t now_ns = os_realtime_ns();
    calendar_split(calendar_second(now_ns), &now);
    at = put_signed(at, now.year);
    at = calendar_digits(PUT(at, "-"), now.month, 2);
    at = calendar_digits(PUT(at, "-"), now.day, 2);
    at = calendar_digits(PUT(at, "T"), now.hour, 2);
    at = calendar_digits(PUT(at, ":"), now.minute, 2);
    at = calendar_digits(PUT(at, ":"), now.second, 2);
    at = calendar_digits(PUT(at, "."), calendar_fraction_ns(now_ns) / MICROSECOND_NS, DIGITS);
    return PUT(at, "Z");
}

static size_t bound_of(
    struct yarder_text name, struct yarder_text reason, const struct yarder_record *record)
{
    size_t texts = name.length + reason.length + record->text.length + record->host.length +
                   record->peer.length + record->tag.length + record->logger.length;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        texts += record->fields[i].key.length + record->fields[i].value.length;
    }
    return KEYS_BYTES_MAX + (size_t)record->fields_count * FIELD_KEYS_BYTES_MAX +
           PUT_JSON_FACTOR * texts + PUT_SLACK_BYTES;
}

static int make_room(struct dead_letters *letters, size_t bytes)
{
    size_t needed = letters->bytes_count + bytes;
    if (needed <= letters->room) {
        return 0;
    }
    char *larger = realloc(letters->bytes, 2 * needed);
    if (larger == NULL) {
        return -ENOMEM;
    }
    letters->bytes = larger;
    letters->room = 2 * needed;
    return 0;
}

int dead_letter_put(struct dead_letters *letters, const char *output_name, const char *reason,
    struct yarder_id id, const struct yarder_record *record)
{
    const struct yarder_text name = text_of(output_name);
    const struct yarder_text why = text_of(reason);
    int r = make_room(letters, bound_of(name, why, record));
    if (r < 0) {
        return r;
    }
    char *at = letters->bytes + letters->bytes_count;
    at = put_now(PUT(at, "{\"refused\":\""));
    at = put_string(PUT(at, "\",\"output\":"), name);
    at = put_string(PUT(at, ",\"reason\":"), why);
    at = put_unsigned(PUT(at, ",\"id\":\""), id.epoch_ns);
    at = put_unsigned(PUT(at, "-"), id.number);
    at = put_record(PUT(at, "\",\"record\":"), record);
    at = PUT(at, "}\n");
    letters->bytes_count = (size_t)(at - letters->bytes);
    YARDER_ASSERT(letters->bytes_count <= letters->room);
    return 0;
}

/*
 * A file that ends in half a line gets its newline, unless another output is just writing it. Who
 * locked it lets go of it by closing it.
 */
static int end_line(int fd)
{
    char last = '\n';
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return 0;
    }
    off_t end = lseek(fd, 0, SEEK_END);
    if (end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n') {
        return write(fd, "\n", 1) == 1 ? 0 : -errno;
    }
    return 0;
}

int dead_letters_write(struct dead_letters *letters, const char *path, const char **call)
{
    if (letters->bytes_count == 0) {
        return 0;
    }
    *call = "open";
    YARDER_OWN_FD int fd =
        open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, LETTER_MODE);
    if (fd < 0) {
        return -errno;
    }
    struct stat facts;
    if (fstat(fd, &facts) < 0 || S_ISFIFO(facts.st_mode)) {
        *call = "a pipe keeps nothing";
        return -ESPIPE;
    }
    *call = "write";
    int r = end_line(fd);
    size_t done = 0;
    while (r == 0 && done < letters->bytes_count) {
        ssize_t written = write(fd, letters->bytes + done, letters->bytes_count - done);
        r = written < 0 ? -errno : written == 0 ? -EIO : 0;
        done += written < 0 ? 0 : (size_t)written;
    }
    letters->bytes_count = 0;
    return r;
}

void dead_letters_drop(struct dead_letters *letters)
{
    free(letters->bytes);
    *letters = (struct dead_letters){0};
}
