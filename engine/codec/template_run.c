/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the list of pieces: one switch for each, no call for the frequent ones but the copy. */
#include "base/text.h"
#include "codec/level_word.h"
#include "codec/template.h"

static const struct yarder_field *find_field(
    const struct yarder_record *record, struct yarder_text name)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        if (text_equal(record->fields[i].key, name)) {
            return &record->fields[i];
        }
    }
    return NULL;
}

static const struct yarder_field *find_op_field(
    const struct template_op *op, const struct yarder_record *record)
{
    return find_field(record, (struct yarder_text){op->text, op->text_bytes});
}

bool template_find_text(const struct template_op *op, const struct yarder_record *record,
    struct yarder_text host, struct yarder_text *out)
{
    const struct yarder_field *field = NULL;
    switch ((int)op->kind) {
    case TEMPLATE_MSG:
        *out = record->text;
        return true;
    case TEMPLATE_HOST:
        *out = record->host.length > 0 ? record->host : host;
        return true;
    case TEMPLATE_PEER:
        *out = record->peer;
        return true;
    case TEMPLATE_TAG:
        *out = record->tag;
        return true;
    case TEMPLATE_LOGGER:
        *out = record->logger;
        return true;
    case TEMPLATE_FIELD:
        field = find_op_field(op, record);
        *out = field == NULL ? (struct yarder_text){0} : field->value;
        return field == NULL || field->type == YARDER_FIELD_TEXT;
    default:
        return false;
    }
}

static char *put_number_or_nil(char *at, uint32_t value)
{
    if (value == 0) {
        *at = '-';
        return at + 1;
    }
    return put_unsigned(at, value);
}

static char *put_words(char *at, const struct template_op *op, const struct yarder_record *record)
{
    static const struct yarder_text streams[] = {{"-", 1}, {"stdout", 6}, {"stderr", 6}};
    static const struct yarder_text kinds[] = {{"log", 3}, {"request", 7}};
    const struct level_word *level = level_word_of(record->level);
    switch ((int)op->kind) {
    case TEMPLATE_LEVEL:
        return put_bytes(at, level->lower, level->length);
    case TEMPLATE_LEVEL_UPPER:
        return put_bytes(at, level->upper, level->length);
    case TEMPLATE_LEVEL_PYTHON:
        if (level->level == record->level || record->level > YARDER_LEVEL_EMERG) {
            return put_bytes(at, level->upper, level->length);
        }
        return put_unsigned(put_bytes(at, "Level ", 6), record->level);
    case TEMPLATE_FACILITY:
        if (record->facility >= 24) {
            return put_bytes(at, "-", 1);
        }
        return put_text(at, text_of(facility_name(record->facility)));
    case TEMPLATE_STREAM:
        return put_text(at, streams[record->stream <= YARDER_STREAM_STDERR ? record->stream : 0]);
    default:
        return put_text(at, kinds[record->kind == YARDER_KIND_REQUEST]);
    }
}

/* Seconds and a fraction as %f prints them, or whole seconds. */
static char *put_decimal(char *at, int64_t whole, uint32_t fraction, uint32_t fraction_digits,
    const struct template_shape *shape)
{
    at = put_signed(at, whole);
    if (shape->conversion == 'd') {
        return at;
    }
    uint32_t digits = shape->conversion == 'f' && shape->cut ? shape->precision : 6;
    if (digits == 0) {
        return at;
    }
    *at++ = '.';
    char all[10] = "000000000";
    (void)calendar_digits(all, fraction, fraction_digits);
    return put_bytes(at, all, digits);
}

static char *put_asctime(
    struct template_list *list, const struct template_op *op, int64_t time_ns, char *at)
{
    calendar_refresh(op->clock, &list->zone, calendar_second(time_ns));
    at = put_bytes(at, op->clock->text, op->clock->length);
    *at++ = ',';
    return calendar_digits(at, calendar_fraction_ns(time_ns) / 1000000, 3);
}

char *template_put_short(struct template_list *list, const struct template_op *op,
    const struct yarder_record *record, char *at)
{
    int64_t time_ns = op->received ? record->received_ns : record->time_ns;
    uint32_t facility = record->facility < 24 ? record->facility : 1; /* none stated: user */
    switch ((int)op->kind) {
    case TEMPLATE_LITERAL:
        return put_padded(at, op->text, op->text_bytes);
    case TEMPLATE_CLOCK:
        calendar_refresh(op->clock, &list->zone, calendar_second(time_ns));
        return put_padded(at, op->clock->text, op->clock->length);
    case TEMPLATE_FRACTION_MS:
        return calendar_digits(at, calendar_fraction_ns(time_ns) / 1000000, 3);
    case TEMPLATE_FRACTION_US:
        return calendar_digits(at, calendar_fraction_ns(time_ns) / 1000, 6);
    case TEMPLATE_FRACTION_NS:
        return calendar_digits(at, calendar_fraction_ns(time_ns), 9);
    case TEMPLATE_UNIX:
        return put_signed(at, calendar_second(time_ns));
    case TEMPLATE_MILLIS:
        return put_signed(at, time_ns / 1000000);
    case TEMPLATE_MICROS:
        return put_signed(at, time_ns / 1000);
    case TEMPLATE_PID:
        return put_number_or_nil(at, record->pid);
    case TEMPLATE_TID:
        return put_number_or_nil(at, record->tid);
    case TEMPLATE_SEVERITY:
        return put_unsigned(at, level_word_severity(record->level));
    case TEMPLATE_PRI:
        return put_unsigned(at, facility * 8 + level_word_severity(record->level));
    case TEMPLATE_LEVEL_NUMBER:
        return put_unsigned(at, record->level);
    case TEMPLATE_ASCTIME:
        return put_asctime(list, op, time_ns, at);
    case TEMPLATE_CREATED:
        return put_decimal(
            at, calendar_second(time_ns), calendar_fraction_ns(time_ns), 9, &op->shape);
    case TEMPLATE_FIELD: /* a number: texts were found before */
        return put_field(at, find_op_field(op, record), PUT_KEEP);
    case TEMPLATE_MSECS:
        return put_decimal(at, calendar_fraction_ns(time_ns) / 1000000,
            calendar_fraction_ns(time_ns) % 1000000, 6, &op->shape);
    default:
        return put_words(at, op, record);
    }
}

/* What Python's formatter adds behind the line: the traceback, then the stack. */
static char *put_traceback(char *at, const struct yarder_record *record, enum put_policy policy)
{
    static const struct yarder_text names[] = {{"exc_text", 8}, {"stack_info", 10}};
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        const struct yarder_field *field = find_field(record, names[i]);
        if (field != NULL && field->value.length > 0) {
            at = put_lines(at, (struct yarder_text){"\n", 1}, policy);
            at = put_field(at, field, policy);
        }
    }
    return at;
}

/* Control bytes are let through in messages alone: in no other text they have a meaning. */
static char *put_piece(struct template_list *list, const struct template_op *op,
    const struct yarder_record *record, struct yarder_text host, enum put_policy policy, char *at)
{
    struct yarder_text text;
    if (op->kind < TEMPLATE_HOST) {
        return template_put_short(list, op, record, at);
    }
    if (template_find_text(op, record, host, &text)) {
        if (text.length == 0 && op->kind != TEMPLATE_MSG) {
            *at = '-';
            return at + 1;
        }
        return put_lines(at, text, op->kind == TEMPLATE_MSG ? policy : PUT_ESCAPE);
    }
    switch ((int)op->kind) {
    case TEMPLATE_FIELDS:
        return put_json_fields(at, record);
    case TEMPLATE_TRACEBACK:
        return put_traceback(at, record, policy);
    default:
        return template_put_short(list, op, record, at);
    }
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xC0) != 0x80;
}

/* Cuts and pads a piece that stands from `from` to `end`, counting characters as Python does. */
static char *shape_piece(const struct template_shape *shape, char *from, char *end)
{
    size_t count = 0;
    bool cut = shape->cut && shape->conversion == 's';
    for (char *at = from; at < end; at++) {
        if (begins_character(*at) && cut && count == shape->precision) {
            end = at;
            break;
        }
        count += begins_character(*at);
    }
    if (count >= shape->width) {
        return end;
    }
    size_t pad = shape->width - count;
    if (shape->left) {
        memset(end, ' ', pad);
        return end + pad;
    }
    bool zeros = shape->zeros && shape->conversion != 's';
    size_t sign = zeros && from < end && *from == '-' ? 1 : 0;
    memmove(from + sign + pad, from + sign, (size_t)(end - from) - sign);
    memset(from + sign, zeros ? '0' : ' ', pad);
    return end + pad;
}

char *template_run(struct template_list *list, const struct yarder_record *record,
    struct yarder_text host, enum put_policy policy, char *at)
{
    for (uint32_t i = 0; i < list->ops_count; i++) {
        const struct template_op *op = &list->ops[i];
        char *from = at;
        at = put_piece(list, op, record, host, policy, at);
        if (YARDER_UNLIKELY(op->shape.shaped)) {
            at = shape_piece(&op->shape, from, at);
        }
    }
    return at;
}

size_t template_bound(const struct template_list *list, const struct yarder_record *record,
    size_t host_bytes, enum put_policy policy)
{
    const uint32_t *counts = list->kind_counts;
    size_t message = put_lines_bound(counts[TEMPLATE_MSG] * record->text.length, policy);
    size_t texts = counts[TEMPLATE_HOST] * yarder_max(record->host.length, host_bytes) +
                   counts[TEMPLATE_PEER] * record->peer.length +
                   counts[TEMPLATE_TAG] * record->tag.length +
                   counts[TEMPLATE_LOGGER] * record->logger.length;
    size_t bound =
        list->fixed_bytes + message + put_lines_bound(texts, PUT_ESCAPE) + PUT_SLACK_BYTES;
    size_t field_uses = counts[TEMPLATE_FIELD] + counts[TEMPLATE_TRACEBACK];
    if (field_uses > 0) {
        for (uint32_t i = 0; i < record->fields_count; i++) {
            const struct yarder_field *field = &record->fields[i];
            bound += field_uses * (field->type == YARDER_FIELD_TEXT
                                          ? put_lines_bound(field->value.length, PUT_ESCAPE)
                                          : PUT_NUMBER_BYTES_MAX);
        }
    }
    if (counts[TEMPLATE_FIELDS] > 0) {
        bound += counts[TEMPLATE_FIELDS] * put_json_fields_bound(record);
    }
    return bound;
}
