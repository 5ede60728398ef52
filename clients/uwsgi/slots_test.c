/* SPDX-License-Identifier: Apache-2.0 */
/* Slots of libraries, turned and called: bound when loaded and sealed, or at the first call. */
#include "slots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>
#include <dlfcn.h>

typedef ssize_t (*writer)(int fd, const void *bytes, size_t count);

static unsigned seen;
static ssize_t write_instead(int fd, const void *bytes, size_t bytes_count);
static struct slots_call calls[] = {{"write", (void (*)(void))write_instead, NULL}};

static ssize_t write_instead(int fd, const void *bytes, size_t bytes_count)
{
    seen++;
    return ((writer)calls[0].real)(fd, bytes, bytes_count);
}

static writer load(const char *variable)
{
    void *library = dlopen(getenv(variable), RTLD_LAZY | RTLD_LOCAL);
    assert_non_null(library);
    void *symbol = dlsym(library, "writer_write");
    writer found;
    memcpy(&found, &symbol, sizeof(found));
    assert_non_null(found);
    return found;
}

static void assert_writes(writer by, bool is_turned)
{
    unsigned before = seen;
    int fd = memfd_create("slots", MFD_CLOEXEC);
    assert_int_equal(by(fd, "ab", 2), 2);
    assert_int_equal(lseek(fd, 0, SEEK_END), 2);
    assert_int_equal(seen - before, is_turned);
    assert_int_equal(close(fd), 0);
}

/* The sealed one last: its page is read-only again, and everybody's second turn finds nothing. */
static void slots_are_turned_once(void **state)
{
    (void)state;
    assert_true(slots_find(calls, 1));
    (void)slots_turn(calls, 1); /* the test's own libraries, if they write at all */
    uint64_t epoch = slots_epoch();
    writer lazy = load("SLOTS_LAZY"), sealed = load("SLOTS_NOW");
    assert_true(slots_epoch() != epoch);
    assert_writes(sealed, false);
    assert_int_equal(slots_turn(calls, 1), 2);
    assert_writes(lazy, true);
    assert_writes(sealed, true);
    assert_int_equal(slots_turn(calls, 1), 0);
    assert_int_equal(slots_epoch(), slots_epoch());
}

/* This program has what is called instead: its own calls stay. */
static void our_own_calls_stay(void **state)
{
    (void)state;
    assert_writes(write, false);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct slots_call none[] = {{"no_such_function_anywhere", calls[0].instead, NULL}};
    assert_false(slots_find(none, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_turned_once),
        cmocka_unit_test(our_own_calls_stay),
        cmocka_unit_test(what_is_not_there_is_not_found),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
