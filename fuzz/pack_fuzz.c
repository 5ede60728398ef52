/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes are records one behind the other. Whatever comes in, texts and fields lie inside it; what
 * is read is written again as the same bytes (but the checksum), for there is one way to write it.
 */
#include <errno.h>
#include <string.h>

#include "codec/pack.h"

static void assert_inside(struct yarder_text text, const char *bytes, size_t bytes_count)
{
    YARDER_ASSERT(text.at >= bytes && text.length <= bytes_count);
    YARDER_ASSERT((size_t)(text.at - bytes) <= bytes_count - text.length);
}

static void check(
    const struct yarder_record *record, struct yarder_id id, const char *bytes, size_t taken)
{
    assert_inside(record->text, bytes, taken);
    assert_inside(record->host, bytes, taken);
    assert_inside(record->peer, bytes, taken);
    assert_inside(record->tag, bytes, taken);
    assert_inside(record->logger, bytes, taken);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        assert_inside(record->fields[i].key, bytes, taken);
        assert_inside(record->fields[i].value, bytes, taken);
    }
    YARDER_ASSERT(pack_bytes(record) == taken);
    YARDER_OWN_HEAP char *again = malloc(taken);
    YARDER_ASSERT(again != NULL);
    YARDER_ASSERT(pack_record(record, id, again) == taken);
    memcpy(again + offsetof(struct pack_head, crc), bytes + offsetof(struct pack_head, crc),
        sizeof(uint32_t));
    YARDER_ASSERT(memcmp(again, bytes, taken) == 0);
    bool sound = pack_is_sound(bytes);
    pack_seal(again);
    YARDER_ASSERT(pack_is_sound(again));
    YARDER_ASSERT(sound == (memcmp(again, bytes, taken) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    YARDER_OWN_HEAP char *copy = malloc(bytes_count + (bytes_count == 0));
    YARDER_ASSERT(copy != NULL);
    memcpy(copy, bytes, bytes_count);
    size_t at = 0;
    int r = 0;
    while (r == 0) {
        struct yarder_record record;
        struct yarder_field fields[YARDER_FIELDS_MAX];
        struct yarder_id id;
        size_t taken = 0;
        r = pack_read(copy + at, bytes_count - at, &record, &id, fields, YARDER_FIELDS_MAX, &taken);
        YARDER_ASSERT(r == 0 || r == -EAGAIN || r == -EBADMSG);
        if (r == 0) {
            check(&record, id, copy + at, taken);
            at += taken;
        }
    }
    return 0;
}
