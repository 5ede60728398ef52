/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/packed.h"

#include <string.h>

#include "codec/pack.h"

static struct pack_head head_of(const struct frame_span *span)
{
    struct pack_head head = {0};
    if (span->text.length >= sizeof(head)) {
        memcpy(&head, span->text.at, sizeof(head));
    }
    return head;
}

static void book(struct hold_input *counts, const struct frame_span *span)
{
    struct packed_tally tally;
    if (span->text.length < sizeof(struct pack_head) + sizeof(tally)) {
        return;
    }
    memcpy(&tally, span->text.at + sizeof(struct pack_head), sizeof(tally));
    counts->received += tally.refused;
    counts->refused[HOLD_REFUSED_CORRUPT] += tally.refused;
    if (tally.has_drops != 0) {
        input_count_drops(counts, tally.drops);
    }
}

uint32_t packed_tallies(
    struct input *input, struct hold_pipe *place, struct frame_span *spans, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct pack_head head = head_of(&spans[i]);
        if (head.kind != PACKED_TALLY) {
            spans[kept++] = spans[i];
        } else if (head.number > place->tallied) {
            book(input->counts, &spans[i]);
            place->tallied = head.number;
        }
        place->reached = yarder_max(place->reached, head.number);
    }
    return kept;
}

void packed_add(struct batch *batch, struct input *input, const struct frame_span *span)
{
    struct yarder_record packed;
    struct yarder_id id;
    size_t taken = 0;
    struct batch_origin origin = {0};
    struct frame_span text = *span;
    struct yarder_field *fields = batch->fields + batch->fields_used;
    if (pack_read(span->text.at, span->text.length, &packed, &id, fields, YARDER_FIELDS_MAX,
            &taken) < 0) {
        text.flags |= YARDER_FLAG_UNPARSED;
        batch_add(batch, input, &text, &origin);
        return;
    }
    if (input->config->parse == INPUT_PARSE_SYSLOG && packed.fields_count == 0) {
        text = (struct frame_span){.text = packed.text, .flags = packed.flags};
        origin.peer = packed.peer;
        batch_add(batch, input, &text, &origin);
        struct yarder_record *parsed = &batch->records[batch->count - 1];
        parsed->time_ns = parsed->time_ns == batch->now_ns ? packed.time_ns : parsed->time_ns;
        if (packed.tag.length > 0 && parsed->tag.at == input->tag.at) {
            parsed->tag = packed.tag;
        }
        return;
    }
    struct yarder_record *record = &batch->records[batch->count++];
    *record = packed;
    if (input->requests != NULL && record->kind != YARDER_KIND_REQUEST) {
        batch_recognise(batch, input, record);
    }
    batch->fields_used += record->fields_count;
    record->input = input->index;
    if (record->kind == YARDER_KIND_LOG) {
        record->kind = (uint8_t)input->config->record_kind;
    }
    if (record->tag.length == 0) {
        record->tag = input->tag;
    }
}
