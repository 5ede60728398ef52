/* SPDX-License-Identifier: Apache-2.0 */
/* Links against sockets of this very program: what arrives, what breaks, never past a deadline. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "link_private.h"

enum { SHORT_MS = 300 };
static char told[512];
static int told_count;
static bool cancelled;

static uint64_t in_ms(uint64_t ms)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + ms * 1000000u;
}

static int host_wait(struct yarder_host *host, int fd, short events, uint64_t deadline_ns)
{
    (void)host;
    if (cancelled) {
        return -ECANCELED;
    }
    struct pollfd one = {.fd = fd, .events = events};
    uint64_t now_ns = in_ms(0);
    int left_ms = deadline_ns <= now_ns ? 0 : (int)((deadline_ns - now_ns) / 1000000 + 1);
    int r = poll(&one, 1, left_ms);
    return r > 0 ? one.revents : r;
}

__attribute__((format(printf, 3, 4))) static int host_fail(
    struct yarder_host *host, int error, const char *format, ...)
{
    (void)host;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(told, sizeof(told), format, arguments);
    va_end(arguments);
    told_count++;
    return error;
}

static struct yarder_host host = {
    .struct_bytes = sizeof(host), .output_name = "test", .wait = host_wait, .fail = host_fail};

struct scene {
    char text[128];
    struct link_address address;
    struct link *link;
    int peer;
};

static void open_scene(struct scene *scene)
{
    char why[128];
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, NULL};
    assert_int_equal(link_parse(scene->text, &form, &scene->address, why, sizeof(why)), 0);
    assert_int_equal(link_open(&scene->link, &host, &scene->address, NULL), 0);
    told[0] = '\0';
    told_count = 0;
    cancelled = false;
}

/* A listening or bound socket on 127.0.0.1, and a link to it under `name`. */
static void open_inet(struct scene *scene, int type, const char *scheme, const char *name)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    scene->peer = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(scene->peer >= 0);
    assert_int_equal(bind(scene->peer, (struct sockaddr *)&at, bytes), 0);
    assert_int_equal(getsockname(scene->peer, (struct sockaddr *)&at, &bytes), 0);
    assert_true(type == SOCK_DGRAM || listen(scene->peer, 4) == 0);
    (void)snprintf(
        scene->text, sizeof(scene->text), "%s://%s:%d", scheme, name, ntohs(at.sin_port));
    open_scene(scene);
}

static void close_scene(struct scene *scene)
{
    link_close(scene->link);
    if (scene->peer >= 0) {
        (void)close(scene->peer);
    }
}

static void expect(int fd, const char *text)
{
    char got[256];
    struct pollfd one = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&one, 1, 5000), 1);
    ssize_t n = recv(fd, got, sizeof(got), 0);
    assert_int_equal(n, (ssize_t)strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static struct iovec part(const char *text)
{
    union {
        const char *constant;
        char *plain;
    } both = {.constant = text};
    return (struct iovec){.iov_base = both.plain, .iov_len = strlen(text)};
}

static void test_datagrams(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_DGRAM, "udp", "localhost");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    /* ::1 may be the first address, where nobody listens: the second one is found. */
    size_t sent = 0;
    const struct iovec probe = part("probe");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(link_send(scene.link, &probe, 1, in_ms(1000), &sent), 0);
    }
    expect(scene.peer, "probe");
    char rest[16];
    while (recv(scene.peer, rest, sizeof(rest), MSG_DONTWAIT) > 0) {
    }
    struct iovec many[150];
    char numbers[150][8];
    for (int i = 0; i < 150; i++) {
        (void)snprintf(numbers[i], sizeof(numbers[i]), "n%d", i);
        many[i] = part(numbers[i]);
    }
    assert_int_equal(link_send_many(scene.link, many, 150, in_ms(1000), &sent), 0);
    assert_int_equal(sent, 150);
    for (int i = 0; i < 150; i++) {
        expect(scene.peer, numbers[i]);
    }
    const struct iovec parts[] = {part("one"), part(""), part("datagram")};
    assert_int_equal(link_send(scene.link, parts, 3, in_ms(1000), &sent), 0);
    assert_int_equal(sent, 11);
    expect(scene.peer, "onedatagram");
    close_scene(&scene);
}

/* A name that means another address after a minute: the socket follows, and waits for nothing. */
static void test_name_moves(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_DGRAM, "udp", "localhost");
    struct link *link = scene.link;
    assert_int_equal(link_connect(link, in_ms(5000)), 0);
    struct sockaddr_in *at = (struct sockaddr_in *)&link->places[link->place].at;
    at->sin_port ^= 1; /* as if it had been elsewhere */
    link->resolved_ns = 0;
    uint64_t until_ns = in_ms(5000);
    while (link->resolved_ns == 0 && in_ms(0) < until_ns) {
        assert_int_equal(link_connect(link, in_ms(1000)), 0);
        (void)poll(NULL, 0, 1);
    }
    assert_true(link->resolved_ns > 0);
    const struct iovec probe = part("probe");
    size_t sent = 0;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(link_send(link, &probe, 1, in_ms(1000), &sent), 0);
    }
    expect(scene.peer, "probe");
    int fd = link_fd(link);
    link->resolved_ns = 0;
    until_ns = in_ms(5000);
    while (link->resolved_ns == 0 && in_ms(0) < until_ns) {
        assert_int_equal(link_connect(link, in_ms(1000)), 0);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(link_fd(link), fd); /* where nothing has moved, nothing is done */
    close_scene(&scene);
}

static void test_datagram_too_long(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_DGRAM, "udp", "127.0.0.1");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    char *long_text = calloc(1, 70000);
    struct iovec three[] = {part("a"), {.iov_base = long_text, .iov_len = 70000}, part("b")};
    size_t sent = 9;
    assert_int_equal(link_send_many(scene.link, three, 3, in_ms(1000), &sent), -EMSGSIZE);
    assert_int_equal(sent, 1);
    assert_int_equal(link_send_many(scene.link, three + 2, 1, in_ms(1000), &sent), 0);
    expect(scene.peer, "a");
    expect(scene.peer, "b");
    assert_int_equal(told_count, 0);
    free(long_text);
    close_scene(&scene);
}

/* About one try of some ten thousand gets the port that it asks for. */
static void test_a_port_of_nobody_is_never_connected(void **state)
{
    struct scene scene = {.peer = -1};
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(at);
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &bytes), 0);
    (void)close(fd);
    /* Linux gives odd ports to who binds, even ones to who connects. */
    (void)snprintf(scene.text, sizeof(scene.text), "tcp://127.0.0.1:%d", ntohs(at.sin_port) & ~1);
    open_scene(&scene);
    for (int i = 0; i < 40000; i++) {
        assert_int_equal(link_connect(scene.link, in_ms(1000)), -ECONNREFUSED);
    }
    close_scene(&scene);
}

static void test_datagram_refused(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_DGRAM, "udp", "127.0.0.1");
    struct sockaddr_in at;
    socklen_t bytes = sizeof(at);
    assert_int_equal(getsockname(scene.peer, (struct sockaddr *)&at, &bytes), 0);
    (void)close(scene.peer);
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    const struct iovec text = part("text");
    size_t sent = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(link_send(scene.link, &text, 1, in_ms(1000), &sent), 0);
    }
    assert_true(told_count > 0);
    assert_non_null(strstr(told, "nobody listens"));
    scene.peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(scene.peer, (struct sockaddr *)&at, bytes), 0);
    assert_int_equal(link_send(scene.link, &text, 1, in_ms(1000), &sent), 0);
    expect(scene.peer, "text");
    close_scene(&scene);
}

static void test_stream(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "localhost");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    int accepted = accept4(scene.peer, NULL, NULL, SOCK_CLOEXEC);
    const struct iovec parts[] = {part("two "), part(""), part("words\n")};
    size_t sent = 0;
    assert_int_equal(link_send(scene.link, parts, 3, in_ms(1000), &sent), 0);
    assert_int_equal(sent, 10);
    expect(accepted, "two words\n");
    char got[8];
    assert_int_equal(link_receive(scene.link, got, sizeof(got), in_ms(20)), -EAGAIN);
    assert_false(link_is_dead(scene.link));
    assert_int_equal(send(accepted, "yes", 3, 0), 3);
    assert_int_equal(link_receive(scene.link, got, sizeof(got), in_ms(1000)), 3);
    assert_memory_equal(got, "yes", 3);
    (void)close(accepted);
    assert_int_equal(link_receive(scene.link, got, sizeof(got), in_ms(1000)), 0);
    assert_int_equal(told_count, 0);
    assert_true(link_is_dead(scene.link));
    assert_false(link_is_connected(scene.link));
    assert_non_null(strstr(told, "closed the connection"));
    close_scene(&scene);
}

/* A peer that reads nothing: the deadline holds, and the stream goes on where it stopped. */
static void test_stream_hung(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "127.0.0.1");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    int accepted = accept4(scene.peer, NULL, NULL, SOCK_CLOEXEC);
    size_t bytes = 32 << 20, sent = 0;
    unsigned char *big = malloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        big[i] = (unsigned char)(i * 31 + (i >> 16));
    }
    struct iovec all = {.iov_base = big, .iov_len = bytes};
    uint64_t until_ns = in_ms(SHORT_MS);
    assert_int_equal(link_send(scene.link, &all, 1, until_ns, &sent), -ETIMEDOUT);
    assert_true(in_ms(0) < until_ns + 2000000000u);
    assert_non_null(strstr(told, "takes nothing"));
    assert_true(sent > 0 && sent < bytes);
    assert_true(link_is_connected(scene.link));
    unsigned char *got = malloc(bytes);
    size_t taken = 0;
    while (taken < bytes) {
        size_t some = 0;
        struct iovec rest = {.iov_base = big + sent, .iov_len = bytes - sent};
        int r = rest.iov_len == 0 ? 0 : link_send(scene.link, &rest, 1, in_ms(1), &some);
        assert_true(r == 0 || r == -ETIMEDOUT);
        sent += some;
        ssize_t n = recv(accepted, got + taken, bytes - taken, 0);
        assert_true(n > 0);
        taken += (size_t)n;
    }
    assert_memory_equal(got, big, bytes);
    cancelled = true;
    until_ns = in_ms(5000);
    assert_int_equal(link_send(scene.link, &all, 1, until_ns, &sent), -ECANCELED);
    assert_true(in_ms(0) < until_ns);
    free(got);
    free(big);
    (void)close(accepted);
    close_scene(&scene);
}

/* A machine that answers nothing more: its connection ends at the deadline. */
static void test_stream_unanswered(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "127.0.0.1");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    int accepted = accept4(scene.peer, NULL, NULL, SOCK_CLOEXEC);
    struct sock_filter drop_all = {.code = BPF_RET | BPF_K};
    const struct sock_fprog filter = {.len = 1, .filter = &drop_all};
    assert_int_equal(
        setsockopt(accepted, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
    size_t bytes = 32 << 20, sent = 0;
    const struct iovec all = {.iov_base = calloc(1, bytes), .iov_len = bytes};
    assert_int_equal(link_send(scene.link, &all, 1, in_ms(3000), &sent), -ETIMEDOUT);
    assert_false(link_is_connected(scene.link));
    assert_non_null(strstr(told, "no answer to what was sent"));
    assert_int_equal(link_connect(scene.link, in_ms(1000)), 0);
    free(all.iov_base);
    (void)close(accepted);
    close_scene(&scene);
}

/* What a peer says to one who never listens does not hide that it has gone. */
static void test_stream_unheard(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "127.0.0.1");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    int accepted = accept4(scene.peer, NULL, NULL, SOCK_CLOEXEC);
    assert_false(link_is_dead_unheard(scene.link));
    assert_int_equal(send(accepted, "go away", 7, 0), 7);
    (void)close(accepted);
    struct pollfd one = {.fd = link_fd(scene.link), .events = POLLRDHUP};
    assert_int_equal(poll(&one, 1, 5000), 1);
    assert_false(link_is_dead(scene.link));
    assert_true(link_is_dead_unheard(scene.link));
    assert_false(link_is_connected(scene.link));
    close_scene(&scene);
}

static void test_stream_reset(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "127.0.0.1");
    assert_int_equal(link_connect(scene.link, in_ms(5000)), 0);
    int accepted = accept4(scene.peer, NULL, NULL, SOCK_CLOEXEC);
    const struct linger reset = {.l_onoff = 1};
    assert_int_equal(setsockopt(accepted, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    (void)close(accepted);
    const struct iovec text = part("text");
    size_t sent = 9;
    assert_int_equal(link_send(scene.link, &text, 1, in_ms(1000), &sent), -ECONNRESET);
    assert_int_equal(sent, 0);
    assert_false(link_is_connected(scene.link));
    assert_non_null(strstr(told, "send: Connection reset by peer"));
    assert_int_equal(link_connect(scene.link, in_ms(1000)), 0);
    assert_int_equal(link_send(scene.link, &text, 1, in_ms(1000), &sent), 0);
    close_scene(&scene);
}

static void test_stream_refused(void **state)
{
    (void)state;
    struct scene scene = {0};
    open_inet(&scene, SOCK_STREAM, "tcp", "localhost");
    (void)close(scene.peer);
    scene.peer = -1;
    assert_int_equal(link_connect(scene.link, in_ms(5000)), -ECONNREFUSED);
    assert_non_null(strstr(told, "connect to tcp://localhost:"));
    assert_non_null(strstr(told, "Connection refused"));
    assert_false(link_is_connected(scene.link));
    close_scene(&scene);
}

static void test_unresolvable(void **state)
{
    (void)state;
    struct scene scene = {.text = "tcp://no-such-host.invalid:1", .peer = -1};
    open_scene(&scene);
    /* Late or not found, as this machine's resolver is; told in words either way. */
    int r = link_connect(scene.link, in_ms(SHORT_MS));
    assert_true(r == -EHOSTUNREACH || r == -ETIMEDOUT);
    assert_non_null(strstr(told, "resolve no-such-host.invalid: "));
    close_scene(&scene);
}

static void test_unix(void **state)
{
    (void)state;
    static const struct {
        int type;
        const char *scheme;
    } rows[] = {{SOCK_DGRAM, "unix-dgram"}, {SOCK_STREAM, "unix-stream"}};
    for (size_t i = 0; i < 2; i++) {
        struct scene scene = {0};
        struct sockaddr_un at = {.sun_family = AF_UNIX};
        int name_bytes = snprintf(at.sun_path + 1, 64, "yarder-link-%d-%zu", getpid(), i);
        socklen_t bytes =
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)name_bytes);
        scene.peer = socket(AF_UNIX, rows[i].type | SOCK_CLOEXEC, 0);
        (void)snprintf(scene.text, sizeof(scene.text), "%s:@%s", rows[i].scheme, at.sun_path + 1);
        open_scene(&scene);
        assert_int_equal(link_connect(scene.link, in_ms(1000)), -ECONNREFUSED);
        assert_int_equal(bind(scene.peer, (struct sockaddr *)&at, bytes), 0);
        assert_true(rows[i].type == SOCK_DGRAM || listen(scene.peer, 1) == 0);
        assert_int_equal(link_connect(scene.link, in_ms(1000)), 0);
        int reader = rows[i].type == SOCK_DGRAM ? dup(scene.peer) : accept(scene.peer, NULL, NULL);
        size_t sent = 0;
        const struct iovec text = part("text");
        assert_int_equal(link_send(scene.link, &text, 1, in_ms(1000), &sent), 0);
        expect(reader, "text");
        (void)close(reader);
        (void)close(scene.peer);
        scene.peer = -1;
        int r = 0;
        for (int tries = 0; tries < 2 && r == 0; tries++) {
            r = link_send(scene.link, &text, 1, in_ms(1000), &sent);
        }
        assert_true(r == -ECONNREFUSED || r == -EPIPE);
        assert_false(link_is_connected(scene.link));
        close_scene(&scene);
    }
}

/* A receiver of datagrams that does not read: waits for it, to the deadline, and loses nothing. */
static void test_unix_full(void **state)
{
    (void)state;
    struct scene scene = {0};
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int name_bytes = snprintf(at.sun_path + 1, 64, "yarder-link-full-%d", getpid());
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)name_bytes);
    scene.peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(scene.peer, (struct sockaddr *)&at, bytes), 0);
    (void)snprintf(scene.text, sizeof(scene.text), "@%s", at.sun_path + 1);
    open_scene(&scene);
    assert_int_equal(link_connect(scene.link, in_ms(1000)), 0);
    enum { MANY = 5000 };
    static struct iovec many[MANY];
    static char numbers[MANY][8];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(numbers[i], sizeof(numbers[i]), "%d", i);
        many[i] = part(numbers[i]);
    }
    size_t sent = 0;
    assert_int_equal(link_send_many(scene.link, many, MANY, in_ms(100), &sent), -ETIMEDOUT);
    assert_true(sent > 0 && sent < MANY);
    for (size_t i = 0; i < sent; i++) {
        expect(scene.peer, numbers[i]);
    }
    const struct iovec *rest = many + sent;
    assert_int_equal(link_send_many(scene.link, rest, 1, in_ms(1000), &sent), 0);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams),
        cmocka_unit_test(test_name_moves),
        cmocka_unit_test(test_datagram_too_long),
        cmocka_unit_test(test_a_port_of_nobody_is_never_connected),
        cmocka_unit_test(test_datagram_refused),
        cmocka_unit_test(test_stream),
        cmocka_unit_test(test_stream_hung),
        cmocka_unit_test(test_stream_unanswered),
        cmocka_unit_test(test_stream_unheard),
        cmocka_unit_test(test_stream_reset),
        cmocka_unit_test(test_stream_refused),
        cmocka_unit_test(test_unresolvable),
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_unix_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
