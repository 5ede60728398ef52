/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rotation of a file output: which period a record belongs to, and what a file is called once it is
 * put aside.
 *
 *   PATH.1 PATH.2 ...            numbers: the newest is 1
 *   PATH.2026-11-21_16 [.N]      dates: the beginning of its period; a counter where that is taken
 *   PATH.1795276800 [.N]         seconds: when it was put aside
 *   TO [.N]                      rotate-to
 *     each also with .gz or .zst behind it
 *   PATH.INODE.yarder-tmp        ours for a moment, thrown away wherever it is found
 *
 * Who does what:
 *   the writer (rotate_slot.c)   decides when: at a record's end, before the file is too long; at
 *                                the first record of another period; when it is asked to
 *   the lane (lane_rotate.c)     gives the names: makes the new file, puts the old one aside
 *   the sweeper (sweep.c)        compresses and removes, by a thread that all outputs share
 *
 * A file's identity is its descriptor, which the commit names by (dev, ino) and the supervisor
 * keeps; so a kill between any two steps leaves nothing to undo: what was put aside is still the
 * file that the commit means, and the path names another one, which is then followed, or none,
 * which is then made. A time's period has a queue of its own, so that late records find its file:
 *
 *   PATH   --period over--> HOLD_QUEUE_PAST  --renamed--> PAST | ASIDE  --grace over--> closed
 *   the queue of the next period waits, and opens PATH, once no older one has it
 */
#ifndef YARDER_OUTPUTS_ROTATE_H
#define YARDER_OUTPUTS_ROTATE_H

#include <pthread.h>

#include "codec/calendar.h"
#include "outputs/output.h"

/* Bits of rotation.asked; of touch files 1 << kind. */
enum {
    ROTATE_ASKED_ROTATE = 1 << 0,
    ROTATE_ASKED_REOPEN = 1 << 1,
    ROTATE_ASKED_SEEN = 1 << 2, /* touched_ns has changed, and nothing is to be done */
    ROTATE_ASKED_TOLD = 1 << 3, /* the sweeper has something to tell */
    ROTATE_TOUCHES = 2,
};

struct sweeper;

/* What an output's writer, its lane and the sweeper share. */
struct rotation {
    const struct output_config *config;
    struct calendar_zone zone; /* the writer's */
    bool swept_out;            /* the sweeper has left, and uses nothing of this any more */
    pthread_mutex_t names;     /* around giving and taking names of files put aside */
    struct sweeper *sweeper;   /* NULL: nothing is compressed, removed or watched */
    uint32_t asked;            /* seq_cst: by the control thread or the sweeper, for the writer */
    uint64_t touched_ns[ROTATE_TOUCHES]; /* relaxed, the sweeper's: when touch files were changed */
    struct rotation_swept {              /* relaxed, the sweeper's; for status */
        uint64_t compressed, removed, failed;
    } swept;
    struct rotation_trouble { /* under the sweeper's lock: its last failure, for the writer */
        int error;
        const char *call;
        char path[YARDER_PATH_BYTES_MAX];
    } trouble;
};

/* What the writer knows of a slot. */
struct rotation_slot {
    int64_t from_ns, to_ns; /* rotated by time: the period of its records; to_ns 0: not yet known */
    int64_t modified_s; /* of a file that was opened with something in it, until that is known */
    uint64_t grace_ns;  /* past: it takes late records until then */
    uint64_t rotate_ns; /* not before: it failed */
    bool gives;         /* past, and its file could not be renamed: the next period goes on in it */
};

static inline bool rotate_by_time(const struct output_rotate *rotate)
{
    return rotate->when.unit != ROTATE_NEVER;
}

/* Seconds since 1970 of the beginning of the period that a time lies in, and of the next one. */
int64_t rotate_period(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t time_s);
int64_t rotate_period_end(
    const struct output_rotate *rotate, struct calendar_zone *zone, int64_t start_s);

enum rotate_names rotate_names(const struct output_rotate *rotate);

/* ".2026-11-21_16", ".1795276800" or "", of the period that began, or the file put aside, then. */
enum { ROTATE_SUFFIX_BYTES = 40, ROTATE_NAME_BYTES = YARDER_PATH_BYTES_MAX + 64 };
void rotate_suffix(const struct output_rotate *rotate, struct calendar_zone *zone, int64_t time_s,
    char out[ROTATE_SUFFIX_BYTES]);

extern const char *const rotate_extensions[ROTATE_COMPRESSIONS];
#define ROTATE_TEMPORARY ".yarder-tmp"

/* A name of ours beside the file `base`, both without their folder. */
struct rotate_name {
    bool temporary;
    char suffix[ROTATE_SUFFIX_BYTES]; /* of dates and seconds */
    uint64_t counter;                 /* of numbers the number, else 0 or what stands behind */
    enum rotate_compress compressed;
};
bool rotate_name_parse(const struct output_rotate *rotate, const char *base, const char *name,
    struct rotate_name *out);

/* Whether, and why not, a build can compress so. */
const char *rotate_cannot(enum rotate_compress compress);

#endif
