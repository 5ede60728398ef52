/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker: one writer thread that takes records from every input, routes them, renders them
 * into the queues of the hold, commits, and lets the lanes write. Private to room worker.
 *
 *   setup.c    messages up to GO, recovery from the commit
 *   loop.c     wait, pass, sleep       pass.c     reap, collect, seal, commit, publish, submit
 *   collect.c  rings and pipes      feed.c  connections and datagrams      accept.c  new ones
 *   sink.c     route and put           alarm.c    what is done besides when a record matches
 *   lines.c    several as one record   say.c      words for the operator, by a thread
 *   talk.c     messages of the supervisor while at work    handover.c old and new at a reload
 *   status.c   the control thread      tap.c      records for whoever looks
 */
#ifndef YARDER_WORKER_WORKER_PRIVATE_H
#define YARDER_WORKER_WORKER_PRIVATE_H

#include "inputs/pipe.h"
#include "inputs/pipe_index.h"
#include "inputs/ring_input.h"
#include "inputs/stream.h"
#include "outputs/delivery.h"
#include "worker/board.h"
#include "worker/channel.h"
#include "worker/config.h"
#include "worker/say.h"
#include "worker/tap.h"
#include "worker/worker.h"

/* What an io_source of the worker belongs to. */
enum source_owner {
    SOURCE_CHANNEL,
    SOURCE_LANES,
    SOURCE_LISTENER,
    SOURCE_STREAM,
    SOURCE_DATAGRAM,
    SOURCE_PIPE,
    SOURCE_DOORBELL
};

struct listener_input {
    struct io_source source;
    struct input *input;
    uint32_t connections;
    uint64_t refused_said_ns, failed_said_ns; /* when the operator was told last; 0: never */
};

/* The router and the outputs behind it. */
struct sink {
    struct router *router;
    struct alarms *alarms;  /* NULL: none are configured */
    struct output *outputs; /* YARDER_OUTPUTS_MAX */
    uint32_t outputs_count;
    uint64_t blocking;  /* outputs that may ask a record to wait */
    bool room_comes;    /* the one that waits does so for nothing but the commit */
    bool spares;        /* some output waits only while waiting_hurts is not set */
    bool waiting_hurts; /* inputs that cannot wait are about to lose records */
    struct hold *hold;
    struct input *inputs;
    struct taps *taps;
    struct sweeper *sweeper; /* NULL: no output needs one, or it could not be had */
    struct route_verdict verdicts[YARDER_BATCH_RECORDS];
    int64_t budget_bytes;   /* of the kind of inputs being collected, in this pass */
    const char *crash_text; /* tests: a record with this text is our bug */
};

/* Kinds of inputs take turns: one that had to wait and got nothing goes first in the next pass. */
enum collect_turn { TURN_RINGS, TURN_PIPES, TURN_SOCKETS, TURNS };

/* A chunk on its way through framing: records of it may wait for room. */
struct feed {
    struct io_source *source; /* NULL: nothing under way */
    struct io_chunk chunk;
    uint32_t at;     /* bytes framed */
    uint32_t placed; /* records of the batch that were placed */
    bool ended;      /* the connection is to be closed when all is placed */
};

enum worker_phase {
    WORKER_PREPARING, /* messages up to GO */
    WORKER_RUNNING,
    WORKER_QUIETING, /* a reload: no more reading, writes finish */
    WORKER_QUIET,    /* handed over: the other one has the lease */
    WORKER_STOPPING, /* draining until stop_ns */
};

/* After three crashes in the same pass: one record at a time, so that the killer is known. */
struct careful {
    bool on;
    bool set_aside;   /* the first record of `input` is the suspect: to quarantine with it */
    uint64_t suspect; /* see hold_header.suspect_input */
    uint32_t left;    /* records still to be taken one by one */
};

struct worker {
    const struct daemon_config *config;
    struct hold *hold;
    struct io *io;
    struct sink sink;
    struct output outputs[YARDER_OUTPUTS_MAX];
    struct input inputs[YARDER_INPUTS_MAX];
    struct listener_input listeners[YARDER_INPUTS_MAX]; /* by input; fd -1: none */
    struct datagram_input datagrams[YARDER_INPUTS_MAX];
    bool deaf[YARDER_INPUTS_MAX]; /* its socket could not be had at the start; fixed at setup */
    struct pipe_input pipes[YARDER_PIPES_MAX];
    bool pipe_is_open[YARDER_PIPES_MAX];
    struct stream_input *streams;
    struct ring_input *rings;   /* the first is asked first */
    struct ring_input *retired; /* drained for good: their regions go back after a commit */
    enum collect_turn turn;
    uint32_t first_pipe; /* asked first */
    struct ring_clock clock;
    struct ring_take *take;
    struct batch *batch;
    struct feed feed;
    struct careful careful;

    int channel_fd;
    int hold_fd;
    struct io_source channel_source;
    struct io_source lanes_source; /* the eventfd that lanes write to */
    uint32_t sleeps;               /* lanes look here before they write to it */
    struct output_services services;
    const struct board *board;
    struct status *status; /* the control thread */
    struct taps taps;
    struct lines *lines; /* of several lines; NULL: no input has such records */
    struct say *say;

    enum worker_phase phase;
    uint64_t stop_ns;      /* monotonic: leave then, delivered or not */
    uint64_t stop_outputs; /* outputs still to be delivered in QUIET */
    uint64_t now_ns;       /* monotonic, once a pass */
    uint64_t active_ns;    /* when something was last taken */
    bool more;             /* an input has more to take right away */
    bool blocked;          /* a record waits for room: nothing else is taken */
    bool pipes_call;       /* one has something, and their turn has not come since */
    bool left_some;        /* records were left where they lie until a lane has caught up */
    bool dirty;            /* the private state differs from the stored commit */
    bool wait_for_first;   /* a unix datagram socket with a short queue: never wait for several */
    bool ended_told;
    uint32_t quiet_passes;
    uint64_t room_pause_ns; /* of the next wait for room */
    uint64_t rest_ns;       /* sockets that failed are tried again then; 0: none has */
    uint64_t idle_look_ns;  /* connections are looked at for idle-timeout then */
    int spare_fd;           /* given up for a moment to accept, and refuse, with */
    uint64_t last_call_ns;  /* half of the time for draining: then no more is taken */
    bool last_call;         /* STOP came: what is already there is taken */
    bool orphaned;          /* the supervisor has gone */
    bool first_start;
};

/* setup.c */
YARDER_MUST_USE int worker_setup(struct worker *worker, const struct worker_options *options);
YARDER_MUST_USE int worker_add_region(struct worker *worker, struct channel_message *message);
YARDER_MUST_USE int worker_add_stream(
    struct worker *worker, uint32_t input, int fd, struct stream_input **out);
void worker_drop_stream(struct worker *worker, struct stream_input *stream);

/* loop.c; worker_say: a line for the operator, see say.h */
YARDER_MUST_USE int worker_loop(struct worker *worker);
void worker_complain(void *worker, const char *line);
void worker_say(struct worker *worker, const char *format, ...) YARDER_PRINTF(2, 3);

/* pass.c */
void worker_pass(struct worker *worker);
void worker_commit(struct worker *worker);
bool worker_delivered(const struct worker *worker, uint64_t outputs);
void collect(struct worker *worker);
YARDER_MUST_USE bool collect_unfinished(struct worker *worker);
/* feed.c; false: a record must wait. feed_flush: what is under way. */
bool feed_flush(struct worker *worker);
bool feed_leftovers(struct worker *worker); /* sources are paused: what they gave is taken */
bool feed_sources(struct worker *worker);

/* sink.c: places records in turn: how many; fewer than count when one must wait. */
int sink_open(struct sink *sink, struct worker *worker, char *why, size_t why_bytes);
uint32_t sink_place(
    struct sink *sink, const struct yarder_record *records, uint32_t count, uint64_t now_ns);
/* A record of our own, between two batches: it waits for no room, and raises no alarm. */
void sink_add(struct sink *sink, const struct yarder_record *record, uint64_t now_ns);
/* Whether a lane that works well does not keep up just now. */
bool sink_is_behind(const struct sink *sink);

/* talk.c */
void worker_stop_reading(struct worker *worker, bool keep_streams);
void worker_listen(struct worker *worker);
void worker_take_region(struct worker *worker, struct channel_message *message);
int worker_keep_file(void *worker, uint32_t queue, int fd, bool only);
int worker_forget_file(void *worker, uint32_t queue);
bool sweeper_end(struct worker *worker); /* handover.c; whether it has left */
void handover_give(struct worker *worker, uint64_t busy);

/* quarantine.c; careful_before: 0: there was none after all */
uint32_t careful_limit(const struct worker *worker, uint32_t records);
void careful_before(struct worker *worker, uint64_t suspect);
bool careful_is_killer(struct worker *worker, uint64_t suspect, const struct yarder_record *record);
void careful_after_commit(struct worker *worker);
void careful_begin(struct worker *worker);

#endif
