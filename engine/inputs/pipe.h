/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pipes: standard input, the two streams of an exec child, and what a source writes (packed.h). A
 * pipe gives its bytes away when it is read, so a worker that is killed right after the read would
 * lose them. Hence this way:
 *
 *   source ==splice==> staging pipe --read--> half of the hold --frame--> records
 *
 * and one word in the hold, outside the commits, with single stores:
 *
 *   live = {half, end, pending}    (h, e, 0)  -- splice moved k bytes -->  (h, e, k)
 *                                  (h, e, k)  -- read took them       -->  (h, e + k, 0)
 *
 * After a kill the kernel itself says what is left in the staging pipe (FIONREAD: r bytes; only we
 * write there): pending 0 means the half is whole up to e, and r bytes wait; pending k means that
 * k - r of them have arrived behind e. Nothing is lost, nothing is taken twice.
 *
 * What is taken stays in a half until its records are committed: `start` moves with the commit.
 * When a half is full, the rest is copied to the other one, right after a commit, so that what the
 * stored commit names is never overwritten.
 *
 * A source that cannot be spliced (a terminal) is read directly; a kill can lose what was read.
 */
#ifndef YARDER_INPUTS_PIPE_H
#define YARDER_INPUTS_PIPE_H

#include "inputs/packed.h"
#include "io/io.h"

enum {
    PIPE_INTAKE_BYTES = 256 << 10,
    /* A half's memory suffices for the longest record there can be, so that what waits in one fits
     * the next hold whatever record-max says there. Only pipe_half_bytes of it are used. */
    PIPE_HALF_BYTES = 2 * YARDER_RECORD_BYTES_MAX + 2 * PIPE_INTAKE_BYTES
};

struct pipe_input {
    struct io_source source; /* READY on the source's descriptor */
    struct input *input;
    struct hold_pipe *place; /* in the private state */
    struct hold *hold;
    uint32_t index;
    int staging_read, staging_write;
    enum yarder_stream stream;
    struct framer framer;       /* used without its carry */
    struct framer framer_saved; /* as it was before the batch */
    uint32_t start_saved;
    uint64_t reached_saved;
    uint32_t half_bytes; /* how far a half is filled */
    uint64_t little_ns;  /* for the owner's use: when it last gave little */
    uint64_t *settled;   /* a source's page: how far the last commit goes; NULL: nobody asks */
    bool packed;         /* of a source */
    bool direct;         /* cannot be spliced */
    bool hungry;         /* the source may have something that was not taken yet */
    bool unframed;       /* bytes of the half were not looked at yet */
    bool at_end;         /* the source has ended, or its last child has, and is empty */
    bool child_ended;
    bool child_final; /* it will not be started again */
    bool finished;    /* ended and everything placed */
};

/* How much of a half is used for records of this size. */
uint32_t pipe_half_bytes(uint64_t record_bytes_max);

/*
 * What the worker before had taken beyond its last commit becomes part of the private state: all of
 * it stands in the half, from the place's start to its end. Doing it again changes nothing.
 */
void pipe_recover(struct hold *hold, uint32_t index, int staging_read);

/* The live word of a pipe whose half 0 was filled up to `end` by hand (a reload). */
void pipe_live_reset(struct hold *hold, uint32_t index, uint32_t end);

/* Takes the place up from the loaded commit, with what the live word says beyond it. */
void pipe_open(struct pipe_input *pipe, struct input *input, struct hold *hold, uint32_t index,
    enum yarder_stream stream, const int fds[3]);
/* The page in which a source reads how far the last commit goes. Mapped for good. */
void pipe_settle_in(struct pipe_input *pipe, int page_fd);
/* Right after a commit. */
static inline void pipe_settle(struct pipe_input *pipe)
{
    if (pipe->settled != NULL) {
        /* release: pairs with the acquire in offload/source.c */
        __atomic_store_n(pipe->settled, pipe->place->reached, __ATOMIC_RELEASE);
    }
}

/*
 * Right after a commit, before anything is taken: makes room in the halves. True when it did: then
 * a commit has to come before the next turn, which writes to the half that is named until then.
 */
bool pipe_turn(struct pipe_input *pipe);

/*
 * Moves what there is: bytes taken, or 0: none now, or (still hungry) no room. The end sets at_end.
 * -errno: it is broken.
 */
YARDER_MUST_USE int pipe_intake(struct pipe_input *pipe);

/* Adds whole records to the batch. Returns how many. */
uint32_t pipe_frame(struct pipe_input *pipe, struct batch *batch);

/* Only the first `placed` records of the last pipe_frame were taken: the rest comes again. */
void pipe_rewind(struct pipe_input *pipe, uint32_t placed);

/* The child has ended: its unfinished line is a record once the pipe is empty. `final`: for good.
 */
void pipe_child_ended(struct pipe_input *pipe, bool final);

/*
 * The unfinished line at the end, into the batch: 1 or 0. Once it is placed (or there was none):
 * pipe_finish_placed; else pipe_rewind.
 */
uint32_t pipe_finish(struct pipe_input *pipe, struct batch *batch);
void pipe_finish_placed(struct pipe_input *pipe);

#endif
