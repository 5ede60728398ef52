/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text, what bound sockets have, stale and living unix sockets, names of peers. */
#include "os/socket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

static const struct socket_path_owner nobody_else = {
    .mode = 0600, .owner = (uid_t)-1, .group = (gid_t)-1};

static void addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: refused */
        int family;
        uint16_t port;
    } cases[] = {
        {"127.0.0.1:514", "127.0.0.1", AF_INET, 514},
        {"[::]:514", "::", AF_INET6, 514},
        {"[2001:db8::1]:0", "2001:db8::1", AF_INET6, 0},
        {":65535", "::", AF_INET6, 65535},
        {"127.0.0.1", NULL, 0, 0},
        {"127.0.0.1:", NULL, 0, 0},
        {"127.0.0.1:65536", NULL, 0, 0},
        {"127.0.0.1:5x", NULL, 0, 0},
        {"127.0.0.1:-1", NULL, 0, 0},
        {"127.0.0.1:1:2", NULL, 0, 0},
        {"", NULL, 0, 0},
        {"localhost:514", NULL, 0, 0},
        {"*:514", NULL, 0, 0},
        {"::1:514", NULL, 0, 0},
        {"[::1", NULL, 0, 0},
        {"[::1]", NULL, 0, 0},
        {"[::1]x:514", NULL, 0, 0},
        {"[]:514", NULL, 0, 0},
        {"[127.0.0.1]:514", NULL, 0, 0},
        {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:1111:2222:3333]:1", NULL, 0, 0},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        struct socket_address address;
        int r = socket_address_parse(cases[i].text, &address);
        assert_int_equal(r, cases[i].host == NULL ? -EINVAL : 0);
        if (r < 0) {
            continue;
        }
        char host[INET6_ADDRSTRLEN];
        const void *bytes = address.family == AF_INET ? (const void *)&address.in.sin_addr
                                                      : (const void *)&address.in6.sin6_addr;
        assert_non_null(inet_ntop(address.family, bytes, host, sizeof(host)));
        assert_string_equal(host, cases[i].host);
        assert_int_equal(address.family, cases[i].family);
        assert_int_equal(socket_address_port(&address), cases[i].port);
        assert_int_equal(address.any, cases[i].text[0] == ':');
    }
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t size = sizeof(value);
    assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

static void assert_descriptor(int fd)
{
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

static void udp(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0", ":0"};
    for (size_t i = 0; i < YARDER_COUNT_OF(hosts); i++) {
        struct socket_address address;
        struct socket_bound bound;
        struct socket_options options = {.receive_bytes = 100 << 10};
        assert_int_equal(socket_address_parse(hosts[i], &address), 0);
        assert_int_equal(socket_bind_udp(&address, &options, &bound), 0);
        assert_descriptor(bound.fd);
        assert_true(bound.port > 0);
        assert_int_equal(bound.receive_bytes, 100 << 10);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_RXQ_OVFL), 1);
        assert_int_equal(option_of(bound.fd, IPPROTO_UDP, UDP_GRO), 1);

        struct socket_bound second; /* the port is taken, and nobody may share it */
        in_port_t *port = i == 0 ? &address.in.sin_port : &address.in6.sin6_port;
        *port = htons(bound.port);
        assert_int_equal(socket_bind_udp(&address, &options, &second), -EADDRINUSE);
        assert_int_equal(close(bound.fd), 0);
    }
}

static void a_datagram_socket_presses(void **state)
{
    (void)state;
    struct socket_address address;
    struct socket_bound bound;
    const struct socket_options options = {.receive_bytes = 100 << 10};
    assert_int_equal(socket_address_parse("127.0.0.1:0", &address), 0);
    assert_int_equal(socket_bind_udp(&address, &options, &bound), 0);
    address.in.sin_port = htons(bound.port);
    YARDER_OWN_FD int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(sender, (const void *)&address.in, sizeof(address.in)), 0);
    char text[1000] = {0};
    unsigned sent = 0;
    for (; !socket_presses(bound.fd); sent++) {
        assert_true(sent < 1000);
        assert_int_equal(send(sender, text, sizeof(text), 0), sizeof(text));
    }
    assert_true(sent > 10);
    unsigned taken = 0;
    while (recv(bound.fd, text, sizeof(text), 0) > 0) {
        taken++;
    }
    assert_int_equal(taken, sent); /* said in time: nothing was dropped yet */
    assert_false(socket_presses(bound.fd));
    assert_int_equal(close(bound.fd), 0);
}

static void tcp(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0", ":0"};
    for (size_t i = 0; i < YARDER_COUNT_OF(hosts); i++) {
        struct socket_address address;
        struct socket_bound bound;
        struct socket_options options = {0};
        assert_int_equal(socket_address_parse(hosts[i], &address), 0);
        assert_int_equal(socket_bind_tcp(&address, &options, &bound), 0);
        assert_descriptor(bound.fd);
        assert_true(bound.port > 0 && bound.receive_bytes > 0);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_REUSEADDR), 1);
        if (i != 1) { /* every address: v4 as well */
            struct sockaddr_in in = {.sin_family = AF_INET,
                .sin_port = htons(bound.port),
                .sin_addr.s_addr = htonl(0x7f000001)};
            YARDER_OWN_FD int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            assert_int_equal(connect(client, (struct sockaddr *)&in, sizeof(in)), 0);
        }
        assert_int_equal(close(bound.fd), 0);
    }
    struct socket_bound bound;
    struct socket_options options = {0};
    struct socket_address nowhere;
    assert_int_equal(socket_address_parse("192.0.2.1:0", &nowhere), 0);
    assert_int_equal(socket_bind_tcp(&nowhere, &options, &bound), -EADDRNOTAVAIL);
}

static void unix_paths(void **state)
{
    (void)state;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    char directory[] = "/tmp/yarder-socket-XXXXXX";
    char path[64];
    struct stat status;
    struct os_file_id file;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/log.sock", directory);
    struct socket_path_owner owner = {.mode = 0620, .owner = (uid_t)-1, .group = (gid_t)-1};
    if (geteuid() == 0) {
        owner.group = 65534;
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(types); i++) {
        int fd = -1;
        int second = -1;
        assert_int_equal(socket_listen_unix(path, types[i], &owner, &file, &fd), 0);
        assert_descriptor(fd);
        assert_int_equal(stat(path, &status), 0);
        assert_true(status.st_ino == file.inode && status.st_dev == file.device);
        assert_int_equal(status.st_mode & 07777, 0620);
        assert_true(geteuid() != 0 || status.st_gid == 65534);
        for (size_t k = 0; k < YARDER_COUNT_OF(types); k++) { /* of whatever type: it lives */
            assert_int_equal(
                socket_listen_unix(path, types[k], &nobody_else, &file, &second), -EADDRINUSE);
        }
        assert_int_equal(close(fd), 0); /* stale now; the next round takes its place */
    }
    assert_int_equal(unlink(path), 0);
    int plain = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int fd = -1;
    assert_int_equal(socket_listen_unix(path, SOCK_STREAM, &nobody_else, &file, &fd), -EEXIST);
    assert_int_equal(stat(path, &status), 0); /* not touched */
    assert_int_equal(close(plain) + unlink(path) + rmdir(directory), 0);
    assert_int_equal(socket_listen_unix(path, SOCK_STREAM, &nobody_else, &file, &fd), -ENOENT);
    assert_int_equal(socket_listen_unix("", SOCK_STREAM, &nobody_else, &file, &fd), -EINVAL);
    char long_path[109];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[108] = '\0';
    assert_int_equal(
        socket_listen_unix(long_path, SOCK_DGRAM, &nobody_else, &file, &fd), -ENAMETOOLONG);
}

/* What stands at the path now is another file, which keeps its mode and owner. */
static void a_link_is_not_followed(void **state)
{
    (void)state;
    char directory[] = "/tmp/yarder-socket-XXXXXX";
    char path[64];
    char other[64];
    struct stat status;
    struct os_file_id file;
    int fd = -1;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/log.sock", directory);
    (void)snprintf(other, sizeof(other), "%s/other", directory);
    assert_int_equal(socket_listen_unix(path, SOCK_STREAM, &nobody_else, &file, &fd), 0);
    const struct socket_path_owner everybody = {0666, (uid_t)-1, (gid_t)-1};
    assert_int_equal(socket_path_change(path, &file, &everybody), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0666);
    int plain = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(close(plain) + unlink(path) + symlink("other", path), 0);
    assert_int_equal(socket_path_change(path, &file, &everybody), -ESTALE);
    assert_int_equal(unlink(path) + link(other, path), 0);
    assert_int_equal(socket_path_change(path, &file, &everybody), -ESTALE);
    assert_int_equal(stat(other, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(close(fd) + unlink(path) + unlink(other) + rmdir(directory), 0);
}

static void unix_abstract(void **state)
{
    (void)state;
    char name[64];
    int fd = -1;
    int second = -1;
    struct os_file_id file;
    (void)snprintf(name, sizeof(name), "@yarder-test-%d", (int)getpid());
    assert_int_equal(socket_listen_unix(name, SOCK_DGRAM, &nobody_else, &file, &fd), 0);
    assert_int_equal(
        socket_listen_unix(name, SOCK_DGRAM, &nobody_else, &file, &second), -EADDRINUSE);
    assert_int_equal(close(fd), 0);
}

static void assert_peer(int family, const char *address, const char *expected)
{
    char text[SOCKET_PEER_BYTES_MAX];
    struct sockaddr_storage peer = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(514)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(514)};
    socklen_t size = family == AF_INET ? sizeof(in) : sizeof(in6);
    void *bytes = family == AF_INET ? (void *)&in.sin_addr : (void *)&in6.sin6_addr;
    assert_int_equal(inet_pton(family, address, bytes), 1);
    in6.sin6_scope_id = strncmp(address, "fe80", 4) == 0 ? UINT32_MAX : 0;
    memcpy(&peer, family == AF_INET ? (void *)&in : (void *)&in6, size);
    assert_int_equal(socket_peer_text(&peer, size, text), strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(socket_peer_text(&peer, size - 1, text), 0); /* cut short */
}

static void peers(void **state)
{
    (void)state;
    assert_peer(AF_INET, "192.0.2.1", "192.0.2.1");
    assert_peer(AF_INET6, "2001:db8::1", "2001:db8::1");
    assert_peer(AF_INET6, "::ffff:192.0.2.9", "192.0.2.9");
    assert_peer(AF_INET6, "fe80:1111:2222:3333:4444:5555:6666:7777",
        "fe80:1111:2222:3333:4444:5555:6666:7777%4294967295");

    char text[SOCKET_PEER_BYTES_MAX] = "before";
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    assert_int_equal(socket_peer_text(&peer, 0, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(socket_peer_text(&peer, sizeof(peer), text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(udp),
        cmocka_unit_test(a_datagram_socket_presses),
        cmocka_unit_test(tcp),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test(a_link_is_not_followed),
        cmocka_unit_test(unix_abstract),
        cmocka_unit_test(peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
