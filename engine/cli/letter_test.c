/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a dead letter gives back the record that it was made of, to the byte; what is no dead
 * letter gives none. Method: random records written by the one and read by the other.
 * LETTER_SEED in the environment replays a run.
 */
#include <errno.h>
#include <string.h>

#include "cli/spool.h"
#include "codec/pack.h"
#include "offload/dead_letter.h"

#include "base/test_random.h"

enum { ROUNDS = 3000, TEXT_BYTES = 64, ROOM_BYTES = 64 << 10 };

/* Now and then UTF-8, control bytes, quotes, or anything. */
static struct yarder_text random_text(char *at)
{
    static const char *const pieces[] = {"abc", "\"\\\n", "\xc3\xa4", "\xf0\x9f\x8c\xb2", " "};
    size_t length = 0;
    bool wild = below(4) == 0;
    for (uint32_t i = below(8); i > 0; i--) {
        const char *piece = pieces[below((uint32_t)YARDER_COUNT_OF(pieces))];
        memcpy(at + length, piece, strlen(piece));
        length += strlen(piece);
        if (wild) {
            at[length++] = (char)below(256);
        }
    }
    return (struct yarder_text){at, length};
}

static struct yarder_text random_value(char *at, enum yarder_field_type type)
{
    static const double reals[] = {0.1, -1e300, 5e-324, 1.0 / 3};
    int64_t whole = (int64_t)random_next();
    double real = below(5) == 0 ? __builtin_inf() : reals[below(4)];
    switch (type) {
    case YARDER_FIELD_TEXT:
        return random_text(at);
    case YARDER_FIELD_FLOAT:
        memcpy(at, &real, sizeof(real));
        return (struct yarder_text){at, sizeof(real)};
    case YARDER_FIELD_BOOL:
        at[0] = (char)below(2);
        return (struct yarder_text){at, 1};
    case YARDER_FIELD_INT:
    case YARDER_FIELD_UINT:
        break;
    }
    memcpy(at, &whole, sizeof(whole));
    return (struct yarder_text){at, sizeof(whole)};
}

static void gives_back_what_it_is_of(void **state)
{
    (void)state;
    static char texts[5 + 2 * YARDER_FIELDS_MAX][TEXT_BYTES];
    static char packed[2][ROOM_BYTES];
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct dead_letters letters = {0};
    for (int round = 0; round < ROUNDS; round++) {
        struct yarder_record record = {.time_ns = (int64_t)random_next(),
            .received_ns = (int64_t)random_next(),
            .text = random_text(texts[0]),
            .host = random_text(texts[1]),
            .peer = random_text(texts[2]),
            .tag = random_text(texts[3]),
            .logger = random_text(texts[4]),
            .fields = fields,
            .fields_count = below(6),
            .flags = below(32),
            .pid = below(UINT32_MAX),
            .tid = below(2) * below(UINT32_MAX),
            .lost_before = below(3),
            .input = (uint16_t)below(64),
            .level = (uint8_t)below(256),
            .kind = (uint8_t)below(2),
            .stream = (uint8_t)below(3),
            .facility = (uint8_t)(below(2) == 0 ? YARDER_FACILITY_NONE : below(24))};
        for (uint32_t i = 0; i < record.fields_count; i++) {
            fields[i].type = (enum yarder_field_type)(YARDER_FIELD_TEXT + below(5));
            fields[i].key = random_text(texts[5 + 2 * i]);
            fields[i].value = random_value(texts[6 + 2 * i], fields[i].type);
        }
        struct yarder_id none = {0};
        letters.bytes_count = 0;
        assert_int_equal(dead_letter_put(&letters, "q", "because", none, &record), 0);
        char *line = strndup(letters.bytes, letters.bytes_count);
        size_t taken = 0;
        assert_int_equal(letter_pack(line, packed[0], ROOM_BYTES, &taken), 0);
        assert_int_equal(pack_record(&record, none, packed[1]), taken);
        assert_memory_equal(packed[0], packed[1], taken);
        assert_int_equal(letter_pack(line, packed[0], taken - 1, &taken), -EMSGSIZE);
        line[below((uint32_t)letters.bytes_count - 1)] = '\0';
        assert_int_equal(letter_pack(line, packed[0], ROOM_BYTES, &taken), 0);
        free(line);
    }
    dead_letters_drop(&letters);
}

static void others_give_none(void **state)
{
    (void)state;
    static const char *const lines[] = {"", "{", "[]", "{\"record\":1}", "{\"record\":{}}",
        "{\"record\":{\"time_ns\":\"1\",\"received_ns\":\"x\"}}",
        "{\"record\":{\"time_ns\":\"1\",\"received_ns\":\"1\",\"level\":256}}",
        "{\"record\":{\"time_ns\":\"1\",\"received_ns\":\"1\",\"text\":{\"base64\":\"?\"}}}",
        "{\"record\":{\"time_ns\":\"1\",\"received_ns\":\"1\",\"fields\":[{\"type\":\"date\"}]}}"};
    char packed[1024];
    for (size_t i = 0; i < YARDER_COUNT_OF(lines); i++) {
        size_t taken = 1;
        assert_int_equal(letter_pack(lines[i], packed, sizeof(packed), &taken), 0);
        assert_int_equal(taken, 0);
    }
}

int main(void)
{
    random_begin("LETTER_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_back_what_it_is_of),
        cmocka_unit_test(others_give_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
