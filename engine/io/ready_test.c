/* SPDX-License-Identifier: Apache-2.0 */
/* READY sources and the wait through both loops: level-triggered, fair, awake when it matters. */
#include "io/loop_test.h"

#include <sys/eventfd.h>

static struct io_source ready_of(int fd)
{
    assert_true(fd >= 0);
    return (struct io_source){.fd = fd, .kind = IO_READY};
}

/* Waits until `source` is told ready; false when the wait ended with nothing. */
static bool told(struct io *io, struct io_source *source, bool busy)
{
    struct io_chunk chunk;
    for (unsigned i = 0; i < 3; i++) { /* io_uring may need a second look */
        assert_int_equal(io_wait(io, 5 * MS, busy), 0);
        struct io_source *next = io_next(io);
        if (next != NULL) {
            assert_ptr_equal(next, source);
            assert_int_equal(io_take(io, source, &chunk), 1);
            assert_int_equal(chunk.bytes_count + chunk.flags, 0);
            assert_null(chunk.buffer);
            io_give(io, &chunk);
            assert_int_equal(io_take(io, source, &chunk), 0); /* once for each wait */
            assert_null(io_next(io));
            return true;
        }
    }
    return false;
}

static void eventfds_and_pipes(void **state)
{
    struct io *io = loop_of(state, 0);
    int ends[2];
    uint64_t value = 1;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct io_source bell = ready_of(eventfd(0, EFD_CLOEXEC));
    struct io_source reader = ready_of(ends[0]);
    assert_int_equal(io_add(io, &bell), 0);
    assert_int_equal(io_add(io, &reader), 0);
    assert_quiet(io);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(write(bell.fd, &value, 8), 8);
        assert_true(told(io, &bell, i % 2 != 0));
        assert_true(told(io, &bell, i % 2 != 0)); /* still readable */
        assert_int_equal(read(bell.fd, &value, 8), 8);
        assert_false(told(io, &bell, i % 2 != 0));
        assert_int_equal(write(ends[1], "x", 1), 1);
        assert_true(told(io, &reader, false));
        assert_int_equal(read(ends[0], &value, 1), 1);
    }
    assert_int_equal(write(bell.fd, &value, 8), 8);
    io_pause(io, &bell);
    assert_quiet(io);
    io_resume(io, &bell);
    assert_true(told(io, &bell, false));
    assert_int_equal(io_wait(io, 5 * MS, false), 0);
    io_remove(io, &bell); /* while it is listed */
    assert_quiet(io);
    assert_int_equal(close(ends[1]), 0);
    assert_true(told(io, &reader, false)); /* a hang-up is something to read */
    io_remove(io, &reader);
    assert_int_equal(close(ends[0]) + close(bell.fd), 0);
    io_close(io);
}

/* A listener leaves nothing behind: once closed, its port is free, whatever the loop does. */
static void listener(void **state)
{
    struct io *io = loop_of(state, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(address);
    for (unsigned round = 0; round < 5; round++) {
        struct io_source source = ready_of(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        int yes = 1;
        assert_int_equal(setsockopt(source.fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
        assert_int_equal(bind(source.fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(getsockname(source.fd, (struct sockaddr *)&address, &size), 0);
        assert_int_equal(listen(source.fd, 8), 0);
        assert_int_equal(io_add(io, &source), 0);
        assert_false(told(io, &source, false));
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);
        assert_true(told(io, &source, false));
        assert_true(told(io, &source, false));
        int server = accept(source.fd, NULL, NULL);
        assert_true(server >= 0);
        assert_false(told(io, &source, false));
        io_remove(io, &source);
        assert_int_equal(close(source.fd) + close(server) + close(client), 0);
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, size), -1);
        assert_int_equal(errno, ECONNREFUSED);
        assert_int_equal(close(client), 0);
    }
    io_close(io);
}

static void files_are_always_ready(void **state)
{
    static const char *const paths[] = {"/dev/null", "/proc/self/exe"};
    struct io *io = loop_of(state, 0);
    for (unsigned i = 0; i < YARDER_COUNT_OF(paths); i++) {
        struct io_source source = ready_of(open(paths[i], O_RDONLY | O_CLOEXEC));
        assert_int_equal(io_add(io, &source), 0);
        for (unsigned n = 0; n < 5; n++) {
            uint64_t start = now_ns();
            assert_int_equal(io_wait(io, UINT64_MAX, n % 2 != 0), 0); /* never sleeps */
            assert_true(now_ns() < start + 1000 * (uint64_t)MS);
            assert_ptr_equal(io_next(io), &source);
            struct io_chunk chunk;
            assert_int_equal(io_take(io, &source, &chunk), 1);
        }
        io_pause(io, &source);
        assert_quiet(io);
        io_resume(io, &source);
        assert_true(told(io, &source, false));
        io_remove(io, &source);
        assert_int_equal(close(source.fd), 0);
    }
    assert_quiet(io);
    io_close(io);
}

/* More ready at once than one look takes: each has its turn. */
static void many_in_turn(void **state)
{
    enum { COUNT = 500 };
    static struct io_source sources[COUNT];
    static unsigned turns[COUNT];
    struct io *io = loop_of(state, 0);
    memset(sources, 0, sizeof(sources));
    memset(turns, 0, sizeof(turns));
    for (unsigned i = 0; i < COUNT; i++) {
        sources[i] = ready_of(eventfd(1, EFD_CLOEXEC));
        sources[i].owner = &turns[i];
        assert_int_equal(io_add(io, &sources[i]), 0);
    }
    for (unsigned i = 0; i < 40; i++) {
        struct io_chunk chunk;
        assert_int_equal(io_wait(io, 100 * MS, i % 2 != 0), 0);
        for (struct io_source *source = io_next(io); source != NULL; source = io_next(io)) {
            assert_int_equal(io_take(io, source, &chunk), 1);
            ++*(unsigned *)source->owner;
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(turns[i] >= 5);
        io_remove(io, &sources[i]);
        assert_int_equal(close(sources[i].fd), 0);
    }
    io_close(io);
}

static void waits(void **state)
{
    struct io *io = loop_of(state, 0);
    uint64_t start = now_ns();
    assert_int_equal(io_wait(io, 0, true), 0);
    assert_true(now_ns() < start + 1000 * (uint64_t)MS);
    for (unsigned i = 0; i < 3; i++) { /* the first may be interrupted: a ring closed just now */
        start = now_ns();
        assert_int_equal(io_wait(io, 30 * MS, false), 0);
    }
    assert_true(now_ns() >= start + 29 * MS);

    /* With a unix datagram socket armed, busy or not, the first datagram wakes. */
    int pair[2];
    struct io_chunk chunk;
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    struct io_source source = {.fd = pair[1], .kind = IO_DATAGRAM};
    assert_int_equal(io_add(io, &source), 0);
    uint64_t fastest = UINT64_MAX;
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(send(pair[0], "x", 1, 0), 1);
        start = now_ns();
        assert_int_equal(io_wait(io, 1000 * MS, true), 0);
        fastest = yarder_min(fastest, now_ns() - start);
        assert_ptr_equal(io_next(io), &source);
        assert_int_equal(io_take(io, &source, &chunk), 1);
        io_give(io, &chunk);
    }
    assert_true(fastest < MS / 4);
    /* What was received and not taken is not slept over. */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(send(pair[0], "x", 1, 0), 1);
    }
    start = now_ns();
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(io_wait(io, 2000 * (uint64_t)MS, false), 0);
        assert_ptr_equal(io_next(io), &source);
        assert_int_equal(io_take(io, &source, &chunk), 1);
        io_give(io, &chunk);
    }
    assert_true(now_ns() < start + 1500 * (uint64_t)MS);
    io_remove(io, &source);
    assert_int_equal(close(pair[0]) + close(pair[1]), 0);
    io_close(io);
}

/* A pipe that is written line by line is looked at each 0.5 ms, not for each line. */
static void busy_waits_nap_after_a_pipe(void **state)
{
    enum { NAP_NS = MS / 2 };
    struct io *io = loop_of(state, 0);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct io_source reader = ready_of(ends[0]);
    assert_int_equal(io_add(io, &reader), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(told(io, &reader, false));
    for (unsigned i = 0; i < 10; i++) { /* it stays readable */
        uint64_t start = now_ns();
        assert_int_equal(io_wait(io, NAP_NS, i % 2 != 0), 0);
        if (i % 2 != 0) {
            assert_true(now_ns() >= start + NAP_NS);
        }
        struct io_chunk chunk;
        assert_ptr_equal(io_next(io), &reader);
        assert_int_equal(io_take(io, &reader, &chunk), 1);
        assert_int_equal(io_wait(io, 0, false), 0); /* a look between does not change that */
        assert_ptr_equal(io_next(io), &reader);
    }
    io_remove(io, &reader);
    assert_int_equal(close(ends[0]) + close(ends[1]), 0);
    io_close(io);
}

/* A stream that has more than a chunk is not napped after, as its sender waits for room. */
static void busy_waits_go_on_with_a_full_stream(void **state)
{
    enum { CHUNKS = 8, TRIES = 20 };
    static char bytes[CHUNKS * IO_CHUNK_BYTES];
    struct io *io = loop_of(state, 0);
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct io_source source = {.fd = pair[1], .kind = IO_STREAM};
    assert_int_equal(io_add(io, &source), 0);
    assert_quiet(io);
    uint64_t fastest = UINT64_MAX;
    for (unsigned try = 0; try < TRIES; try++) {
        assert_int_equal(send(pair[0], bytes, sizeof(bytes), 0), sizeof(bytes));
        uint64_t start = now_ns();
        for (size_t got = 0; got < sizeof(bytes);) {
            struct io_chunk chunk;
            assert_int_equal(io_wait(io, 5 * MS, true), 0);
            while (io_next(io) != NULL && io_take(io, &source, &chunk) == 1) {
                got += chunk.bytes_count;
                io_give(io, &chunk);
            }
        }
        uint64_t took = now_ns() - start;
        fastest = took < fastest ? took : fastest;
    }
    assert_true(fastest < 2 * MS); /* a nap for each chunk takes 4 */
    io_remove(io, &source);
    assert_int_equal(close(pair[0]) + close(pair[1]), 0);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ON_BOTH(eventfds_and_pipes),
        TEST_ON_BOTH(listener),
        TEST_ON_BOTH(files_are_always_ready),
        TEST_ON_BOTH(many_in_turn),
        TEST_ON_BOTH(waits),
        TEST_ON_BOTH(busy_waits_nap_after_a_pipe),
        TEST_ON_BOTH(busy_waits_go_on_with_a_full_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
