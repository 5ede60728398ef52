/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's side of the ring: it answers clients on ring.sock, makes each producer process
 * its region, and keeps region, socket and pidfd for as long as records may be in there, whichever
 * worker reads them. Nothing a client sends is trusted and no client is waited for: a hello has a
 * fixed size and one second, and only so many may be unfinished at a time.
 *
 *   accept --hello--> region --NEW--> (worker drains) --process ended--> GONE --regions_done-->
 * free
 *        \--late, wrong, over a limit: answered and closed; the client takes the log socket
 *
 * A socket's end is not a death: programs close all their descriptors and go on logging. A process
 * has ended when its pidfd says so. Where none can be had (another pid namespace before Linux 6.5)
 * the region has pid 0: GONE comes with the socket's end, and the worker says done once it is idle.
 *
 * One thread. Everything that has to be waited for, time limits too, is behind regions_fd.
 */
#ifndef YARDER_CONTROL_REGIONS_H
#define YARDER_CONTROL_REGIONS_H

#include "base/base.h"
#include "ring/hello.h"

enum {
    REGIONS_PER_PROCESS_MAX =
        8, /* one that lost its descriptors attaches again, but not for ever */
    REGIONS_HELLOS_MAX = 64,
    REGIONS_HELLO_MS = 1000,
    REGIONS_REFUSED_MS = 4000, /* a client that was told MEMORY asks again after 5 s */
};

struct regions; /* opaque */

struct regions_options {
    uint64_t ring_bytes;       /* memory of each process; 0: REGION_MEMORY_DEFAULT */
    uint64_t ring_bytes_total; /* of all processes; 0: an eighth of the machine's memory */
};

/* A region as the supervisor knows it. Both descriptors stay ours until regions_done. */
struct region_view {
    uint64_t
        id; /* names it between supervisor and worker; never used twice, also by the next one */
    uint32_t pid; /* 0: its end cannot be seen, or it is in another pid namespace */
    uint32_t uid;
    int region_fd;
    int socket_fd; /* the doorbell: its bytes are the worker's to read, with MSG_DONTWAIT */
    bool gone;
    uint64_t region_bytes;
    char program[RING_PROGRAM_BYTES]; /* what it calls itself: printable, else worth nothing */
};

/* 0 or -errno. */
YARDER_MUST_USE int regions_open(struct regions **out, const struct regions_options *options);
void regions_close(struct regions *regions); /* NULL is fine */

/* New limits after a reload; they hold for clients that come from now on. */
void regions_limit(struct regions *regions, const struct regions_options *options);

/*
 * Accepts on this socket (listening, SEQPACKET, not blocking; borrowed) from now on instead of on
 * the one before; -1: on none. 0 or -errno.
 */
YARDER_MUST_USE int regions_listen(struct regions *regions, int listener_fd);

int regions_fd(const struct regions *regions); /* readable: call regions_serve */
void regions_serve(struct regions *regions);   /* never blocks; a bounded amount of work */

enum regions_event_kind { REGIONS_NONE, REGIONS_NEW, REGIONS_GONE };

/* The oldest event not yet taken, with its region (borrowed until regions_done). */
enum regions_event_kind regions_next_event(struct regions *regions, const struct region_view **out);

/*
 * All regions in the order they came: the one after `view`, from NULL to NULL. What a new worker is
 * told, once all events have been taken.
 */
const struct region_view *regions_after(
    const struct regions *regions, const struct region_view *view);

/*
 * The worker has drained it and forgotten it. 0; -ENOENT: no such region; -EBUSY: its process lives
 * (the number came from a worker: neither is trusted to be right).
 */
YARDER_MUST_USE int regions_done(struct regions *regions, uint64_t id);

/*
 * The worker cannot read it. Its connection is closed, by which its process finds out; for a while
 * it is told MEMORY, and takes the log socket. What lies in the region it hands back later. 0;
 * -ENOENT; -EBUSY: its process has ended, so the region stays here for the next worker.
 */
YARDER_MUST_USE int regions_refuse(struct regions *regions, uint64_t id);

struct regions_counts {
    uint64_t open;           /* regions, with those gone and not yet done */
    uint64_t bytes;          /* their memory, as far as it will be touched */
    uint64_t accepted;       /* ever; handed back ones too */
    uint64_t handed_back;    /* ever */
    uint64_t refused_memory; /* over ring_bytes_total or a limit above, or not readable */
    uint64_t refused_region; /* handed back, and not one of ours or known already */
    uint64_t refused_hello;  /* late, nonsense, another version */
    uint64_t failed;         /* no descriptors or memory left here */
    int failed_error;        /* the last reason, negative errno */
};
struct regions_counts regions_counts(const struct regions *regions);

#endif
