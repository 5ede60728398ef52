/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a record comes back as it was, every part of it, and no bytes of the world do harm. Method:
 * random records at places of any alignment; each cut, and many flipped bytes, in memory that ends
 * where they end. PACK_SEED replays a run.
 */
#include "codec/pack.h"

#include <errno.h>
#include <string.h>

#include "base/test_random.h"
#include "base/text.h"

enum { RECORDS = 3000, FLIPS = 200000, TEXT_BYTES_MAX = 300, FIELD_BYTES_MAX = 40 };

struct made {
    struct yarder_record record;
    struct yarder_id id;
    struct yarder_field fields[YARDER_FIELDS_MAX];
};

static struct yarder_text random_text(size_t bytes_max)
{
    static char bytes[64 << 10];
    static bool filled;
    for (size_t i = 0; !filled && i < sizeof(bytes); i++) {
        bytes[i] = (char)random_next();
    }
    filled = true;
    size_t length = below(3) == 0 ? 0 : below((uint32_t)bytes_max + 1);
    return (struct yarder_text){bytes + below((uint32_t)(sizeof(bytes) - bytes_max)), length};
}

static void make(struct made *made)
{
    *made = (struct made){.id = {random_next(), random_next()},
        .record = {.time_ns = (int64_t)random_next(),
            .received_ns = (int64_t)random_next(),
            .text = random_text(TEXT_BYTES_MAX),
            .host = random_text(FIELD_BYTES_MAX),
            .peer = random_text(FIELD_BYTES_MAX),
            .tag = random_text(FIELD_BYTES_MAX),
            .logger = random_text(FIELD_BYTES_MAX),
            .fields = made->fields,
            .fields_count = below(2) == 0 ? 0 : below(YARDER_FIELDS_MAX + 1),
            .flags = (uint32_t)random_next(),
            .pid = (uint32_t)random_next(),
            .tid = (uint32_t)random_next(),
            .lost_before = (uint32_t)random_next(),
            .input = (uint16_t)random_next(),
            .level = (uint8_t)random_next(),
            .kind = (uint8_t)random_next(),
            .stream = (uint8_t)random_next(),
            .facility = (uint8_t)random_next()}};
    for (uint32_t i = 0; i < made->record.fields_count; i++) {
        made->fields[i] = (struct yarder_field){.key = random_text(FIELD_BYTES_MAX),
            .value = random_text(FIELD_BYTES_MAX),
            .type = (enum yarder_field_type)(1 + below(YARDER_FIELD_BOOL))};
    }
}

/* Packed in memory of just its size, which sanitizers guard. */
static char *pack(const struct made *made, size_t *bytes)
{
    *bytes = pack_bytes(&made->record);
    char *at = malloc(*bytes);
    assert_non_null(at);
    memset(at, 0xEE, *bytes);
    assert_int_equal(pack_record(&made->record, made->id, at), *bytes);
    return at;
}

static void assert_same(const struct yarder_record *a, const struct yarder_record *b)
{
    assert_true(a->time_ns == b->time_ns && a->received_ns == b->received_ns);
    assert_true(text_equal(a->text, b->text) && text_equal(a->host, b->host));
    assert_true(text_equal(a->peer, b->peer) && text_equal(a->tag, b->tag));
    assert_true(text_equal(a->logger, b->logger));
    assert_true(a->flags == b->flags && a->lost_before == b->lost_before);
    assert_true(a->pid == b->pid && a->tid == b->tid && a->input == b->input);
    assert_true(a->level == b->level && a->kind == b->kind);
    assert_true(a->stream == b->stream && a->facility == b->facility);
    assert_int_equal(a->fields_count, b->fields_count);
    for (uint32_t i = 0; i < a->fields_count; i++) {
        assert_int_equal(a->fields[i].type, b->fields[i].type);
        assert_true(text_equal(a->fields[i].key, b->fields[i].key));
        assert_true(text_equal(a->fields[i].value, b->fields[i].value));
    }
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        struct made made;
        struct made read;
        size_t bytes = 0;
        size_t taken = 0;
        make(&made);
        YARDER_OWN_HEAP char *at = pack(&made, &bytes);
        assert_int_equal(bytes % PACK_UNIT_BYTES, 0);
        YARDER_OWN_HEAP char *odd = malloc(bytes + 1);
        assert_non_null(odd);
        memcpy(odd + 1, at, bytes);
        assert_int_equal(pack_read(odd + 1, bytes, &read.record, &read.id, read.fields,
                             YARDER_FIELDS_MAX, &taken),
            0);
        assert_int_equal(taken, bytes);
        assert_memory_equal(&read.id, &made.id, sizeof(read.id));
        assert_same(&read.record, &made.record);
    }
}

static void what_is_not_all_there_goes_on(void **state)
{
    (void)state;
    struct made made;
    struct made read;
    size_t bytes = 0;
    size_t taken = 77;
    do {
        make(&made);
    } while (made.record.fields_count < 2);
    YARDER_OWN_HEAP char *at = pack(&made, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        YARDER_OWN_HEAP char *part = malloc(cut + (cut == 0));
        assert_non_null(part);
        memcpy(part, at, cut);
        assert_int_equal(
            pack_read(part, cut, &read.record, &read.id, read.fields, YARDER_FIELDS_MAX, &taken),
            -EAGAIN);
    }
    assert_int_equal(pack_read(at, bytes, &read.record, &read.id, read.fields,
                         made.record.fields_count - 1, &taken),
        -ENOBUFS);
    assert_int_equal(taken, 77); /* written on success only */
}

static void a_flipped_byte_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct made made;
        size_t bytes = 0;
        make(&made);
        YARDER_OWN_HEAP char *at = pack(&made, &bytes);
        pack_seal(at);
        assert_true(pack_is_sound(at));
        size_t flipped = sizeof(uint32_t) + below((uint32_t)(bytes - sizeof(uint32_t)));
        at[flipped] = (char)(at[flipped] ^ (1 << below(8)));
        assert_false(pack_is_sound(at));
    }
}

/* With sanitizers: nothing outside is read. Without: what is read lies within the bytes. */
static void bytes_of_the_world_do_no_harm(void **state)
{
    (void)state;
    struct made made;
    size_t bytes = 0;
    make(&made);
    YARDER_OWN_HEAP char *at = pack(&made, &bytes);
    YARDER_OWN_HEAP char *whole = malloc(bytes);
    assert_non_null(whole);
    memcpy(whole, at, bytes);
    uint32_t read_count = 0;
    for (int i = 0; i < FLIPS; i++) {
        struct made read;
        size_t taken = 0;
        memcpy(at, whole, bytes);
        for (uint32_t flips = 1 + below(3); flips > 0; flips--) {
            at[below(below(2) == 0 ? (uint32_t)bytes : (uint32_t)sizeof(struct pack_head))] =
                (char)random_next();
        }
        int r =
            pack_read(at, bytes, &read.record, &read.id, read.fields, YARDER_FIELDS_MAX, &taken);
        assert_true(r == 0 || r == -EBADMSG || r == -EAGAIN);
        if (r == 0) {
            read_count++;
            assert_true(taken <= bytes);
            YARDER_OWN_HEAP char *again = malloc(pack_bytes(&read.record));
            assert_non_null(again);
            assert_int_equal(pack_record(&read.record, read.id, again), taken);
        }
    }
    assert_in_range(read_count, 1, FLIPS - 1);
}

static void a_record_of_no_possible_length_is_none(void **state)
{
    (void)state;
    const uint32_t lengths[] = {
        0, 1, sizeof(struct pack_head) - 8, sizeof(struct pack_head) + 4, PACK_BYTES_MAX + 8, ~0u};
    for (size_t i = 0; i < YARDER_COUNT_OF(lengths); i++) {
        char bytes[sizeof(struct pack_head)] = {0};
        struct made read;
        size_t taken = 0;
        memcpy(bytes, &lengths[i], sizeof(lengths[i]));
        assert_int_equal(pack_read(bytes, sizeof(bytes), &read.record, &read.id, read.fields,
                             YARDER_FIELDS_MAX, &taken),
            -EBADMSG);
    }
}

static void a_key_beyond_all_measure_is_cut(void **state)
{
    (void)state;
    YARDER_OWN_HEAP char *key = malloc(70000);
    assert_non_null(key);
    memset(key, 'k', 70000);
    struct made made = {.record = {.fields = made.fields, .fields_count = 1}};
    made.fields[0] =
        (struct yarder_field){.key = {key, 70000}, .value = {"v", 1}, .type = YARDER_FIELD_TEXT};
    struct made read;
    size_t bytes = 0;
    size_t taken = 0;
    YARDER_OWN_HEAP char *at = pack(&made, &bytes);
    assert_int_equal(
        pack_read(at, bytes, &read.record, &read.id, read.fields, YARDER_FIELDS_MAX, &taken), 0);
    assert_int_equal(read.fields[0].key.length, UINT16_MAX);
    assert_true(text_is(read.fields[0].value, "v"));
}

int main(void)
{
    random_begin("PACK_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was),
        cmocka_unit_test(what_is_not_all_there_goes_on),
        cmocka_unit_test(a_flipped_byte_is_told),
        cmocka_unit_test(bytes_of_the_world_do_no_harm),
        cmocka_unit_test(a_record_of_no_possible_length_is_none),
        cmocka_unit_test(a_key_beyond_all_measure_is_cut),
    };
    return cmocka_run_group_tests_name("codec-pack", tests, NULL, NULL);
}
