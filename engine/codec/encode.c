/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/encode.h"

#include <errno.h>

#include "base/text.h"
#include "codec/encode_private.h"

/* In the order of enum encode_preset. */
const struct encode_name encode_presets[] = {
    {"text", "the message"},
    {"syslog", "RFC 3164: <PRI>Mmm dd hh:mm:ss host tag[pid]: message"},
    {"rfc5424", "RFC 5424, fields as structured data"},
    {"json", "an object on one line, always valid"},
    {"python:FORMAT", "Python's %-style: python:%(asctime)s %(levelname)s %(name)s %(message)s"},
    {NULL, NULL},
};

static const char python_prefix[] = "python:";

static int refuse_format(const char *format, char *why, size_t why_bytes)
{
    const char *names[YARDER_COUNT_OF(encode_presets) - 1];
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        names[i] = encode_presets[i].name;
    }
    const char *near = text_near(format, names, YARDER_COUNT_OF(names));
    (void)snprintf(why, why_bytes, "\"%.40s\" is no preset and has no variable in it; %s%s%s",
        format,
        near == NULL ? "expected text, syslog, rfc5424, json or such as ${level}: ${msg}"
                     : "did you mean \"",
        near == NULL ? "" : near, near == NULL ? "" : "\"?");
    return -EINVAL;
}

static bool has_variable(const struct template_list *list)
{
    return list->ops_count >
           list->kind_counts[TEMPLATE_LITERAL] + list->kind_counts[TEMPLATE_TRACEBACK];
}

static int open_template(struct encoder *encoder, const char *format, char *why, size_t why_bytes)
{
    bool python = strncmp(format, python_prefix, sizeof(python_prefix) - 1) == 0;
    int result = python ? template_open_python(
                              &encoder->list, format + sizeof(python_prefix) - 1, why, why_bytes)
                        : template_open(&encoder->list, format, false, why, why_bytes);
    if (result == 0 && !has_variable(&encoder->list)) {
        return refuse_format(format, why, why_bytes);
    }
    return result;
}

static void set_clock(struct encoder *encoder, const char *format, bool utc)
{
    encoder->clock.utc = utc;
    encoder->clock.format_length = (uint8_t)strlen(format);
    memcpy(encoder->clock.format, format, strlen(format));
}

static int open_format(struct encoder *encoder, const char *format, char *why, size_t why_bytes)
{
    for (unsigned preset = ENCODE_TEXT; preset < ENCODE_TEMPLATE; preset++) {
        if (strcmp(format, encode_presets[preset].name) == 0) {
            encoder->preset = (enum encode_preset)preset;
            bool local = encoder->preset == ENCODE_SYSLOG;
            set_clock(encoder, local ? "%b %e %T" : "%FT%T", !local);
            return 0;
        }
    }
    encoder->preset = ENCODE_TEMPLATE;
    return open_template(encoder, format, why, why_bytes);
}

int encoder_open(struct encoder **out, const char *format, enum encode_newlines newlines,
    const char *host, char *why, size_t why_bytes)
{
    YARDER_ASSERT(newlines <= ENCODE_NEWLINES_INDENT);
    struct encoder *encoder = calloc(1, sizeof(*encoder));
    if (encoder == NULL) {
        return -ENOMEM;
    }
    encoder->newlines = newlines;
    encoder->host_bytes = yarder_min(host == NULL ? 0 : strlen(host), ENCODE_HOST_BYTES_MAX);
    if (encoder->host_bytes > 0) {
        memcpy(encoder->host, host, encoder->host_bytes);
    }
    int result = open_format(encoder, format, why, why_bytes);
    if (result < 0) {
        encoder_close(encoder);
        return result;
    }
    *out = encoder;
    return 0;
}

void encoder_close(struct encoder *encoder)
{
    if (encoder != NULL) {
        template_close(&encoder->list);
        free(encoder);
    }
}

static enum put_policy choose_policy(
    const struct encoder *encoder, const struct yarder_record *record)
{
    bool syslog = encoder->preset == ENCODE_SYSLOG || encoder->preset == ENCODE_RFC5424;
    switch (encoder->newlines) {
    case ENCODE_NEWLINES_ESCAPE:
        return PUT_ESCAPE;
    case ENCODE_NEWLINES_INDENT:
        return PUT_INDENT;
    case ENCODE_NEWLINES_AUTO:
        return syslog || encode_is_foreign(record) ? PUT_ESCAPE : PUT_KEEP;
    case ENCODE_NEWLINES_KEEP:
    default:
        return PUT_KEEP;
    }
}

size_t encoder_bound(const struct encoder *encoder, const struct yarder_record *record)
{
    enum put_policy policy = choose_policy(encoder, record);
    switch (encoder->preset) {
    case ENCODE_SYSLOG:
    case ENCODE_RFC5424:
        return encode_syslog_bound(encoder, record, policy);
    case ENCODE_JSON:
        return encode_json_bound(encoder, record);
    case ENCODE_TEMPLATE:
        return template_bound(&encoder->list, record, encoder->host_bytes, policy) + 1;
    case ENCODE_TEXT:
    default:
        return put_lines_bound(record->text.length, policy) + 1;
    }
}

size_t encoder_run(struct encoder *encoder, const struct yarder_record *record, char *at)
{
    enum put_policy policy = choose_policy(encoder, record);
    struct yarder_text host = {encoder->host, encoder->host_bytes};
    char *end = at;
    switch (encoder->preset) {
    case ENCODE_SYSLOG:
        end = encode_syslog(encoder, record, policy, at);
        break;
    case ENCODE_RFC5424:
        end = encode_rfc5424(encoder, record, policy, at);
        break;
    case ENCODE_JSON:
        end = encode_json(encoder, record, at);
        break;
    case ENCODE_TEMPLATE:
        end = template_run(&encoder->list, record, host, policy, at);
        break;
    case ENCODE_TEXT:
    default:
        end = put_lines(at, record->text, policy);
        break;
    }
    *end = '\n';
    return (size_t)(end - at) + 1;
}

bool encoder_is_plain(const struct encoder *encoder)
{
    return encoder->preset == ENCODE_TEXT &&
           (encoder->newlines == ENCODE_NEWLINES_KEEP || encoder->newlines == ENCODE_NEWLINES_AUTO);
}
