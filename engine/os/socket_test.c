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
        const char *default_port;
        int result;
        const char *host;
        const char *port;
    } cases[] = {
        {"127.0.0.1:514", NULL, 0, "127.0.0.1", "514"},
        {"[::]:514", NULL, 0, "::", "514"},
        {"[fe80::1%eth0]:0", NULL, 0, "fe80::1%eth0", "0"},
        {"[::1]", "601", 0, "::1", "601"},
        {"::1", "601", 0, "::1", "601"},
        {":514", NULL, 0, "", "514"},
        {"*:65535", NULL, 0, "", "65535"},
        {"", "514", 0, "", "514"},
        {"logs.example.net", "514", 0, "logs.example.net", "514"},
        {"logs.example.net:1", "514", 0, "logs.example.net", "1"},
        {"logs.example.net", NULL, -EINVAL, NULL, NULL},
        {"host:", "514", -EINVAL, NULL, NULL},
        {"host:65536", NULL, -EINVAL, NULL, NULL},
        {"host:5x", NULL, -EINVAL, NULL, NULL},
        {"host:-1", NULL, -EINVAL, NULL, NULL},
        {"host:000514", NULL, -EINVAL, NULL, NULL},
        {"[::1", "514", -EINVAL, NULL, NULL},
        {"[::1]x:514", NULL, -EINVAL, NULL, NULL},
        {"[]:514", NULL, -EINVAL, NULL, NULL},
        {"[host]:514", NULL, -EINVAL, NULL, NULL},
        {"::1", NULL, -EINVAL, NULL, NULL},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(cases); i++) {
        struct socket_address address = {.host = "before"};
        int r = socket_address_parse(cases[i].text, cases[i].default_port, &address);
        assert_int_equal(r, cases[i].result);
        assert_string_equal(address.host, r == 0 ? cases[i].host : "before");
        assert_string_equal(address.port, r == 0 ? cases[i].port : "");
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    (void)snprintf(longest + 256, 8, ":514");
    struct socket_address address;
    assert_int_equal(socket_address_parse(longest, NULL, &address), -ENAMETOOLONG);
    assert_int_equal(socket_address_parse(longest + 1, NULL, &address), 0);
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
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0", "localhost:0", ":0"};
    for (size_t i = 0; i < YARDER_COUNT_OF(hosts); i++) {
        struct socket_address address;
        struct socket_bound bound;
        struct socket_options options = {.receive_bytes = 100 << 10};
        assert_int_equal(socket_address_parse(hosts[i], NULL, &address), 0);
        assert_int_equal(socket_bind_udp(&address, &options, &bound), 0);
        assert_descriptor(bound.fd);
        assert_true(bound.port > 0);
        assert_int_equal(bound.receive_bytes, 100 << 10);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_RXQ_OVFL), 1);
        assert_int_equal(option_of(bound.fd, IPPROTO_UDP, UDP_GRO), 1);

        struct socket_bound second; /* the port is taken, and nobody may share it */
        (void)snprintf(address.port, sizeof(address.port), "%u", bound.port);
        assert_int_equal(socket_bind_udp(&address, &options, &second), -EADDRINUSE);
        assert_int_equal(close(bound.fd), 0);
    }
}

static void tcp(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1:0", "[::1]:0", "*:0"};
    for (size_t i = 0; i < YARDER_COUNT_OF(hosts); i++) {
        struct socket_address address;
        struct socket_bound bound;
        struct socket_options options = {0};
        assert_int_equal(socket_address_parse(hosts[i], NULL, &address), 0);
        assert_int_equal(socket_bind_tcp(&address, &options, &bound), 0);
        assert_descriptor(bound.fd);
        assert_true(bound.port > 0 && bound.receive_bytes > 0);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
        assert_int_equal(option_of(bound.fd, SOL_SOCKET, SO_REUSEADDR), 1);
        if (i != 1) { /* "*" is for v4 as well */
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
    struct socket_address nowhere = {.host = "192.0.2.1", .port = "0"};
    assert_int_equal(socket_bind_tcp(&nowhere, &options, &bound), -EADDRNOTAVAIL);
    struct socket_address no_name = {.host = "host with blanks", .port = "0"};
    assert_true(socket_bind_tcp(&no_name, &options, &bound) < 0);
}

static void unix_paths(void **state)
{
    (void)state;
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
    char directory[] = "/tmp/yarder-socket-XXXXXX";
    char path[64];
    struct stat status;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/log.sock", directory);
    struct socket_path_owner owner = {.mode = 0620, .owner = (uid_t)-1, .group = (gid_t)-1};
    if (geteuid() == 0) {
        owner.group = 65534;
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(types); i++) {
        int fd = -1;
        int second = -1;
        assert_int_equal(socket_listen_unix(path, types[i], &owner, &fd), 0);
        assert_descriptor(fd);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0620);
        assert_true(geteuid() != 0 || status.st_gid == 65534);
        for (size_t k = 0; k < YARDER_COUNT_OF(types); k++) { /* of whatever type: it lives */
            assert_int_equal(
                socket_listen_unix(path, types[k], &nobody_else, &second), -EADDRINUSE);
        }
        assert_int_equal(close(fd), 0); /* stale now; the next round takes its place */
    }
    assert_int_equal(unlink(path), 0);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    int fd = -1;
    assert_int_equal(socket_listen_unix(path, SOCK_STREAM, &nobody_else, &fd), -EEXIST);
    assert_int_equal(stat(path, &status), 0); /* not touched */
    assert_int_equal(close(file) + unlink(path) + rmdir(directory), 0);
    assert_int_equal(socket_listen_unix(path, SOCK_STREAM, &nobody_else, &fd), -ENOENT);
    assert_int_equal(socket_listen_unix("", SOCK_STREAM, &nobody_else, &fd), -EINVAL);
    char long_path[109];
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[108] = '\0';
    assert_int_equal(socket_listen_unix(long_path, SOCK_DGRAM, &nobody_else, &fd), -ENAMETOOLONG);
}

static void unix_abstract(void **state)
{
    (void)state;
    char name[64];
    int fd = -1;
    int second = -1;
    struct sockaddr_storage local;
    socklen_t size = sizeof(local);
    char text[SOCKET_PEER_BYTES_MAX];
    (void)snprintf(name, sizeof(name), "@yarder-test-%d", (int)getpid());
    assert_int_equal(socket_listen_unix(name, SOCK_DGRAM, &nobody_else, &fd), 0);
    assert_int_equal(socket_listen_unix(name, SOCK_DGRAM, &nobody_else, &second), -EADDRINUSE);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&local, &size), 0);
    assert_int_equal(socket_peer_text(&local, size, true, text), strlen(name));
    assert_string_equal(text, name);
    assert_int_equal(close(fd), 0);
}

static void assert_peer(
    int family, const char *address, uint16_t port, const char *bare, const char *full)
{
    char text[SOCKET_PEER_BYTES_MAX];
    struct sockaddr_storage peer = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    socklen_t size = family == AF_INET ? sizeof(in) : sizeof(in6);
    void *bytes = family == AF_INET ? (void *)&in.sin_addr : (void *)&in6.sin6_addr;
    assert_int_equal(inet_pton(family, address, bytes), 1);
    in6.sin6_scope_id = strncmp(address, "fe80", 4) == 0 ? 7 : 0;
    memcpy(&peer, family == AF_INET ? (void *)&in : (void *)&in6, size);
    assert_int_equal(socket_peer_text(&peer, size, false, text), strlen(bare));
    assert_string_equal(text, bare);
    assert_int_equal(socket_peer_text(&peer, size, true, text), strlen(full));
    assert_string_equal(text, full);
    assert_int_equal(socket_peer_text(&peer, size - 1, true, text), 0); /* cut short */
}

static void peers(void **state)
{
    (void)state;
    assert_peer(AF_INET, "192.0.2.1", 514, "192.0.2.1", "192.0.2.1:514");
    assert_peer(AF_INET6, "2001:db8::1", 65535, "2001:db8::1", "[2001:db8::1]:65535");
    assert_peer(AF_INET6, "::ffff:192.0.2.9", 1, "192.0.2.9", "192.0.2.9:1");
    assert_peer(AF_INET6, "fe80::1", 1, "fe80::1%7", "[fe80::1%7]:1");

    char text[SOCKET_PEER_BYTES_MAX] = "before";
    struct sockaddr_storage peer = {.ss_family = AF_UNIX};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    assert_int_equal(socket_peer_text(&peer, 0, true, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(socket_peer_text(&peer, sizeof(sa_family_t), true, text), 0);
    memset(path.sun_path, 'p', sizeof(path.sun_path)); /* the longest has no NUL */
    path.sun_path[1] = '\n';
    memcpy(&peer, &path, sizeof(path));
    assert_int_equal(socket_peer_text(&peer, sizeof(path), true, text), sizeof(path.sun_path));
    assert_memory_equal(text, "p?pp", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(udp),
        cmocka_unit_test(tcp),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test(unix_abstract),
        cmocka_unit_test(peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
