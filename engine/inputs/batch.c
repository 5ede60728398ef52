/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/batch.h"

#include <string.h>

#include "base/text.h"

void input_init(struct input *input, const struct input_config *config, uint16_t index,
    struct hold *hold, uint64_t record_bytes_max)
{
    *input = (struct input){.config = config,
        .index = index,
        .counts = &hold->inputs[index],
        .tag = text_of(config->tag),
        .record_bytes_max = (uint32_t)(config->record_bytes_max != 0 ? config->record_bytes_max
                                                                     : record_bytes_max)};
}

uint32_t batch_room(const struct batch *batch)
{
    uint32_t by_fields = (BATCH_FIELDS - batch->fields_used) / YARDER_FIELDS_MAX;
    uint32_t by_scratch = (BATCH_SCRATCH_BYTES - batch->scratch_used) / SYSLOG_SCRATCH_BYTES;
    uint32_t by_count = batch->limit - (uint32_t)yarder_min(batch->count, batch->limit);
    return (uint32_t)yarder_min(by_count, yarder_min(by_fields, by_scratch));
}

/* How far the parser went into the scratch: the end of the last text that lies there. */
static uint32_t scratch_taken(const struct batch *batch, const struct yarder_record *record)
{
    const char *from = batch->scratch + batch->scratch_used;
    const char *to = batch->scratch + BATCH_SCRATCH_BYTES;
    uint32_t taken = 0;
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_text *texts[] = {&record->fields[i].key, &record->fields[i].value};
        for (size_t k = 0; k < YARDER_COUNT_OF(texts); k++) {
            if (texts[k]->at >= from && texts[k]->at < to) {
                taken =
                    (uint32_t)yarder_max(taken, (uint64_t)(texts[k]->at - from) + texts[k]->length);
            }
        }
    }
    return taken;
}

static void parse(
    struct batch *batch, struct input *input, struct yarder_text line, struct yarder_record *record)
{
    syslog_parse(&input->parser, line, batch->scratch + batch->scratch_used,
        BATCH_SCRATCH_BYTES - batch->scratch_used, batch->fields + batch->fields_used, record);
    batch->scratch_used += scratch_taken(batch, record);
}

void batch_recognise(struct batch *batch, struct input *input, struct yarder_record *record)
{
    struct yarder_field *fields = batch->fields + batch->fields_used;
    uint32_t before = record->fields_count;
    if (before > 0 && record->fields != fields) {
        memcpy(fields, record->fields, before * sizeof(*fields));
        record->fields = fields;
    }
    (void)request_parse(input->requests, &input->request_memo,
        (char *)&batch->numbers[batch->fields_used], fields, record);
}

void batch_add(struct batch *batch, struct input *input, const struct frame_span *span,
    const struct batch_origin *origin)
{
    YARDER_ASSERT(batch->count < YARDER_BATCH_RECORDS);
    YARDER_ASSERT(batch->fields_used + YARDER_FIELDS_MAX <= BATCH_FIELDS);
    struct yarder_record *record = &batch->records[batch->count++];
    *record = (struct yarder_record){.received_ns = batch->now_ns,
        .time_ns = batch->now_ns,
        .input = input->index,
        .facility = YARDER_FACILITY_NONE};
    if (input->config->parse == INPUT_PARSE_SYSLOG) {
        parse(batch, input, span->text, record);
    } else {
        record->text = span->text;
    }
    /* syslog is a line for each message, by whatever road: a daemon may pass strangers' text on */
    bool one_line = origin->network || input->config->parse == INPUT_PARSE_SYSLOG;
    record->flags |= span->flags | (one_line ? (uint32_t)YARDER_FLAG_NETWORK : 0u);
    record->peer = origin->peer;
    record->stream = (uint8_t)origin->stream;
    record->kind = (uint8_t)input->config->record_kind;
    if (input->requests != NULL) {
        batch_recognise(batch, input, record);
    }
    batch->fields_used += record->fields_count;
    if (record->pid == 0) {
        record->pid = origin->pid;
    }
    if (record->tag.length == 0) {
        record->tag = input->tag;
    }
}
