/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_mail.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { ADDRESS_BYTES_MAX = 254, SUBJECT_BYTES_MAX = 300, PLAIN_LINE_MAX = 900 };
enum { WORD_BYTES_MAX = 42, QUOTED_LINE_MAX = 72 }; /* base64 of 42 is 56; RFC 2047 allows 75 */

enum variable {
    VARIABLE_LEVEL,
    VARIABLE_HOST,
    VARIABLE_LOGGER,
    VARIABLE_TAG,
    VARIABLE_MSG,
    VARIABLE_COUNT,
    VARIABLE_OUTPUT,
    VARIABLES
};
static const char *const variables[VARIABLES] = {
    "level", "host", "logger", "tag", "msg", "count", "output"};

bool mail_address_is_legal(const char *address)
{
    size_t length = strlen(address);
    for (size_t i = 0; i < length; i++) {
        uint8_t c = (uint8_t)address[i];
        if (c <= ' ' || c >= 0x7F || strchr("<>,;:\"()[]\\", c) != NULL) {
            return false;
        }
    }
    return length > 0 && length <= ADDRESS_BYTES_MAX && address[0] != '@' &&
           address[length - 1] != '@' && strchr(address, '@') == strrchr(address, '@');
}

/* Whether a variable begins at `at`: which one (VARIABLES: an unknown one), and its length. */
static bool is_variable(const char *at, enum variable *which, size_t *length)
{
    const char *end = at[0] == '$' && at[1] == '{' ? strchr(at, '}') : NULL;
    if (end == NULL) {
        return false;
    }
    size_t name = (size_t)(end - at) - 2;
    unsigned found = 0;
    while (found < VARIABLES &&
           (strlen(variables[found]) != name || strncmp(variables[found], at + 2, name) != 0)) {
        found++;
    }
    *which = (enum variable)found;
    *length = name + 3;
    return true;
}

int mail_check_subject(const char *subject, char *why, size_t why_bytes)
{
    enum variable which;
    size_t length;
    for (const char *at = subject; *at != '\0'; at++) {
        if (is_variable(at, &which, &length) && which == VARIABLES) {
            (void)snprintf(why, why_bytes,
                "subject: expected ${level}, ${host}, ${logger}, ${tag}, ${msg}, ${count} or "
                "${output}, not '%.*s'",
                (int)length, at);
            return -EINVAL;
        }
    }
    return 0;
}

static const char *level_word(uint8_t level)
{
    static const char *const words[] = {
        "emerg", "alert", "critical", "error", "warning", "notice", "info", "debug"};
    return words[level_severity(level)];
}

static void put_variable(struct bytes *bytes, enum variable which, const struct mail_style *style,
    const struct yarder_item *item, uint32_t count)
{
    const struct yarder_record *record = item->record;
    switch (which) {
    case VARIABLE_LEVEL:
        bytes_put_word(bytes, level_word(record->level));
        break;
    case VARIABLE_HOST:
        bytes_put_text(bytes, record->host.length > 0 ? record->host : text_from(style->hostname));
        break;
    case VARIABLE_LOGGER:
        bytes_put_text(bytes, record->logger);
        break;
    case VARIABLE_TAG:
        bytes_put_text(bytes, record->tag);
        break;
    case VARIABLE_MSG:
        bytes_put_text(bytes, record->text);
        break;
    case VARIABLE_COUNT:
        bytes_put_words(bytes, "%" PRIu32, count);
        break;
    case VARIABLE_OUTPUT:
        bytes_put_word(bytes, style->output);
        break;
    case VARIABLES:
        break;
    }
}

static void put_base64(struct bytes *bytes, const char *from, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length; i += 3) {
        uint32_t left = (uint32_t)(length - i);
        uint32_t three = (uint32_t)(uint8_t)from[i] << 16;
        three |= left > 1 ? (uint32_t)(uint8_t)from[i + 1] << 8 : 0;
        three |= left > 2 ? (uint32_t)(uint8_t)from[i + 2] : 0;
        const char four[4] = {digits[three >> 18], digits[three >> 12 & 63],
            left > 1 ? digits[three >> 6 & 63] : '=', left > 2 ? digits[three & 63] : '='};
        bytes_put(bytes, four, sizeof(four));
    }
}

/* One line of valid UTF-8: control bytes are spaces, and it ends in time. */
static void put_one_line(struct bytes *bytes, struct yarder_text text)
{
    size_t begin = bytes->length;
    for (size_t i = 0, taken; i < text.length && bytes->length - begin < SUBJECT_BYTES_MAX;
         i += taken) {
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        bytes_put_code_point(bytes, point < 0x20 || (point >= 0x7F && point < 0xA0) ? ' ' : point);
    }
}

/* As it stands where it is plain, in encoded words (RFC 2047) where it is not. */
static void put_encoded(struct bytes *mail, struct yarder_text line)
{
    bool plain = true;
    for (size_t i = 0; i < line.length; i++) {
        plain = plain && (uint8_t)line.at[i] < 0x7F &&
                !(line.at[i] == '=' && i + 1 < line.length && line.at[i + 1] == '?');
    }
    if (plain) {
        bytes_put_text(mail, line);
        return;
    }
    for (size_t i = 0; i < line.length;) {
        size_t length = line.length - i < WORD_BYTES_MAX ? line.length - i : WORD_BYTES_MAX;
        while (i + length < line.length && ((uint8_t)line.at[i + length] & 0xC0) == 0x80) {
            length--; /* no character is cut in two */
        }
        bytes_put_word(mail, i == 0 ? "=?utf-8?B?" : "\r\n =?utf-8?B?");
        put_base64(mail, line.at + i, length);
        bytes_put_word(mail, "?=");
        i += length;
    }
}

static void put_subject(struct bytes *mail, const struct mail_style *style,
    const struct yarder_item *items, uint32_t count)
{
    struct bytes text = {0};
    struct bytes line = {0};
    enum variable which;
    size_t length;
    for (const char *at = style->subject; *at != '\0'; at += length) {
        if (is_variable(at, &which, &length)) {
            put_variable(&text, which, style, items, count);
        } else {
            length = 1;
            bytes_put_char(&text, *at);
        }
    }
    put_one_line(&line, (struct yarder_text){text.at, text.length});
    bytes_put_word(mail, "Subject: ");
    put_encoded(mail, (struct yarder_text){line.at, line.length});
    bytes_put_word(mail, "\r\n");
    mail->lacks = mail->lacks || text.lacks || line.lacks;
    bytes_free(&text);
    bytes_free(&line);
}

static void put_date(struct bytes *mail, int64_t now_s)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)now_s;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) != NULL) {
        bytes_put_words(mail, "Date: %s, %02d %s %d %02d:%02d:%02d +0000\r\n", days[parts.tm_wday],
            parts.tm_mday, months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour, parts.tm_min,
            parts.tm_sec);
    }
}

static void put_headers(struct bytes *mail, const struct mail_style *style,
    const struct yarder_item *items, uint32_t count, int64_t now_s)
{
    const struct yarder_id first = items[0].id;
    bytes_put_word(mail, "From: ");
    bytes_put_word(mail, style->from);
    for (uint32_t i = 0; i < style->to.count; i++) {
        bytes_put_word(mail, i == 0 ? "\r\nTo: " : ",\r\n ");
        bytes_put_word(mail, style->to.at[i]);
    }
    bytes_put_word(mail, "\r\n");
    put_subject(mail, style, items, count);
    put_date(mail, now_s);
    /* The same for the same records: a reader shows doubles once, or can. */
    bytes_put_words(mail, "Message-ID: <%" PRIu64 ".%" PRIu64 ".%" PRIu64 ".", first.epoch_ns,
        first.number, items[count - 1].id.number);
    bytes_put_words(mail, "%" PRIu32 "@%s>\r\n", count, style->hostname);
    bytes_put_word(mail, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                         "Content-Type: text/plain; charset=utf-8\r\n");
}

/* Whether the text may stand as it is: ASCII, without control bytes or long lines. */
static bool is_plain(struct yarder_text text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.length; i++) {
        uint8_t c = (uint8_t)text.at[i];
        column = c == '\n' ? 0 : column + 1;
        if ((c < 0x20 && c != '\n' && c != '\t') || c >= 0x7F || column > PLAIN_LINE_MAX) {
            return false;
        }
    }
    return true;
}

/* Among others' a record's further lines are indented, so that none of them passes for a record. */
static void put_plain(struct bytes *mail, struct yarder_text text, bool among_others)
{
    for (size_t i = 0, length; i < text.length; i += length + 1) {
        const char *end = memchr(text.at + i, '\n', text.length - i);
        length = end == NULL ? text.length - i : (size_t)(end - text.at) - i;
        bytes_put_word(mail, among_others && i > 0 ? "\t" : "");
        bytes_put(mail, text.at + i, length);
        bytes_put_word(mail, "\r\n");
    }
}

/* Quoted-printable (RFC 2045); what is no UTF-8 becomes U+FFFD first. */
static void put_quoted(struct bytes *mail, struct yarder_text text, bool among_others)
{
    size_t column = 0;
    for (size_t i = 0, taken; i < text.length; i += taken) {
        uint32_t point = bytes_code_point(text.at + i, text.length - i, &taken);
        bool ends = i + taken == text.length || text.at[i + taken] == '\n';
        if (point == '\n') {
            bytes_put_word(mail, among_others ? "\r\n=09" : "\r\n");
            column = among_others ? 3 : 0;
            continue;
        }
        char room[4];
        struct bytes one = {.at = room, .room = sizeof(room)};
        bytes_put_code_point(&one, point);
        bool as_it_is = point >= 0x20 && point < 0x7F && point != '=' && !(point == ' ' && ends);
        size_t width = as_it_is ? 1 : 3 * one.length;
        if (column + width > QUOTED_LINE_MAX) {
            bytes_put_word(mail, "=\r\n");
            column = 0;
        }
        column += width;
        for (size_t k = 0; k < one.length; k++) {
            if (as_it_is) {
                bytes_put_char(mail, room[k]);
            } else {
                bytes_put_words(mail, "=%02X", (unsigned)(uint8_t)room[k]);
            }
        }
    }
    bytes_put_word(mail, "\r\n");
}

void mail_put(struct bytes *mail, const struct mail_style *style, const struct yarder_item *items,
    uint32_t count, int64_t now_s)
{
    bool plain = true;
    put_headers(mail, style, items, count, now_s);
    for (uint32_t i = 0; i < count; i++) {
        plain = plain && is_plain(items[i].text);
    }
    bytes_put_words(
        mail, "Content-Transfer-Encoding: %s\r\n\r\n", plain ? "7bit" : "quoted-printable");
    for (uint32_t i = 0; i < count; i++) {
        if (plain) {
            put_plain(mail, items[i].text, count > 1);
        } else {
            put_quoted(mail, items[i].text, count > 1);
        }
    }
}
