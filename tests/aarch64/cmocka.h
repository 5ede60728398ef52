/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the unit tests use of cmocka, for a cross build where there is no cmocka of that machine.
 * The first assertion that fails ends the program. $YARDER_TESTS_WITHOUT names tests to leave out.
 */
#ifndef YARDER_TESTS_CMOCKA_H
#define YARDER_TESTS_CMOCKA_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*test)(void **state);
    int (*setup)(void **state);
    int (*teardown)(void **state);
};

static jmp_buf cmocka_skipped;

/* clang-format off: initializers */
#define cmocka_unit_test(test)                                                                     \
    {                                                                                              \
#test, test, NULL, NULL                                                                    \
    }
#define cmocka_unit_test_setup_teardown(test, s, t)                                                \
    {                                                                                              \
#test, test, s, t                                                                          \
    }
/* clang-format on */
#define print_message(...) ((void)printf(__VA_ARGS__))
#define skip()             longjmp(cmocka_skipped, 1)
#define fail()             CMOCKA_CHECK(0, "fail")

#define CMOCKA_CHECK(good, what)     cmocka_check(good, what, __FILE__, __LINE__)
#define assert_true(condition)       CMOCKA_CHECK((condition) ? 1 : 0, #condition)
#define assert_false(condition)      assert_true(!(condition))
#define assert_non_null(pointer)     assert_true((pointer) != NULL)
#define assert_ptr_equal(a, b)       assert_true((a) == (b))
#define assert_string_equal(a, b)    assert_true(strcmp(a, b) == 0)
#define assert_memory_equal(a, b, n) assert_true(memcmp(a, b, n) == 0)
#define assert_int_equal(a, b)                                                                     \
    cmocka_equal((unsigned long long)(a), (unsigned long long)(b), #a " == " #b, __FILE__, __LINE__)

static inline void cmocka_check(int good, const char *what, const char *file, int line)
{
    if (!good) {
        (void)printf("%s:%d: %s\n", file, line, what);
        (void)fflush(stdout);
        exit(1);
    }
}

static inline void cmocka_equal(
    unsigned long long a, unsigned long long b, const char *what, const char *file, int line)
{
    if (a != b) {
        (void)printf("%lld, not %lld: ", (long long)a, (long long)b);
    }
    cmocka_check(a == b, what, file, line);
}

static inline int cmocka_left_out(const char *name)
{
    const char *without = getenv("YARDER_TESTS_WITHOUT");
    const char *at = without == NULL ? NULL : strstr(without, name);
    return at != NULL && (at == without || at[-1] == ' ') && strchr(" ", at[strlen(name)]) != NULL;
}

static inline void cmocka_run(const struct CMUnitTest *test)
{
    void *state = NULL;
    if (cmocka_left_out(test->name)) {
        (void)printf("[ LEFT OUT ] %s\n", test->name);
        return;
    }
    (void)printf("[ RUN      ] %s\n", test->name);
    (void)fflush(stdout);
    cmocka_check(test->setup == NULL || test->setup(&state) == 0, "setup", test->name, 0);
    if (setjmp(cmocka_skipped) == 0) {
        test->test(&state);
        (void)printf("[       OK ] %s\n", test->name);
    } else {
        (void)printf("[  SKIPPED ] %s\n", test->name);
    }
    cmocka_check(test->teardown == NULL || test->teardown(&state) == 0, "teardown", test->name, 0);
}

static inline int cmocka_run_tests(
    const struct CMUnitTest *tests, size_t count, int (*setup)(void **), int (*teardown)(void **))
{
    void *state = NULL;
    cmocka_check(setup == NULL || setup(&state) == 0, "setup", "group", 0);
    for (size_t i = 0; i < count; i++) {
        cmocka_run(&tests[i]);
    }
    cmocka_check(teardown == NULL || teardown(&state) == 0, "teardown", "group", 0);
    return 0;
}
#define cmocka_run_group_tests(tests, setup, teardown)                                             \
    cmocka_run_tests(tests, sizeof(tests) / sizeof((tests)[0]), setup, teardown)

#endif
