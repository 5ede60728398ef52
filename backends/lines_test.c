/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records into pipes, sockets and files: each once and whole, in order, through kernel buffers that
 * are full, readers that come late, and tries that end in the middle of a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lines.h"

enum { ITEMS = 200, ITEM_BYTES = 3000, READ_BYTES = ITEMS * (ITEM_BYTES + 1) + 100 };
static char texts[ITEMS][ITEM_BYTES + 1];
static struct yarder_item items[ITEMS];
static struct yarder_batch batch;

/* Nobody reads while we wait: a full buffer is the end of the try. */
static int never(struct yarder_host *host, int fd, short events, uint64_t deadline_ns)
{
    (void)host;
    (void)deadline_ns;
    struct pollfd one = {.fd = fd, .events = events};
    return poll(&one, 1, 0) > 0 ? one.revents : 0;
}
static struct yarder_host host = {.wait = never};

static void fill(void)
{
    for (uint32_t i = 0; i < ITEMS; i++) {
        memset(texts[i], 'a' + (int)(i % 26), ITEM_BYTES);
        texts[i][ITEM_BYTES] = '\n';
        items[i] = (struct yarder_item){
            .text = {texts[i], ITEM_BYTES - i % 7}, .id = {1, i + 1}, .newline = i % 7 == 0};
    }
    batch = (struct yarder_batch){.items = items, .count = ITEMS};
}

/* What the host would give again: those that are not answered. */
static void keep_later(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < batch.count; i++) {
        if (batch.items[i].result == YARDER_LATER) {
            batch.items[kept++] = batch.items[i];
        }
    }
    batch.count = kept;
}

static size_t drain(int fd, char *at, size_t room, size_t most)
{
    size_t length = 0;
    while (length < most) {
        ssize_t r = read(fd, at + length, most - length < room ? most - length : room);
        if (r <= 0) {
            break;
        }
        length += (size_t)r;
    }
    return length;
}

static void assert_all(const char *at, size_t length)
{
    size_t place = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        size_t whole = ITEM_BYTES - i % 7 + (i % 7 == 0);
        assert_true(place + whole <= length);
        assert_memory_equal(at + place, texts[i], whole);
        place += whole;
    }
    assert_int_equal(place, length);
}

/* Tries until all has gone; the reader takes `piece` bytes between two tries. */
static void carry(struct lines *lines, int read_fd, size_t piece)
{
    static char got[READ_BYTES];
    size_t length = 0;
    (void)fcntl(read_fd, F_SETFL, O_NONBLOCK);
    fill();
    while (batch.count > 0) {
        int r = lines_write(lines, &host, &batch, UINT64_MAX);
        keep_later();
        assert_int_equal(r, batch.count > 0 ? -ETIMEDOUT : 0);
        length += drain(read_fd, got + length, sizeof(got) - length, piece);
    }
    length += drain(read_fd, got + length, sizeof(got) - length, sizeof(got) - length);
    assert_all(got, length);
}

static void through_a_pipe_in_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {4096, 5000, 12345, 65536};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        int ends[2];
        struct lines lines;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_int_equal(lines_init(&lines, ends[1]), 0);
        carry(&lines, ends[0], pieces[i]);
        assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* others share it */
        assert_int_equal(lines_init(&lines, ends[1]), 0);
        lines.way = LINES_POLLED; /* as on kernels that cannot be told not to wait */
        carry(&lines, ends[0], pieces[i]);
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(close(ends[1]), 0);
    }
}

static void through_a_stream(void **state)
{
    (void)state;
    int ends[2];
    struct lines lines;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    assert_int_equal(lines_init(&lines, ends[1]), 0);
    assert_int_equal(lines.way, LINES_STREAM);
    carry(&lines, ends[0], 7777);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void as_datagrams(void **state)
{
    (void)state;
    static char got[ITEM_BYTES + 2];
    int ends[2];
    struct lines lines;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    assert_int_equal(lines_init(&lines, ends[1]), 0);
    assert_int_equal(lines.way, LINES_DATAGRAMS);
    fill();
    batch.count = 3;
    assert_int_equal(lines_write(&lines, &host, &batch, UINT64_MAX), 0);
    for (uint32_t i = 0; i < 3; i++) {
        size_t whole = ITEM_BYTES - i % 7 + (i % 7 == 0);
        assert_int_equal(read(ends[0], got, sizeof(got)), whole);
        assert_memory_equal(got, texts[i], whole);
    }
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

/* The host may give a record up in whose middle a try ended: its line ends there. */
static void a_record_is_given_up_in_its_middle(void **state)
{
    (void)state;
    static char got[READ_BYTES];
    int ends[2];
    struct lines lines;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(lines_init(&lines, ends[1]), 0);
    fill();
    assert_int_equal(lines_write(&lines, &host, &batch, UINT64_MAX), -ETIMEDOUT);
    assert_true(lines.part > 0);
    size_t length = drain(ends[0], got, sizeof(got), sizeof(got));
    size_t part = lines.part;
    keep_later();
    uint64_t begun = batch.items[0].id.number - 1;
    batch.items++;
    batch.count = 1;
    assert_int_equal(lines_write(&lines, &host, &batch, UINT64_MAX), 0);
    assert_memory_equal(got + length - part, texts[begun], part);
    assert_true(read(ends[0], got, sizeof(got)) > 1);
    assert_int_equal(got[0], '\n');
    assert_int_equal(got[1], texts[begun + 1][0]);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void nobody_reads(void **state)
{
    (void)state;
    int ends[2];
    struct lines lines;
    lines_block_sigpipe();
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(lines_init(&lines, ends[1]), 0);
    assert_int_equal(close(ends[0]), 0);
    fill();
    assert_int_equal(lines_write(&lines, &host, &batch, UINT64_MAX), -EPIPE);
    sigset_t pending;
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    assert_int_equal(close(ends[1]), 0);
}

static void what_cannot_be_written_to(void **state)
{
    (void)state;
    struct lines lines;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(lines_init(&lines, fd), -EBADF);
    assert_int_equal(close(fd), 0);
    assert_int_equal(lines_init(&lines, fd), -EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(through_a_pipe_in_pieces),
        cmocka_unit_test(through_a_stream),
        cmocka_unit_test(as_datagrams),
        cmocka_unit_test(a_record_is_given_up_in_its_middle),
        cmocka_unit_test(nobody_reads),
        cmocka_unit_test(what_cannot_be_written_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
