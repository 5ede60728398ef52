/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams through both loops: what was written arrives, once, in order, and is taken no faster
 * than asked. Each byte of a stream says its connection and place, so the audit is exact.
 */
#include "io/loop_test.h"

struct flow {
    struct io_source source;
    int writer;
    uint32_t id;
    uint64_t written;
    uint64_t written_max; /* then the writer shuts down; 0: it never does */
    uint64_t taken;
    unsigned chunks;
    bool shut;
    bool ended;
};

static char flow_byte(const struct flow *flow, uint64_t at)
{
    return (char)((at * 31 + at / 251 + flow->id * 17) & 0xff);
}

static void flow_open(struct io *io, struct flow *flow, uint32_t id, uint64_t written_max)
{
    int pair[2];
    connect_pair(id % 2 != 0, pair);
    if (id % 4 >= 2) {
        assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    }
    *flow = (struct flow){.writer = pair[0], .id = id, .written_max = written_max};
    flow->source = (struct io_source){.fd = pair[1], .kind = IO_STREAM, .owner = flow};
    assert_int_equal(io_add(io, &flow->source), 0);
}

static void flow_close(struct io *io, struct flow *flow)
{
    io_remove(io, &flow->source);
    assert_int_equal(close(flow->source.fd), 0);
    assert_int_equal(close(flow->writer), 0);
}

/* Writes up to `most` bytes without waiting; the bytes the socket took. */
static size_t flow_write(struct flow *flow, size_t most)
{
    static char bytes[64 << 10];
    size_t count = (size_t)yarder_min(most, sizeof(bytes));
    if (flow->written_max > 0) {
        count = (size_t)yarder_min(count, flow->written_max - flow->written);
    }
    for (size_t i = 0; i < count; i++) {
        bytes[i] = flow_byte(flow, flow->written + i);
    }
    ssize_t sent = count == 0 ? 0 : send(flow->writer, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        assert_int_equal(errno, EAGAIN);
        return 0;
    }
    flow->written += (size_t)sent;
    if (flow->written == flow->written_max && !flow->shut) {
        assert_int_equal(shutdown(flow->writer, SHUT_WR), 0);
        flow->shut = true;
    }
    return (size_t)sent;
}

static size_t flow_fill(struct flow *flow)
{
    size_t total = 0;
    for (size_t sent = 1; sent > 0; total += sent) {
        sent = flow_write(flow, 64 << 10);
    }
    return total;
}

static void flow_audit(struct flow *flow, const struct io_chunk *chunk)
{
    assert_false(flow->ended);
    assert_int_equal(chunk->peer_bytes, 0);
    if ((chunk->flags & IO_CHUNK_END) != 0) {
        assert_int_equal(chunk->bytes_count, 0);
        flow->ended = true;
        return;
    }
    assert_true(chunk->bytes_count > 0 && chunk->bytes_count <= IO_DATAGRAM_BYTES);
    for (uint32_t i = 0; i < chunk->bytes_count; i++) {
        assert_int_equal(chunk->bytes[i], flow_byte(flow, flow->taken + i));
    }
    flow->taken += chunk->bytes_count;
    flow->chunks++;
}

/* Takes one chunk of whoever is next; false: there is none. */
static bool take_one(struct io *io)
{
    struct io_source *source = io_next(io);
    struct io_chunk chunk;
    if (source == NULL) {
        return false;
    }
    int r = io_take(io, source, &chunk);
    assert_true(r == 0 || r == 1);
    if (r == 1) {
        flow_audit(source->owner, &chunk);
        io_give(io, &chunk);
    }
    return true;
}

static void take_all(struct io *io)
{
    while (take_one(io)) {
    }
}

/* Until the flow took all that was written (and its end, if it was shut). */
static void take_rest(struct io *io, struct flow *flow)
{
    for (unsigned i = 0; flow->taken < flow->written || flow->ended != flow->shut; i++) {
        assert_true(i < WAITS_MAX);
        assert_int_equal(io_wait(io, 1000 * MS, i % 2 != 0), 0);
        take_all(io);
    }
}

static void content(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flows[8];
    unsigned open_count = YARDER_COUNT_OF(flows);
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        flow_open(io, &flows[i], i, (1 << 20) + random_below(100000));
    }
    for (unsigned round = 0; open_count > 0; round++) {
        assert_true(round < WAITS_MAX);
        for (unsigned i = 0; i < 5; i++) {
            struct flow *flow = &flows[random_below(YARDER_COUNT_OF(flows))];
            (void)flow_write(flow, 1 + random_below(random_below(4) == 0 ? 60000 : 300));
        }
        assert_int_equal(io_wait(io, random_below(2) * (uint64_t)MS, random_below(2) != 0), 0);
        take_all(io);
        open_count = 0;
        for (unsigned i = 0; i < YARDER_COUNT_OF(flows); i++) {
            open_count += !flows[i].ended;
        }
    }
    for (unsigned i = 0; i < YARDER_COUNT_OF(flows); i++) {
        assert_int_equal(flows[i].taken, flows[i].written_max);
    }
    assert_quiet(io); /* ended sources stay silent */
    for (unsigned i = 0; i < YARDER_COUNT_OF(flows); i++) {
        flow_close(io, &flows[i]);
    }
    io_close(io);
}

static void pause_blocks_the_writer(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flows[2];
    for (uint32_t i = 0; i < 2; i++) {
        struct flow *flow = &flows[i];
        flow_open(io, flow, i, 0);
        (void)flow_write(flow, 100);
        take_rest(io, flow);
        io_pause(io, &flow->source);
        io_pause(io, &flow->source);
        assert_true(flow_fill(flow) > 0);
        assert_quiet(io);
        for (unsigned n = 0; flow_fill(flow) > 0; n++) {
            assert_true(n < 50); /* TCP's buffers grow, and then are full */
            assert_quiet(io);
        }
        assert_int_equal(flow->taken, 100);
        io_resume(io, &flow->source);
        io_resume(io, &flow->source);
        take_rest(io, flow);
    }
    for (uint32_t i = 0; i < 2; i++) {
        flow_close(io, &flows[i]);
    }
    io_close(io);
}

/* What was received before a pause can be taken during it; what came later cannot. */
static void pause_keeps(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flow;
    struct io_chunk chunk;
    flow_open(io, &flow, 1, 0);
    (void)flow_write(&flow, 100);
    assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    io_pause(io, &flow.source);
    (void)flow_write(&flow, 50);
    assert_null(io_next(io));
    for (unsigned i = 0; i < 2 && io_take(io, &flow.source, &chunk) == 1; i++) {
        flow_audit(&flow, &chunk);
        io_give(io, &chunk);
    }
    assert_true(flow.taken == 0 || flow.taken == 100);
    assert_quiet(io);
    io_resume(io, &flow.source);
    take_rest(io, &flow);
    flow_close(io, &flow);
    io_close(io);
}

static void end_while_paused(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flow;
    flow_open(io, &flow, 0, 1000);
    io_pause(io, &flow.source);
    (void)flow_write(&flow, 1000);
    assert_int_equal(shutdown(flow.writer, SHUT_RDWR), 0); /* a hang-up, which epoll always tells */
    assert_quiet(io);
    io_resume(io, &flow.source);
    take_rest(io, &flow);
    assert_true(flow.ended);
    io_pause(io, &flow.source);
    io_resume(io, &flow.source);
    assert_quiet(io);
    flow_close(io, &flow);
    io_close(io);
}

static void reset(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flow;
    struct io_chunk chunk;
    flow_open(io, &flow, 1, 0);
    assert_int_equal(io_wait(io, 0, false), 0); /* armed */
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(flow.writer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    assert_int_equal(close(flow.writer), 0);
    flow.writer = dup(0);
    assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    assert_ptr_equal(io_next(io), &flow.source);
    assert_int_equal(io_take(io, &flow.source, &chunk), -ECONNRESET);
    assert_int_equal(io_take(io, &flow.source, &chunk), 0);
    assert_quiet(io);
    flow_close(io, &flow);
    io_close(io);
}

/* After io_remove the kernel takes nothing for us: another owner of the socket gets it all. */
static void remove_while_armed(void **state)
{
    struct io *io = loop_of(state, 0);
    char byte = 0;
    for (uint32_t id = 0; id < 4; id++) {
        struct flow flow;
        flow_open(io, &flow, id, 0);
        assert_int_equal(io_wait(io, 0, false), 0);
        int other = dup(flow.source.fd);
        io_remove(io, &flow.source);
        (void)flow_write(&flow, 1);
        assert_quiet(io);
        assert_int_equal(recv(other, &byte, 1, MSG_DONTWAIT), 1);
        assert_int_equal(close(other), 0);
        assert_int_equal(close(flow.source.fd), 0);
        assert_int_equal(recv(flow.writer, &byte, 1, 0), 0); /* really closed */
        assert_int_equal(close(flow.writer), 0);
    }
    assert_quiet(io);
    io_close(io);
}

static void remove_while_held(void **state)
{
    struct io *io = loop_of(state, 2);
    struct flow gone;
    struct flow stays;
    struct io_chunk chunk;
    flow_open(io, &gone, 0, 0);
    (void)flow_write(&gone, 500);
    assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    assert_ptr_equal(io_next(io), &gone.source);
    assert_int_equal(io_take(io, &gone.source, &chunk), 1);
    (void)flow_fill(&gone);
    assert_int_equal(io_wait(io, 0, false), 0); /* more of it is received and listed */
    flow_close(io, &gone);
    flow_open(io, &stays, 1, 1 << 20);
    while (!stays.ended) {
        (void)flow_write(&stays, 30000);
        assert_int_equal(io_wait(io, 0, false), 0);
        take_all(io);
    }
    flow_audit(&gone, &chunk); /* untouched meanwhile */
    io_give(io, &chunk);
    flow_close(io, &stays);
    io_close(io);
}

/* More comes than there are buffers, and nobody takes: nothing is lost, and it recovers. */
static void starvation(void **state)
{
    struct io *io = loop_of(state, 4);
    struct flow flows[16];
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        flow_open(io, &flows[i], i, 0);
        (void)flow_fill(&flows[i]);
    }
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(io_wait(io, 0, i % 2 != 0), 0);
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        take_rest(io, &flows[i]);
        flow_close(io, &flows[i]);
    }
    io_close(io);
}

/* What paused sources keep does not starve the others. */
static void paused_do_not_starve(void **state)
{
    struct io *io = loop_of(state, 4);
    struct flow kept[3];
    struct flow flow;
    for (uint32_t i = 0; i < YARDER_COUNT_OF(kept); i++) {
        flow_open(io, &kept[i], i, 0);
        (void)flow_fill(&kept[i]);
        assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(kept); i++) {
        io_pause(io, &kept[i].source);
    }
    flow_open(io, &flow, 3, 1 << 20);
    while (!flow.ended) {
        (void)flow_write(&flow, 30000);
        assert_int_equal(io_wait(io, 100 * MS, false), 0);
        take_all(io);
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(kept); i++) {
        io_resume(io, &kept[i].source);
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(kept); i++) {
        take_rest(io, &kept[i]);
        flow_close(io, &kept[i]);
    }
    flow_close(io, &flow);
    io_close(io);
}

static void fairness(void **state)
{
    struct io *io = loop_of(state, 0);
    struct flow flows[4];
    int room = 4 << 20;
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        flow_open(io, &flows[i], i * 2, 0);
        (void)setsockopt(flows[i].writer, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
        (void)flow_fill(&flows[i]);
    }
    assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    for (unsigned i = 0; i < 12; i++) {
        assert_int_equal(io_wait(io, 1000 * MS, false), 0); /* unix streams give one in each */
        assert_true(take_one(io));
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        assert_int_equal(flows[i].chunks, 3); /* each in turn */
    }
    for (uint32_t i = 0; i < YARDER_COUNT_OF(flows); i++) {
        take_rest(io, &flows[i]);
        flow_close(io, &flows[i]);
    }
    io_close(io);
}

static void many_connections(void **state)
{
    enum { COUNT = 500 };
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    struct io *io = loop_of(state, 64);
    YARDER_OWN_HEAP struct flow *flows = calloc(COUNT, sizeof(*flows));
    for (uint32_t i = 0; i < COUNT; i++) {
        flow_open(io, &flows[i], i, 1 + random_below(200000));
    }
    unsigned open_count = COUNT;
    for (unsigned round = 0; open_count > 0; round++) {
        assert_true(round < WAITS_MAX);
        for (unsigned i = 0; i < 200; i++) {
            (void)flow_write(&flows[random_below(COUNT)], 1 + random_below(20000));
        }
        assert_int_equal(io_wait(io, MS, true), 0);
        take_all(io);
        open_count = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            open_count += !flows[i].ended;
        }
    }
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(flows[i].taken, flows[i].written_max);
        flow_close(io, &flows[i]);
    }
    io_close(io);
}

static void refused(void **state)
{
    struct io *io = loop_of(state, 0);
    struct io_source source = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(listen(source.fd, 1), 0);
    assert_int_equal(io_add(io, &source), -EPROTOTYPE); /* a listener */
    assert_int_equal(close(source.fd), 0);
    assert_int_equal(io_add(io, &source), -EBADF);
    source.kind = IO_READY;
    assert_int_equal(io_add(io, &source), -EBADF);
    source.kind = IO_DATAGRAM;
    source.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(io_add(io, &source), -ENOTSOCK);
    static struct io_source sources[TEST_SOURCES_MAX];
    memset(sources, 0, sizeof(sources));
    for (unsigned i = 0; i < TEST_SOURCES_MAX; i++) {
        sources[i] = (struct io_source){.fd = source.fd, .kind = IO_READY};
        assert_int_equal(io_add(io, &sources[i]), 0);
    }
    source.kind = IO_READY;
    assert_int_equal(io_add(io, &source), -ENOSPC);
    for (unsigned i = 0; i < TEST_SOURCES_MAX; i++) {
        io_remove(io, &sources[i]);
    }
    assert_int_equal(close(source.fd), 0);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ON_BOTH(content),
        TEST_ON_BOTH(pause_blocks_the_writer),
        TEST_ON_BOTH(pause_keeps),
        TEST_ON_BOTH(end_while_paused),
        TEST_ON_BOTH(reset),
        TEST_ON_BOTH(remove_while_armed),
        TEST_ON_BOTH(remove_while_held),
        TEST_ON_BOTH(starvation),
        TEST_ON_BOTH(paused_do_not_starve),
        TEST_ON_BOTH(fairness),
        TEST_ON_BOTH(many_connections),
        TEST_ON_BOTH(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
