/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a datagram socket that errs is neither given up nor spun on. Method: an ICMP message by
 * hand, which a connected socket answers with an error; needs CAP_NET_RAW, else it is skipped.
 */
#include "io/loop_test.h"

#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>

static uint16_t checksum_of(const uint16_t *words, size_t count)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += words[i];
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

static int open_bound(struct sockaddr_in *name)
{
    socklen_t bytes = sizeof(*name);
    *name = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)name, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)name, &bytes), 0);
    return fd;
}

/* Says to the socket `to` that the machine of `from` speaks no UDP. */
static void send_unreachable(const struct sockaddr_in *to, const struct sockaddr_in *from)
{
    struct {
        struct icmphdr icmp;
        struct iphdr ip;
        struct udphdr udp;
    } message = {.icmp = {.type = ICMP_DEST_UNREACH, .code = ICMP_PROT_UNREACH},
        .ip = {.version = 4, .ihl = 5, .protocol = IPPROTO_UDP, .tot_len = htons(28)}};
    message.ip.saddr = to->sin_addr.s_addr;
    message.ip.daddr = from->sin_addr.s_addr;
    message.udp.source = to->sin_port;
    message.udp.dest = from->sin_port;
    uint16_t words[sizeof(message) / 2];
    memcpy(words, &message, sizeof(message));
    message.icmp.checksum = checksum_of(words, YARDER_COUNT_OF(words));
    YARDER_OWN_FD int raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    if (raw < 0) {
        assert_int_equal(errno, EPERM);
        skip();
    }
    struct sockaddr_in target = *to;
    target.sin_port = 0;
    assert_int_equal(
        sendto(raw, &message, sizeof(message), 0, (struct sockaddr *)&target, sizeof(target)),
        sizeof(message));
}

static int take_next(struct io *io, struct io_chunk *chunk)
{
    int r = 0;
    for (unsigned i = 0; i < WAITS_MAX && r == 0; i++) {
        assert_int_equal(io_wait(io, 1000 * MS, false), 0);
        struct io_source *source = io_next(io);
        r = source == NULL ? 0 : io_take(io, source, chunk);
    }
    return r;
}

/* An error is told once; then the socket rests, and when it is resumed it gives what has come. */
static void errors_pause(void **state)
{
    struct io *io = loop_of(state, 0);
    struct sockaddr_in name;
    struct sockaddr_in sender_name;
    YARDER_OWN_FD int sender = open_bound(&sender_name);
    struct io_source source = {.fd = open_bound(&name), .kind = IO_DATAGRAM};
    assert_int_equal(connect(sender, (struct sockaddr *)&name, sizeof(name)), 0);
    assert_int_equal(connect(source.fd, (struct sockaddr *)&sender_name, sizeof(sender_name)), 0);
    assert_int_equal(io_add(io, &source), 0);
    for (char round = 'a'; round < 'd'; round++) {
        struct io_chunk chunk;
        send_unreachable(&name, &sender_name);
        assert_int_equal(take_next(io, &chunk), -ENOPROTOOPT);
        assert_int_equal(send(sender, &round, 1, 0), 1);
        assert_quiet(io);
        io_resume(io, &source);
        assert_int_equal(take_next(io, &chunk), 1);
        assert_true(chunk.bytes_count == 1 && chunk.bytes[0] == round);
        io_give(io, &chunk);
    }
    io_remove(io, &source);
    assert_int_equal(close(source.fd), 0);
    io_close(io);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST_ON_BOTH(errors_pause)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
