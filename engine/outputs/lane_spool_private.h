/* SPDX-License-Identifier: Apache-2.0 */
/* What the lane of a spool and its carrier share. Private to lane_spool.c and carrier.c. */
#ifndef YARDER_OUTPUTS_LANE_SPOOL_PRIVATE_H
#define YARDER_OUTPUTS_LANE_SPOOL_PRIVATE_H

#include <pthread.h>

#include "offload/courier.h"
#include "outputs/lane_private.h"
#include "outputs/lane_spool.h"
#include "outputs/pieces.h"

struct lane_spool {
    struct lane_spool_options options;
    struct spool_shared shared;

    /* Held by the lane for a job and by the carrier for closing: the spool is there or it is not.
     * The carrier alone closes it, so it may read it without. */
    pthread_mutex_t use;
    struct spool *spool; /* release by who opens it, acquire by the carrier; NULL: closed */

    /* the lane's */
    struct pieces pieces;
    struct lane_watch *lane_watch;
    struct spool_look found; /* the writer's after the OPEN's answer */
    char why[SPOOL_LINE_BYTES_MAX];
    bool joined; /* the carrier's thread is not there, or not any more */

    /* the carrier's */
    pthread_t thread;
    struct courier *courier;
    struct lane_watch watch;
    struct yarder_id again_until;
    bool fresh; /* nothing was read since the spool was opened */
    uint64_t backoff_ns, jitter;

    /* relaxed words of others for the carrier, which looks at them after each wake-up */
    uint32_t leave, wanted, reopen, hurry;
    uint32_t bell;   /* futex: grows when there is something to look at */
    uint32_t sleeps; /* seq_cst on both sides: either the bell is seen or the sleeper */

    pthread_mutex_t news_lock;
    uint32_t news_count; /* grows with each; relaxed outside of the lock */
    uint32_t news_taken; /* the writer's */
    struct lane_spool_news news;
};

void *carrier_main(void *lane);
/* Any thread: the carrier looks at everything once more. */
void carrier_ring(struct lane_spool *lane);

void lane_spool_tell_failure(
    struct lane_spool *lane, const char *call, int error, const char *text);

#endif
