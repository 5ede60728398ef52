/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lane of an output with a queue on disk. Its thread stores packed records in the spool, and
 * the *carrier*, a thread of its own, reads them there and carries them to the backend.
 *
 *   writer --job--> lane --append--> spool --read--> carrier --submit--> backend
 *     ^  ^------- stored up to -------'                 |
 *     |                  release: a stored commit has booked it
 *     '---------------- totals, failures ---------------'
 *
 * OPEN takes the spool (its lock is another process's until that has left it: locked_elsewhere),
 * WRITE is one append: DONE with `written` bytes stored, `stored_end` where they end. The backend
 * is opened by the carrier. While the lane is wanted back (a reload) the carrier ends its try and
 * closes the spool for the worker that comes; a WRITE then fails with -ESTALE: OPEN it again.
 *
 * Records are answered in the spool's own ack file, whatever becomes of this process. The writer
 * reads the totals from there and books what they have grown by.
 */
#ifndef YARDER_OUTPUTS_LANE_SPOOL_H
#define YARDER_OUTPUTS_LANE_SPOOL_H

#include "outputs/lane.h"
#include "outputs/look.h"
#include "queue/spool.h"

struct lane_spool;
extern const struct lane_ops lane_spool_ops;

/* `host`: this machine's name. What both pointers lead to outlives it. */
struct lane_spool_options {
    const struct output_config *config;
    const char *host, *state_dir;
    uint32_t index;
    int event_fd;
    const uint32_t *writer_sleeps;
};

/* Allocates and starts the carrier, which waits for an OPEN. 0, or -errno with `why`. */
YARDER_MUST_USE int lane_spool_open(
    struct lane_spool **out, const struct lane_spool_options *options, char *why, size_t why_bytes);
/* After the lane; NULL is none. */
void lane_spool_close(struct lane_spool *lane);

/* The writer's; none of them waits. */

/* After an OPEN was answered with DONE: how the spool was found. */
const struct spool_look *lane_spool_found(const struct lane_spool *lane);
/* A stored commit has booked what is stored before this place. */
void lane_spool_release(struct lane_spool *lane, spool_place place);
/* The daemon ends: what waits before the spool is stored, though it is full. */
void lane_spool_hurry(struct lane_spool *lane);
void lane_spool_totals(const struct lane_spool *lane, struct spool_totals *out);

/* What the carrier has met since it was asked last. */
enum { LANE_SPOOL_LINES = 4 };
struct lane_spool_news {
    uint32_t failures;
    const char *call; /* of the last one */
    int error;
    char text[OUTPUT_FAILURE_BYTES];
    char refusal[OUTPUT_FAILURE_BYTES]; /* why the last refused record was; "": none was */
    bool again;                         /* after failures, something went */
    char note[OUTPUT_FAILURE_BYTES];    /* what failed though all is settled; "": nothing */
    uint32_t spool_lines;               /* that the spool had to tell; the first of them are here */
    char spool[LANE_SPOOL_LINES][SPOOL_LINE_BYTES_MAX];
};
/* false: nothing new. */
bool lane_spool_take_news(struct lane_spool *lane, struct lane_spool_news *out);

/* The call that the carrier is in. Any thread. */
const struct lane_watch *lane_spool_watch(const struct lane_spool *lane);

#endif
