/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a pattern answers as PCRE2 does, and no subject makes it take more than its bounds allow.
 * Method: hostile subjects, with the bounds read from the pattern's own state (limit, head, count),
 * not from a clock; long subjects searched in slices against one call of the interpreter.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/text.h"
#include "route/pattern.h"

#define SECOND_NS INT64_C(1000000000)

static struct pattern_set set;
static char why[256];

static int setup(void **state)
{
    (void)state;
    return pattern_set_open(&set);
}
static int teardown(void **state)
{
    (void)state;
    pattern_set_close(&set);
    return 0;
}

static uint32_t add(const char *text)
{
    uint32_t index = UINT32_MAX;
    int r = pattern_add(&set, text, false, "test.conf:3", &index, why, sizeof(why));
    if (r != 0) {
        fail_msg("%s", why);
    }
    return index;
}

static struct yarder_text fill(char *room, size_t length, const char *with)
{
    size_t period = strlen(with);
    for (size_t i = 0; i < length; i++) {
        room[i] = with[i % period];
    }
    return (struct yarder_text){room, length};
}

static void errors_say_where_and_what(void **state)
{
    (void)state;
    uint32_t index = 0;
    assert_int_equal(
        pattern_add(&set, "ab(c", false, "yarder.conf:12", &index, why, sizeof(why)), -EINVAL);
    assert_string_equal(
        why, "yarder.conf:12: pattern 'ab(c': missing closing parenthesis, at byte 4");
    assert_int_equal(
        pattern_add(&set, "x*{2}+*", false, "route.conf:1", &index, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "route.conf:1: pattern 'x*{2}+*': quantifier does not follow"));
    assert_non_null(strstr(why, ", at byte "));
    char text[300];
    memset(text, '(', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(pattern_add(&set, text, false, "a:1", &index, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "...'"));
    char small[8];
    assert_int_equal(pattern_add(&set, "(", false, "a:1", &index, small, sizeof(small)), -EINVAL);
    assert_string_equal(small, "a:1: pa");
    assert_int_equal(set.count, 0);
}

static void one_text_is_compiled_once(void **state)
{
    (void)state;
    uint32_t first = add("x+");
    uint32_t anchored = 0;
    assert_int_equal(add("x+"), first);
    assert_int_equal(pattern_add(&set, "x+", true, "a:1", &anchored, why, sizeof(why)), 0);
    assert_int_not_equal(anchored, first);
    for (uint32_t i = 0; i < 100; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "p%u", i);
        (void)add(text);
    }
    assert_int_equal(set.count, 102);
    assert_int_equal(pattern_match(&set, first, text_of("axxb")), PATTERN_YES);
    assert_int_equal(pattern_match(&set, anchored, text_of("axxb")), PATTERN_NO);
    assert_int_equal(pattern_match(&set, anchored, text_of("xxx")), PATTERN_YES);
}

static enum pattern_answer ask(uint32_t index, struct yarder_text text)
{
    pattern_begin(&set, text);
    return pattern_answer(&set, index);
}

static void answers_are_remembered_until_the_next_record(void **state)
{
    (void)state;
    uint32_t x = 0;
    for (uint32_t i = 0; i < 70; i++) { /* more than a word of bits */
        char text[16];
        (void)snprintf(text, sizeof(text), "x{%u}", i + 1);
        x = add(text);
    }
    assert_int_equal(pattern_set_seal(&set), 0);
    char room[128];
    struct yarder_text yes = fill(room, 100, "x");
    assert_int_equal(ask(x, yes), PATTERN_YES);
    room[50] = 'y'; /* behind its back: only a second match could see it */
    assert_int_equal(pattern_answer(&set, x), PATTERN_YES);
    assert_int_equal(pattern_answer(&set, 60), PATTERN_NO);
    room[50] = 'x';
    assert_int_equal(pattern_answer(&set, 60), PATTERN_NO);
    assert_int_equal(pattern_answer(&set, x), PATTERN_YES);
    assert_int_equal(ask(60, yes), PATTERN_YES);
    assert_int_equal(ask(x, text_of("")), PATTERN_NO);
    assert_int_equal(pattern_answer(&set, 0), PATTERN_NO);
}

/* Runs pass over what cannot match and keep the order of the list. */
static void runs_are_the_list(void **state)
{
    (void)state;
    static const uint32_t list[] = {0, 1, 2, 62, 63, 64, 65, 3, 3, 66, 1, 0, 69};
    for (uint32_t i = 0; i < 70; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%s<%u>", i % 3 == 0 ? "none" : "", i);
        assert_int_equal(add(text), i);
    }
    assert_int_equal(pattern_set_seal(&set), 0);
    struct pattern_run room[YARDER_COUNT_OF(list)];
    struct pattern_runs runs = {.at = room};
    for (uint32_t i = 0; i < YARDER_COUNT_OF(list); i++) {
        pattern_runs_add(&runs, list[i]);
    }
    assert_int_equal(runs.count, 9);
    pattern_begin(&set, text_of("<1> <2> <62>"));
    for (uint32_t twice = 0; twice < 2; twice++) {
        uint32_t seen = 0;
        for (uint32_t i = 0; i < runs.count; i++) {
            const struct pattern_run *run = &runs.at[i];
            for (uint64_t left = pattern_open(&set, run); left != 0; left &= left - 1) {
                uint32_t item = pattern_run_item(run, left);
                assert_true(item >= seen && item < YARDER_COUNT_OF(list));
                assert_int_equal(list[item], pattern_run_index(run, left));
                seen = item;
                bool hit = list[item] == 1 || list[item] == 2 || list[item] == 62;
                enum pattern_answer answer = pattern_answer(&set, list[item]);
                assert_int_equal(answer == PATTERN_YES, hit);
            }
        }
        assert_int_equal(seen, 10); /* index 1 again */
    }
}

static void any_byte_may_come(void **state)
{
    (void)state;
    uint32_t dot = add("^a.b$");
    uint32_t utf = add("(*UTF)^.b$");
    struct yarder_text zero = {"a\0b", 3};
    assert_int_equal(pattern_match(&set, dot, zero), PATTERN_YES);
    assert_int_equal(pattern_match(&set, dot, text_of("a\xff\x62")), PATTERN_YES);
    assert_int_equal(pattern_match(&set, utf, text_of("\xc3\xa4\x62")), PATTERN_YES);
    assert_int_equal(pattern_match(&set, utf, text_of("\xff\xc3\x62")), PATTERN_NO);
    assert_int_equal(pattern_match(&set, add("^$"), (struct yarder_text){NULL, 0}), PATTERN_YES);
}

/* The interpreter's answer on the whole subject at once. */
static enum pattern_answer reference(const char *pattern, struct yarder_text subject)
{
    int error = 0;
    size_t offset = 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
    assert_non_null(code);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int r = pcre2_match(code, (PCRE2_SPTR)subject.at, subject.length, 0, 0, data, NULL);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    assert_true(r >= 0 || r == PCRE2_ERROR_NOMATCH);
    return r >= 0 ? PATTERN_YES : PATTERN_NO;
}

/* Places where a slice of a 40 KB subject (204 starts) begins and ends, and the ends of it. */
static const size_t places[] = {
    0, 1, 202, 203, 204, 205, 407, 408, 409, 2000, 39 * 1024, (40 << 10) - 6};

static void slices_answer_as_one(void **state)
{
    (void)state;
    static const char *const texts[] = {"needle", "^needle", "\\Aneedle", "needle$", "(?m)^needle",
        "\\bneedle", "(?<=\n)needle", "(?<!-)needle", ".*needle", "x*needle", "\\Gneedle",
        "-(*COMMIT)needle", "needle|$", "^", "\\z", "(*UTF)needle", "(?s)^.*needle",
        "(?i)NEEDLE\\n?", "a++needle", "(?:)needle", "[^-]needle"};
    static char room[40 << 10];
    for (size_t t = 0; t < YARDER_COUNT_OF(texts); t++) {
        uint32_t index = add(texts[t]);
        for (size_t p = 0; p <= YARDER_COUNT_OF(places); p++) {
            struct yarder_text subject = fill(room, sizeof(room), "---- --\n--");
            if (p < YARDER_COUNT_OF(places)) {
                memcpy(room + places[p], "needle", 6);
            }
            enum pattern_answer expected = reference(texts[t], subject);
            if (pattern_match(&set, index, subject) != expected) {
                fail_msg("%s at place %zu: not %d", texts[t], p, (int)expected);
            }
        }
        assert_int_equal(set.at[index].undecided, 0);
        assert_int_equal(set.at[index].head_bytes, 0);
    }
}

/* The default stack of PCRE2's machine code would fail at 4 KB. */
static void deep_patterns_have_a_stack(void **state)
{
    (void)state;
    static char room[16 << 10];
    uint32_t index = add("^(a|b)+$");
    assert_int_equal(pattern_match(&set, index, fill(room, 4 << 10, "ab")), PATTERN_YES);
    assert_int_equal(pattern_match(&set, index, fill(room, 15 << 10, "ab")), PATTERN_YES);
    assert_int_equal(set.at[index].undecided, 0);
}

static void limit_follows_length(void **state)
{
    (void)state;
    static char room[YARDER_RECORD_BYTES_MAX];
    static const struct {
        size_t length;
        uint32_t limit;
    } rows[] = {{0, 2000}, {250, 2000}, {251, 2004}, {1000, 5000}, {24750, 100000},
        {64 << 10, 100000}, {128 << 10, 50000}, {1 << 20, 6250}, {10, 2000}};
    uint32_t index = add("z");
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        assert_int_equal(pattern_match(&set, index, fill(room, rows[i].length, "a")), PATTERN_NO);
        assert_int_equal(set.match_limit, rows[i].limit);
    }
}

/* An explosion at one start position ends at the limit and is no answer. */
static void explosion_is_undecided(void **state)
{
    (void)state;
    char room[256];
    uint32_t index = add("(a+)+$");
    struct yarder_text hostile = fill(room, 200, "a");
    room[199] = '!';
    for (uint64_t i = 1; i <= 100; i++) {
        set.undecided = false;
        assert_int_equal(pattern_match(&set, index, hostile), PATTERN_UNDECIDED);
        assert_true(set.undecided);
        assert_int_equal(set.at[index].undecided, i);
    }
    assert_int_equal(set.at[index].watch_left, PATTERN_WATCH); /* and timed from then on */
    room[199] = 'a';
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_YES);
}

/*
 * `(?:a|b)+=z` on 16 KB hits no limit and would take a third of a second. The search itself stops
 * when it has used its share, so a handful of such records is all it ever gets at full length.
 */
static uint32_t drive_into_pen(uint32_t index, struct yarder_text hostile, uint32_t head_bytes)
{
    uint32_t records = 0;
    while (set.at[index].head_bytes != head_bytes) {
        (void)pattern_match(&set, index, hostile);
        records++;
        assert_true(records < 100000);
    }
    return records;
}

static void slow_patterns_are_penned(void **state)
{
    (void)state;
    static char room[16 << 10];
    uint32_t index = add("(?:a|b)+=z");
    uint32_t other = add("!$");
    struct yarder_text hostile = fill(room, sizeof(room), "ab");
    memcpy(room + sizeof(room) - 4, "z=!\n", 4);
    set.now_ns = 5 * SECOND_NS;
    assert_true(drive_into_pen(index, hostile, PATTERN_SHORT_BYTES) < 1000);
    assert_int_equal(set.at[index].pen_until_ns, 65 * SECOND_NS);
    /* Its neighbours are free. */
    assert_int_equal(pattern_match(&set, other, hostile), PATTERN_YES);
    assert_int_equal(set.at[other].head_bytes, 0);

    /* In the pen only the head counts: found there is found, else nobody knows. */
    memcpy(room + 100, "a=z", 3);
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_YES);
    memcpy(room + 100, "aba", 3);
    memcpy(room + 1022, "a=z", 3);
    uint64_t before = set.at[index].undecided;
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_UNDECIDED);
    assert_int_equal(set.at[index].undecided, before + 1);
    assert_int_equal(pattern_match(&set, index, text_of("short, so whole: a=z")), PATTERN_YES);
    assert_int_equal(pattern_match(&set, index, text_of("short, so whole: a=")), PATTERN_NO);

    /* A quiet minute, and it sees all again. */
    set.now_ns = 66 * SECOND_NS;
    assert_int_equal(pattern_match(&set, index, text_of("a=z")), PATTERN_YES);
    assert_int_equal(set.at[index].head_bytes, 0);
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_YES);
}

/* The end of a head is not the end of the record, and what follows it is not nothing. */
static void head_has_no_end(void **state)
{
    (void)state;
    static const char *const texts[] = {"x$", "x\\z", "x\\Z", "^x+(?!.)", "x+"};
    static char room[4 << 10];
    struct yarder_text subject = fill(room, sizeof(room), "x");
    for (size_t i = 0; i < YARDER_COUNT_OF(texts); i++) {
        uint32_t index = 0;
        bool anchored = i + 1 == YARDER_COUNT_OF(texts);
        assert_int_equal(pattern_add(&set, texts[i], anchored, "a:1", &index, why, sizeof(why)), 0);
        assert_int_equal(pattern_match(&set, index, subject), PATTERN_YES);
        set.at[index].head_bytes = PATTERN_SHORT_BYTES;
        set.at[index].pen_until_ns = SECOND_NS;
        assert_int_equal(pattern_match(&set, index, subject), PATTERN_UNDECIDED);
        set.now_ns = SECOND_NS;
        assert_int_equal(pattern_match(&set, index, subject), PATTERN_YES);
        set.now_ns = 0;
    }
    assert_int_equal(set.match_limit, 4 * sizeof(room) + 1000);
}

/* Short records can be slow too: one in 64 is timed, which finds them, and the head shrinks. */
static void slow_on_short_records_is_found(void **state)
{
    (void)state;
    char room[1000];
    uint32_t index = add("(?:a|b)+=z");
    struct yarder_text hostile = fill(room, sizeof(room), "ab");
    memcpy(room + sizeof(room) - 2, "z=", 2);
    (void)drive_into_pen(index, hostile, PATTERN_SHORT_BYTES);
    (void)drive_into_pen(index, hostile, PATTERN_SHORT_BYTES / 2);
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_UNDECIDED);
}

/* Without machine code the interpreter keeps the same bounds. */
static void interpreter_serves_too(void **state)
{
    (void)state;
    static char room[16 << 10];
    uint32_t index = add("(a+)+$");
    uint32_t slow = add("(?:a|b)+=z");
    set.at[index].jit = false;
    set.at[slow].jit = false;
    struct yarder_text hostile = fill(room, 200, "a");
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_YES);
    room[199] = '!';
    assert_int_equal(pattern_match(&set, index, hostile), PATTERN_UNDECIDED);
    hostile = fill(room, sizeof(room), "ab");
    memcpy(room + sizeof(room) - 2, "z=", 2);
    (void)drive_into_pen(slow, hostile, PATTERN_SHORT_BYTES);
}

/* An honest price for the bytes is never held against a pattern, however many records come. */
static void honest_patterns_stay_free(void **state)
{
    (void)state;
    static char room[8 << 10];
    uint32_t index = add("(?i)error|exception|traceback");
    struct yarder_text subject = fill(room, sizeof(room), "the quick brown fox ");
    for (unsigned i = 0; i < 20000; i++) { /* about 100 ms of work in one second of now_ns */
        assert_int_equal(pattern_match(&set, index, subject), PATTERN_NO);
    }
    assert_int_equal(set.at[index].head_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(errors_say_where_and_what, setup, teardown),
        cmocka_unit_test_setup_teardown(one_text_is_compiled_once, setup, teardown),
        cmocka_unit_test_setup_teardown(
            answers_are_remembered_until_the_next_record, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_are_the_list, setup, teardown),
        cmocka_unit_test_setup_teardown(any_byte_may_come, setup, teardown),
        cmocka_unit_test_setup_teardown(slices_answer_as_one, setup, teardown),
        cmocka_unit_test_setup_teardown(deep_patterns_have_a_stack, setup, teardown),
        cmocka_unit_test_setup_teardown(limit_follows_length, setup, teardown),
        cmocka_unit_test_setup_teardown(explosion_is_undecided, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_patterns_are_penned, setup, teardown),
        cmocka_unit_test_setup_teardown(head_has_no_end, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_on_short_records_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(interpreter_serves_too, setup, teardown),
        cmocka_unit_test_setup_teardown(honest_patterns_stay_free, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
