/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: chunks of connections and datagram sockets become the records that were sent, however the
 * chunks and the batches are cut. Method: chunks made by hand, as the loop gives them.
 */
#include "inputs/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static struct hold_input inputs[4]; /* the one under test is the last */
#define counts inputs[3]
static struct batch *batch;

static int setup(void **state)
{
    (void)state;
    counts = (struct hold_input){0};
    batch = calloc(1, sizeof(*batch));
    return batch == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    free(batch);
    return 0;
}

static struct input input_of(const struct input_config *config)
{
    struct hold hold = {.inputs = inputs};
    struct input input;
    input_init(&input, config, 3, &hold, 1000);
    return input;
}

static void batch_begin(uint32_t limit)
{
    batch_clear(batch);
    batch->limit = limit;
}

static void assert_text(const struct yarder_record *record, const char *text)
{
    assert_int_equal(record->text.length, strlen(text));
    assert_memory_equal(record->text.at, text, strlen(text));
}

static struct stream_input *open_pair(struct input *input, int *other)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    struct stream_input *stream = stream_open(input, pair[0]);
    assert_non_null(stream);
    *other = pair[1];
    return stream;
}

static const char sent[] = "first\nsecond line\n\nthird\r\nfourth is the last one\nunfinished";
static const char *const lines[] = {
    "first", "second line", "third", "fourth is the last one", "unfinished"};

/* Frames one chunk in batches of `limit`; returns how many lines were seen so far. */
static uint32_t frame_chunk(
    struct stream_input *stream, const struct io_chunk *chunk, uint32_t limit, uint32_t seen)
{
    for (uint32_t at = 0; at < chunk->bytes_count;) {
        batch_begin(limit);
        stream_frame(stream, chunk, &at, batch);
        for (uint32_t i = 0; i < batch->count; i++) {
            assert_text(&batch->records[i], lines[seen++]);
            assert_int_equal(batch->records[i].pid, getpid());
            assert_int_equal(batch->records[i].input, 3);
        }
    }
    return seen;
}

static void cut_into(uint32_t size, uint32_t limit)
{
    const struct input_config config = {.kind = INPUT_UNIX, .framing = FRAME_AUTO};
    struct input input = input_of(&config);
    int other = -1;
    struct stream_input *stream = open_pair(&input, &other);
    uint32_t seen = 0;
    for (uint32_t from = 0; from < sizeof(sent) - 1; from += size) {
        const struct io_chunk chunk = {.bytes = sent + from,
            .bytes_count = (uint32_t)yarder_min(size, sizeof(sent) - 1 - from)};
        seen = frame_chunk(stream, &chunk, limit, seen);
    }
    assert_int_equal(seen, 4);
    batch_begin(limit);
    stream_finish(stream, true, batch); /* the unfinished one, once */
    assert_int_equal(batch->count, 1);
    assert_text(&batch->records[0], lines[4]);
    batch_begin(limit);
    stream_finish(stream, true, batch);
    assert_int_equal(batch->count, 0);
    stream_close(stream);
    (void)close(other);
}

/* Lines in chunks of every size, with batches of every limit. */
static void lines_however_they_are_cut(void **state)
{
    (void)state;
    for (uint32_t size = 1; size < sizeof(sent); size++) {
        for (uint32_t limit = 1; limit < 4; limit++) {
            cut_into(size, limit);
        }
    }
}

static void a_network_peer_is_named_and_marked(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_TCP, .framing = FRAME_LF};
    struct input input = input_of(&config);
    YARDER_OWN_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    int fd = -1;
    assert_int_equal(stream_accept(listener, &fd), -EAGAIN);
    YARDER_OWN_FD int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(stream_accept(listener, &fd), 0);
    struct stream_input *stream = stream_open(&input, fd);
    assert_non_null(stream);
    const struct io_chunk chunk = {.bytes = "hello\n", .bytes_count = 6};
    uint32_t at = 0;
    batch_begin(8);
    stream_frame(stream, &chunk, &at, batch);
    assert_int_equal(batch->count, 1);
    assert_int_equal(batch->records[0].flags, YARDER_FLAG_NETWORK);
    assert_memory_equal(batch->records[0].peer.at, "127.0.0.1", 9);
    assert_int_equal(batch->records[0].pid, 0);
    stream_close(stream);
}

static void a_datagram_is_a_record_less_its_line_end(void **state)
{
    (void)state;
    static const struct {
        const char *sent;
        uint32_t bytes;
        const char *wanted; /* NULL: none */
    } rows[] = {
        {"plain", 5, "plain"},
        {"line\n", 5, "line"},
        {"crlf\r\n", 6, "crlf"},
        {"nul\0", 4, "nul"},
        {"both\n\0", 6, "both"},
        {"two\nlines\n", 10, "two\nlines"},
        {"\n", 1, NULL},
        {"", 0, NULL},
    };
    const struct input_config config = {.kind = INPUT_UNIX};
    struct input input = input_of(&config);
    struct datagram_input datagram = {.input = &input};
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        const struct io_chunk chunk = {.bytes = rows[i].sent, .bytes_count = rows[i].bytes};
        uint32_t at = 0;
        batch_begin(8);
        datagram_frame(&datagram, &chunk, &at, batch);
        assert_int_equal(at, rows[i].bytes);
        assert_int_equal(batch->count, rows[i].wanted != NULL);
        if (rows[i].wanted != NULL) {
            assert_text(&batch->records[0], rows[i].wanted);
        }
    }
}

/* UDP_GRO: one chunk, many datagrams; a batch may be full in the middle. */
static void a_train_of_datagrams(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_UDP};
    struct input input = input_of(&config);
    struct datagram_input datagram = {.input = &input};
    const struct sockaddr_in from = {
        .sin_family = AF_INET, .sin_addr = {htonl(0xC0000207)}, .sin_port = htons(514)};
    struct io_chunk chunk = {
        .bytes = "aaaa\nbbbb\ncccc\ndd", .bytes_count = 17, .segment_bytes = 5};
    memcpy(&chunk.peer, &from, sizeof(from));
    chunk.peer_bytes = sizeof(from);
    static const char *const wanted[] = {"aaaa", "bbbb", "cccc", "dd"};
    uint32_t seen = 0;
    for (uint32_t at = 0; at < chunk.bytes_count;) {
        batch_begin(3);
        datagram_frame(&datagram, &chunk, &at, batch);
        for (uint32_t i = 0; i < batch->count; i++) {
            assert_text(&batch->records[i], wanted[seen++]);
            assert_memory_equal(batch->records[i].peer.at, "192.0.2.7", 9);
            assert_true((batch->records[i].flags & YARDER_FLAG_NETWORK) != 0);
        }
    }
    assert_int_equal(seen, 4);
}

static void a_datagram_over_the_limit_is_cut(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_UDP};
    struct input input = input_of(&config);
    struct datagram_input datagram = {.input = &input};
    static char text[2000];
    memset(text, 'x', sizeof(text));
    const struct io_chunk chunk = {.bytes = text, .bytes_count = sizeof(text)};
    uint32_t at = 0;
    batch_begin(3);
    datagram_frame(&datagram, &chunk, &at, batch);
    assert_int_equal(batch->count, 1);
    assert_int_equal(batch->records[0].text.length, 1000);
    assert_true((batch->records[0].flags & YARDER_FLAG_TRUNCATED) != 0);
}

static int number_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t bytes = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &bytes), 0);
    return value;
}

/* A peer whose machine lost its power says nothing more, not even that it has gone. */
static void a_peer_that_is_gone_will_be_noticed(void **state)
{
    (void)state;
    const struct input_config config = {.kind = INPUT_TCP};
    struct input input = input_of(&config);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t bytes = sizeof(address);
    YARDER_OWN_FD int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    YARDER_OWN_FD int peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, bytes), 0);
    int fd = -1;
    assert_int_equal(stream_accept(listener, &fd), 0);
    struct stream_input *stream = stream_open(&input, fd);
    assert_non_null(stream);
    assert_int_equal(number_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    int idle_s = number_of(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    int every_s = number_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    assert_int_equal(idle_s + every_s * number_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 120);
    stream_close(stream);
}

/* The kernel counts for each socket, in 32 bits; a reload may bring a socket that begins at 0. */
static void what_the_kernel_dropped_is_counted_once(void **state)
{
    (void)state;
    static const struct {
        uint32_t seen;
        bool known;
        uint64_t lost;
    } rows[] = {{5, true, 5}, {0, false, 5}, {5, true, 5}, {UINT32_MAX, false, 5}, {9, true, 9},
        {2, true, 11} /* another socket */, {2147483649, true, UINT64_C(2147483658)},
        {4294967295, true, UINT64_C(4294967304)}, {3, true, UINT64_C(4294967308)} /* once round */};
    const struct input_config config = {.kind = INPUT_UDP};
    struct input input = input_of(&config);
    struct datagram_input datagram = {.input = &input};
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        const struct io_chunk chunk = {.bytes = "x",
            .bytes_count = 1,
            .kernel_drops = rows[i].seen,
            .kernel_drops_known = rows[i].known};
        uint32_t at = 0;
        batch_begin(3);
        datagram_frame(&datagram, &chunk, &at, batch);
        assert_int_equal(counts.lost_kernel, rows[i].lost);
    }
}

int main(void)
{
#define ROW(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ROW(lines_however_they_are_cut),
        ROW(a_network_peer_is_named_and_marked),
        ROW(a_datagram_is_a_record_less_its_line_end),
        ROW(a_train_of_datagrams),
        ROW(a_datagram_over_the_limit_is_cut),
        ROW(a_peer_that_is_gone_will_be_noticed),
        ROW(what_the_kernel_dropped_is_counted_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
