/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: each kind of option takes what its help says and nothing else. Method: a table of texts and
 * the value shown back, over a struct with a field of each kind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "control/option_set.h"
#include "outputs/output.h"
#include "outputs/output_private.h"

struct all {
    bool yes;
    uint64_t count;
    uint64_t bytes;
    uint64_t time_ns;
    char *text;
    int choice;
    uint32_t mode;
    struct yarder_levels levels;
    struct yarder_texts texts;
    struct output_queue queue;
    struct output_on_full on_full;
    struct output_fsync fsync;
    uint32_t facilities;
    uint8_t kinds;
    uint8_t streams;
};

enum {
    YES,
    COUNT,
    BYTES,
    TIME,
    TEXT,
    CHOICE,
    MODE,
    LEVELS,
    TEXTS,
    QUEUE,
    ON_FULL,
    FSYNC,
    FACILITY,
    KIND,
    STREAM
};

static const char *const choices[] = {"red", "green", NULL};

#define FIELD(member) offsetof(struct all, member)
/* clang-format off: a table */
static const struct yarder_option options[] = {
    [YES] = {"yes", YARDER_OPTION_BOOL, FIELD(yes), NULL, 0, 0, NULL, NULL, "yes|no", ""},
    [COUNT] = {"count", YARDER_OPTION_COUNT, FIELD(count), NULL, 3, 2000, NULL, NULL, "N", ""},
    [BYTES] = {"bytes", YARDER_OPTION_BYTES, FIELD(bytes), NULL, 0, UINT64_MAX, NULL, NULL, "SIZE",
        ""},
    [TIME] = {"time", YARDER_OPTION_DURATION, FIELD(time_ns), NULL, 0, UINT64_MAX, NULL, NULL,
        "TIME", ""},
    [TEXT] = {"text", YARDER_OPTION_TEXT, FIELD(text), NULL, 0, 0, NULL, NULL, "NAME", ""},
    [CHOICE] = {"choice", YARDER_OPTION_CHOICE, FIELD(choice), NULL, 0, 0, choices, NULL,
        "red|green", ""},
    [MODE] = {"mode", YARDER_OPTION_MODE, FIELD(mode), NULL, 0, 0777, NULL, NULL, "MODE", ""},
    [LEVELS] = {"level", YARDER_OPTION_LEVELS, FIELD(levels), NULL, 0, 0, NULL, NULL, "LEVEL", ""},
    [TEXTS] = {"texts", YARDER_OPTION_TEXTS, FIELD(texts), NULL, 0, 0, NULL, NULL, "REGEX", ""},
    [QUEUE] = {"queue", YARDER_OPTION_SPECIAL, FIELD(queue), NULL, 0, 0, NULL, option_parse_queue,
        "", ""},
    [ON_FULL] = {"on-full", YARDER_OPTION_SPECIAL, FIELD(on_full), NULL, 0, 0, NULL,
        option_parse_on_full, "", ""},
    [FSYNC] = {"fsync", YARDER_OPTION_SPECIAL, FIELD(fsync), NULL, 0, 0, NULL, option_parse_fsync,
        "", ""},
    [FACILITY] = {"facility", YARDER_OPTION_SPECIAL, FIELD(facilities), NULL, 0, 0, NULL,
        option_parse_facilities, "", ""},
    [KIND] = {"kind", YARDER_OPTION_SPECIAL, FIELD(kinds), NULL, 0, 0, NULL, option_parse_kinds, "",
        ""},
    [STREAM] = {"stream", YARDER_OPTION_SPECIAL, FIELD(streams), NULL, 0, 0, NULL,
        option_parse_streams, "", ""},
};
/* clang-format on */

static const struct {
    int option;
    const char *text;
    const char *shown; /* NULL: refused */
} rows[] = {
    {YES, NULL, "yes"},
    {YES, "ON", "yes"},
    {YES, "0", "no"},
    {YES, "", NULL},
    {YES, "y", NULL},
    {COUNT, "3", "3"},
    {COUNT, "2000", "2000"},
    {COUNT, "2", NULL},
    {COUNT, "2001", NULL},
    {COUNT, "-5", NULL},
    {COUNT, "5K", NULL},
    {COUNT, "99999999999999999999999", NULL},
    {COUNT, NULL, NULL},
    {BYTES, "0", "0"},
    {BYTES, "1", "1"},
    {BYTES, "1024", "1K"},
    {BYTES, "1025", "1025"},
    {BYTES, "3g", "3G"},
    {BYTES, "2048M", "2G"},
    {BYTES, "18446744073709551615", "18446744073709551615"},
    {BYTES, "18446744073709551616", NULL},
    {BYTES, "17179869184G", NULL},
    {BYTES, "1T", NULL},
    {BYTES, "1 K", NULL},
    {BYTES, "K", NULL},
    {BYTES, "", NULL},
    {BYTES, "1.5G", NULL},
    {TIME, "0", "0ms"},
    {TIME, "5ms", "5ms"},
    {TIME, "1500ms", "1500ms"},
    {TIME, "2000ms", "2s"},
    {TIME, "120s", "2m"},
    {TIME, "7d", "7d"},
    {TIME, "24h", "1d"},
    {TIME, "365d", "365d"},
    {TIME, "366d", NULL},
    {TIME, "18446744073s", NULL}, /* near the end of 64 bits of ns: a clock would wrap */
    {TIME, "5", NULL},
    {TIME, "5M", NULL},
    {TIME, "5us", NULL},
    {TIME, "999999999999d", NULL},
    {TIME, "ms", NULL},
    {TEXT, "a b", "a b"},
    {TEXT, "", NULL},
    {CHOICE, "green", "green"},
    {CHOICE, "Green", NULL},
    {CHOICE, "", NULL},
    {MODE, "0640", "0640"},
    {MODE, "777", "0777"},
    {MODE, "1777", NULL},
    {MODE, "8", NULL},
    {MODE, "0x1", NULL},
    {MODE, "", NULL},
    {MODE, "77777777777777777777777777", NULL},
    {LEVELS, "warning", "warning"},
    {LEVELS, "WARN", "warning"},
    {LEVELS, "info..error", "info..error"},
    {LEVELS, "..info", "..info"},
    {LEVELS, "error..", "error"},
    {LEVELS, "25", "notice"},
    {LEVELS, "..", NULL},
    {LEVELS, "", NULL},
    {LEVELS, "error..info", NULL},
    {LEVELS, "256", NULL},
    {LEVELS, "info...error", NULL},
    {TEXTS, "a", "a"},
    {TEXTS, "", NULL},
    {QUEUE, "memory:1M", "memory:1M"},
    {QUEUE, "memory:1K", NULL},
    {QUEUE, "memory", NULL},
    {QUEUE, "64M", NULL},
    {QUEUE, "disk:1G", "disk:1G"},
    {QUEUE, "disk:1", NULL},
    {QUEUE, "memory:", NULL},
    {ON_FULL, "block", "block"},
    {ON_FULL, "block:2s", "block:2s"},
    {ON_FULL, "drop-newest", "drop-newest"},
    {ON_FULL, "drop-oldest", "drop-oldest"},
    {ON_FULL, "block:2", NULL},
    {ON_FULL, "drop", NULL},
    {ON_FULL, "block:", NULL},
    {FSYNC, "none", "none"},
    {FSYNC, "batch", "batch"},
    {FSYNC, "interval:1s", "interval:1s"},
    {FSYNC, "interval:0", NULL},
    {FSYNC, "interval", NULL},
    {FSYNC, "always", NULL},
    {FACILITY, "auth", "auth"},
    {FACILITY, "local7+0", "kern+local7"},
    {FACILITY, "24", NULL},
    {FACILITY, "auth+", NULL},
    {FACILITY, "", NULL},
    {KIND, "request", "request"},
    {KIND, "log+request", "log+request"},
    {KIND, "logs", NULL},
    {STREAM, "stderr", "stderr"},
    {STREAM, "stdout+stderr", "stdout+stderr"},
    {STREAM, "none", NULL},
};

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        const struct yarder_option *option = &options[rows[i].option];
        struct arena arena;
        struct all target = {0};
        static const struct all untouched;
        char why[OPTION_WHY_BYTES] = "";
        char at[OPTION_WHY_BYTES];
        arena_init(&arena, SIZE_MAX);
        int r = option_set(option, &target, rows[i].text, &arena, why);
        if (rows[i].shown == NULL) {
            assert_true(r < 0);
            assert_int_equal(strncmp(why, "", 1) != 0, 1);
            assert_memory_equal(&target, &untouched, sizeof(target));
        } else {
            assert_int_equal(r, 0);
            assert_string_equal(option_show(option, &target, at), rows[i].shown);
        }
        arena_deinit(&arena);
    }
}

static void test_texts_append(void **state)
{
    (void)state;
    struct arena arena;
    struct all target = {0};
    char why[OPTION_WHY_BYTES];
    char text[16];
    arena_init(&arena, SIZE_MAX);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        assert_int_equal(option_set(&options[TEXTS], &target, text, &arena, why), 0);
    }
    assert_int_equal(target.texts.count, 100);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof(text), "%u", i);
        assert_string_equal(target.texts.at[i], text);
    }
    arena_deinit(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_texts_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
