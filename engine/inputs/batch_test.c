/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a batch never takes more than it has room for, whatever its records bring, and each record
 * is what its input says. Method: syslog lines with as many fields as there may be, up to what
 * batch_room allows, and a look at every text afterwards.
 */
#include "inputs/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { LINE_BYTES = 8 << 10 };

static struct hold_input counts;
static struct batch *batch;

static struct input input_of(const struct input_config *config)
{
    struct hold hold = {.inputs = &counts};
    struct input input;
    input_init(&input, config, 0, &hold, YARDER_RECORD_BYTES_DEFAULT);
    return input;
}

static int setup(void **state)
{
    (void)state;
    counts = (struct hold_input){0};
    batch = calloc(1, sizeof(*batch));
    return batch == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(batch);
    return 0;
}

/* An RFC 5424 line with 64 parameters, whose values need unfolding when `escaped`. */
static struct yarder_text wide_line(uint32_t number, bool escaped)
{
    static char lines[YARDER_BATCH_RECORDS][LINE_BYTES];
    char *line = lines[number % YARDER_BATCH_RECORDS];
    int at = snprintf(line, LINE_BYTES, "<13>1 2026-01-01T00:00:00Z host app - - [id%u", number);
    for (uint32_t i = 0; i < YARDER_FIELDS_MAX; i++) {
        at += snprintf(line + at, LINE_BYTES - (size_t)at, " k%u=\"%s%u\"", i,
            escaped ? "quote \\\" and more " : "", number * 100 + i);
    }
    at += snprintf(line + at, LINE_BYTES - (size_t)at, "] text %u", number);
    return (struct yarder_text){line, (size_t)at};
}

static void check_field(
    const struct yarder_record *record, uint32_t number, uint32_t i, bool escaped)
{
    char key[32];
    char value[64];
    (void)snprintf(key, sizeof(key), "id%u.k%u", number, i);
    (void)snprintf(
        value, sizeof(value), "%s%u", escaped ? "quote \" and more " : "", number * 100 + i);
    const struct yarder_field *field = &record->fields[i];
    assert_int_equal(field->key.length, strlen(key));
    assert_memory_equal(field->key.at, key, strlen(key));
    assert_int_equal(field->value.length, strlen(value));
    assert_memory_equal(field->value.at, value, strlen(value));
}

/* Callers ask once and add as many as they were told: all of them must fit, whole. */
static void as_many_as_there_is_room_for(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_TCP, .parse = INPUT_PARSE_SYSLOG};
    const struct batch_origin origin = {.network = true};
    for (uint32_t escaped = 0; escaped < 2; escaped++) {
        struct input input = input_of(&config);
        batch_clear(batch);
        batch->limit = YARDER_BATCH_RECORDS;
        uint32_t added = 0;
        for (uint32_t room = batch_room(batch); room > 0; room = batch_room(batch)) {
            for (uint32_t i = 0; i < room; i++, added++) {
                const struct frame_span span = {.text = wide_line(added, escaped != 0)};
                batch_add(batch, &input, &span, &origin);
            }
            assert_true(batch->fields_used <= BATCH_FIELDS);
            assert_true(batch->scratch_used <= BATCH_SCRATCH_BYTES);
        }
        assert_int_equal(batch->count, added);
        assert_true(added >= 32);
        for (uint32_t number = 0; number < added; number++) {
            const struct yarder_record *record = &batch->records[number];
            assert_int_equal(record->fields_count, YARDER_FIELDS_MAX);
            for (uint32_t i = 0; i < YARDER_FIELDS_MAX; i++) {
                check_field(record, number, i, escaped != 0);
            }
        }
    }
}

static void plain_records_fill_it_to_the_limit(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_EXEC, .tag = (char[]){"worker"}};
    struct input input = input_of(&config);
    const struct batch_origin origin = {.pid = 7, .stream = YARDER_STREAM_STDERR};
    const struct frame_span span = {.text = {"line", 4}, .flags = YARDER_FLAG_TRUNCATED};
    for (uint32_t limit = 0; limit <= YARDER_BATCH_RECORDS; limit += 64) {
        batch_clear(batch);
        batch->limit = limit;
        batch->now_ns = 12345;
        while (batch_room(batch) > 0) {
            batch_add(batch, &input, &span, &origin);
        }
        assert_int_equal(batch->count, limit);
    }
    const struct yarder_record *record = &batch->records[YARDER_BATCH_RECORDS - 1];
    assert_int_equal(record->pid, 7);
    assert_int_equal(record->stream, YARDER_STREAM_STDERR);
    assert_int_equal(record->flags, YARDER_FLAG_TRUNCATED);
    assert_int_equal(record->time_ns, 12345);
    assert_int_equal(record->facility, YARDER_FACILITY_NONE);
    assert_int_equal(record->tag.length, strlen("worker"));
    batch->limit = 1; /* fewer than there are: no room, and no wrap-around */
    assert_int_equal(batch_room(batch), 0);
}

static void what_a_sender_states_wins_over_where_it_came_from(void **state)
{
    (void)state;
    const struct input_config config = {
        .kind = INPUT_UNIX, .parse = INPUT_PARSE_SYSLOG, .tag = (char[]){"none"}};
    struct input input = input_of(&config);
    const struct batch_origin origin = {.pid = 7, .peer = {"192.0.2.1", 9}, .network = true};
    batch_clear(batch);
    batch->limit = YARDER_BATCH_RECORDS;
    const char *lines[] = {"<11>Jan  2 03:04:05 box cron[99]: ran", "no priority at all"};
    for (size_t i = 0; i < YARDER_COUNT_OF(lines); i++) {
        const struct frame_span span = {.text = {lines[i], strlen(lines[i])}};
        batch_add(batch, &input, &span, &origin);
        input_count(&input, &batch->records[i]);
    }
    assert_int_equal(batch->records[0].pid, 99);
    assert_memory_equal(batch->records[0].tag.at, "cron", 4);
    assert_int_equal(batch->records[0].flags, YARDER_FLAG_NETWORK);
    assert_int_equal(batch->records[1].pid, 7);
    assert_memory_equal(batch->records[1].tag.at, "none", 4);
    assert_memory_equal(batch->records[1].peer.at, "192.0.2.1", 9);
    assert_true((batch->records[1].flags & YARDER_FLAG_UNPARSED) != 0);
    assert_int_equal(counts.received, 2);
    assert_int_equal(counts.accepted, 2);
    assert_int_equal(counts.unparsed, 1);
    assert_int_equal(counts.bytes, strlen("ran") + strlen(lines[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_many_as_there_is_room_for, setup, teardown),
        cmocka_unit_test_setup_teardown(plain_records_fill_it_to_the_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_a_sender_states_wins_over_where_it_came_from, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
