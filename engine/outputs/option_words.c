/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/output_private.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "outputs/output.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Ascending; the way back takes the last that divides. */
static const struct unit byte_units[] = {{"", 1}, {"k", 1ull << 10}, {"K", 1ull << 10},
    {"m", 1ull << 20}, {"M", 1ull << 20}, {"g", 1ull << 30}, {"G", 1ull << 30}};
static const struct unit time_units[] = {{"ms", 1000000ull}, {"s", 1000000000ull},
    {"m", 60 * 1000000000ull}, {"h", 3600 * 1000000000ull}, {"d", 86400 * 1000000000ull}};

static int parse_number(
    const char *text, const struct unit *units, size_t units_count, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    int r = text_to_u64((struct yarder_text){text, digits}, &number);
    if (r < 0) {
        return r;
    }
    for (size_t i = 0; i < units_count; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            return __builtin_mul_overflow(number, units[i].factor, out) ? -ERANGE : 0;
        }
    }
    return -EINVAL;
}

int option_parse_bytes(const char *text, uint64_t *out)
{
    return parse_number(text, byte_units, YARDER_COUNT_OF(byte_units), out);
}

int option_parse_duration(const char *text, uint64_t *out_ns)
{
    if (strcmp(text, "0") == 0) {
        *out_ns = 0;
        return 0;
    }
    uint64_t value_ns = 0;
    int r = parse_number(text, time_units, YARDER_COUNT_OF(time_units), &value_ns);
    if (r == 0 && value_ns > OPTION_DURATION_NS_MAX) {
        return -ERANGE;
    }
    *out_ns = r == 0 ? value_ns : *out_ns;
    return r;
}

static const char *format_number(
    uint64_t value, const struct unit *units, size_t units_count, char *at)
{
    size_t best = 0;
    for (size_t i = 1; i < units_count && value != 0; i++) {
        if (value % units[i].factor == 0) {
            best = i;
        }
    }
    (void)snprintf(at, OPTION_FORMAT_BYTES, "%llu%s",
        (unsigned long long)(value / units[best].factor), units[best].name);
    return at;
}

const char *option_format_bytes(uint64_t value, char at[OPTION_FORMAT_BYTES])
{
    return format_number(value, byte_units, YARDER_COUNT_OF(byte_units), at);
}

const char *option_format_duration(uint64_t value_ns, char at[OPTION_FORMAT_BYTES])
{
    if (value_ns == UINT64_MAX) {
        (void)snprintf(at, OPTION_FORMAT_BYTES, "for ever");
        return at;
    }
    return format_number(value_ns, time_units, YARDER_COUNT_OF(time_units), at);
}

/* The argument behind "word:", or NULL when text does not begin so. */
static const char *argument_of(const char *text, const char *word)
{
    size_t length = strlen(word);
    return strncmp(text, word, length) == 0 && text[length] == ':' ? text + length + 1 : NULL;
}

static int refuse(char *why, size_t why_bytes, const char *expected)
{
    (void)snprintf(why, why_bytes, "expected %s", expected);
    return -EINVAL;
}

int option_parse_queue(void *target, const char *text, char *why, size_t why_bytes)
{
    enum { QUEUE_BYTES_MIN = 1 << 20, QUEUE_BEFORE_DISK_BYTES = 4 << 20 };
    static const uint64_t queue_bytes_max = 1ull << 40;
    const char *memory = argument_of(text, "memory");
    const char *disk = argument_of(text, "disk");
    const char *size = memory != NULL ? memory : disk;
    uint64_t bytes = 0;
    int r = size != NULL ? option_parse_bytes(size, &bytes) : 0;
    if (r == -EINVAL && size[0] >= '0' && size[0] <= '9') {
        return refuse(why, why_bytes,
            "memory:SIZE or disk:SIZE, of 1M to 1024G; the unit is one letter: K, M or G");
    }
    if (size == NULL || r < 0 || bytes < QUEUE_BYTES_MIN || bytes > queue_bytes_max) {
        return refuse(why, why_bytes, "memory:SIZE or disk:SIZE, of 1M to 1024G");
    }
    *(struct output_queue *)target = (struct output_queue){
        .memory_bytes = memory != NULL ? bytes : QUEUE_BEFORE_DISK_BYTES,
        .disk_bytes = disk != NULL ? bytes : 0,
    };
    return 0;
}

int option_parse_retry(void *target, const char *text, char *why, size_t why_bytes)
{
    static const uint64_t base_ns_min = 1000000;
    static const uint64_t limit_ns_default = 30 * 1000000000ull;
    struct output_retry parsed = {0};
    const char *dots = strstr(text, "..");
    char base[32];
    size_t length = dots != NULL ? (size_t)(dots - text) : strlen(text);
    bool good = length < sizeof(base);
    (void)snprintf(base, sizeof(base), "%.*s", (int)yarder_min(length, sizeof(base) - 1), text);
    good = good && option_parse_duration(base, &parsed.base_ns) == 0;
    parsed.limit_ns = yarder_max(parsed.base_ns, limit_ns_default);
    good = good && (dots == NULL || option_parse_duration(dots + 2, &parsed.limit_ns) == 0);
    if (!good || parsed.base_ns < base_ns_min || parsed.limit_ns < parsed.base_ns) {
        return refuse(why, why_bytes,
            "TIME or TIME..TIME with units, the shorter first, such as 100ms..30s, of 1ms to 365d");
    }
    *(struct output_retry *)target = parsed;
    return 0;
}

int option_parse_give_up(void *target, const char *text, char *why, size_t why_bytes)
{
    uint64_t parsed_ns = UINT64_MAX;
    if (strcmp(text, "never") != 0 &&
        (option_parse_duration(text, &parsed_ns) < 0 || parsed_ns == 0)) {
        return refuse(why, why_bytes, "never, or a time with a unit such as 1h, and at most 365d");
    }
    *(uint64_t *)target = parsed_ns;
    return 0;
}

int option_parse_on_full(void *target, const char *text, char *why, size_t why_bytes)
{
    struct output_on_full parsed = {.policy = OUTPUT_FULL_BLOCK, .block_ns = UINT64_MAX};
    const char *limit = argument_of(text, "block");
    if (strcmp(text, "auto") == 0) {
        parsed = (struct output_on_full){0};
    } else if (strcmp(text, "drop-newest") == 0) {
        parsed.policy = OUTPUT_FULL_DROP_NEWEST;
    } else if (strcmp(text, "drop-oldest") == 0) {
        parsed.policy = OUTPUT_FULL_DROP_OLDEST;
    } else if (limit != NULL) {
        if (option_parse_duration(limit, &parsed.block_ns) < 0) {
            return refuse(
                why, why_bytes, "block:TIME with a unit, such as block:2s, and at most 365d");
        }
    } else if (strcmp(text, "block") != 0) {
        return refuse(why, why_bytes, "auto, block, block:TIME, drop-newest or drop-oldest");
    }
    *(struct output_on_full *)target = parsed;
    return 0;
}

int option_parse_fsync(void *target, const char *text, char *why, size_t why_bytes)
{
    struct output_fsync parsed = {OUTPUT_SYNC_NONE, 0};
    const char *interval = argument_of(text, "interval");
    if (interval != NULL) {
        parsed.policy = OUTPUT_SYNC_INTERVAL;
        if (option_parse_duration(interval, &parsed.interval_ns) < 0 || parsed.interval_ns == 0) {
            return refuse(
                why, why_bytes, "interval:TIME with a unit, such as interval:1s, and at most 365d");
        }
    } else if (strcmp(text, "batch") == 0) {
        parsed.policy = OUTPUT_SYNC_BATCH;
    } else if (strcmp(text, "none") != 0) {
        return refuse(why, why_bytes, "none, interval:TIME or batch");
    }
    *(struct output_fsync *)target = parsed;
    return 0;
}

/* The next part of "a+b+c"; false at the end. An empty part is a part. */
static bool next_part(const char **rest, struct yarder_text *part)
{
    if (*rest == NULL) {
        return false;
    }
    size_t length = strcspn(*rest, "+");
    *part = (struct yarder_text){*rest, length};
    *rest = (*rest)[length] == '+' ? *rest + length + 1 : NULL;
    return true;
}

int option_parse_facilities(void *target, const char *text, char *why, size_t why_bytes)
{
    uint32_t facilities = 0;
    struct yarder_text part;
    for (const char *rest = text; next_part(&rest, &part);) {
        uint8_t facility = 0;
        if (text_to_facility(part, &facility) < 0) {
            (void)snprintf(why, why_bytes,
                "'%.*s' is no facility; expected kern, user, mail, daemon, auth, syslog, lpr, "
                "news, "
                "uucp, cron, authpriv, ftp, ntp, audit, alert, clock, local0 to local7 or 0 to 23, "
                "several with '+' between",
                (int)yarder_min(part.length, 32), part.at);
            return -EINVAL;
        }
        facilities |= 1u << facility;
    }
    *(uint32_t *)target = facilities;
    return 0;
}

/* Words to bits, word i to bit bits[i]. */
static int parse_bits(uint8_t *target, const char *text, const char *const words[2],
    const unsigned bits[2], char *why, size_t why_bytes)
{
    unsigned set = 0;
    struct yarder_text part;
    for (const char *rest = text; next_part(&rest, &part);) {
        if (text_is(part, words[0])) {
            set |= 1u << bits[0];
        } else if (text_is(part, words[1])) {
            set |= 1u << bits[1];
        } else {
            (void)snprintf(why, why_bytes, "expected %s or %s", words[0], words[1]);
            return -EINVAL;
        }
    }
    *target = (uint8_t)set;
    return 0;
}

int option_parse_kinds(void *target, const char *text, char *why, size_t why_bytes)
{
    static const char *const words[2] = {"log", "request"};
    static const unsigned bits[2] = {YARDER_KIND_LOG, YARDER_KIND_REQUEST};
    return parse_bits(target, text, words, bits, why, why_bytes);
}

int option_parse_streams(void *target, const char *text, char *why, size_t why_bytes)
{
    static const char *const words[2] = {"stdout", "stderr"};
    static const unsigned bits[2] = {YARDER_STREAM_STDOUT, YARDER_STREAM_STDERR};
    return parse_bits(target, text, words, bits, why, why_bytes);
}

/* Letters in either case, as Python takes them. */
int option_parse_rotate_when(void *target, const char *text, char *why, size_t why_bytes)
{
    static const char letters[] = "SMHD";
    struct rotate_when parsed = {0};
    const char *found =
        text[0] != '\0' && text[1] == '\0' ? strchr(letters, text[0] & ~0x20) : NULL;
    if (found != NULL) {
        parsed.unit = (enum rotate_unit)(ROTATE_SECOND + (found - letters));
    } else if (strcasecmp(text, "midnight") == 0) {
        parsed.unit = ROTATE_MIDNIGHT;
    } else if ((text[0] & ~0x20) == 'W' && text[1] >= '0' && text[1] <= '6' && text[2] == '\0') {
        parsed = (struct rotate_when){ROTATE_WEEK, (uint32_t)(text[1] - '0')};
    } else {
        return refuse(why, why_bytes,
            "S, M, H, D (second, minute, hour, day), midnight, or W0 to W6 (Monday to Sunday)");
    }
    *(struct rotate_when *)target = parsed;
    return 0;
}

int option_parse_rotate_at(void *target, const char *text, char *why, size_t why_bytes)
{
    unsigned hour = 0;
    unsigned minute = 0;
    unsigned second = 0;
    int length = 0;
    size_t digits = strspn(text, "0123456789:");
    bool whole = sscanf(text, "%2u:%2u%n:%2u%n", &hour, &minute, &length, &second, &length) >= 2;
    if (!whole || (size_t)length != digits || text[digits] != '\0' || hour > 23 || minute > 59 ||
        second > 59) {
        return refuse(why, why_bytes, "HH:MM or HH:MM:SS, such as 03:30");
    }
    *(struct rotate_at *)target =
        (struct rotate_at){.given = true, .second = hour * 3600 + minute * 60 + second};
    return 0;
}
