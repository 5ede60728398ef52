/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of this room share: each begins with a closed library and a fresh supervisor. */
#ifndef YARDER_CLIENT_TESTING_H
#define YARDER_CLIENT_TESTING_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/yarder.h"
#include "client/fake_daemon.h"

static struct yarder_counts baseline;

/* Since the test began. */
static inline struct yarder_counts counters(void)
{
    struct yarder_counts now = {.counters_bytes = sizeof(now)};
    assert_int_equal(yarder_counters(&now), 0);
    now.appended -= baseline.appended;
    now.sent -= baseline.sent;
    now.lost -= baseline.lost;
    now.lost_bytes -= baseline.lost_bytes;
    now.lost_full -= baseline.lost_full;
    now.lost_detached -= baseline.lost_detached;
    now.lost_socket -= baseline.lost_socket;
    return now;
}

static inline int setup(void **state)
{
    (void)state;
    struct yarder_options options = {
        .options_bytes = sizeof(options), .run_dir = run_dir, .program = "tested"};
    yarder_close();
    assert_int_equal(yarder_configure(&options), 0);
    daemon_state.records_count = 0;
    daemon_state.gaps = 0;
    daemon_state.bells = 0;
    daemon_state.datagrams = 0;
    daemon_state.hand_backs = 0;
    daemon_state.policy = RING_STATUS_OK;
    daemon_state.refuse_back = false;
    daemon_state.asleep = false;
    daemon_state.frozen = false;
    baseline = (struct yarder_counts){0};
    baseline = counters();
    daemon_start();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    yarder_close();
    daemon_die();
    return 0;
}

/* Everything reached the daemon, and its record of the last one is stable until we log again. */
static inline void flushed(void)
{
    assert_int_equal(yarder_flush(5000), 0);
    (void)pthread_mutex_lock(&daemon_state.lock);
    (void)pthread_mutex_unlock(&daemon_state.lock);
}

/* One try lasts 20 ms at most, and a loaded machine may need more than one. */
static inline int attach_result(void)
{
    int result = -ETIMEDOUT;
    for (unsigned tries = 0; tries < 250 && result == -ETIMEDOUT; tries++) {
        result = yarder_attach();
    }
    return result;
}

static inline void attached(void)
{
    assert_int_equal(attach_result(), 0);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* The run directory of a test program, before its tests and after them. */
static inline bool run_dir_make(void)
{
    (void)snprintf(run_dir, sizeof(run_dir), "/tmp/yarder-test-XXXXXX");
    return mkdtemp(run_dir) != NULL;
}

static inline void run_dir_remove(void)
{
    static const char *const names[] = {RING_SOCKET_NAME, LOG_SOCKET_NAME, "mine"};
    char path[96];
    for (unsigned i = 0; i < YARDER_COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", run_dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(run_dir);
}

#endif
