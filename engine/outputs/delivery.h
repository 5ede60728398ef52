/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output at work: its encoder, its queues in the hold, its lane. Owned by the writer thread; the
 * calls follow the pass:
 *
 *   output_reap     what the lane has finished becomes true in the private state
 *   output_put      a record is rendered into the queue of its file
 *   output_seal     what is due is sealed
 *   (hold_commit)
 *   output_settle   freed memory may be used again
 *   output_submit   what is sealed goes to the lane
 *
 * One queue is one file; of one that is rotated by time there is one for each period that still
 * gets records. An output whose path has variables has as many as may be open at a time. Of an
 * output with a backend offload.h tells what is different.
 *
 *   slot of a queue:  FREE -> OPENING -> IDLE <-> SEALED -> WRITING -> IDLE
 *                                         IDLE <-> ROTATING
 *                                         IDLE -> CLOSING -> FREE    (variables, or a past period)
 *   after a start:    COMPARING -> IDLE   how much of the sealed batch stands in the file?
 */
#ifndef YARDER_OUTPUTS_DELIVERY_H
#define YARDER_OUTPUTS_DELIVERY_H

#include "codec/chain.h"
#include "outputs/lane.h"
#include "outputs/look.h"
#include "outputs/offload.h"
#include "outputs/output.h"
#include "queue/queue.h"

enum slot_state {
    SLOT_FREE,
    SLOT_CLOSED,
    SLOT_OPENING,
    SLOT_COMPARING,
    SLOT_IDLE,
    SLOT_SEALED,
    SLOT_WRITING,
    SLOT_ROTATING,
    SLOT_CLOSING
};

struct output_slot {
    enum slot_state state;
    struct hold_queue *queue;
    uint32_t queue_index;
    int fd;           /* -1: not open */
    int old_fd;       /* of the file before, until a commit names the new one; -1: none */
    uint64_t due_ns;  /* when its oldest waiting record must be sealed; 0: nothing waits */
    uint64_t late_ns; /* what waits could be in the file since then; 0: nothing waits. See look.h */
    uint64_t retry_ns; /* not before: the last call failed */
    uint64_t backoff_ns;
    bool just_freed; /* free in the private state; the supervisor has yet to hear it, or a commit */
    bool unkept;     /* the supervisor has yet to be given fd: nothing is sealed before */
    bool keeps_more; /* it still has the file before, which no commit names any more */
    struct lane_job job;
    struct lane_job close_job; /* of the file that the path named before */
    bool close_under_way;
    struct rotation_slot turn;
};

/* What the worker does for its outputs. */
struct output_services {
    void *owner;
    /*
     * A descriptor that must outlive this worker, before the commit that names its file. `only`:
     * after that commit; the one of the queue's file before is no longer needed. Neither waits: 0,
     * or -errno when it cannot be said now and is to be said again.
     */
    int (*keep)(void *owner, uint32_t queue, int fd, bool only);
    int (*forget)(void *owner, uint32_t queue);
    /* A line for the operator; an output makes each kind of them once a minute at most. */
    void (*complain)(void *owner, const char *line);
};

/* When a kind of complaint was last made: one in a minute, however many files are concerned. */
struct output_complaint {
    const char *format;
    uint64_t at_ns;
};
enum { OUTPUT_COMPLAINTS = 8 };

struct output {
    const struct output_config *config;
    uint32_t index;
    struct hold *hold;
    struct hold_output *counts;
    struct encoder *encoder;
    struct chain *chains[2]; /* of logs and of requests; NULL: none */
    struct path_template *path;
    bool path_is_constant;
    bool one_file;             /* a constant path, and not rotated by time */
    struct rotation *rotation; /* of a file, else NULL */
    bool timed;                /* rotated by time */
    bool periods;              /* it is, or was: there may be files of past ones */
    uint64_t size_limit;       /* of a file; 0: none */
    bool plain;                /* the preset text: copied without asking the encoder */
    bool packs;                /* a backend's: records are queued as they are */
    struct output_offload offload;
    struct queue_pool pool;
    struct lane *lane; /* NULL: null output */
    const struct output_services *services;
    struct output_slot *slots;
    uint32_t slots_count;
    uint32_t last_slot;   /* of the record before: most records go where that went */
    struct queue_run run; /* between output_run_begin and its end */
    bool run_drops;       /* that one is dropped instead: its queue is full */
    uint32_t under_way;   /* jobs in the lane */
    uint64_t blocked_ns;  /* since when nothing moves while the queue is full; 0: it is not */
    uint64_t block_limit_ns;
    const bool *waiting_hurts; /* NULL: it waits whatever that costs others */
    uint64_t spent_ns;         /* of block_limit_ns, as of spent_at_ns: only with waiting_hurts */
    uint64_t spent_at_ns;
    struct output_complaint complaints[OUTPUT_COMPLAINTS];
    struct output_told told;
    bool no_path;     /* the last record's path could not be made */
    bool slot_wanted; /* a record found all slots taken */
    bool gone;        /* stdio: nobody reads it any more, nor ever will */
    bool fenced;      /* a lane of a dead worker is still in a call on its file: hands off */
    bool truncate;    /* empty the file at the next open: the daemon's first */
    char *scratch;    /* a record too long for a buffer is rendered here */
    size_t scratch_bytes;
};

struct output_open_options {
    const struct output_config *config;
    uint32_t index;
    struct hold *hold;
    const char *host, *state_dir;
    int event_fd;
    const uint32_t *writer_sleeps;
    const struct output_services *services;
    uint64_t block_limit_ns;   /* resolved default */
    const bool *waiting_hurts; /* AUTO: set while records are lost by waiting; else NULL */
    bool first_start;          /* of the daemon: truncate= holds */
    struct sweeper *sweeper;   /* NULL: there is none */
};

/* Allocates all it will ever need; starts the lane; touches no file. 0, -errno with `why`. */
YARDER_MUST_USE int output_open(
    struct output *output, const struct output_open_options *options, char *why, size_t why_bytes);
/* Waits for the lane up to wait_ns. 0 or -ETIMEDOUT: it is stuck. */
int output_close(struct output *output, uint64_t wait_ns);

/*
 * Takes up a queue that the loaded commit names, with the descriptor kept for it (-1: none). The
 * descriptor is the output's from now on.
 */
void output_resume_queue(struct output *output, uint32_t queue, int fd);

/* After the queues were resumed: a file with a constant path is opened now, records or not. */
void output_start(struct output *output, uint64_t now_ns);

/*
 * Whether this record must wait: its queue is full and the policy blocks, or the oldest records
 * were dropped and their memory comes free with the next commit, or a file must be closed first.
 */
bool output_blocks(struct output *output, const struct yarder_record *record, uint64_t now_ns);

/* Takes the record, `copies` times, or drops and counts it by policy. */
void output_put(
    struct output *output, const struct yarder_record *record, uint32_t copies, uint64_t now_ns);

/*
 * The common case of both, for records in a row that all go to this output, once each: begin
 * renders as many of them, from the first, as find room at once in one buffer, and answers how
 * many (all of them if they are to be dropped); end takes the first `count` of these. In between
 * nothing else is put here. What begin did not take is asked for again: 0 means that the first of
 * them goes the way above, whether because of a full queue, its length or its file.
 *
 * So records with the same outputs go together: begin for each of the outputs with the count of the
 * one before, end for each with the last count. What was rendered and not taken is forgotten.
 */
YARDER_MUST_USE uint32_t output_run_begin(
    struct output *output, const struct yarder_record *records, uint32_t count, uint64_t now_ns);
void output_run_end(struct output *output, uint32_t count, uint64_t now_ns);

/* Whether the lane had answered anything: then the private state has changed. */
bool output_reap(struct output *output, uint64_t now_ns);
/* `drain`: everything that waits is due now. Returns whether there is something to commit. */
bool output_seal(struct output *output, uint64_t now_ns, bool drain);
void output_settle(struct output *output);
void output_submit(struct output *output, uint64_t now_ns);

/* Every file follows its path: at once, or at the next write if one is due (USR1). */
void output_reopen(struct output *output);

/* Any thread: every file is put aside; the writer is to be woken. */
void output_ask_rotate(struct output *output);

/* When it wants to be called again; UINT64_MAX: when something happens. */
uint64_t output_deadline_ns(const struct output *output);

/* Any thread, until output_close. */
void output_look_at(const struct output *output, struct output_look *out);

bool output_is_idle(const struct output *output); /* nothing waits, the lane has nothing to do */

#endif
