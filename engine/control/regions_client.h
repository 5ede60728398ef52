/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a listening socket and clients of it, played by the test's own process. */
#ifndef YARDER_CONTROL_REGIONS_CLIENT_H
#define YARDER_CONTROL_REGIONS_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control/regions.h"
#include "os/memory.h"
#include "ring/region.h"

static const struct regions_options options = {.ring_bytes = 1 << 20, .ring_bytes_total = 64 << 20};

static int listener_fd;
static struct sockaddr_un address;
static socklen_t address_bytes;

static inline int open_listener(void **state)
{
    (void)state;
    listener_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    address_bytes = sizeof(sa_family_t); /* the kernel chooses an abstract name */
    if (bind(listener_fd, (struct sockaddr *)&address, address_bytes) < 0) {
        return -1;
    }
    address_bytes = sizeof(address);
    return getsockname(listener_fd, (struct sockaddr *)&address, &address_bytes) < 0 ||
           listen(listener_fd, 1024) < 0;
}

static inline struct regions *open_regions(const struct regions_options *wanted)
{
    struct regions *regions = NULL;
    assert_int_equal(regions_open(&regions, wanted), 0);
    assert_int_equal(regions_listen(regions, listener_fd), 0);
    return regions;
}

static inline int connect_client(void)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, address_bytes), 0);
    return fd;
}

static inline struct ring_hello hello_of(const char *program)
{
    struct ring_hello hello = {.magic = RING_HELLO_MAGIC,
        .version = RING_HELLO_VERSION,
        .kind = REGION_RSEQ,
        .pid = (uint32_t)getpid()};
    (void)snprintf(hello.program, sizeof(hello.program), "%s", program);
    return hello;
}

static inline bool readable(int fd, int wait_ms)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, wait_ms) == 1;
}

/* Serves until the client has its answer: its status; -EPIPE when it was hung up on. */
static inline int answer_for(struct regions *regions, int fd, int *region_fd)
{
    struct ring_answer answer = {0};
    *region_fd = -1;
    int received;
    while ((received = hello_receive(fd, &answer, region_fd)) == -EAGAIN) {
        assert_true(readable(regions_fd(regions), 5000));
        regions_serve(regions);
    }
    return received < 0 ? received : answer.status;
}

/* Connects, says hello, and answers with the status; the connection and the region stay open. */
static inline int attach(
    struct regions *regions, const struct ring_hello *hello, int *fd, int *region_fd)
{
    *fd = connect_client();
    assert_int_equal(hello_send(*fd, hello, -1), 0);
    return answer_for(regions, *fd, region_fd);
}

static inline const struct region_view *event_of(
    struct regions *regions, enum regions_event_kind kind)
{
    const struct region_view *view = NULL;
    enum regions_event_kind got;
    while ((got = regions_next_event(regions, &view)) == REGIONS_NONE) {
        assert_true(readable(regions_fd(regions), 5000));
        regions_serve(regions);
    }
    assert_int_equal(got, kind);
    return view;
}

static inline unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

#endif
