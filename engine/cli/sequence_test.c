/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: records are byte for byte those of tests/harness/audit.py, which made the texts below.
 * Method: those, and for all sizes a check against a checksum of the simplest kind.
 */
#include "cli/sequence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void check_read(char *record, size_t bytes, const char *source, uint64_t number)
{
    struct yarder_text name;
    uint64_t read = 0;
    assert_true(sequence_read((struct yarder_text){record, bytes}, &name, &read));
    assert_int_equal(read, number);
    assert_int_equal(name.length, strlen(source));
    assert_memory_equal(name.at, source, name.length);
    for (size_t i = 0; i < bytes && bytes < 200; i++) { /* any one byte another, or one less */
        record[i] ^= 1;
        assert_false(sequence_read((struct yarder_text){record, bytes}, &name, &read));
        record[i] ^= 1;
        assert_false(sequence_read((struct yarder_text){record, i}, &name, &read));
    }
}

static void test_known_records(void **state)
{
    (void)state;
    static const struct {
        const char *source;
        uint64_t number;
        size_t size;
        const char *record;
    } known[] = {
        {"a", 0, 100,
            "a 0 491494f0 abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghij"
            "klmnopqrstuvwxyzabcdefghi"},
        {"seq", 12345, 40, "seq 12345 dceff5eb vwxyzabcdefghijklmnop"},
        {"w-3", 999999999999999999, 10, "w-3 999999999999999999 99bf6d49 "},
        {"x", 25, 31, "x 25 256326a7 zabcdefghijklmnop"},
    };
    char at[256];
    for (size_t i = 0; i < YARDER_COUNT_OF(known); i++) {
        struct sequence sequence;
        sequence_open(&sequence, known[i].source, known[i].size);
        size_t bytes = sequence_write(&sequence, at, known[i].number);
        assert_int_equal(bytes, strlen(known[i].record));
        assert_memory_equal(at, known[i].record, bytes);
        check_read(at, bytes, known[i].source, known[i].number);
    }
}

static uint32_t plain_crc32(uint32_t crc, const char *at, size_t length)
{
    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= (unsigned char)at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
        }
    }
    return ~crc;
}

static void check(char *record, size_t bytes, const char *source, uint64_t number)
{
    char head[SEQUENCE_HEAD_BYTES_MAX];
    char checksum[9];
    int head_bytes = snprintf(head, sizeof(head), "%s %llu ", source, (unsigned long long)number);
    assert_memory_equal(record, head, (size_t)head_bytes);
    const char *padding = record + head_bytes + 9;
    size_t padding_bytes = bytes - (size_t)head_bytes - 9;
    uint32_t crc = plain_crc32(plain_crc32(0, head, (size_t)head_bytes), padding, padding_bytes);
    (void)snprintf(checksum, sizeof(checksum), "%08x", crc);
    assert_memory_equal(record + head_bytes, checksum, 8);
    check_read(record, bytes, source, number);
    for (size_t i = 0; i < padding_bytes; i++) {
        assert_int_equal(padding[i], 'a' + (char)((number + i) % 26));
    }
}

static void test_all_sizes(void **state)
{
    (void)state;
    static char at[SEQUENCE_RECORD_BYTES_MAX];
    struct sequence sequence;
    for (size_t size = 1; size <= 400; size++) {
        sequence_open(&sequence, "source_1", size);
        size_t bytes = sequence_write(&sequence, at, size * 7919);
        assert_true(bytes == size || bytes > size);
        check(at, bytes, "source_1", size * 7919);
    }
    sequence_open(&sequence, "x", SEQUENCE_RECORD_BYTES_MAX);
    assert_int_equal(sequence_write(&sequence, at, 5), SEQUENCE_RECORD_BYTES_MAX);
    check(at, SEQUENCE_RECORD_BYTES_MAX, "x", 5);
}

/* A sender's own run: the number grows by a digit now and then, and the padding shrinks. */
static void test_run(void **state)
{
    (void)state;
    struct sequence sequence;
    sequence_open(&sequence, "run", 90);
    for (uint64_t number = 0; number < 1200; number++) {
        char at[SEQUENCE_HEAD_BYTES_MAX];
        size_t bytes = sequence_write(&sequence, at, number);
        assert_int_equal(bytes, 90);
        check(at, bytes, "run", number);
    }
}

static void test_sources(void **state)
{
    (void)state;
    char longest[SEQUENCE_SOURCE_BYTES_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[SEQUENCE_SOURCE_BYTES_MAX + 1] = '\0';
    assert_true(sequence_source_is_good("A-z_0.9"));
    assert_false(sequence_source_is_good(""));
    assert_false(sequence_source_is_good("a b"));
    assert_false(sequence_source_is_good("a\n"));
    assert_false(sequence_source_is_good(longest));
    longest[SEQUENCE_SOURCE_BYTES_MAX] = '\0';
    assert_true(sequence_source_is_good(longest));
    char at[SEQUENCE_HEAD_BYTES_MAX];
    struct sequence sequence;
    sequence_open(&sequence, longest, 1);
    assert_in_range(sequence_write(&sequence, at, UINT64_MAX), 1, SEQUENCE_HEAD_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_records),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_run),
        cmocka_unit_test(test_sources),
    };
    sequence_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
