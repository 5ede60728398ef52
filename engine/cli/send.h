/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `yarder send`: records by the ring (libyarder), or by a socket as other programs would send them.
 *
 *   send.c   the options, and what they come to: a plan
 *   load.c   senders (processes, threads), each at its pace
 *   road.c   how one record travels
 */
#ifndef YARDER_CLI_SEND_H
#define YARDER_CLI_SEND_H

#include <signal.h>

#include "api/yarder.h"
#include "base/base.h"

enum send_way { SEND_RING, SEND_UNIX, SEND_UDP, SEND_TCP };

enum {
    SEND_FLUSH_MS = 10000,
    SEND_BLOCK_MS = 10000, /* --block: a daemon that takes nothing for so long is given up */
    SEND_SENDERS_MAX = 256,
};

struct send_plan {
    enum send_way way;
    const char *address; /* of a socket: path or host:port */
    const char *run_dir; /* NULL: the user's own */
    bool block;
    bool trains; /* UDP: datagrams of one size by one call, where the kernel can */

    struct yarder_message message; /* everything but the text */
    const char *tag;
    bool syslog_head; /* sockets: <PRI>TAG[PID]: before the text */

    bool read_lines;      /* of standard input; else: */
    const char *text;     /* sent again and again; or NULL: */
    const char *sequence; /* source of audited records, or NULL: padding alone */
    uint64_t size_bytes;
    uint64_t count; /* of each sender; 0: until a signal ends it */
    uint64_t rate;  /* records a second of each sender; 0: as fast as it goes */
    uint32_t processes;
    uint32_t threads;
};

struct send_tally {
    uint64_t sent;
    uint64_t bytes;
    uint64_t lost;
    uint64_t filtered; /* the daemon wants no records of this level */
    int64_t end_ns;    /* monotonic, when the last one was handed over */
    int error;         /* -errno that ended it, or 0 */
    bool unflushed;    /* the daemon had not taken all within SEND_FLUSH_MS */
};

/* Set by the signals that end a load early. */
extern volatile sig_atomic_t send_stopped;

/* Sends all of the plan; *tally is the sum. 0, or -errno when it could not begin. */
YARDER_MUST_USE int send_load(const struct send_plan *plan, struct send_tally *tally);

/* One sender's road. */
struct send_road {
    const struct send_plan *plan;
    int fd; /* of a socket; -1: the ring */
    bool stream;
    bool trains;
    char *out; /* a stream's bytes on their way, or a train's */
    size_t out_bytes;
    size_t segment_bytes; /* of a train's datagrams, but the last may be shorter */
    uint32_t segments;
    struct send_tally *tally; /* of who filled the train */
    char head[128];           /* of syslog */
    size_t head_bytes;
};

/* 0, or -errno. Of the ring: as yarder_attach says. */
YARDER_MUST_USE int road_open(struct send_road *road, const struct send_plan *plan);
/* Sends what waits, and closes. 0, or -errno. */
YARDER_MUST_USE int road_close(struct send_road *road);
/* One record: counted in the tally. 0, or -errno when the road is broken. */
YARDER_MUST_USE int road_put(
    struct send_road *road, const char *text, size_t text_bytes, struct send_tally *tally);
/* Sends what waits in a buffer of ours. 0 or -errno. */
YARDER_MUST_USE int road_flush(struct send_road *road);

#endif
