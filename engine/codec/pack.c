/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/pack.h"

#include <assert.h>
#include <errno.h>

#include "base/checksum.h"
#include "codec/put.h"

static_assert(sizeof(struct pack_head) % PACK_UNIT_BYTES == 0, "no gap before the texts");

enum { CRC_FROM = offsetof(struct pack_head, epoch_ns), KEY_BYTES_MAX = UINT16_MAX };

/* Before each field's key and value. */
struct field_head {
    uint8_t type, unused;
    uint16_t key_bytes;
    uint32_t value_bytes;
};

static inline size_t key_bytes(const struct yarder_field *field)
{
    return yarder_min(field->key.length, KEY_BYTES_MAX);
}

size_t pack_bytes(const struct yarder_record *record)
{
    size_t bytes = sizeof(struct pack_head) + record->text.length + record->host.length +
                   record->peer.length + record->tag.length + record->logger.length;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        bytes += sizeof(struct field_head) + key_bytes(field) + field->value.length;
    }
    return yarder_align_up(bytes, PACK_UNIT_BYTES);
}

static char *put_fields(char *at, const struct yarder_record *record)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        const struct field_head head = {.type = (uint8_t)field->type,
            .key_bytes = (uint16_t)key_bytes(field),
            .value_bytes = (uint32_t)field->value.length};
        memcpy(at, &head, sizeof(head));
        at = put_bytes(at + sizeof(head), field->key.at, head.key_bytes);
        at = put_text(at, field->value);
    }
    return at;
}

size_t pack_record(const struct yarder_record *record, struct yarder_id id, char *at)
{
    char *end = put_text(at + sizeof(struct pack_head), record->text);
    end = put_text(end, record->host);
    end = put_text(end, record->peer);
    end = put_text(end, record->tag);
    end = put_text(end, record->logger);
    end = put_fields(end, record);
    while ((size_t)(end - at) % PACK_UNIT_BYTES != 0) {
        *end++ = 0;
    }
    const struct pack_head head = {.bytes = (uint32_t)(end - at),
        .epoch_ns = id.epoch_ns,
        .number = id.number,
        .time_ns = record->time_ns,
        .received_ns = record->received_ns,
        .text_bytes = (uint32_t)record->text.length,
        .host_bytes = (uint32_t)record->host.length,
        .peer_bytes = (uint32_t)record->peer.length,
        .tag_bytes = (uint32_t)record->tag.length,
        .logger_bytes = (uint32_t)record->logger.length,
        .fields_count = record->fields_count,
        .flags = record->flags,
        .pid = record->pid,
        .tid = record->tid,
        .lost_before = record->lost_before,
        .input = record->input,
        .level = record->level,
        .kind = record->kind,
        .stream = record->stream,
        .facility = record->facility,
        .version = PACK_VERSION};
    memcpy(at, &head, sizeof(head));
    return head.bytes;
}

static uint32_t bytes_of(const char *at)
{
    uint32_t bytes = 0;
    memcpy(&bytes, at, sizeof(bytes));
    return bytes;
}

static uint32_t crc_of(const char *at)
{
    return checksum_crc32c(at + CRC_FROM, bytes_of(at) - CRC_FROM);
}

void pack_seal(char *at)
{
    uint32_t crc = crc_of(at);
    memcpy(at + offsetof(struct pack_head, crc), &crc, sizeof(crc));
}

bool pack_is_sound(const char *at)
{
    uint32_t crc = 0;
    memcpy(&crc, at + offsetof(struct pack_head, crc), sizeof(crc));
    return crc == crc_of(at);
}

/* Bytes of a record that are yet to be read. */
struct rest {
    const char *at;
    size_t count;
};

static bool take(struct rest *rest, size_t count, struct yarder_text *out)
{
    if (count > rest->count) {
        return false;
    }
    *out = (struct yarder_text){rest->at, count};
    rest->at += count;
    rest->count -= count;
    return true;
}

static bool take_field(struct rest *rest, struct yarder_field *field)
{
    struct yarder_text bytes;
    struct field_head head;
    if (!take(rest, sizeof(head), &bytes)) {
        return false;
    }
    memcpy(&head, bytes.at, sizeof(head));
    field->type = (enum yarder_field_type)head.type;
    return head.type >= YARDER_FIELD_TEXT && head.type <= YARDER_FIELD_BOOL && head.unused == 0 &&
           take(rest, head.key_bytes, &field->key) && take(rest, head.value_bytes, &field->value);
}

static bool is_padding(struct rest rest)
{
    bool zeros = rest.count < PACK_UNIT_BYTES;
    for (size_t i = 0; zeros && i < rest.count; i++) {
        zeros = rest.at[i] == 0;
    }
    return zeros;
}

static bool take_texts(
    struct rest *rest, const struct pack_head *head, struct yarder_record *record)
{
    return take(rest, head->text_bytes, &record->text) &&
           take(rest, head->host_bytes, &record->host) &&
           take(rest, head->peer_bytes, &record->peer) &&
           take(rest, head->tag_bytes, &record->tag) &&
           take(rest, head->logger_bytes, &record->logger);
}

/* The head of a record that is all there; its numbers are not looked at yet. */
static int read_head(const char *bytes, size_t bytes_count, struct pack_head *head)
{
    if (bytes_count < sizeof(head->bytes)) {
        return -EAGAIN;
    }
    uint32_t all = bytes_of(bytes);
    if (all < sizeof(*head) || all % PACK_UNIT_BYTES != 0 || all > PACK_BYTES_MAX) {
        return -EBADMSG;
    }
    if (bytes_count < all) {
        return -EAGAIN;
    }
    memcpy(head, bytes, sizeof(*head));
    bool known = head->version == PACK_VERSION && head->fields_count <= YARDER_FIELDS_MAX;
    return known && head->bytes == all ? 0 : -EBADMSG;
}

int pack_read(const char *bytes, size_t bytes_count, struct yarder_record *record,
    struct yarder_id *id, struct yarder_field *fields, uint32_t fields_room, size_t *taken)
{
    struct pack_head head;
    int r = read_head(bytes, bytes_count, &head);
    if (r < 0) {
        return r;
    }
    if (head.fields_count > fields_room) {
        return -ENOBUFS;
    }
    struct yarder_record read = {.time_ns = head.time_ns,
        .received_ns = head.received_ns,
        .fields = fields,
        .fields_count = head.fields_count,
        .flags = head.flags,
        .pid = head.pid,
        .tid = head.tid,
        .lost_before = head.lost_before,
        .input = head.input,
        .level = head.level,
        .kind = head.kind,
        .stream = head.stream,
        .facility = head.facility};
    struct rest rest = {bytes + sizeof(head), head.bytes - sizeof(head)};
    bool good = take_texts(&rest, &head, &read);
    for (uint32_t i = 0; good && i < head.fields_count; i++) {
        good = take_field(&rest, &fields[i]);
    }
    if (!good || !is_padding(rest)) {
        return -EBADMSG;
    }
    *record = read;
    *id = (struct yarder_id){head.epoch_ns, head.number};
    *taken = head.bytes;
    return 0;
}
