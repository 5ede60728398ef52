/* SPDX-License-Identifier: Apache-2.0 */
/* Values on their way back to text, as a user would write them. */
#include <string.h>

#include "base/text.h"
#include "control/option_set.h"
#include "control/option_share.h"
#include "outputs/output.h"
#include "outputs/output_private.h"

static const char *show_levels(const struct yarder_levels *levels, char *at)
{
    at[0] = '\0';
    if (levels->highest != 0) {
        const char *low = levels->lowest == 0 ? "" : level_name(levels->lowest);
        const char *dots = levels->highest == YARDER_LEVEL_MAX ? "" : "..";
        const char *high = dots[0] == '\0' ? "" : level_name(levels->highest);
        (void)snprintf(at, OPTION_WHY_BYTES, "%s%s%s", low, dots, high);
    }
    return at;
}

static const char *show_texts(const struct yarder_texts *texts, char *at)
{
    size_t length = 0;
    at[0] = '\0';
    for (uint32_t i = 0; i < texts->count && length < OPTION_WHY_BYTES; i++) {
        length += (size_t)snprintf(
            at + length, OPTION_WHY_BYTES - length, "%s%s", i == 0 ? "" : " ", texts->at[i]);
    }
    return at;
}

static const char *show_on_full(const struct output_on_full *on_full, char *at)
{
    static const char *const words[] = {"auto", "block", "drop-newest", "drop-oldest"};
    char limit[OPTION_FORMAT_BYTES];
    bool limited = on_full->policy == OUTPUT_FULL_BLOCK && on_full->block_ns != UINT64_MAX;
    (void)snprintf(at, OPTION_WHY_BYTES, "%s%s%s", words[on_full->policy], limited ? ":" : "",
        limited ? option_format_duration(on_full->block_ns, limit) : "");
    return at;
}

static const char *show_fsync(const struct output_fsync *fsync, char *at)
{
    static const char *const words[] = {"none", "interval:", "batch"};
    char interval[OPTION_FORMAT_BYTES];
    bool timed = fsync->policy == OUTPUT_SYNC_INTERVAL;
    (void)snprintf(at, OPTION_WHY_BYTES, "%s%s", words[fsync->policy],
        timed ? option_format_duration(fsync->interval_ns, interval) : "");
    return at;
}

static const char *show_retry(const struct output_retry *retry, char *at)
{
    char base[OPTION_FORMAT_BYTES];
    char limit[OPTION_FORMAT_BYTES];
    (void)snprintf(at, OPTION_WHY_BYTES, "%s..%s", option_format_duration(retry->base_ns, base),
        option_format_duration(retry->limit_ns, limit));
    return at;
}

/* The names of the bits that are set, with '+' between. */
static const char *show_bits(uint32_t bits, const char *(*name)(uint8_t bit), char *at)
{
    size_t length = 0;
    at[0] = '\0';
    for (uint8_t bit = 0; bit < 32 && length < OPTION_WHY_BYTES; bit++) {
        if ((bits >> bit & 1) != 0) {
            length += (size_t)snprintf(
                at + length, OPTION_WHY_BYTES - length, "%s%s", length == 0 ? "" : "+", name(bit));
        }
    }
    return at;
}

static const char *kind_name(uint8_t kind)
{
    return kind == YARDER_KIND_REQUEST ? "request" : "log";
}

static const char *stream_name(uint8_t stream)
{
    return stream == YARDER_STREAM_STDERR ? "stderr" : "stdout";
}

static const char *show_when(const struct rotate_when *when, char *at)
{
    static const char *const words[] = {"", "S", "M", "H", "D", "midnight", "W"};
    bool week = when->unit == ROTATE_WEEK;
    (void)snprintf(
        at, OPTION_WHY_BYTES, "%s%.*u", words[when->unit], week ? 1 : 0, week ? when->weekday : 0);
    return at;
}

static const char *show_at(const struct rotate_at *when, char *at)
{
    at[0] = '\0';
    if (when->given) {
        (void)snprintf(at, OPTION_WHY_BYTES, "%02u:%02u:%02u", when->second / 3600,
            when->second / 60 % 60, when->second % 60);
    }
    return at;
}

/* The forms that only their parsers know, told apart by these. */
static const char *show_special(const struct yarder_option *option, const void *field, char *at)
{
    char size[OPTION_FORMAT_BYTES];
    if (option->parse == option_parse_queue) {
        const struct output_queue *queue = field;
        bool disk = queue->disk_bytes > 0;
        (void)snprintf(at, OPTION_WHY_BYTES, "%s:%s", disk ? "disk" : "memory",
            option_format_bytes(disk ? queue->disk_bytes : queue->memory_bytes, size));
        return at;
    }
    if (option->parse == option_parse_retry) {
        return show_retry(field, at);
    }
    if (option->parse == option_parse_give_up) {
        uint64_t limit_ns = *(const uint64_t *)field;
        return limit_ns == UINT64_MAX ? "never" : option_format_duration(limit_ns, at);
    }
    if (option->parse == option_parse_on_full) {
        return show_on_full(field, at);
    }
    if (option->parse == option_parse_fsync) {
        return show_fsync(field, at);
    }
    if (option->parse == option_parse_facilities) {
        return show_bits(*(const uint32_t *)field, facility_name, at);
    }
    if (option->parse == option_parse_kinds) {
        return show_bits(*(const uint8_t *)field, kind_name, at);
    }
    if (option->parse == option_parse_cpus) {
        return option_show_cpus(field, at);
    }
    if (option->parse == option_parse_nice) {
        return option_show_nice(field, at);
    }
    if (option->parse == option_parse_rotate_when) {
        return show_when(field, at);
    }
    if (option->parse == option_parse_rotate_at) {
        return show_at(field, at);
    }
    if (option->parse == option_parse_streams) {
        return show_bits(*(const uint8_t *)field, stream_name, at);
    }
    return ""; /* a backend's own, which it alone can read */
}

static bool is_number(const struct yarder_option *option)
{
    return option->kind == YARDER_OPTION_COUNT || option->kind == YARDER_OPTION_BYTES ||
           option->kind == YARDER_OPTION_DURATION;
}

const char *option_show(
    const struct yarder_option *option, const void *target, char at[OPTION_WHY_BYTES])
{
    const void *field = (const char *)target + option->offset;
    const char *text = "";
    if (is_number(option) && *(const uint64_t *)field == 0 && option->min > 0) {
        return ""; /* nobody can have said so: nothing was said */
    }
    switch (option->kind) {
    case YARDER_OPTION_BOOL:
        return *(const bool *)field ? "yes" : "no";
    case YARDER_OPTION_COUNT:
        (void)snprintf(at, OPTION_WHY_BYTES, "%llu", *(const unsigned long long *)field);
        return at;
    case YARDER_OPTION_BYTES:
        return option_format_bytes(*(const uint64_t *)field, at);
    case YARDER_OPTION_DURATION:
        return option_format_duration(*(const uint64_t *)field, at);
    case YARDER_OPTION_CHOICE:
        /* without a default, its first word is what holds when nobody says anything */
        return option->default_text == NULL && *(const int *)field == 0
                   ? ""
                   : option->choices[*(const int *)field];
    case YARDER_OPTION_MODE:
        (void)snprintf(at, OPTION_WHY_BYTES, "%04o", *(const uint32_t *)field);
        return at;
    case YARDER_OPTION_LEVELS:
        return show_levels(field, at);
    case YARDER_OPTION_TEXTS:
        return show_texts(field, at);
    case YARDER_OPTION_TEXT:
    case YARDER_OPTION_PATH:
        text = *(char *const *)field;
        return text != NULL ? text : "";
    case YARDER_OPTION_SECRET:
        return *(char *const *)field != NULL ? "***" : "";
    case YARDER_OPTION_SPECIAL:
        return show_special(option, field, at);
    case YARDER_OPTION_END:
        break;
    }
    return "";
}
