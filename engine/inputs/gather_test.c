/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: lines come together by source, what a commit holds comes back with all its parts, and no
 * memory that a stored commit needs is used again before the next. Method: a real hold.
 */
#include "inputs/gather.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"

static struct hold *hold;
static int hold_fd;

static int setup(void **state)
{
    (void)state;
    const struct hold_shape shape = {
        .inputs_count = 2, .joins_count = JOINS_COUNT + GATHERS_COUNT, .join_bytes = JOIN_BYTES};
    assert_int_equal(hold_create(&shape, &hold_fd), 0);
    assert_int_equal(hold_open(&hold, hold_fd), 0);
    assert_int_equal(hold_load(hold), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    hold_close(hold);
    return close(hold_fd);
}

static struct yarder_record record_of(const char *tag, uint32_t pid, const char *text)
{
    return (struct yarder_record){.time_ns = 5,
        .received_ns = 6,
        .text = text_of(text),
        .tag = text_of(tag),
        .peer = text_of("10.0.0.1:5"),
        .pid = pid,
        .input = 1,
        .level = YARDER_LEVEL_ERROR,
        .facility = 3};
}

static void expect(uint32_t index, const char *tag, const char *text)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    assert_int_equal(gather_record(hold, index, fields, &record), 0);
    assert_true(text_is(record.text, text));
    assert_true(text_is(record.tag, tag));
    assert_int_equal(record.level, YARDER_LEVEL_ERROR);
    assert_int_equal(record.facility, 3);
    assert_true(record.time_ns == 5 && record.received_ns == 6);
}

static void by_source(void **state)
{
    (void)state;
    const struct yarder_record one = record_of("a", 7, "one");
    const struct yarder_record two = record_of("a", 8, "two");
    uint32_t first = 0;
    uint32_t second = 0;
    assert_int_equal(gather_find(hold, &one, 1), HOLD_NONE);
    assert_int_equal(gather_begin(hold, &one, 1, 3, &first), 0);
    assert_int_equal(gather_begin(hold, &two, 1, 4, &second), 0);
    assert_int_equal(gather_find(hold, &one, 1), first);
    assert_int_equal(gather_find(hold, &two, 1), second);
    assert_int_equal(gather_find(hold, &one, 2), HOLD_NONE);
    assert_int_equal(*gather_state(hold, second), 4);
    assert_int_equal(gather_add(hold, first, text_of(" more"), false, 100), 0);
    assert_int_equal(gather_add(hold, second, text_of("last"), true, 100), 0);
    assert_int_equal(gather_add(hold, second, text_of("x"), false, 10), -ENOSPC);
    *gather_flags(hold, first) |= YARDER_FLAG_TRUNCATED;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record cut;
    assert_int_equal(gather_record(hold, first, fields, &cut), 0);
    assert_int_equal(cut.flags, YARDER_FLAG_TRUNCATED);
    expect(first, "a", "one\n more");
    expect(second, "a", "two\n\nlast");
    /* The key of one and the texts of another: nobody's. */
    hold->joins[second].region = hold->joins[first].region;
    hold->joins[first].region = 0;
    assert_int_equal(gather_find(hold, &one, 1), HOLD_NONE);
}

static void what_a_commit_holds_comes_back(void **state)
{
    (void)state;
    const struct yarder_field fields[] = {{{"k", 1}, {"v", 1}, YARDER_FIELD_TEXT}};
    struct yarder_record one = record_of("tag", 7, "one");
    uint32_t index = 0;
    one.fields = fields;
    one.fields_count = 1;
    assert_int_equal(gather_begin(hold, &one, 1, 1, &index), 0);
    assert_int_equal(gather_add(hold, index, text_of("two"), false, 100), 0);
    hold_commit(hold);
    gather_settle(hold);
    join_settle(hold);
    assert_int_equal(gather_add(hold, index, text_of("not committed"), false, 100), 0);
    assert_int_equal(hold_load(hold), 0); /* the next worker */
    gather_settle(hold);
    assert_int_equal(gather_find(hold, &one, 1), index);
    expect(index, "tag", "one\ntwo");
    assert_int_equal(gather_add(hold, index, text_of("three"), false, 100), 0);
    expect(index, "tag", "one\ntwo\nthree");
}

static void memory_of_a_commit_is_not_used_again(void **state)
{
    (void)state;
    const struct yarder_record old = record_of("old", 1, "old");
    uint32_t index = 0;
    uint32_t other = 0;
    assert_int_equal(gather_begin(hold, &old, 1, 1, &index), 0);
    hold_commit(hold);
    gather_settle(hold);
    join_settle(hold);
    gather_free(hold, index);
    for (uint32_t i = 0; i < 3 * GATHERS_COUNT; i++) { /* what began since may go at once */
        const struct yarder_record fresh = record_of("fresh", i, "fresh");
        assert_int_equal(gather_begin(hold, &fresh, 1, 1, &other), 0);
        assert_int_not_equal(other, index);
        gather_free(hold, other);
    }
    assert_int_equal(hold_load(hold), 0);
    assert_int_equal(gather_find(hold, &old, 1), index);
    expect(index, "old", "old");
    gather_free(hold, index);
    hold_commit(hold);
    gather_settle(hold);
    join_settle(hold);
    assert_int_equal(gather_begin(hold, &old, 1, 1, &other), 0);
    assert_int_equal(other, index);
}

static void there_are_so_many(void **state)
{
    (void)state;
    uint32_t index = 0;
    for (uint32_t i = 0; i < GATHERS_COUNT; i++) {
        const struct yarder_record record = record_of("t", i + 1, "x");
        assert_int_equal(gather_begin(hold, &record, 1, 1, &index), 0);
    }
    const struct yarder_record more = record_of("t", 0, "x");
    assert_int_equal(gather_begin(hold, &more, 1, 1, &index), -ENOSPC);
    for (uint32_t i = 0; i < JOINS_COUNT; i++) {
        assert_true(hold->joins[i].region == 0);
    }
    static char wide[64 << 10]; /* more beside the text than a join has room for */
    memset(wide, 'w', sizeof(wide));
    struct yarder_record heavy = record_of("t", 77, "x");
    heavy.host = (struct yarder_text){wide, sizeof(wide)};
    gather_free(hold, gather_first());
    assert_int_equal(gather_begin(hold, &heavy, 1, 1, &index), -ENOSPC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(by_source, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_commit_holds_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_of_a_commit_is_not_used_again, setup, teardown),
        cmocka_unit_test_setup_teardown(there_are_so_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
