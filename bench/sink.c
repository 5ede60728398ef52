/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where records end in bench/destinations.py: takes and counts, as fast as it can.
 *
 *     sink tcp PORT TALLY       octet-counted frames (RFC 6587), one connection after another
 *     sink udp PORT TALLY       datagrams
 *     sink pull PORT TALLY      frames of a ZeroMQ PULL socket
 *
 * On loopback. TALLY is a file of two u64, records and bytes, that grows true while this runs; it
 * is made when the socket listens.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sink.h"

enum { CHUNK_BYTES = 256 << 10, DATAGRAMS = 64, DATAGRAM_BYTES = 2048, RECEIVE_BYTES = 32 << 20 };

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

struct sink_tally *sink_tally_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct sink_tally)) < 0) {
        die(path);
    }
    void *at = mmap(NULL, sizeof(struct sink_tally), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) {
        die(path);
    }
    return at;
}

static int open_socket(int type, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int yes = 1;
    int room = RECEIVE_BYTES;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    if (type == SOCK_DGRAM && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        (type == SOCK_STREAM && listen(fd, 8) < 0)) {
        die("socket");
    }
    return fd;
}

/* A frame's length, as far as it has come, then its bytes still to come. */
struct frames {
    uint64_t length, left;
    bool in_frame;
};

static void count_frames(
    struct frames *frames, const char *at, size_t count, struct sink_tally *tally)
{
    while (count > 0) {
        if (!frames->in_frame) {
            frames->in_frame = *at == ' ';
            frames->length =
                *at == ' ' ? frames->length : frames->length * 10 + (uint64_t)(*at - '0');
            frames->left = frames->length;
            at++;
            count--;
            continue;
        }
        size_t step = frames->left < count ? frames->left : count;
        at += step;
        count -= step;
        frames->left -= step;
        if (frames->left == 0) {
            tally->records++;
            *frames = (struct frames){0};
        }
    }
}

static void take_tcp(int listener, struct sink_tally *tally)
{
    static char chunk[CHUNK_BYTES];
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        struct frames frames = {0};
        ssize_t r = fd < 0 ? 0 : read(fd, chunk, sizeof(chunk));
        for (; r > 0; r = read(fd, chunk, sizeof(chunk))) {
            tally->bytes += (uint64_t)r;
            count_frames(&frames, chunk, (size_t)r, tally);
        }
        (void)close(fd);
    }
}

static void take_udp(int fd, struct sink_tally *tally)
{
    static char datagrams[DATAGRAMS][DATAGRAM_BYTES];
    struct iovec parts[DATAGRAMS];
    struct mmsghdr messages[DATAGRAMS] = {0};
    for (int i = 0; i < DATAGRAMS; i++) {
        parts[i] = (struct iovec){datagrams[i], DATAGRAM_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    for (;;) {
        int count = recvmmsg(fd, messages, DATAGRAMS, MSG_WAITFORONE, NULL);
        for (int i = 0; i < count; i++) {
            tally->bytes += messages[i].msg_len;
        }
        tally->records += count > 0 ? (uint64_t)count : 0;
    }
}

int main(int count, char **words)
{
    if (count != 4) {
        (void)fputs("usage: sink tcp|udp|pull PORT TALLY\n", stderr);
        return 2;
    }
    if (strcmp(words[1], "pull") == 0) {
        return sink_pull(words[2], words[3]);
    }
    bool tcp = strcmp(words[1], "tcp") == 0;
    int fd = open_socket(tcp ? SOCK_STREAM : SOCK_DGRAM, words[2]);
    struct sink_tally *tally = sink_tally_open(words[3]);
    if (tcp) {
        take_tcp(fd, tally);
    } else {
        take_udp(fd, tally);
    }
    return 0;
}
