/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record as bytes that come back as the same record: what queues of offloaded outputs hold, what
 * a spool's segments and dead letters are made of. Host order, for one machine.
 *
 *   +-------------------------------------------------------------+
 *   | u32 bytes   all of it, a multiple of 8                      |  struct pack_head
 *   | u32 crc     of all behind this word; 0 in memory            |
 *   | id, times, numbers, lengths of the texts and of the fields  |
 *   +-------------------------------------------------------------+
 *   | text | host | peer | tag | logger                           |
 *   | fields: u8 type, u8 unused, u16 key, u32 value, key, value  |
 *   | zeros up to the multiple of 8                               |
 *   +-------------------------------------------------------------+
 *
 * Reading trusts nothing: memory and disk are the outside world.
 */
#ifndef YARDER_CODEC_PACK_H
#define YARDER_CODEC_PACK_H

#include "api/backend.h"
#include "base/base.h"
#include "base/limits.h"

/* No record's texts and fields come to more; a packed one that says so is none. */
enum { PACK_UNIT_BYTES = 8, PACK_BYTES_MAX = 8 * YARDER_RECORD_BYTES_MAX };

struct pack_head {
    uint32_t bytes;
    uint32_t crc;
    uint64_t epoch_ns, number; /* struct yarder_id */
    int64_t time_ns, received_ns;
    uint32_t text_bytes;
    uint32_t host_bytes, peer_bytes, tag_bytes, logger_bytes;
    uint32_t fields_count;
    uint32_t flags, pid, tid, lost_before;
    uint16_t input;
    uint8_t level, kind, stream, facility;
    uint16_t version; /* PACK_VERSION */
};
enum { PACK_VERSION = 1 };

/*
 * Bytes that pack_record writes for this record. Cheap: from lengths. Of a field's key 64 KiB are
 * packed at the most.
 */
size_t pack_bytes(const struct yarder_record *record);
/* Writes it at `at`; the crc stays 0. Returns pack_bytes. */
size_t pack_record(const struct yarder_record *record, struct yarder_id id, char *at);

/* Puts the crc in. */
void pack_seal(char *at);
/* Whether the crc is the one of the bytes; only after pack_read said that they are all there. */
bool pack_is_sound(const char *at);

/*
 * Reads the record at the beginning of `bytes`: texts point into it, fields into `fields`, of which
 * it may use fields_room. *taken: bytes of it. 0; -EAGAIN: it goes on behind bytes_count; -ENOBUFS:
 * more fields than room; -EBADMSG: these are no record's bytes.
 */
YARDER_MUST_USE int pack_read(const char *bytes, size_t bytes_count, struct yarder_record *record,
    struct yarder_id *id, struct yarder_field *fields, uint32_t fields_room, size_t *taken);

#endif
