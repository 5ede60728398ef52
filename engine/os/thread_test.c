/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a thread of ours takes no signal of the process and has the stack that it asked for. */
#include "os/thread.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>

enum { STACK_BYTES = 64 << 10 };

struct seen {
    sigset_t blocked;
    size_t stack_bytes;
};

static void *look(void *self)
{
    struct seen *seen = self;
    pthread_attr_t attributes;
    (void)pthread_getattr_np(pthread_self(), &attributes);
    (void)pthread_attr_getstacksize(&attributes, &seen->stack_bytes);
    (void)pthread_attr_destroy(&attributes);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    return self;
}

static void test_thread_gets_no_signals_and_its_stack(void **state)
{
    (void)state;
    pthread_t thread;
    struct seen seen = {0};
    sigset_t before;
    sigset_t after;
    void *returned = NULL;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(os_thread_start(&thread, STACK_BYTES, look, &seen), 0);
    assert_int_equal(pthread_join(thread, &returned), 0);
    assert_ptr_equal(returned, &seen);
    assert_true(seen.stack_bytes >= STACK_BYTES);
    assert_true(sigismember(&seen.blocked, SIGTERM));
    assert_true(sigismember(&seen.blocked, SIGHUP));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
}

static void test_stack_of_no_size_that_exists_is_refused(void **state)
{
    (void)state;
    pthread_t thread;
    int r = os_thread_start(&thread, (size_t)1 << 62, look, NULL);
    assert_true(r == -EAGAIN || r == -EINVAL || r == -ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_thread_gets_no_signals_and_its_stack),
        cmocka_unit_test(test_stack_of_no_size_that_exists_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
