/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two tables: connections whose hello is not there yet (few, each with a deadline) and regions (a
 * list in the order they came). A region's events wait in a list of their own until they are asked
 * for. A descriptor leaves the epoll set before it is closed: the worker has duplicates of some,
 * and a closed one that lives on elsewhere would go on reporting.
 */
#include "control/regions.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "control/regions_private.h"
#include "ring/clock.h"

enum {
    SERVE_EVENTS_MAX = 64,
    SERVE_ACCEPTS_MAX = 16,
    ACCEPT_PAUSE_MS = 100, /* after an accept that failed for want of descriptors or memory */
    MEMORY_SHARE = 8,      /* default of ring_bytes_total: this part of the machine's memory */
};

static const uint64_t ms_ns = 1000000;

static uint64_t now(void)
{
    return (uint64_t)os_monotonic_ns();
}

int regions_watch(struct regions *regions, int fd, uint32_t events, struct source *source)
{
    struct epoll_event event = {.events = events, .data.ptr = source};
    return epoll_ctl(regions->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void regions_unwatch(struct regions *regions, int fd)
{
    (void)epoll_ctl(regions->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* fails when it is not in there */
}

void regions_failed(struct regions *regions, int error)
{
    regions->counts.failed++;
    regions->counts.failed_error = error;
}

void regions_limit(struct regions *regions, const struct regions_options *options)
{
    regions->options = *options;
    if (regions->options.ring_bytes == 0) {
        regions->options.ring_bytes = REGION_MEMORY_DEFAULT;
    }
    if (regions->options.ring_bytes_total == 0) {
        uint64_t pages = (uint64_t)yarder_max(0, (uint64_t)sysconf(_SC_PHYS_PAGES));
        regions->options.ring_bytes_total = pages * (uint64_t)sysconf(_SC_PAGESIZE) / MEMORY_SHARE;
    }
}

static int open_fds(struct regions *regions)
{
    regions->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (regions->epoll_fd < 0) {
        return -errno;
    }
    regions->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (regions->timer_fd < 0) {
        return -errno;
    }
    return regions_watch(regions, regions->timer_fd, EPOLLIN, &regions->timer_source);
}

int regions_open(struct regions **out, const struct regions_options *options)
{
    struct regions *regions = calloc(1, sizeof(*regions));
    if (regions == NULL) {
        return -ENOMEM;
    }
    regions->epoll_fd = -1;
    regions->timer_fd = -1;
    regions->listener_fd = -1;
    regions->listener_source.kind = SOURCE_LISTENER;
    regions->timer_source.kind = SOURCE_TIMER;
    for (uint32_t i = 0; i < REGIONS_HELLOS_MAX; i++) {
        regions->hellos[i] = (struct hello_wait){.source.kind = SOURCE_HELLO, .fd = -1};
    }
    regions_limit(regions, options);
    /* From the time of day, so that no id of an earlier supervisor comes again. */
    regions->next_id = (uint64_t)os_realtime_ns();
    regions->clock = ring_clock_choice();
    struct ring_clock clock;
    ring_clock_open(&clock);
    regions->ticks_per_s = clock.ticks_per_s;
    int opened = open_fds(regions);
    if (opened < 0) {
        regions_close(regions);
        return opened;
    }
    *out = regions;
    return 0;
}

void regions_close(struct regions *regions)
{
    if (regions == NULL) {
        return;
    }
    while (regions->first != NULL) {
        regions_remove(regions, regions->first);
    }
    for (uint32_t i = 0; i < REGIONS_HELLOS_MAX; i++) {
        yarder_fd_drop(&regions->hellos[i].fd);
    }
    yarder_fd_drop(&regions->timer_fd);
    yarder_fd_drop(&regions->epoll_fd);
    free(regions);
}

int regions_fd(const struct regions *regions)
{
    return regions->epoll_fd;
}

struct regions_counts regions_counts(const struct regions *regions)
{
    return regions->counts;
}

/* One shot at the nearest deadline of a hello or of a paused listener; none: off. */
static void set_timer(struct regions *regions)
{
    uint64_t nearest_ns = regions->accept_again_ns == 0 ? UINT64_MAX : regions->accept_again_ns;
    for (uint32_t i = 0; i < REGIONS_HELLOS_MAX; i++) {
        if (regions->hellos[i].fd >= 0) {
            nearest_ns = yarder_min(nearest_ns, regions->hellos[i].deadline_ns);
        }
    }
    struct itimerspec at = {0};
    if (nearest_ns != UINT64_MAX) {
        at.it_value.tv_sec = (time_t)(nearest_ns / 1000000000);
        at.it_value.tv_nsec = (long)(nearest_ns % 1000000000);
    }
    (void)timerfd_settime(regions->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Whether the listener is in the epoll set follows from what there is room for. */
static void set_accepting(struct regions *regions)
{
    bool wanted = regions->listener_fd >= 0 && regions->accept_again_ns == 0 &&
                  regions->hellos_count < REGIONS_HELLOS_MAX;
    if (wanted && !regions->accepting) {
        regions->accepting =
            regions_watch(regions, regions->listener_fd, EPOLLIN, &regions->listener_source) == 0;
    } else if (!wanted && regions->accepting) {
        regions_unwatch(regions, regions->listener_fd);
        regions->accepting = false;
    }
}

int regions_listen(struct regions *regions, int listener_fd)
{
    if (regions->listener_fd >= 0) {
        regions_unwatch(regions, regions->listener_fd);
    }
    regions->accepting = false;
    regions->listener_fd = listener_fd;
    set_accepting(regions);
    return listener_fd < 0 || regions->accepting || regions->hellos_count == REGIONS_HELLOS_MAX ||
                   regions->accept_again_ns != 0
               ? 0
               : -EINVAL;
}

/* The connection leaves the table of those without a hello; it is the caller's. */
static int hello_end(struct regions *regions, struct hello_wait *hello)
{
    regions_unwatch(regions, hello->fd);
    regions->hellos_count--;
    return yarder_fd_take(&hello->fd);
}

static int hello_begin(struct regions *regions, int fd)
{
    struct hello_wait *hello = regions->hellos;
    while (hello->fd >= 0) {
        hello++;
    }
    YARDER_ASSERT(hello < regions->hellos + REGIONS_HELLOS_MAX);
    int watched = regions_watch(regions, fd, EPOLLIN, &hello->source);
    if (watched < 0) {
        (void)close(fd);
        return watched;
    }
    hello->fd = fd;
    hello->deadline_ns = now() + REGIONS_HELLO_MS * ms_ns;
    regions->hellos_count++;
    return 0;
}

static void accept_some(struct regions *regions)
{
    for (int i = 0; i < SERVE_ACCEPTS_MAX && regions->hellos_count < REGIONS_HELLOS_MAX; i++) {
        int fd = accept4(regions->listener_fd, NULL, NULL, SOCK_CLOEXEC);
        int result = fd < 0 ? -errno : hello_begin(regions, fd);
        if (result == -EAGAIN) {
            return;
        }
        if (result < 0 && result != -ECONNABORTED && result != -EINTR) {
            regions_failed(regions, result);
            regions->accept_again_ns = now() + ACCEPT_PAUSE_MS * ms_ns;
            return;
        }
    }
}

static void serve_hello(struct regions *regions, struct hello_wait *hello)
{
    struct ring_hello said;
    YARDER_OWN_FD int handed_back = -1;
    int result = hello_read(hello->fd, &said, &handed_back);
    if (result == -EAGAIN || result == -EINTR) {
        return;
    }
    YARDER_OWN_FD int fd = hello_end(regions, hello);
    if (result == 0) {
        regions_answer(regions, &said, &fd, &handed_back);
    } else if (result == -EMFILE || result == -ENFILE) {
        regions_failed(regions, result);
    } else {
        regions->counts.refused_hello++;
    }
}

static void serve_timer(struct regions *regions)
{
    uint64_t times;
    (void)!read(regions->timer_fd, &times, sizeof(times));
    uint64_t now_ns = now();
    if (regions->accept_again_ns <= now_ns) {
        regions->accept_again_ns = 0;
    }
    for (uint32_t i = 0; i < REGIONS_HELLOS_MAX; i++) {
        struct hello_wait *hello = &regions->hellos[i];
        if (hello->fd >= 0 && hello->deadline_ns <= now_ns) {
            (void)close(hello_end(regions, hello));
            regions->counts.refused_hello++;
        }
    }
}

void regions_serve(struct regions *regions)
{
    struct epoll_event events[SERVE_EVENTS_MAX];
    int count = epoll_wait(regions->epoll_fd, events, SERVE_EVENTS_MAX, 0);
    bool timer = false;
    for (int i = 0; i < count; i++) {
        struct source *source = events[i].data.ptr;
        switch (source->kind) {
        case SOURCE_LISTENER:
            accept_some(regions);
            break;
        case SOURCE_TIMER:
            timer = true; /* last: it ends hellos that may stand in this list */
            break;
        case SOURCE_HELLO:
            serve_hello(regions, (struct hello_wait *)(void *)source);
            break;
        case SOURCE_REGION:
            regions_gone(regions,
                (struct region *)(void *)((char *)source - offsetof(struct region, source)));
            break;
        }
    }
    if (timer) {
        serve_timer(regions);
    }
    set_accepting(regions);
    set_timer(regions);
}
