/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what an operator writes as a list of processors is what the kernel is asked for. Method:
 * texts there and back; refusals; a thread of our own takes a share.
 */
#include "os/processors.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void test_texts(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"0", "0"}, {"0,2-3", "0,2-3"}, {"3,2,1", "1-3"},
        {"1-1", "1"}, {"5,5,5", "5"}, {"0-1023", "0-1023"}, {"1022-1023", "1022-1023"}};
    char at[PROCESSORS_TEXT_BYTES];
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        cpu_set_t set;
        assert_int_equal(processors_parse(rows[i][0], &set), 0);
        assert_string_equal(processors_text(&set, at), rows[i][1]);
    }
}

static void test_refused_texts(void **state)
{
    (void)state;
    static const char *const rows[] = {"", ",", "0,", ",0", "1-", "-1", "2-1", "0 1", " 0", "a",
        "0-1-2", "0x1", "99999999999999999999999", "1024", "0-1024"};
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        cpu_set_t set;
        CPU_ZERO(&set);
        assert_true(processors_parse(rows[i], &set) < 0);
        assert_int_equal(CPU_COUNT(&set), 0); /* untouched */
    }
}

static void test_a_long_list_is_cut(void **state)
{
    (void)state;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t i = 0; i < CPU_SETSIZE; i += 2) {
        CPU_SET(i, &set);
    }
    char at[PROCESSORS_TEXT_BYTES];
    assert_ptr_equal(processors_text(&set, at), at);
    size_t length = strlen(at);
    assert_true(length < sizeof(at));
    assert_string_equal(at + length - 4, ",...");
}

static void *take_share(void *argument)
{
    (void)argument;
    cpu_set_t before;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    size_t last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before)) {
        last--;
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    const int nice = NICE_MOST;
    const struct processors_share share = {.cpus = &one, .nice = &nice};
    processors_take(&share);
    cpu_set_t cpus;
    int got = 0;
    assert_int_equal(processors_refused(&share, &cpus, &got), 0);
    assert_int_equal(got, NICE_MOST);

    cpu_set_t all; /* more than there are: the kernel gives what it has */
    assert_int_equal(processors_parse("0-1023", &all), 0);
    const struct processors_share more = {.cpus = &all};
    processors_take(&more);
    if (CPU_COUNT(&before) < CPU_SETSIZE) {
        assert_int_equal(processors_refused(&more, &cpus, &got), PROCESSORS_CPUS_REFUSED);
        assert_true(CPU_COUNT(&cpus) > 0);
    }
    return argument;
}

static void test_share(void **state)
{
    (void)state;
    pthread_t thread; /* what it takes goes with it */
    assert_int_equal(pthread_create(&thread, NULL, take_share, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void test_online(void **state)
{
    (void)state;
    cpu_set_t online;
    if (processors_online(&online) < 0) {
        skip();
    }
    cpu_set_t ours;
    assert_int_equal(sched_getaffinity(0, sizeof(ours), &ours), 0);
    cpu_set_t both;
    CPU_AND(&both, &online, &ours);
    assert_true(CPU_EQUAL(&both, &ours));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_refused_texts),
        cmocka_unit_test(test_a_long_list_is_cut),
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_online),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
