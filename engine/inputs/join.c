/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/join.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* A field in a join's memory: this head, the key, the value. */
struct field_head {
    uint32_t key_bytes, value_bytes, type;
};

static_assert(JOIN_BYTES % 4096 == 0, "pages");

static uint32_t joins_end(const struct hold *hold)
{
    return (uint32_t)yarder_min(hold->shape.joins_count, JOINS_COUNT);
}

static struct hold_join *join_find(
    const struct hold *hold, uint64_t region, const struct yarder_record *record, uint32_t *index)
{
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        struct hold_join *join = &hold->joins[i];
        if (join->region == region && join->tid == record->tid && join->stream == record->stream) {
            *index = i;
            return join;
        }
    }
    return NULL;
}

static struct hold_join *join_unused(const struct hold *hold, uint32_t *index)
{
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        if (hold->joins[i].region == 0) {
            *index = i;
            return &hold->joins[i];
        }
    }
    return NULL;
}

static void fields_store(struct hold_join *join, char *memory, const struct yarder_record *record)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        struct field_head head = {
            (uint32_t)field->key.length, (uint32_t)field->value.length, field->type};
        if (join->fields_bytes + sizeof(head) + field->key.length + field->value.length >
            JOIN_FIELDS_BYTES) {
            return; /* more than one part can bring */
        }
        char *at = memory + join->fields_bytes;
        memcpy(at, &head, sizeof(head));
        memcpy(at + sizeof(head), field->key.at, field->key.length);
        memcpy(at + sizeof(head) + field->key.length, field->value.at, field->value.length);
        join->fields_bytes += (uint32_t)(sizeof(head) + field->key.length + field->value.length);
    }
}

static uint32_t fields_load(
    const struct hold_join *join, const char *memory, struct yarder_field *fields)
{
    uint32_t count = 0;
    uint32_t at = 0;
    while (at < join->fields_bytes && count < YARDER_FIELDS_MAX) {
        struct field_head head;
        memcpy(&head, memory + at, sizeof(head));
        const char *key = memory + at + sizeof(head);
        fields[count++] = (struct yarder_field){.key = {key, head.key_bytes},
            .value = {key + head.key_bytes, head.value_bytes},
            .type = (enum yarder_field_type)head.type};
        at += (uint32_t)sizeof(head) + head.key_bytes + head.value_bytes;
    }
    return count;
}

/* Appends text up to the limit; what is over is cut and flagged. */
static void text_append(
    struct hold_join *join, char *memory, uint32_t record_bytes_max, struct yarder_text text)
{
    size_t room = record_bytes_max - yarder_min(record_bytes_max, join->text_bytes);
    size_t bytes = yarder_min(room, text.length);
    memcpy(memory + JOIN_FIELDS_BYTES + join->text_bytes, text.at, bytes);
    join->text_bytes += (uint32_t)bytes;
    join->flags |= bytes < text.length ? (uint32_t)YARDER_FLAG_TRUNCATED : 0u;
}

static void join_begin(
    struct hold_join *join, char *memory, uint64_t region, const struct ring_record *part)
{
    const struct yarder_record *record = &part->record;
    *join = (struct hold_join){.region = region,
        .tid = record->tid,
        .serial = part->serial,
        .flags = record->flags,
        .lost_before = record->lost_before,
        .time_ns = record->time_ns,
        .level = record->level,
        .kind = record->kind,
        .stream = record->stream,
        .logger_bytes = (uint8_t)yarder_min(record->logger.length, sizeof(join->logger))};
    if (join->logger_bytes > 0) {
        memcpy(join->logger, record->logger.at, join->logger_bytes);
    }
    fields_store(join, memory, record);
}

/* Later than all others. */
static uint32_t touch_of(const struct hold *hold, const struct hold_join *join)
{
    uint32_t latest = join->touched;
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        bool later = hold->joins[i].region != 0 && (int32_t)(hold->joins[i].touched - latest) > 0;
        latest = later ? hold->joins[i].touched : latest;
    }
    return latest + 1;
}

int join_put(
    struct hold *hold, uint64_t region, uint32_t record_bytes_max, const struct ring_record *part)
{
    uint32_t index = 0;
    struct hold_join *join = join_find(hold, region, &part->record, &index);
    if (part->continues) {
        if (join == NULL || join->next_part != part->part || join->serial != part->serial) {
            return -ENOENT;
        }
    } else {
        if (join != NULL) { /* its thread gave it up: the next record has begun */
            join_free(hold, region, &part->record);
        }
        join = join_unused(hold, &index);
        if (join == NULL) {
            return -ENOSPC;
        }
        join_begin(join, hold_join_bytes(hold, index), region, part);
    }
    text_append(join, hold_join_bytes(hold, index), record_bytes_max, part->record.text);
    join->next_part = part->part + 1;
    join->touched = touch_of(hold, join);
    return 0;
}

static void record_of(const struct hold_join *join, const char *memory, struct yarder_field *fields,
    struct yarder_record *out)
{
    out->text = (struct yarder_text){memory + JOIN_FIELDS_BYTES, join->text_bytes};
    out->logger = (struct yarder_text){join->logger, join->logger_bytes};
    out->fields_count = fields_load(join, memory, fields);
    out->fields = fields;
    out->time_ns = join->time_ns;
    out->flags = join->flags;
    out->lost_before = join->lost_before;
    out->level = join->level;
    out->kind = join->kind;
    out->stream = join->stream;
    out->tid = join->tid;
}

int join_last(struct hold *hold, uint64_t region, uint32_t record_bytes_max,
    const struct ring_record *part, struct yarder_field *fields, struct yarder_record *out)
{
    uint32_t index = 0;
    const struct hold_join *found = join_find(hold, region, &part->record, &index);
    if (found == NULL || found->next_part != part->part || found->serial != part->serial) {
        return -ENOENT;
    }
    struct hold_join whole = *found;
    char *memory = hold_join_bytes(hold, index);
    text_append(&whole, memory, record_bytes_max, part->record.text);
    *out = part->record;
    record_of(&whole, memory, fields, out);
    out->logger = (struct yarder_text){found->logger, found->logger_bytes};
    return 0;
}

void join_free(struct hold *hold, uint64_t region, const struct yarder_record *record)
{
    uint32_t index = 0;
    struct hold_join *join = join_find(hold, region, record, &index);
    if (join != NULL) {
        join->region = JOIN_REGION_FREED;
    }
}

void join_settle(struct hold *hold)
{
    for (uint32_t i = 0; i < hold->shape.joins_count; i++) {
        if (hold->joins[i].region == JOIN_REGION_FREED) {
            hold->joins[i] = (struct hold_join){0};
        }
    }
}

static uint32_t joins_of(const struct hold *hold, uint64_t region)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        count += hold->joins[i].region == region;
    }
    return count;
}

/* How well a join may be asked to go for this region: 2, 1, 0. */
static unsigned may_go(const struct hold *hold, const struct hold_join *join, uint64_t region)
{
    if (joins_of(hold, region) >= JOINS_OF_REGION) {
        return join->region == region ? 2 : 0;
    }
    return joins_of(hold, join->region) > JOINS_OF_REGION ? 1 : 0;
}

int join_oldest(struct hold *hold, uint64_t region, uint64_t *owner, struct yarder_field *fields,
    struct yarder_record *out)
{
    uint32_t best = HOLD_NONE;
    unsigned best_may = 0;
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        const struct hold_join *join = &hold->joins[i];
        if (join->region == 0 || join->region == JOIN_REGION_FREED) {
            return -EAGAIN;
        }
        unsigned may = may_go(hold, join, region);
        bool older = best == HOLD_NONE || (int32_t)(join->touched - hold->joins[best].touched) < 0;
        if (best == HOLD_NONE || may > best_may || (may == best_may && older)) {
            best = i;
            best_may = may;
        }
    }
    if (best == HOLD_NONE) {
        return -EAGAIN;
    }
    *owner = hold->joins[best].region;
    record_of(&hold->joins[best], hold_join_bytes(hold, best), fields, out);
    out->flags |= YARDER_FLAG_PARTIAL;
    return 0;
}

int join_orphan(
    struct hold *hold, uint64_t region, struct yarder_field *fields, struct yarder_record *out)
{
    for (uint32_t i = 0; i < joins_end(hold); i++) {
        if (region != 0 && hold->joins[i].region == region) {
            record_of(&hold->joins[i], hold_join_bytes(hold, i), fields, out);
            out->flags |= YARDER_FLAG_PARTIAL;
            return 0;
        }
    }
    return -ENOENT;
}
