/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor and a worker say to each other: messages of one fixed size over a
 * SOCK_SEQPACKET pair, each with up to three descriptors. Neither side trusts the other's numbers:
 * an index is checked against the configuration before it is used.
 *
 * A worker's life:
 *
 *   supervisor                                     worker
 *     SETTINGS HOLD [OLD_HOLD] LISTENER... PIPE...
 *     FILE... REGION...  PREPARE         ------->   parses, opens, writes nothing
 *                                        <-------   READY   (or leaves with status 2 and an error)
 *     GO                                 ------->   recovers from the commit and enters its loop
 *     REGION REGION_GONE CHILD_ENDED REOPEN ---->
 *                                        <-------   FILE FILE_CLOSED REGION_DONE REGION_REFUSED
 *                                                   RELOAD
 *   reload: a second worker is prepared while the first works on; then
 *     QUIET                              ------->   stops reading, finishes its writes, commits
 *                                        <-------   CONNECTION..., QUIETED
 *     GO to the second with the connections; STOP to the first
 *   end:
 *     STOP (deadline)                    ------->   drains until the deadline, commits, leaves
 */
#ifndef YARDER_WORKER_CHANNEL_H
#define YARDER_WORKER_CHANNEL_H

#include "base/base.h"

enum channel_kind {
    /* supervisor to worker */
    CHANNEL_SETTINGS = 1, /* fd: memfd with the packed settings */
    CHANNEL_HOLD,         /* fd: this worker's hold */
    CHANNEL_OLD_HOLD,     /* fd: the hold of the worker before, for a reload; read when GO comes */
    CHANNEL_OLD_SETTINGS, /* fd: its packed settings, so that outputs are matched by name */
    CHANNEL_LISTENER,     /* index: input; fd: listening or datagram socket */
    CHANNEL_PIPE,    /* index: pipe; number: enum yarder_stream; fds: source, staging read, staging
                        write */
    CHANNEL_SETTLED, /* index: pipe of a source; fd: the page that says how far commits go */
    CHANNEL_FILE,    /* index: queue of the hold; fd: kept descriptor (both ways); text: struct
                        channel_file. number 1: to a worker: of the old hold; from it: whatever else
                        is kept for the queue may go */
    CHANNEL_REGION,  /* number: region id; pid, uid; fds: region, doorbell socket */
    CHANNEL_REGION_GONE, /* number: region id: its process has ended, drain and forget */
    CHANNEL_CHILD_ENDED, /* index: pipe; number: 1 when it will not be started again */
    CHANNEL_CONTROL,     /* fd: the control socket, listening */
    CHANNEL_PREPARE,     /* all of the above was sent */
    CHANNEL_GO,     /* the lease: number 1: with care (quarantine); 2: the daemon's first start; 3:
                       no lease, heir of a worker that died after QUIETED: STOP says what is left */
    CHANNEL_QUIET,  /* stop reading, finish writes, commit, hand connections over */
    CHANNEL_STOP,   /* number: ns to drain in, then leave. After QUIETED: text holds a u64, the
                       outputs (a bit each) that this worker still has to deliver itself */
    CHANNEL_REOPEN, /* reopen every file by its path */
    CHANNEL_ROTATE, /* put every file aside */
    CHANNEL_FENCE,  /* index: output; number 1: a dead worker's lane is still in a call on its file:
                       hands off; 0: free again */
    CHANNEL_BOARD,  /* fd: memfd with struct board (board.h), to read */
    /* worker to supervisor */
    CHANNEL_READY,
    CHANNEL_FILE_CLOSED, /* index: queue of the hold: drop the kept descriptor */
    CHANNEL_REGION_DONE, /* number: region id: drained, its memory may go */
    CHANNEL_RELOAD,      /* the control socket asks for a reload: its outcome stands on the board */
    CHANNEL_CONNECTION,  /* fd: a stream connection; index: input; number: place in the baton of
                            the worker `pid` */
    CHANNEL_BATON,       /* fd: memfd with the connections' unframed bytes; pid: its worker's */
    CHANNEL_QUIETED,     /* number: outputs (a bit each) whose file a call is still under way on */
    CHANNEL_ENDED,       /* everything ended (until_end) and is delivered: the daemon may leave;
                            number 1: nobody reads standard output any more, it leaves at once */
    CHANNEL_REGION_REFUSED, /* number: region id: it cannot be read here; its process is to know */
    /* both ways */
    CHANNEL_ALIVE, /* the question whether the writer still makes its rounds, and the answer */
};

enum { CHANNEL_FDS_MAX = 3, CHANNEL_TEXT_BYTES = 200 };

/* Which file a kept descriptor is, so that nobody has to ask a disk that may hang; ino 0: none of
 * its own (a FIFO, a terminal). */
struct channel_file {
    uint64_t dev, ino;
};

struct channel_message {
    uint32_t kind; /* enum channel_kind */
    uint32_t index;
    uint64_t number;
    uint32_t pid;
    uint32_t uid;
    char text[CHANNEL_TEXT_BYTES]; /* with its NUL */
    int fds[CHANNEL_FDS_MAX];      /* -1: none. Not sent as such: filled in by channel_receive */
};

/*
 * Sends a message; its descriptors are duplicated into the other process and stay the caller's.
 * Waits while the other side is full, at most wait_ms. 0; -EPIPE when the other side has gone;
 * -ETIMEDOUT; -errno.
 */
YARDER_MUST_USE int channel_send(int socket_fd, const struct channel_message *message, int wait_ms);

/*
 * Receives one: 1 with the message (its descriptors now belong to the caller, close-on-exec; none,
 * when this process had no room for all of them: RLIMIT_NOFILE); 0: none there; -EPIPE: the other
 * side has gone; -EBADMSG: not a message of ours. Never blocks.
 */
YARDER_MUST_USE int channel_receive(int socket_fd, struct channel_message *message);

/* A message without descriptors. */
struct channel_message channel_message_of(enum channel_kind kind, uint32_t index, uint64_t number);

/* Closes what a received message still holds. */
void channel_message_drop(struct channel_message *message);

#endif
