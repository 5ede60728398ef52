/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libyarder and daemons that are not there, come back, have no memory for it, do not want its
 * region, or whose descriptors the application has closed.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "client/client.h"
#include "client/testing.h"

static void no_daemon(void **state)
{
    (void)state;
    yarder_close();
    daemon_die();
    errno = 77;
    int64_t start_ns = os_monotonic_ns();
    for (unsigned i = 0; i < 100000; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "nobody hears"), YARDER_DROPPED);
    }
    assert_true(os_monotonic_ns() - start_ns < 2000000000);
    assert_int_equal(errno, 77);
    assert_true(yarder_attach() < 0);
    assert_int_equal(yarder_flush(10), -ENOTCONN);
    assert_int_equal(counters().lost_detached, 100000);
    daemon_start();
    attached();
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "now"), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_lost(), 100000); /* what nobody heard of is told now */
}

static void supervisor_dies(void **state)
{
    (void)state;
    attached();
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "before"), YARDER_APPENDED);
    }
    flushed();
    daemon_die();
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "meanwhile"), YARDER_APPENDED);
    }
    daemon_start();
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "after"), YARDER_APPENDED);
    flushed(); /* hands the region back */
    assert_int_equal(daemon_state.hand_backs, 1);
    assert_int_equal(daemon_state.records_count, 21);
    assert_int_equal(counters().lost, 0);
    assert_string_equal(daemon_state.last, ":after");
}

static void closed_under_us(void **state)
{
    (void)state;
    attached();
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "one"), YARDER_APPENDED);
    flushed();
    /* A daemonizing application closes everything and opens files of its own. */
    enum { FDS = CLIENT_FD_MIN + 64 };
    int mine[FDS];
    unsigned mine_count = 0;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/mine", run_dir);
    struct stat found;
    (void)pthread_mutex_lock(&daemon_state.lock); /* accept() takes a number even when it fails */
    for (int fd = 3; fd < FDS; fd++) {
        bool is_daemons = fd == daemon_state.listener || fd == daemon_state.log_socket;
        for (unsigned i = 0; i < daemon_state.connections_count; i++) {
            is_daemons = is_daemons || fd == daemon_state.connections[i];
        }
        for (unsigned i = 0; i < daemon_state.regions_count; i++) {
            is_daemons = is_daemons || fd == daemon_state.regions[i].fd;
        }
        if (!is_daemons && fstat(fd, &found) == 0) {
            int file = open(path, O_CREAT | O_RDWR, 0600);
            assert_int_equal(dup2(file, fd), fd);
            (void)close(file);
            mine[mine_count++] = fd;
        }
    }
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_true(mine_count >= 2);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "two"), YARDER_APPENDED);
    (void)yarder_flush(300); /* finds out, attaches anew */
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "three"), YARDER_APPENDED);
    flushed();
    yarder_close();
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_size, 0); /* no bell in the application's file */
    for (unsigned i = 0; i < mine_count; i++) {
        assert_int_equal(fstat(mine[i], &found), 0); /* nor was it closed */
        (void)close(mine[i]);
    }
    assert_int_equal(daemon_state.records_count, 3);
}

static void over_memory(void **state)
{
    (void)state;
    daemon_state.policy = RING_STATUS_MEMORY;
    assert_int_equal(attach_result(), -ENOMEM);
    assert_int_equal(counters().attached, 2);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "by socket"), YARDER_APPENDED);
    daemon_await(&daemon_state.datagrams);
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "<11>tested[%d]: by socket", getpid());
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_string_equal(daemon_state.last, expected);
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_int_equal(counters().sent, 1);
    daemon_state.policy = RING_STATUS_OK;
    attached();
    assert_int_equal(counters().attached, 1);
}

/* Waits until records go to the daemon's socket; how many were lost until then. */
static unsigned sent_at_last(void)
{
    const struct timespec rest = {.tv_nsec = 1000000};
    unsigned lost = 0;
    for (; lost < 4000; lost++) {
        if (yarder_log(YARDER_LEVEL_ERROR, "by socket") == YARDER_APPENDED) {
            return lost;
        }
        (void)nanosleep(&rest, NULL);
    }
    fail();
    return lost;
}

/* The datagram socket is connected to a daemon that is gone: soon to the one that is there. */
static void over_memory_again(void **state)
{
    (void)state;
    daemon_state.policy = RING_STATUS_MEMORY;
    assert_int_equal(attach_result(), -ENOMEM);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "by socket"), YARDER_APPENDED);
    daemon_await(&daemon_state.datagrams);
    for (unsigned round = 0; round < 2; round++) {
        daemon_die();
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "nobody hears"), YARDER_DROPPED);
        assert_int_equal(counters().attached, 0);
        daemon_state.datagrams = 0;
        daemon_start();
        unsigned lost = sent_at_last();
        assert_true(lost < 2000); /* not the 5 s of a client that was refused memory */
        daemon_await(&daemon_state.datagrams);
        assert_int_equal(counters().attached, 2);
    }
    assert_int_equal(counters().sent, 3);
    assert_int_equal(counters().lost_socket, 2);
}

/* The daemon that comes has no memory for the region: it waits, new records take the socket. */
static void parked(void **state)
{
    (void)state;
    attached();
    daemon_die();
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "in the ring"), YARDER_APPENDED);
    }
    daemon_state.policy = RING_STATUS_MEMORY;
    daemon_start();
    int flush = -ETIMEDOUT;
    for (unsigned i = 0; i < 100 && flush == -ETIMEDOUT; i++) {
        flush = yarder_flush(300);
    }
    assert_int_equal(flush, -ENOTCONN);
    assert_int_equal(counters().attached, 2);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "by socket"), YARDER_APPENDED);
    daemon_await(&daemon_state.datagrams);
    assert_int_equal(counters().lost, 0);
    daemon_state.policy = RING_STATUS_OK;
    attached();
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "in the ring again"), YARDER_APPENDED);
    flushed();
    assert_int_equal(daemon_state.hand_backs, 1);
    assert_int_equal(daemon_state.records_count, 11);
    assert_int_equal(counters().appended, 11);
    assert_int_equal(counters().lost, 0);
}

/* What lies in a region that the next daemon does not want is lost: counted, and told. */
static void given_up(void **state)
{
    (void)state;
    static char text[100000];
    attached();
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "taken"), YARDER_APPENDED);
    flushed();
    daemon_die();
    memset(text, 'x', sizeof(text));
    assert_int_equal(yarder_log_bytes(0, YARDER_LEVEL_ERROR, text, sizeof(text)), YARDER_APPENDED);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "unread"), YARDER_APPENDED);
    }
    assert_int_equal(counters().lost, 0);
    daemon_state.refuse_back = true;
    daemon_start();
    int flush = -ETIMEDOUT;
    for (unsigned i = 0; i < 100 && flush == -ETIMEDOUT; i++) {
        flush = yarder_flush(300);
    }
    assert_int_equal(flush, -ENOTCONN); /* they are not held by anybody */
    attached();
    assert_int_equal(counters().lost_detached, 11);
    assert_int_equal(counters().lost_bytes, sizeof(text) + 60);
    assert_int_equal(yarder_log(YARDER_LEVEL_ERROR, "after"), YARDER_APPENDED);
    flushed();
    (void)pthread_mutex_lock(&daemon_state.lock);
    assert_int_equal(daemon_state.last_record.lost_before, 11);
    (void)pthread_mutex_unlock(&daemon_state.lock);
    assert_int_equal(daemon_lost(), 11);
    yarder_close();
    assert_int_equal(counters().lost_detached, 11);
}

/* The environment is the program's to change while we look for the daemon. */
static void environment(void **state)
{
    (void)state;
    char before[108];
    char after[108];
    bool guessable;
    const struct yarder_options none = {.options_bytes = sizeof(none)};
    assert_int_equal(yarder_configure(&none), 0);
    assert_int_equal(client_path(before, sizeof(before), "x", &guessable), 0);
    assert_int_equal(setenv("YARDER_RUN_DIR", "/elsewhere", 1), 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", "/elsewhere", 1), 0);
    assert_int_equal(client_path(after, sizeof(after), "x", &guessable), 0);
    assert_string_equal(before, after);
}

int main(void)
{
    if (!run_dir_make()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        SCENE(no_daemon),
        SCENE(supervisor_dies),
        SCENE(closed_under_us),
        SCENE(over_memory),
        SCENE(over_memory_again),
        SCENE(parked),
        SCENE(given_up),
        SCENE(environment),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    run_dir_remove();
    return failed;
}
