/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoder's files share; private to the room. */
#ifndef YARDER_CODEC_ENCODE_PRIVATE_H
#define YARDER_CODEC_ENCODE_PRIVATE_H

#include "codec/calendar.h"
#include "codec/encode.h"
#include "codec/put.h"
#include "codec/template.h"

enum encode_preset { ENCODE_TEXT, ENCODE_SYSLOG, ENCODE_RFC5424, ENCODE_JSON, ENCODE_TEMPLATE };
enum { ENCODE_HOST_BYTES_MAX = 255 };

struct encoder {
    enum encode_preset preset;
    enum encode_newlines newlines;
    size_t host_bytes;
    char host[ENCODE_HOST_BYTES_MAX + 1];
    struct calendar_text clock; /* of the presets */
    struct calendar_zone zone;
    struct template_list list; /* of ENCODE_TEMPLATE */
};

static inline struct yarder_text encode_host(
    const struct encoder *encoder, const struct yarder_record *record)
{
    return record->host.length > 0 ? record->host
                                   : (struct yarder_text){encoder->host, encoder->host_bytes};
}

/* A constant as a copy of known size. */
#define PUT_CONSTANT(at, constant) put_bytes((at), (constant), sizeof(constant) - 1)

size_t encode_json_bound(const struct encoder *encoder, const struct yarder_record *record);
char *encode_json(struct encoder *encoder, const struct yarder_record *record, char *at);

size_t encode_syslog_bound(
    const struct encoder *encoder, const struct yarder_record *record, enum put_policy policy);
char *encode_syslog(
    struct encoder *encoder, const struct yarder_record *record, enum put_policy policy, char *at);
char *encode_rfc5424(
    struct encoder *encoder, const struct yarder_record *record, enum put_policy policy, char *at);

#endif
