/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel between supervisor and worker over a real socket pair: what is sent arrives with its
 * descriptors, and whatever else arrives is refused without leaving a descriptor behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#include "os/memory.h"
#include "worker/channel.h"

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    yarder_fd_drop(&pair[0]);
    yarder_fd_drop(&pair[1]);
    return 0;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    while (readdir(folder) != NULL) {
        count++;
    }
    (void)closedir(folder);
    return count;
}

static void arrives_whole(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct channel_message message = channel_message_of(CHANNEL_PIPE, 7, UINT64_MAX);
    message.pid = 42;
    message.uid = 43;
    memset(message.text, 'x', CHANNEL_TEXT_BYTES - 1);
    message.fds[0] = ends[0];
    message.fds[1] = ends[1];
    assert_int_equal(channel_send(pair[0], &message, 0), 0);

    struct channel_message got;
    assert_int_equal(channel_receive(pair[1], &got), 1);
    assert_memory_equal(&got, &message, offsetof(struct channel_message, fds));
    assert_int_equal(got.fds[2], -1);
    assert_int_equal(fcntl(got.fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(got.fds[1], "z", 1), 1);
    char byte = 0;
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'z');
    channel_message_drop(&got);
    assert_int_equal(got.fds[0], -1);
    channel_message_drop(&got); /* twice is harmless */
    assert_int_equal(channel_receive(pair[1], &got), 0);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void full_and_gone(void **state)
{
    (void)state;
    struct channel_message message = channel_message_of(CHANNEL_REOPEN, 0, 0);
    unsigned sent = 0;
    int result;
    while ((result = channel_send(pair[0], &message, 0)) == 0) {
        sent++;
    }
    assert_int_equal(result, -ETIMEDOUT);
    int64_t begin_ns = os_monotonic_ns();
    assert_int_equal(channel_send(pair[0], &message, 30), -ETIMEDOUT);
    assert_true(os_monotonic_ns() - begin_ns >= 30000000);

    struct channel_message got;
    for (unsigned i = 0; i < sent; i++) {
        assert_int_equal(channel_receive(pair[1], &got), 1);
    }
    assert_int_equal(channel_send(pair[0], &message, 0), 0);
    (void)close(pair[0]);
    pair[0] = -1;
    assert_int_equal(
        channel_receive(pair[1], &got), 1); /* what was sent before the end still comes */
    assert_int_equal(channel_receive(pair[1], &got), -EPIPE);
    assert_int_equal(channel_send(pair[1], &message, 1000), -EPIPE);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    struct channel_message got = channel_message_of(CHANNEL_GO, 1, 2);
    struct channel_message kept = got;
    char bytes[2 * sizeof(struct channel_message)] = {0};
    const size_t whole = offsetof(struct channel_message, fds);
    int fds[YARDER_COUNT_OF(got.fds)] = {pair[0], pair[0], pair[0]};

    for (size_t length = 1; length <= sizeof(bytes); length++) { /* kind 0 is nonsense as well */
        assert_int_equal(os_send_fds(pair[0], bytes, length, fds, 3), 0);
        assert_int_equal(channel_receive(pair[1], &got), -EBADMSG);
    }
    struct channel_message bad = channel_message_of(CHANNEL_ALIVE, 0, 0);
    bad.kind++;
    assert_int_equal(os_send_fds(pair[0], &bad, whole, fds, 1), 0);
    assert_int_equal(channel_receive(pair[1], &got), -EBADMSG);
    bad.kind--;
    memset(bad.text, 'x', sizeof(bad.text)); /* no NUL */
    assert_int_equal(os_send_fds(pair[0], &bad, whole, fds, 1), 0);
    assert_int_equal(channel_receive(pair[1], &got), -EBADMSG);

    assert_memory_equal(&got, &kept, sizeof(got)); /* untouched */
    assert_int_equal(open_descriptors(), before);
}

static void descriptors_over_our_limit(void **state)
{
    (void)state;
    struct channel_message message = channel_message_of(CHANNEL_PIPE, 0, 0);
    struct channel_message got;
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        message.fds[i] = pair[0];
    }
    assert_int_equal(channel_send(pair[0], &message, 0), 0);
    unsigned before = open_descriptors();
    int next = dup(0);
    (void)close(next);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)next + 1, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    int received = channel_receive(pair[1], &got);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(received, 1); /* who sent it must hear of it, so it is not lost */
    assert_int_equal(got.kind, CHANNEL_PIPE);
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        assert_int_equal(got.fds[i], -1);
    }
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arrives_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(full_and_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_over_our_limit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
