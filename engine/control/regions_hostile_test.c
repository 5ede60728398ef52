/* SPDX-License-Identifier: Apache-2.0 */
/* Ring clients that ask for too much, say nonsense, say nothing, or come when nothing is left. */
#include "control/regions_client.h"

#include <sys/resource.h>

static void memory_has_limits(void **state)
{
    (void)state;
    struct ring_hello hello = hello_of("greedy");
    hello.kind = REGION_LOCKED;
    hello.rings = UINT32_MAX;
    hello.memory_bytes = UINT64_MAX;
    struct region_shape shape;
    region_shape_set(&shape, options.ring_bytes, 1);
    struct regions_options two = options;
    two.ring_bytes_total = 2 * shape.region_bytes + 1;
    struct regions *regions = open_regions(&two);
    int fd[4], region_fd[4];
    assert_int_equal(attach(regions, &hello, &fd[0], &region_fd[0]), RING_STATUS_OK);
    const struct region_view *view = event_of(regions, REGIONS_NEW);
    assert_int_equal(view->region_bytes, shape.region_bytes); /* one ring, our memory, not theirs */
    assert_int_equal(attach(regions, &hello, &fd[1], &region_fd[1]), RING_STATUS_OK);
    assert_int_equal(attach(regions, &hello, &fd[2], &region_fd[2]), RING_STATUS_MEMORY);
    assert_int_equal(region_fd[2], -1);
    assert_int_equal(regions_counts(regions).refused_memory, 1);
    regions_limit(regions, &options);
    assert_int_equal(attach(regions, &hello, &fd[3], &region_fd[3]), RING_STATUS_OK);
    for (int i = 0; i < 4; i++) {
        yarder_fd_drop(&fd[i]);
        yarder_fd_drop(&region_fd[i]);
    }
    unsigned granted = 3;
    while (attach(regions, &hello, &fd[0], &region_fd[0]) == RING_STATUS_OK) {
        granted++;
        (void)close(fd[0]);
        (void)close(region_fd[0]);
    }
    (void)close(fd[0]);
    assert_int_equal(granted, REGIONS_PER_PROCESS_MAX);
    regions_close(regions);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    unsigned before = open_descriptors();
    struct ring_hello hello = hello_of("x");
    char bytes[2 * sizeof(hello)] = {0};
    memcpy(bytes, &hello, sizeof(hello));
    int region_fd = -1;
    uint64_t refused = 0;
    for (size_t length = 1; length <= sizeof(bytes); length += 17) {
        if (length == sizeof(hello)) {
            continue;
        }
        int fd = connect_client();
        int fds[] = {fd, fd};
        assert_int_equal(os_send_fds(fd, bytes, length, fds, 1), 0);
        assert_int_equal(answer_for(regions, fd, &region_fd), -EPIPE);
        (void)close(fd);
        refused++;
    }
    hello.kind = 77;
    int fd = -1;
    assert_int_equal(attach(regions, &hello, &fd, &region_fd), -EPIPE);
    (void)close(fd);
    hello.kind = REGION_PLAIN;
    hello.version++;
    assert_int_equal(attach(regions, &hello, &fd, &region_fd), RING_STATUS_VERSION);
    (void)close(fd);
    fd = connect_client(); /* leaves without a word */
    (void)close(fd);
    refused += 3;
    while (regions_counts(regions).refused_hello < refused) {
        assert_true(readable(regions_fd(regions), 5000));
        regions_serve(regions);
    }
    assert_int_equal(regions_counts(regions).open, 0);
    assert_int_equal(open_descriptors(), before);
    regions_close(regions);
}

static void who_says_nothing_is_hung_up_on(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    int silent[REGIONS_HELLOS_MAX + 10];
    int64_t begin_ns = os_monotonic_ns();
    for (size_t i = 0; i < YARDER_COUNT_OF(silent); i++) {
        silent[i] = connect_client();
    }
    for (int i = 0; i < 20; i++) {
        regions_serve(regions);
    }
    assert_false(readable(regions_fd(regions), 0)); /* a full table is no reason to spin */
    struct ring_hello hello = hello_of("patient");  /* behind them all in the queue */
    int fd;
    int region_fd;
    assert_int_equal(attach(regions, &hello, &fd, &region_fd), RING_STATUS_OK);
    int64_t took_ns = os_monotonic_ns() - begin_ns;
    assert_true(took_ns >= REGIONS_HELLO_MS * INT64_C(1000000));
    while (regions_counts(regions).refused_hello < REGIONS_HELLOS_MAX) { /* those accepted later */
        assert_true(readable(regions_fd(regions), 5000));
        regions_serve(regions);
    }
    assert_int_equal(regions_counts(regions).refused_hello, REGIONS_HELLOS_MAX);
    for (size_t i = 0; i < YARDER_COUNT_OF(silent); i++) {
        assert_int_equal(readable(silent[i], 0), i < REGIONS_HELLOS_MAX);
        (void)close(silent[i]);
    }
    (void)close(fd);
    (void)close(region_fd);
    regions_close(regions);
}

/* From now on so many more descriptors can be had; returns the limit as it was. */
static struct rlimit limit_descriptors(rlim_t more)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int next = dup(0);
    (void)close(next);
    struct rlimit low = {.rlim_cur = (rlim_t)next + more, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    return limit;
}

static void out_of_descriptors(void **state)
{
    (void)state;
    struct regions *regions = open_regions(&options);
    int fd = connect_client();
    struct ring_hello hello = hello_of("x");
    assert_int_equal(hello_send(fd, &hello, -1), 0);
    struct rlimit limit = limit_descriptors(0);
    regions_serve(regions);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(regions_counts(regions).failed_error, -EMFILE);
    assert_false(readable(regions_fd(regions), 0)); /* paused: no spinning on a full listener */
    int region_fd;
    assert_int_equal(answer_for(regions, fd, &region_fd), RING_STATUS_OK); /* by itself, later */
    (void)close(region_fd);
    (void)close(fd);

    /* With room for the connection and the region but not for the pidfd: refused, nothing kept. */
    struct regions_counts before = regions_counts(regions);
    fd = connect_client();
    assert_int_equal(hello_send(fd, &hello, -1), 0);
    (void)limit_descriptors(2);
    int status = answer_for(regions, fd, &region_fd);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(status, RING_STATUS_MEMORY);
    assert_int_equal(regions_counts(regions).open, before.open);
    assert_int_equal(regions_counts(regions).bytes, before.bytes);
    (void)close(fd);
    regions_close(regions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_has_limits),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(who_says_nothing_is_hung_up_on),
        cmocka_unit_test(out_of_descriptors),
    };
    return cmocka_run_group_tests(tests, open_listener, NULL);
}
