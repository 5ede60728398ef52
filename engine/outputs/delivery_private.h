/* SPDX-License-Identifier: Apache-2.0 */
/* Which queue a record goes to: the file that its path names. Private to room outputs. */
#ifndef YARDER_OUTPUTS_DELIVERY_PRIVATE_H
#define YARDER_OUTPUTS_DELIVERY_PRIVATE_H

#include "outputs/delivery.h"

/* The slot of the record's file, taken into use if need be; NULL: none free, or no_path is set. */
struct output_slot *slot_for(
    struct output *output, const struct yarder_record *record, uint64_t now_ns);

/* None is free: rather the file of another period than none. */
struct output_slot *slot_instead(struct output *output, const struct yarder_record *record);

/* Whether the slot is that of the record's file. */
bool slot_takes(const struct output *output, const struct output_slot *slot,
    const struct yarder_record *record);

/* The slot of this path, free until now; NULL: none free. */
struct output_slot *slot_take(struct output *output, const char *path, uint64_t now_ns);

/* From now on its name may be another slot's: no commit holds one name twice, but of one path the
 * files of several periods. */
void slot_retire(struct output *output, struct output_slot *slot);

/* The path's file is open as job->fd: from now on records go there. */
void slot_follow(struct output *output, struct output_slot *slot, uint64_t now_ns);

/* No file of the slot's name can be had: what waits for it is dropped, the slot is free. */
void slot_give_up(struct output *output, struct output_slot *slot);

/* Nobody can tell how much of the sealed batch stands: it is given again, and counted. */
void slot_give_again(struct output *output, struct output_slot *slot);

/* None is free, but one will be in a moment: the lane works and some file is not failing. */
bool slot_comes(const struct output *output, uint64_t now_ns);

/* Gives the supervisor the slot's descriptor. false: it cannot be told now; tried again later. */
bool slot_keep(struct output *output, struct output_slot *slot, uint64_t now_ns);

/* A call failed: tried again after a pause that grows; of a backend's output a random part of it.
 */
void slot_back_off(struct output *output, struct output_slot *slot, uint64_t now_ns);
bool slot_is_hopeless(const struct output_slot *slot); /* the pauses are as long as they get */

/* What is written next begins behind a record's first half, whose line is closed first. */
static inline bool slot_follows_half(const struct output_slot *slot)
{
    return !queue_record_open(slot->queue) && (slot->queue->flags & HOLD_QUEUE_HALF) != 0;
}

/* Closes files that got nothing for idle-close, or the quietest one when slots run short. */
void slots_retire(struct output *output, uint64_t now_ns);

/* The beginning of a record stands where its end cannot follow: it is written again whole. */
void slot_begin_again(struct output *output, struct output_slot *slot);

/*
 * Counts a failed call on an output's files (queue HOLD_NONE: nobody knows which) or of its backend
 * (`text`: in its words, or NULL), and tells it.
 */
void output_tell_failure(
    struct output *output, uint32_t queue, const char *call, int error, const char *text);

/* What a backend's lane answers. */
void offload_reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns);
void offload_reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns);

void offload_tell_note(struct output *output, const char *note, uint64_t now_ns);
void offload_complain_of_refusal(struct output *output, const char *reason, uint64_t now_ns);

/* What the lane of a spool answers, and what its carrier has done. Those that return a bool say
 * whether the private state has changed. */
void spool_reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns);
void spool_reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns);
bool spool_reap_news(struct output *output, uint64_t now_ns);
void spool_settle(struct output *output); /* the commit is stored */
/* The output has a queue in memory now: what it had on disk is out of its reach. */
void spool_without(struct output *output);

/* Something of what waited in the slot's queue has gone. */
void slot_moved(struct output *output, struct output_slot *slot, uint64_t now_ns);

/* Since when what waits is late, or 0; read by output_look_at. */
static inline void slot_late(struct output_slot *slot, uint64_t late_ns)
{
    __atomic_store_n(&slot->late_ns, late_ns, __ATOMIC_RELAXED);
}
/* Since when nothing moves, or 0; read by output_look_at. */
static inline void output_set_blocked(struct output *output, uint64_t blocked_ns)
{
    __atomic_store_n(&output->blocked_ns, blocked_ns, __ATOMIC_RELAXED);
}

/* Since when what is spooled does not move, or 0; read by output_look_at. */
static inline void output_set_spool_late(struct output *output, uint64_t late_ns)
{
    __atomic_store_n(&output->offload.spool_late_ns, late_ns, __ATOMIC_RELAXED);
}

/* It is not blocked: something was delivered, or found room. */
void output_moves(struct output *output, uint64_t now_ns);

/* Hands a job to the lane. */
void slot_submit(struct output *output, struct output_slot *slot, enum lane_request request);
void slot_submit_close(struct output *output, struct output_slot *slot, int fd);

/* rotate_slot.c: the writer's part of rotation (rotate.h) */
YARDER_MUST_USE int rotate_open(struct output *output, const struct output_open_options *options);
void rotate_close(struct output *output);

/* The queue of a path and a record's period; NULL: none is free, but one will be. */
struct output_slot *rotate_slot_for(
    struct output *output, const char *path, const struct yarder_record *record, uint64_t now_ns);
/* Whose file is not the right one, but there: nothing is dropped for want of a queue. */
struct output_slot *rotate_slot_instead(struct output *output, const char *path);
bool rotate_takes(const struct output_slot *slot, const struct yarder_record *record);

/* A queue is taken up as a commit has it; or as it has been made just now. */
void rotate_taken_up(struct output *output, struct output_slot *slot, uint64_t now_ns);
void rotate_resume(struct output *output, struct output_slot *slot, uint64_t now_ns);

/* No older queue of its path has the file there. */
bool rotate_may_open(const struct output *output, const struct output_slot *slot);
/* Its file was opened by its path; what stands there may be of another period. */
void rotate_opened(struct output *output, struct output_slot *slot);

/* What comes before the next seal. */
enum turn {
    TURN_NONE,
    TURN_GIVE,  /* its file goes on as that of the next period: it is empty, or cannot be renamed */
    TURN_ASIDE, /* its file is renamed */
    TURN_ANEW   /* its file is renamed, and it gets a new one */
};
enum turn rotate_turn(struct output_slot *slot, uint64_t now_ns);
bool rotate_give(struct output *output, struct output_slot *slot);
void rotate_submit(struct output *output, struct output_slot *slot, enum turn turn);
void rotate_reap(struct output *output, struct output_slot *slot, uint64_t now_ns);
void rotate_count(struct output *output, const struct lane_job *job);

/* Bytes that the slot's file may still take. */
uint64_t rotate_room(const struct output *output, const struct output_slot *slot, uint64_t now_ns);

/* Closes files of periods that are over. Whether the private state has changed. */
bool rotate_retire(struct output *output, uint64_t now_ns);

/* Somebody has asked for something, or the sweeper has something to tell. */
bool rotate_reap_asked(struct output *output, uint64_t now_ns);

/* A line for the operator. */
void output_say(struct output *output, const char *format, ...) YARDER_PRINTF(2, 3);
/* A line for the operator, at most one a minute of each format: the format is a literal. */
void output_complain(struct output *output, uint64_t now_ns, const char *format, ...)
    YARDER_PRINTF(3, 4);

#endif
