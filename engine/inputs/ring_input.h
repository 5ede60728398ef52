/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring input: one region for each producer process. The reader's cursors move as records are
 * taken; the commit stores them; only then are they published to the producers. What could not be
 * placed is taken again: the cursors go back to the first record that was not.
 */
#ifndef YARDER_INPUTS_RING_INPUT_H
#define YARDER_INPUTS_RING_INPUT_H

#include "inputs/join.h"
#include "io/io.h"

struct ring_input {
    struct io_source doorbell; /* READY on the client's socket */
    struct input *input;
    struct hold *hold;
    struct region_reader *reader;
    uint64_t id;   /* the supervisor's number of the region */
    uint32_t slot; /* of the hold */
    uint32_t pid;
    char program[64];       /* what the process calls itself */
    struct yarder_text tag; /* that, or the input's */
    bool doorbell_ended;    /* the client closed its socket: not the process's end */
    bool gone;              /* its process has ended: drain, then forget */
    bool dead;              /* the producer scribbled too much: nothing more is read */
    uint64_t refused;       /* by this reader, as counted into the input */
    bool taken;             /* cursors moved in this pass: publish after the commit */
    struct ring_input *next;
};

/* Everything a take needs, once for the writer. */
struct ring_take {
    struct ring_record records[YARDER_BATCH_RECORDS];
    char scratch[256 << 10];
    bool verbatim;       /* in: these two as in struct ring_batch */
    uint64_t work_bytes; /* out */
};

/* The process behind a region; the descriptors go over to ring_input_open. */
struct ring_process {
    uint64_t id; /* the supervisor's number of the region */
    uint32_t pid;
    const char *program; /* "" or NULL: the input's tag holds */
    int region_fd;       /* closed there */
    int doorbell_fd;
};

/*
 * Maps the region and finds its place in the hold's state by id, or takes a free one. 0; -ENOSPC:
 * no place in the hold; -errno.
 */
YARDER_MUST_USE int ring_input_open(struct ring_input **out, struct input *input, struct hold *hold,
    const struct ring_process *process);
/* Removed from the loop, and stored, before. `forget` also gives its place in the hold back. */
void ring_input_close(struct ring_input *ring, bool forget);

/* Empties the doorbell. */
void ring_input_answer(struct ring_input *ring);

/*
 * Fills take->records: how many. *more: there is more to take now. A region that turns out to be
 * scribbled over becomes dead: 0.
 */
uint32_t ring_input_take(struct ring_input *ring, const struct ring_clock *clock,
    struct ring_take *take, uint32_t records_max, bool *more);

/* Records [placed, count) were not taken: each ring goes back to its first of them. */
void ring_input_rewind(
    struct ring_input *ring, const struct ring_take *take, uint32_t placed, uint32_t count);

/* Before a commit: cursors, losses and what was refused into the private state. After it: publish.
 */
void ring_input_store(struct ring_input *ring);
void ring_input_publish(struct ring_input *ring);

#endif
