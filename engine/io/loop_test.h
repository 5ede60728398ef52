/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the loop share: each test runs on both loops, and skips where there is none. */
#ifndef YARDER_IO_LOOP_TEST_H
#define YARDER_IO_LOOP_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "io/io.h"

enum { MS = 1000 * 1000, TEST_SOURCES_MAX = 600, WAITS_MAX = 200000 };

#define TEST_ON_BOTH(test)                                                                         \
    {#test " (epoll)", test, NULL, NULL, &test_epoll},                                             \
    {                                                                                              \
#test " (io_uring)", test, NULL, NULL, &test_uring                                         \
    }

static enum io_choice test_epoll __attribute__((unused)) = IO_EPOLL;
static enum io_choice test_uring __attribute__((unused)) = IO_URING;

/* The loop of this test, opened here so that the test may choose sizes. */
static inline struct io *loop_of(void **state, unsigned stream_chunks)
{
    struct io_options options = {.choice = *(enum io_choice *)*state,
        .sources_max = TEST_SOURCES_MAX,
        .stream_chunks = stream_chunks};
    struct io *io = NULL;
    char why[256] = "";
    int r = io_open(&io, &options, why);
    if (r < 0 && options.choice == IO_URING) {
        print_message("%s\n", why);
        skip();
    }
    assert_int_equal(r, 0);
    assert_string_equal(why, "");
    assert_string_equal(io_name(io), options.choice == IO_URING ? "io_uring" : "epoll");
    return io;
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* xorshift64*; the seed is printed once, YARDER_TEST_SEED replays it. */
static inline uint64_t random_next(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *text = getenv("YARDER_TEST_SEED");
        seed = text != NULL ? strtoull(text, NULL, 10) : now_ns();
        print_message("YARDER_TEST_SEED=%llu\n", (unsigned long long)seed);
    }
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545F4914F6CDD1D;
}
static inline uint32_t random_below(uint32_t limit)
{
    return (uint32_t)(random_next() >> 33) % limit;
}

/* A connected pair over unix or TCP; the second is the one to receive from. */
static inline void connect_pair(bool tcp, int pair[2])
{
    if (!tcp) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        return;
    }
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(address);
    YARDER_OWN_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair[0], (struct sockaddr *)&address, size), 0);
    pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(pair[1] >= 0);
}

/* Nothing comes within 20 ms, and the loop really sleeps them: it does not spin. */
static inline void assert_quiet(struct io *io)
{
    uint64_t start = now_ns();
    for (unsigned i = 0; i < 1000 && now_ns() < start + 20 * MS; i++) {
        assert_int_equal(io_wait(io, 10 * MS, false), 0);
        assert_null(io_next(io));
        assert_true(i < 20);
    }
}

#endif
