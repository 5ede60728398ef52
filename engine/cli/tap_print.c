/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tap_print.h"

#include "base/text.h"
#include "codec/calendar.h"
#include "codec/put.h"

enum { NUMBER_BYTES = PUT_NUMBER_BYTES_MAX + PUT_SLACK_BYTES };

static uint32_t code_of(const unsigned char *at, size_t length)
{
    static const unsigned char heads[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & heads[length];
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (at[i] & 0x3f);
    }
    return code;
}

/* Marks of direction can make a line say what it does not. */
static bool turns_text(uint32_t code)
{
    return (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
           code == 0x200e || code == 0x200f || code == 0x061c;
}

void tap_print_safe(struct yarder_text text, FILE *to)
{
    for (size_t i = 0; i < text.length;) {
        const unsigned char *at = (const unsigned char *)text.at + i;
        size_t length = put_utf8_length(text.at + i, text.length - i);
        uint32_t code = length == 0 ? 0 : code_of(at, length);
        bool control = (code < 0x20 && code != '\t' && code != '\n') || code == 0x7f ||
                       (code >= 0x80 && code < 0xa0);
        if (length == 0 || (control && length == 1)) {
            (void)fprintf(to, "\\x%02x", at[0]);
        } else if (control || turns_text(code)) {
            (void)fprintf(to, "\\u{%x}", code);
        } else {
            (void)fwrite(at, 1, length, to);
        }
        i += length == 0 ? 1 : length;
    }
}

/* As tap_print_safe, on one line. */
static void print_line(struct yarder_text text, FILE *to)
{
    while (text.length > 0) {
        const char *end = memchr(text.at, '\n', text.length);
        size_t length = end == NULL ? text.length : (size_t)(end - text.at);
        tap_print_safe((struct yarder_text){text.at, length}, to);
        if (end == NULL) {
            return;
        }
        (void)fputs("\\n", to);
        text = (struct yarder_text){end + 1, text.length - length - 1};
    }
}

static void print_time(int64_t time_ns, FILE *to)
{
    static struct calendar_zone zone;
    int64_t second = calendar_second(time_ns);
    struct calendar_time time;
    calendar_split(second + calendar_zone_offset(&zone, second), &time);
    (void)fprintf(to, "%02u:%02u:%02u.%03u", time.hour, time.minute, time.second,
        calendar_fraction_ns(time_ns) / 1000000);
}

static void print_fields(const struct yarder_record *record, FILE *to)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        char number[NUMBER_BYTES];
        (void)fputc(' ', to);
        print_line(field->key, to);
        (void)fputc('=', to);
        if (field->type == YARDER_FIELD_TEXT) {
            print_line(field->value, to);
        } else {
            (void)fwrite(number, 1, (size_t)(put_number(number, field) - number), to);
        }
    }
}

static const char *colour_of(uint8_t level)
{
    if (level >= YARDER_LEVEL_ERROR) {
        return "\033[31m";
    }
    return level >= YARDER_LEVEL_WARNING  ? "\033[33m"
           : level == YARDER_LEVEL_NOTSET ? ""
                                          : "\033[2m";
}

void tap_print_record(const struct yarder_record *record, bool colours, FILE *to)
{
    const char *colour = colours ? colour_of(record->level) : "";
    struct yarder_text source = record->logger.length > 0 ? record->logger : record->tag;
    print_time(record->time_ns, to);
    (void)fprintf(to, " %s%-7s%s ", colour,
        record->level == YARDER_LEVEL_NOTSET ? "-" : level_name(record->level),
        colour[0] != '\0' ? "\033[0m" : "");
    if (record->host.length > 0) {
        print_line(record->host, to);
        (void)fputc(' ', to);
    }
    print_line(source, to);
    if (record->pid != 0) {
        (void)fprintf(to, "[%u]", record->pid);
    }
    (void)fputs(source.length > 0 || record->pid != 0 ? ": " : "", to);
    print_line(record->text, to);
    print_fields(record, to);
    (void)fputc('\n', to);
}
