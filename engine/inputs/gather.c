/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/gather.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "codec/pack.h"

/* No region of a ring has it: the supervisor counts them from 1. */
#define GATHER_BIT (UINT64_C(1) << 63)

/* Began since the last commit, which so has no need of its memory. */
enum { COMMITTED = 0, FRESH = 1 };

static uint64_t mix(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return (hash ^ count) * UINT64_C(0x100000001b3);
}

static uint64_t key_of(const struct yarder_record *record, uint32_t number)
{
    const uint64_t numbers[] = {record->input, number, record->pid, record->tid, record->stream};
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), numbers, sizeof(numbers));
    hash = mix(hash, record->peer.at, record->peer.length);
    hash = mix(hash, record->host.at, record->host.length);
    hash = mix(hash, record->tag.at, record->tag.length) | GATHER_BIT;
    return hash == JOIN_REGION_FREED ? GATHER_BIT : hash;
}

/* A key alone may be another's, who found one that comes to the same. */
static bool is_of(const struct hold *hold, uint32_t index, const struct yarder_record *record)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record begun;
    return gather_record(hold, index, fields, &begun) == 0 && begun.input == record->input &&
           begun.pid == record->pid && begun.tid == record->tid && begun.stream == record->stream &&
           text_equal(begun.peer, record->peer) && text_equal(begun.host, record->host) &&
           text_equal(begun.tag, record->tag);
}

uint32_t gather_find(const struct hold *hold, const struct yarder_record *record, uint32_t number)
{
    uint64_t key = key_of(record, number);
    for (uint32_t i = gather_first(); i < gather_end(hold); i++) {
        if (hold->joins[i].region == key && hold->joins[i].tid == number &&
            is_of(hold, i, record)) {
            return i;
        }
    }
    return HOLD_NONE;
}

int gather_begin(struct hold *hold, const struct yarder_record *record, uint32_t number,
    multiline_state state, uint32_t *index)
{
    struct yarder_record head = *record;
    head.text.length = 0;
    uint32_t free_one = gather_first();
    while (free_one < gather_end(hold) && hold->joins[free_one].region != 0) {
        free_one++;
    }
    if (free_one == gather_end(hold) || pack_bytes(&head) > JOIN_FIELDS_BYTES ||
        record->text.length > YARDER_RECORD_BYTES_MAX) {
        return -ENOSPC;
    }
    struct hold_join *join = &hold->joins[free_one];
    char *memory = hold_join_bytes(hold, free_one);
    *join = (struct hold_join){.region = key_of(record, number),
        .tid = number,
        .next_part = state,
        .serial = FRESH,
        .text_bytes = (uint32_t)record->text.length,
        .fields_bytes = (uint32_t)pack_record(&head, (struct yarder_id){0}, memory)};
    if (record->text.length > 0) {
        memcpy(memory + JOIN_FIELDS_BYTES, record->text.at, record->text.length);
    }
    *index = free_one;
    return 0;
}

int gather_add(
    struct hold *hold, uint32_t index, struct yarder_text line, bool gap, uint32_t bytes_max)
{
    struct hold_join *join = &hold->joins[index];
    uint64_t bytes = (uint64_t)join->text_bytes + 1 + gap + line.length;
    if (bytes > yarder_min(bytes_max, YARDER_RECORD_BYTES_MAX)) {
        return -ENOSPC;
    }
    char *at = hold_join_bytes(hold, index) + JOIN_FIELDS_BYTES + join->text_bytes;
    *at++ = '\n';
    if (gap) {
        *at++ = '\n';
    }
    if (line.length > 0) {
        memcpy(at, line.at, line.length);
    }
    join->text_bytes = (uint32_t)bytes;
    return 0;
}

int gather_record(
    const struct hold *hold, uint32_t index, struct yarder_field *fields, struct yarder_record *out)
{
    const struct hold_join *join = &hold->joins[index];
    const char *memory = hold_join_bytes(hold, index);
    struct yarder_id id;
    size_t taken = 0;
    if (join->fields_bytes > JOIN_FIELDS_BYTES || join->text_bytes > YARDER_RECORD_BYTES_MAX ||
        pack_read(memory, join->fields_bytes, out, &id, fields, YARDER_FIELDS_MAX, &taken) < 0) {
        return -EBADMSG;
    }
    out->flags |= join->flags;
    out->text = (struct yarder_text){memory + JOIN_FIELDS_BYTES, join->text_bytes};
    return 0;
}

void gather_free(struct hold *hold, uint32_t index)
{
    struct hold_join *join = &hold->joins[index];
    if (join->serial == FRESH) {
        *join = (struct hold_join){0};
    } else {
        join->region = JOIN_REGION_FREED;
    }
}

void gather_settle(struct hold *hold)
{
    for (uint32_t i = gather_first(); i < gather_end(hold); i++) {
        hold->joins[i].serial = COMMITTED;
    }
}
