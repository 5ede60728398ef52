/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams through both loops. Each one states its sender and number and fills the rest by a
 * rule, so that the audit sees what is lost, doubled, out of order, cut, or from another peer.
 */
#include "io/loop_test.h"

#include <dirent.h>
#include <netinet/udp.h>

#include "os/socket.h"

enum { SENDERS = 6, HEAD_BYTES = 8, SMALL_COUNT = 10000 };

struct sender {
    int fd;
    uint32_t sent;
    uint32_t taken;
    struct sockaddr_storage name;
    socklen_t name_bytes;
};

struct scene {
    struct io *io;
    struct io_source source;
    struct sockaddr_storage name; /* where to send to */
    socklen_t name_bytes;
    struct sender senders[SENDERS];
    char directory[32];
};

static void name_of(int fd, struct sockaddr_storage *name, socklen_t *name_bytes)
{
    *name_bytes = sizeof(*name);
    assert_int_equal(getsockname(fd, (struct sockaddr *)name, name_bytes), 0);
}

static void scene_open(struct scene *scene, struct io *io, int family)
{
    *scene = (struct scene){.io = io, .directory = "/tmp/yarder-io-XXXXXX"};
    int fd = -1;
    if (family == AF_UNIX) {
        char path[64];
        assert_non_null(mkdtemp(scene->directory));
        (void)snprintf(path, sizeof(path), "%s/log", scene->directory);
        struct socket_path_owner owner = {.mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1};
        struct os_file_id file;
        assert_int_equal(socket_listen_unix(path, SOCK_DGRAM, &owner, &file, &fd), 0);
    } else {
        struct socket_address address;
        struct socket_bound bound;
        assert_int_equal(
            socket_address_parse(family == AF_INET ? "127.0.0.1:0" : "[::1]:0", &address), 0);
        struct socket_options options = {.receive_bytes = 8 << 20};
        assert_int_equal(socket_bind_udp(&address, &options, &bound), 0);
        fd = bound.fd;
    }
    name_of(fd, &scene->name, &scene->name_bytes);
    scene->source = (struct io_source){.fd = fd, .kind = IO_DATAGRAM, .owner = scene};
    assert_int_equal(io_add(io, &scene->source), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        struct sender *sender = &scene->senders[i];
        sender->fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        struct sockaddr_storage any = {.ss_family = (sa_family_t)family};
        socklen_t any_bytes = family == AF_UNIX   ? sizeof(sa_family_t) /* autobind */
                              : family == AF_INET ? sizeof(struct sockaddr_in)
                                                  : sizeof(struct sockaddr_in6);
        if (family != AF_UNIX || i % 2 == 0) { /* else: a peer without a name */
            assert_int_equal(bind(sender->fd, (struct sockaddr *)&any, any_bytes), 0);
        }
        assert_int_equal(
            connect(sender->fd, (struct sockaddr *)&scene->name, scene->name_bytes), 0);
        name_of(sender->fd, &sender->name, &sender->name_bytes);
        if (family == AF_UNIX && i % 2 != 0) {
            sender->name_bytes = 0;
        }
    }
}

static void scene_close(struct scene *scene)
{
    io_remove(scene->io, &scene->source);
    assert_int_equal(close(scene->source.fd), 0);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(close(scene->senders[i].fd), 0);
    }
    if (scene->name.ss_family == AF_UNIX) {
        char path[64];
        (void)snprintf(path, sizeof(path), "%s/log", scene->directory);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(rmdir(scene->directory), 0);
    }
}

static char filler(uint32_t number, uint32_t at)
{
    return (char)((number * 7 + at) & 0xff);
}

/* Sends one datagram; false: it would block. */
static bool send_one(struct scene *scene, uint32_t from, uint32_t bytes)
{
    static char datagram[70000];
    struct sender *sender = &scene->senders[from];
    memcpy(datagram, &from, 4);
    memcpy(datagram + 4, &sender->sent, 4);
    for (uint32_t i = HEAD_BYTES; i < bytes; i++) {
        datagram[i] = filler(sender->sent, i);
    }
    ssize_t sent = send(sender->fd, datagram, bytes, MSG_DONTWAIT);
    if (sent < 0) {
        assert_int_equal(errno, EAGAIN);
        return false;
    }
    sender->sent++;
    return true;
}

static void audit_one(struct scene *scene, const char *bytes, uint32_t count, uint32_t *from)
{
    uint32_t number = 0;
    assert_true(count >= HEAD_BYTES);
    memcpy(from, bytes, 4);
    memcpy(&number, bytes + 4, 4);
    assert_true(*from < SENDERS);
    assert_int_equal(number, scene->senders[*from].taken);
    scene->senders[*from].taken++;
    for (uint32_t i = HEAD_BYTES; i < count; i++) {
        assert_int_equal(bytes[i], filler(number, i));
    }
}

static void audit(struct scene *scene, const struct io_chunk *chunk)
{
    uint32_t from = 0;
    uint32_t step = chunk->segment_bytes == 0 ? chunk->bytes_count : chunk->segment_bytes;
    for (uint32_t at = 0; at < chunk->bytes_count; at += step) {
        uint32_t count = (uint32_t)yarder_min(step, chunk->bytes_count - at);
        audit_one(scene, chunk->bytes + at, count, &from);
    }
    const struct sender *sender = &scene->senders[from];
    assert_int_equal(chunk->peer_bytes, sender->name_bytes);
    assert_memory_equal(&chunk->peer, &sender->name, sender->name_bytes);
    assert_int_equal(chunk->flags, 0);
}

static uint32_t take_all(struct scene *scene)
{
    struct io_chunk chunk;
    uint32_t count = 0;
    while (io_next(scene->io) == &scene->source) {
        int r = io_take(scene->io, &scene->source, &chunk);
        assert_true(r == 0 || r == 1);
        if (r == 1) {
            audit(scene, &chunk);
            io_give(scene->io, &chunk);
            count++;
        }
    }
    return count;
}

static void take_rest(struct scene *scene)
{
    for (unsigned i = 0; i < SENDERS; i++) {
        while (scene->senders[i].taken < scene->senders[i].sent) {
            assert_int_equal(io_wait(scene->io, 1000 * MS, true), 0);
            assert_true(take_all(scene) > 0);
        }
    }
}

/* Until a datagram is there, which is left in `chunk`. */
static void take_single(struct scene *scene, struct io_chunk *chunk)
{
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(io_wait(scene->io, 100 * MS, false), 0);
        if (io_next(scene->io) == &scene->source &&
            io_take(scene->io, &scene->source, chunk) == 1) {
            return;
        }
    }
    fail();
}

static void ten_thousand(void **state)
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX};
    struct io *io = loop_of(state, 0);
    for (unsigned f = 0; f < YARDER_COUNT_OF(families); f++) {
        struct scene scene;
        scene_open(&scene, io, families[f]);
        for (uint32_t sent = 0; sent < SMALL_COUNT;) {
            for (uint32_t i = random_below(400); i > 0 && sent < SMALL_COUNT; i--) {
                uint32_t extra = random_below(random_below(50) == 0 ? 9000 : 300);
                if (!send_one(&scene, random_below(SENDERS), HEAD_BYTES + extra)) {
                    break;
                }
                sent++;
            }
            assert_int_equal(io_wait(io, random_below(2) * (uint64_t)MS, sent % 2 != 0), 0);
            (void)take_all(&scene);
        }
        take_rest(&scene);
        scene_close(&scene);
    }
    io_close(io);
}

static void empty_and_long(void **state)
{
    struct io *io = loop_of(state, 0);
    static char bytes[IO_DATAGRAM_BYTES + 5000];
    memset(bytes, 'y', sizeof(bytes));
    struct io_chunk chunk;
    struct scene scene;
    scene_open(&scene, io, AF_INET);
    static const size_t sizes[] = {0, 1, 0, 0, 2048, 65507, 0};
    for (unsigned i = 0; i < YARDER_COUNT_OF(sizes); i++) {
        assert_int_equal(send(scene.senders[0].fd, bytes, sizes[i], 0), (ssize_t)sizes[i]);
        take_single(&scene, &chunk);
        assert_int_equal(chunk.bytes_count, sizes[i]);
        assert_int_equal(chunk.flags, 0);
        assert_int_equal(chunk.peer_bytes, sizeof(struct sockaddr_in));
        io_give(io, &chunk);
    }
    scene_close(&scene);
    scene_open(&scene, io, AF_UNIX);
    for (size_t over = 0; over <= 4500; over += 1500) {
        size_t count = IO_DATAGRAM_BYTES + over / 1500 * 20 + (over == 4500 ? 4000 : 0);
        assert_int_equal(send(scene.senders[0].fd, bytes, count, 0), (ssize_t)count);
        take_single(&scene, &chunk);
        assert_int_equal(chunk.bytes_count, IO_DATAGRAM_BYTES);
        assert_int_equal(chunk.flags, over == 0 ? 0 : IO_CHUNK_TRUNCATED);
        assert_memory_equal(chunk.bytes, bytes, IO_DATAGRAM_BYTES);
        io_give(io, &chunk);
    }
    scene_close(&scene);
    io_close(io);
}

static void trains(void **state)
{
    enum { SEGMENT = 200, SEGMENTS = 60, TRAINS = 200 };
    struct io *io = loop_of(state, 0);
    struct scene scene;
    scene_open(&scene, io, AF_INET);
    struct sender *sender = &scene.senders[3];
    int segment = SEGMENT;
    assert_int_equal(setsockopt(sender->fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(int)), 0);
    uint32_t chunks = 0;
    for (unsigned train = 0; train < TRAINS; train++) {
        static char bytes[SEGMENT * SEGMENTS];
        uint32_t bytes_count = SEGMENT * SEGMENTS - (train % 2) * 150; /* a short last one */
        for (uint32_t at = 0; at < bytes_count; at += SEGMENT) {
            uint32_t from = 3;
            memcpy(bytes + at, &from, 4);
            memcpy(bytes + at + 4, &sender->sent, 4);
            for (uint32_t i = HEAD_BYTES; i < SEGMENT; i++) {
                bytes[at + i] = filler(sender->sent, i);
            }
            sender->sent++;
        }
        assert_int_equal(send(sender->fd, bytes, bytes_count, 0), bytes_count);
        assert_int_equal(io_wait(io, 0, true), 0);
        chunks += take_all(&scene);
    }
    take_rest(&scene);
    assert_true(chunks <= 2 * TRAINS); /* they came as trains */
    scene_close(&scene);
    io_close(io);
}

static void kernel_drops(void **state)
{
    enum { SENT = 3000 };
    struct io *io = loop_of(state, 0);
    struct scene scene;
    struct io_chunk chunk;
    uint32_t taken = 0;
    scene_open(&scene, io, AF_INET);
    int room = 16 << 10;
    assert_int_equal(setsockopt(scene.source.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
    for (unsigned i = 0; i < SENT; i++) {
        assert_int_equal(send(scene.senders[0].fd, "overflow", 8, 0), 8);
    }
    uint32_t drops = 0;
    for (unsigned round = 0; round < 3; round++) {
        assert_int_equal(send(scene.senders[0].fd, "overflow", 8, 0), 8);
        for (unsigned quiet = 0; quiet < 3; quiet++) {
            assert_int_equal(io_wait(io, MS, false), 0);
            while (io_next(io) != NULL) {
                if (io_take(io, &scene.source, &chunk) == 1) {
                    taken++;
                    drops = chunk.kernel_drops_known ? chunk.kernel_drops : drops;
                    io_give(io, &chunk);
                }
            }
        }
    }
    assert_true(drops > 0);
    assert_int_equal(taken + drops, SENT + 3);
    scene_close(&scene);
    io_close(io);
}

static unsigned descriptors_open(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(directory);
    while (readdir(directory) != NULL) {
        count++;
    }
    assert_int_equal(closedir(directory), 0);
    return count;
}

/* A stranger's descriptors are not let in, neither with datagrams nor in a stream. */
static void descriptors(void **state)
{
    struct io *io = loop_of(state, 0);
    struct scene scene;
    struct io_chunk chunk;
    int pair[2];
    scene_open(&scene, io, AF_UNIX);
    connect_pair(false, pair);
    struct io_source stream = {.fd = pair[1], .kind = IO_STREAM};
    assert_int_equal(io_add(io, &stream), 0);
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec text = {.iov_base = control, .iov_len = 1};
    struct msghdr message = {.msg_iov = &text,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control)};
    struct cmsghdr *item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    unsigned before = descriptors_open();
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(sendmsg(scene.senders[0].fd, &message, 0), 1);
        take_single(&scene, &chunk);
        assert_int_equal(chunk.bytes_count, 1);
        io_give(io, &chunk);
        assert_int_equal(sendmsg(pair[0], &message, 0), 1);
        assert_int_equal(io_wait(io, 1000 * MS, false), 0);
        assert_ptr_equal(io_next(io), &stream);
        assert_int_equal(io_take(io, &stream, &chunk), 1);
        io_give(io, &chunk);
    }
    assert_int_equal(descriptors_open(), before);
    io_remove(io, &stream);
    assert_int_equal(close(pair[0]) + close(pair[1]), 0);
    scene_close(&scene);
    io_close(io);
}

/* The rest of a batch survives a pause, in its order, and may be taken during it. */
static void pause_in_a_batch(void **state)
{
    struct io *io = loop_of(state, 0);
    struct scene scene;
    struct io_chunk chunk;
    scene_open(&scene, io, AF_INET);
    for (unsigned i = 0; i < 100; i++) {
        assert_true(send_one(&scene, i % SENDERS, 50));
    }
    assert_int_equal(io_wait(io, 1000 * MS, false), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_ptr_equal(io_next(io), &scene.source);
        assert_int_equal(io_take(io, &scene.source, &chunk), 1);
        audit(&scene, &chunk);
        io_give(io, &chunk);
    }
    io_pause(io, &scene.source);
    assert_quiet(io);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(io_take(io, &scene.source, &chunk), 1);
        audit(&scene, &chunk);
        io_give(io, &chunk);
    }
    assert_quiet(io);
    io_resume(io, &scene.source);
    take_rest(&scene);
    scene_close(&scene);
    io_close(io);
}

/* More waits than there are buffers; then the socket goes to another owner with nothing lost. */
static void starvation_and_removal(void **state)
{
    enum { COUNT = 2000 };
    struct io *io = loop_of(state, 0);
    struct scene scene;
    scene_open(&scene, io, AF_INET);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(send_one(&scene, i % SENDERS, 20));
    }
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(io_wait(io, 0, false), 0);
    }
    take_rest(&scene);
    char bytes[32];
    io_remove(io, &scene.source);
    assert_true(send_one(&scene, 0, 20));
    assert_quiet(io);
    assert_int_equal(recv(scene.source.fd, bytes, sizeof(bytes), MSG_DONTWAIT), 20);
    assert_int_equal(io_add(io, &scene.source), 0); /* and back again */
    scene.senders[0].taken++;
    assert_true(send_one(&scene, 0, 20));
    take_rest(&scene);
    scene_close(&scene);
    io_close(io);
}

/* An ICMP answer to what the owner sent says nothing about receiving. */
static void refused_sends(void **state)
{
    struct io *io = loop_of(state, 0);
    struct scene scene;
    scene_open(&scene, io, AF_INET);
    struct sender *sender = &scene.senders[0];
    int fd = scene.source.fd;
    assert_int_equal(connect(fd, (struct sockaddr *)&sender->name, sender->name_bytes), 0);
    assert_int_equal(io_wait(io, 0, false), 0);
    int gone = sender->fd;
    sender->fd = dup(0);
    assert_int_equal(close(gone), 0);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(io_wait(io, 2 * MS, false), 0);
        assert_int_equal(take_all(&scene), 0);
    }
    assert_int_equal(close(sender->fd), 0);
    sender->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(sender->fd, (struct sockaddr *)&sender->name, sender->name_bytes), 0);
    assert_int_equal(connect(sender->fd, (struct sockaddr *)&scene.name, scene.name_bytes), 0);
    assert_true(send_one(&scene, 0, 20));
    take_rest(&scene);
    scene_close(&scene);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_ON_BOTH(ten_thousand),
        TEST_ON_BOTH(empty_and_long),
        TEST_ON_BOTH(trains),
        TEST_ON_BOTH(kernel_drops),
        TEST_ON_BOTH(descriptors),
        TEST_ON_BOTH(pause_in_a_batch),
        TEST_ON_BOTH(starvation_and_removal),
        TEST_ON_BOTH(refused_sends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
