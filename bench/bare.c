/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a destination costs without a shipper: COUNT records of SIZE bytes, made beforehand, by the
 * plainest good loop there is.
 *
 *     bare tcp PORT COUNT SIZE      octet-counted frames, 256 with a writev
 *     bare udp PORT COUNT SIZE      datagrams, 64 with a sendmmsg
 *     bare redis PORT COUNT SIZE    RPUSH by hiredis, 1000 in a pipeline
 *     bare push PORT COUNT SIZE     frames of a ZeroMQ PUSH socket
 *
 * Prints the ns that it took, up to the last call's return.
 */
#include "bare.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES = 256, DATAGRAMS = 64, RECORD_BYTES_MAX = 65000 };

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int connect_to(int type, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        perror("connect");
        exit(1);
    }
    return fd;
}

static void write_frames(int fd, struct iovec *parts, int count)
{
    while (count > 0) {
        ssize_t r = writev(fd, parts, count);
        if (r < 0) {
            perror("writev");
            exit(1);
        }
        for (; count > 0 && (size_t)r >= parts->iov_len; parts++, count--) {
            r -= (ssize_t)parts->iov_len;
        }
        if (count > 0) {
            parts->iov_base = (char *)parts->iov_base + r;
            parts->iov_len -= (size_t)r;
        }
    }
}

static int run_tcp(int port, uint64_t count, struct bare_record record)
{
    struct iovec parts[FRAMES];
    static char frame[RECORD_BYTES_MAX + 16];
    int length = snprintf(frame, sizeof(frame), "%zu ", record.bytes);
    memcpy(frame + length, record.at, record.bytes);
    int fd = connect_to(SOCK_STREAM, port);
    for (uint64_t sent = 0; sent < count; sent += FRAMES) {
        int now = (int)(count - sent < FRAMES ? count - sent : FRAMES);
        for (int i = 0; i < now; i++) {
            parts[i] = (struct iovec){frame, (size_t)length + record.bytes};
        }
        write_frames(fd, parts, now);
    }
    (void)close(fd);
    return 0;
}

static int run_udp(int port, uint64_t count, struct bare_record record)
{
    struct iovec part = {record.at, record.bytes};
    struct mmsghdr messages[DATAGRAMS] = {0};
    for (int i = 0; i < DATAGRAMS; i++) {
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    }
    int fd = connect_to(SOCK_DGRAM, port);
    for (uint64_t sent = 0; sent < count;) {
        unsigned now = (unsigned)(count - sent < DATAGRAMS ? count - sent : DATAGRAMS);
        int r = sendmmsg(fd, messages, now, 0);
        sent += r > 0 ? (uint64_t)r : 0;
    }
    (void)close(fd);
    return 0;
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        int (*run)(int port, uint64_t count, struct bare_record record);
    } ways[] = {{"tcp", run_tcp}, {"udp", run_udp}, {"redis", bare_redis}, {"push", bare_push}};
    static char bytes[RECORD_BYTES_MAX];
    if (count != 5) {
        (void)fputs("usage: bare tcp|udp|redis|push PORT COUNT SIZE\n", stderr);
        return 2;
    }
    memset(bytes, 'x', sizeof(bytes));
    size_t size = strtoull(words[4], NULL, 10);
    const struct bare_record record = {bytes, size < sizeof(bytes) ? size : sizeof(bytes)};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        if (strcmp(ways[i].name, words[1]) == 0) {
            uint64_t start_ns = now_ns();
            int r =
                ways[i].run((int)strtol(words[2], NULL, 10), strtoull(words[3], NULL, 10), record);
            (void)printf("%llu\n", (unsigned long long)(now_ns() - start_ns));
            return r;
        }
    }
    (void)fprintf(stderr, "bare: no such way: %s\n", words[1]);
    return 2;
}
