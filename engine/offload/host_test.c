/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: a backend waits no longer than it may, and what it says stays within its bounds. */
#include "offload/host.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "os/memory.h"

enum { ITEMS = 400 };
static const uint64_t ms_ns = 1000000;

struct scene {
    struct host host;
    struct yarder_item items[ITEMS];
    uint32_t reasons[ITEMS];
    int pipe[2];
};

static int set_up(void **state)
{
    static struct scene scene;
    memset(&scene, 0, sizeof(scene));
    if (host_open(&scene.host, "out", "here", scene.reasons) < 0 || pipe(scene.pipe) < 0) {
        return -1;
    }
    host_begin(&scene.host, scene.items, ITEMS);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    host_close(&scene->host);
    (void)close(scene->pipe[0]);
    (void)close(scene->pipe[1]);
    return 0;
}

static void a_wait_ends_with_the_event_or_the_deadline(void **state)
{
    struct scene *scene = *state;
    struct yarder_host *face = &scene->host.face;
    uint64_t begun_ns = (uint64_t)os_monotonic_ns();
    assert_int_equal(face->wait(face, scene->pipe[0], POLLIN, begun_ns + 20 * ms_ns), 0);
    assert_true((uint64_t)os_monotonic_ns() >= begun_ns + 20 * ms_ns);
    assert_int_equal(face->wait(face, -1, 0, begun_ns), 0); /* a deadline that is over */
    assert_int_equal(write(scene->pipe[1], "x", 1), 1);
    assert_int_equal(face->wait(face, scene->pipe[0], POLLIN, begun_ns), POLLIN);
    assert_int_equal(face->wait(face, scene->pipe[1], POLLOUT, UINT64_MAX), POLLOUT);
}

static void *want_it(void *host)
{
    host_want(host, true);
    return NULL;
}

static void a_thread_that_is_wanted_comes_back(void **state)
{
    struct scene *scene = *state;
    struct yarder_host *face = &scene->host.face;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, want_it, &scene->host), 0);
    assert_int_equal(face->wait(face, scene->pipe[0], POLLIN, UINT64_MAX), -ECANCELED);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(face->wait(face, -1, 0, UINT64_MAX), -ECANCELED);
    host_want(&scene->host, false);
    assert_int_equal(face->wait(face, -1, 0, 0), 0);
}

static void a_failure_is_told_in_bounds(void **state)
{
    struct scene *scene = *state;
    struct yarder_host *face = &scene->host.face;
    char endless[1000];
    memset(endless, '\n', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_int_equal((face->fail)(face, -EPIPE, "%s: %s", "peer\x1b[2J", "gone"), -EPIPE);
    assert_string_equal(scene->host.text, "peer\\x1b[2J: gone");
    assert_int_equal((face->fail)(face, -EPIPE, "%s", endless), -EPIPE);
    assert_true(strlen(scene->host.text) < HOST_TEXT_BYTES);
    assert_true((face->fail)(face, 0, "not an error") < 0);
}

static void each_item_keeps_its_reason(void **state)
{
    struct scene *scene = *state;
    struct yarder_host *face = &scene->host.face;
    for (uint32_t i = 0; i < ITEMS; i += 2) {
        face->refuse(face, &scene->items[i], "reason %u", i / 20);
        assert_int_equal(scene->items[i].result, YARDER_REFUSED);
    }
    assert_string_equal(host_reason(&scene->host, 0), "reason 0");
    assert_string_equal(host_reason(&scene->host, 398), "reason 19");
    assert_string_equal(host_reason(&scene->host, 1), "refused"); /* it gave none */
    for (uint32_t i = 0; i < ITEMS; i++) { /* more words than there is room for */
        face->refuse(face, &scene->items[i], "%150u", i);
    }
    assert_string_equal(host_reason(&scene->host, ITEMS - 1), "refused");
    struct yarder_item stray = {0};
    face->refuse(face, &stray, "not of the batch");
    host_begin(&scene->host, scene->items, ITEMS);
    assert_string_equal(host_reason(&scene->host, 0), "refused");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_wait_ends_with_the_event_or_the_deadline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_thread_that_is_wanted_comes_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failure_is_told_in_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_item_keeps_its_reason, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("offload-host", tests, NULL, NULL);
}
