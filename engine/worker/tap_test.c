/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/tap.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "codec/pack.h"

enum { MANY = 200000, SECOND = 1000000000 };

static const struct tap_wishes everything = {
    .inputs = UINT64_MAX, .outputs = UINT64_MAX, .highest = YARDER_LEVEL_MAX};

static struct yarder_record record_of(const char *text, uint8_t level, uint16_t input)
{
    return (struct yarder_record){.text = {text, strlen(text)},
        .level = level,
        .input = input,
        .facility = YARDER_FACILITY_NONE};
}

static void put_one(
    struct tap *tap, const struct yarder_record *record, uint64_t outputs, uint64_t now_ns)
{
    const struct route_verdict verdict = {.outputs = outputs};
    tap_put(tap, record, &verdict, 1, now_ns);
}

/* The next record's text, or "" for none; `outputs` of its entry. */
static const char *next_text(struct tap_reader *reader, uint64_t *outputs)
{
    static char text[4096];
    static struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    struct yarder_id id;
    size_t bytes = 0;
    size_t taken = 0;
    const struct tap_entry *entry = tap_reader_next(reader, &bytes);
    if (entry == NULL) {
        return "";
    }
    assert_int_equal(pack_read((const char *)(entry + 1), bytes, &record, &id, fields,
                         YARDER_FIELDS_MAX, &taken),
        0);
    *outputs = entry->outputs;
    assert_true(record.text.length < sizeof(text));
    memcpy(text, record.text.at, record.text.length);
    text[record.text.length] = '\0';
    return text;
}

static void test_shows_what_is_wished(void **state)
{
    (void)state;
    struct tap *tap = NULL;
    struct tap_reader reader;
    uint64_t outputs = 0;
    const struct tap_wishes wishes = {
        .inputs = 1 << 1, .outputs = 1 << 2, .lowest = YARDER_LEVEL_WARNING, .highest = 255};
    assert_int_equal(tap_open(&tap, &wishes), 0);
    assert_int_equal(tap_reader_open(&reader, tap->fd), 0);
    assert_string_equal(next_text(&reader, &outputs), "");
    struct yarder_record record = record_of("other input", YARDER_LEVEL_ERROR, 0);
    put_one(tap, &record, 1 << 2, 1);
    record = record_of("too low", YARDER_LEVEL_INFO, 1);
    put_one(tap, &record, 1 << 2, 1);
    record = record_of("other output", YARDER_LEVEL_ERROR, 1);
    put_one(tap, &record, 1 << 1, 1);
    record = record_of("this", YARDER_LEVEL_WARNING, 1);
    put_one(tap, &record, 1 << 2 | 1 << 1, 1);
    assert_string_equal(next_text(&reader, &outputs), "this");
    assert_int_equal(outputs, 1 << 2 | 1 << 1);
    assert_string_equal(next_text(&reader, &outputs), "");
    assert_int_equal(reader.missed, 0);
    assert_int_equal(tap->header->passed, 1);
    tap_reader_close(&reader);
    tap_close(tap);
}

static uint32_t count_shown(struct tap_reader *reader)
{
    uint32_t shown = 0;
    uint64_t outputs = 0;
    while (next_text(reader, &outputs)[0] != '\0') {
        shown++;
    }
    return shown;
}

static void test_spares_by_rate_and_sample(void **state)
{
    (void)state;
    struct tap *tap = NULL;
    struct tap_reader reader;
    struct tap_wishes wishes = everything;
    const struct yarder_record record = record_of("r", YARDER_LEVEL_INFO, 0);
    wishes.rate = 10;
    wishes.sample = 2;
    assert_int_equal(tap_open(&tap, &wishes), 0);
    assert_int_equal(tap_reader_open(&reader, tap->fd), 0);
    for (uint32_t i = 0; i < 100; i++) {
        put_one(tap, &record, 1, SECOND);
    }
    assert_int_equal(count_shown(&reader), 10);
    for (uint32_t i = 0; i < 10; i++) {
        put_one(tap, &record, 1, 2ull * SECOND);
    }
    assert_int_equal(count_shown(&reader), 5);
    assert_int_equal(tap->header->passed, 110);
    assert_int_equal(tap->header->spared, 95);
    assert_int_equal(reader.missed, 0); /* what was not shown by wish is not missed */
    tap_reader_close(&reader);
    tap_close(tap);
}

static void test_counts_what_was_overwritten(void **state)
{
    (void)state;
    static char text[3000];
    struct tap *tap = NULL;
    struct tap_reader reader;
    uint64_t outputs = 0;
    memset(text, 'x', sizeof(text) - 1);
    const struct yarder_record record = record_of(text, YARDER_LEVEL_INFO, 0);
    assert_int_equal(tap_open(&tap, &everything), 0);
    assert_int_equal(tap_reader_open(&reader, tap->fd), 0);
    uint32_t put = 2 * TAP_BYTES / (uint32_t)sizeof(text);
    for (uint32_t i = 0; i < put; i++) {
        put_one(tap, &record, 1, 1);
    }
    assert_string_equal(next_text(&reader, &outputs), ""); /* overrun: goes on behind it all */
    put_one(tap, &record, 1, 1);
    assert_string_equal(next_text(&reader, &outputs), text);
    assert_int_equal(reader.missed, put);
    tap_reader_close(&reader);
    tap_close(tap);
}

static void test_refuses_what_is_no_tap(void **state)
{
    (void)state;
    struct tap_reader reader;
    int fd = memfd_create("other", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, TAP_HEADER_BYTES + TAP_BYTES), 0);
    assert_int_equal(tap_reader_open(&reader, fd), -EBADMSG); /* could be cut while mapped */
    assert_int_equal(tap_reader_open(&reader, -1), -EBADMSG);
    (void)close(fd);
}

static void test_places(void **state)
{
    (void)state;
    struct taps taps = {0};
    struct tap *tap[TAPS_MAX + 1];
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        assert_int_equal(taps_offer(&taps, &everything, &tap[i]), 0);
    }
    assert_int_equal(taps_offer(&taps, &everything, &tap[TAPS_MAX]), -EBUSY);
    assert_int_equal(taps.count, 0);
    taps_look(&taps);
    assert_int_equal(taps.count, TAPS_MAX);
    taps_withdraw(&taps, tap[1]);
    assert_int_equal(taps_offer(&taps, &everything, &tap[1]), -EBUSY); /* the writer has it still */
    taps_look(&taps);
    assert_int_equal(taps.count, TAPS_MAX - 1);
    assert_int_equal(taps_offer(&taps, &everything, &tap[1]), 0);
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        taps_withdraw(&taps, tap[i]);
    }
    taps_look(&taps);
    taps_sweep(&taps);
    for (uint32_t i = 0; i < TAPS_MAX; i++) {
        assert_null(taps.places[i].leaving);
    }
}

static void *write_many(void *tap)
{
    char text[64];
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(text, sizeof(text), "%u %u", i, i * 2654435761u);
        const struct yarder_record record = record_of(text, YARDER_LEVEL_INFO, 0);
        put_one(tap, &record, 1, 1);
    }
    return NULL;
}

/* Each record that is shown is whole and in order, and those that are not are counted. */
static void test_reads_while_it_is_written(void **state)
{
    (void)state;
    struct tap *tap = NULL;
    struct tap_reader reader;
    pthread_t writer;
    uint64_t shown = 0;
    uint64_t outputs = 0;
    unsigned next = 0;
    assert_int_equal(tap_open(&tap, &everything), 0);
    assert_int_equal(tap_reader_open(&reader, tap->fd), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_many, tap), 0);
    bool ended = false;
    for (;;) {
        const char *text = next_text(&reader, &outputs);
        if (text[0] != '\0') {
            unsigned number = 0;
            unsigned check = 0;
            assert_int_equal(sscanf(text, "%u %u", &number, &check), 2);
            assert_int_equal(check, number * 2654435761u);
            assert_true(number >= next);
            next = number + 1;
            shown++;
        } else if (ended) {
            break;
        } else {
            ended = pthread_tryjoin_np(writer, NULL) == 0;
        }
    }
    assert_true(shown > 0);
    assert_true(shown + reader.missed <= MANY);
    tap_reader_close(&reader);
    tap_close(tap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shows_what_is_wished),
        cmocka_unit_test(test_spares_by_rate_and_sample),
        cmocka_unit_test(test_counts_what_was_overwritten),
        cmocka_unit_test(test_refuses_what_is_no_tap), cmocka_unit_test(test_places),
        cmocka_unit_test(test_reads_while_it_is_written)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
