/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the regions module share; nobody else includes it. */
#ifndef YARDER_CONTROL_REGIONS_PRIVATE_H
#define YARDER_CONTROL_REGIONS_PRIVATE_H

#include "control/regions.h"
#include "os/memory.h"
#include "ring/region.h"

enum source_kind { SOURCE_LISTENER, SOURCE_TIMER, SOURCE_HELLO, SOURCE_REGION };

/* What the epoll set points to; first member of whatever owns the descriptor. */
struct source {
    enum source_kind kind;
};

struct hello_wait {
    struct source source;
    int fd; /* -1: free */
    uint64_t deadline_ns;
};

struct region {
    struct region_view view; /* first: regions_after takes it back */
    struct source source;
    struct region *next;
    struct region *pending_next;
    struct os_file_id file;
    uint32_t image; /* as the hello said */
    int watched_fd; /* pidfd, or the socket where there is none; -1: has ended */
    bool owns_watched;
    bool pending;
    bool told;
};

/* A process whose region no worker can read just now. */
struct refused_process {
    uint32_t pid;
    uint64_t until_ns;
};

enum { REFUSED_PROCESSES_MAX = 64 };

struct regions {
    struct refused_process refused[REFUSED_PROCESSES_MAX]; /* the latest */
    uint32_t refused_next;
    int epoll_fd;
    int timer_fd;
    int listener_fd;
    bool accepting;
    uint64_t accept_again_ns; /* 0: now */
    struct source listener_source;
    struct source timer_source;
    struct hello_wait hellos[REGIONS_HELLOS_MAX];
    uint32_t hellos_count;
    struct region *first;
    struct region *last;
    struct region *pending_first;
    struct region *pending_last;
    struct regions_options options;
    struct regions_counts counts;
    enum region_clock clock;
    uint64_t ticks_per_s;
    uint64_t next_id;
};

/* The epoll set. A descriptor leaves it before it is closed: the worker has duplicates of some. */
YARDER_MUST_USE int regions_watch(
    struct regions *regions, int fd, uint32_t events, struct source *source);
void regions_unwatch(struct regions *regions, int fd);
void regions_failed(struct regions *regions, int error);

/* Whether a region of that size may be added for that process. */
bool regions_have_room(const struct regions *regions, uint32_t pid, uint64_t region_bytes);
bool regions_know(const struct regions *regions, const struct os_file_id *file);

/* The process runs this now: what it had before an exec is nobody's any more. */
void regions_new_image(struct regions *regions, uint32_t pid, uint32_t image);

/*
 * Enters a region, without telling anybody yet; both descriptors are taken over. 0 or -errno (then
 * they stay the caller's).
 */
YARDER_MUST_USE int regions_add(struct regions *regions, const struct region_view *view,
    const struct os_file_id *file, struct region **out);
void regions_tell(struct regions *regions, struct region *region); /* makes it an event */
void regions_gone(struct regions *regions, struct region *region);
void regions_remove(struct regions *regions, struct region *region);

/* Answers a hello. *socket_fd and *handed_back (-1: none) are taken when they become a region's. */
void regions_answer(
    struct regions *regions, const struct ring_hello *hello, int *socket_fd, int *handed_back);

#endif
