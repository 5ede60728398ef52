/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/serve_listen.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

enum { RECEIVE_BYTES = 8 << 20 };

static bool is_multicast(const struct socket_address *address)
{
    return address->family == AF_INET ? IN_MULTICAST(ntohl(address->in.sin_addr.s_addr))
                                      : IN6_IS_ADDR_MULTICAST(&address->in6.sin6_addr);
}

static int join(int fd, const struct socket_address *address, unsigned interface)
{
    if (address->family == AF_INET) {
        const struct ip_mreqn group = {
            .imr_multiaddr = address->in.sin_addr, .imr_ifindex = (int)interface};
        return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group));
    }
    const struct ipv6_mreq group = {
        .ipv6mr_multiaddr = address->in6.sin6_addr, .ipv6mr_interface = interface};
    return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &group, sizeof(group));
}

/* 0, or -errno. */
static int bind_address(const struct socket_address *address, unsigned interface, int *out)
{
    const int yes = 1, no = 0;
    uint32_t got_bytes = 0;
    YARDER_OWN_FD int fd = socket(address->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (address->any) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof(yes));
    int r = socket_raise_receive(fd, RECEIVE_BYTES, &got_bytes);
    if (r < 0) {
        return r;
    }
    bool group = is_multicast(address);
    struct socket_address local = *address;
    if (group) {
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)); /* others listen, too */
    }
    if (local.family == AF_INET6 && interface != 0) {
        local.in6.sin6_scope_id = interface; /* link-local addresses need one */
    }
    if (bind(fd, &local.generic, local.bytes) < 0 || (group && join(fd, address, interface) < 0)) {
        return -errno;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static int bind_any(const struct socket_address *address, unsigned interface, int *out)
{
    int r = bind_address(address, interface, out);
    if (address->any && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) { /* a machine without v6 */
        const struct socket_address v4 = {.bytes = sizeof(v4.in),
            .in = {.sin_family = AF_INET, .sin_port = address->in6.sin6_port}};
        r = bind_address(&v4, interface, out);
    }
    return r;
}

void serve_show(
    const struct sockaddr_storage *address, socklen_t bytes, char at[SERVE_ADDRESS_BYTES])
{
    char host[SOCKET_PEER_BYTES_MAX];
    (void)socket_peer_text(address, bytes, host);
    struct socket_address both = {.bytes = bytes};
    memcpy(&both.in6, address, sizeof(both.in6));
    bool bracket = strchr(host, ':') != NULL;
    (void)snprintf(at, SERVE_ADDRESS_BYTES, "%s%s%s:%u", bracket ? "[" : "", host,
        bracket ? "]" : "", socket_address_port(&both));
}

int serve_listen(const struct cli *cli, const char *word, const char *interface_name,
    char shown[SERVE_ADDRESS_BYTES], int *fd)
{
    struct socket_address address;
    if (socket_address_parse(word, &address) < 0) {
        return cli_refuse(cli,
            "expected ADDRESS:PORT (127.0.0.1:1717, [::1]:1717, 239.0.0.1:1717; :1717 is any), "
            "not '%.128s'",
            word);
    }
    unsigned interface = interface_name != NULL ? if_nametoindex(interface_name) : 0;
    if (interface_name != NULL && interface == 0) {
        return cli_refuse(cli, "--interface: there is no '%.32s'", interface_name);
    }
    int r = bind_any(&address, interface, fd);
    if (r < 0) {
        cli_say(cli, "%.128s: %s", word, strerror(-r));
        return CLI_FAILED;
    }
    struct sockaddr_storage local = {0};
    socklen_t bytes = sizeof(local);
    (void)getsockname(*fd, (struct sockaddr *)&local, &bytes);
    serve_show(&local, bytes, shown);
    return CLI_GO_ON;
}
