/* SPDX-License-Identifier: Apache-2.0 */
/* The carrier: the thread between a spool and its backend. Read lane_spool.h first. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "os/crash.h"
#include "os/memory.h"
#include "outputs/backoff.h"
#include "outputs/lane_spool_private.h"

static const uint64_t pause_disk_ns = 1000ull * 1000 * 1000; /* after a failed read of the spool */

void carrier_ring(struct lane_spool *lane)
{
    (void)__atomic_fetch_add(&lane->bell, 1, __ATOMIC_SEQ_CST); /* pairs with sleep_for */
    if (__atomic_load_n(&lane->sleeps, __ATOMIC_SEQ_CST) != 0) {
        (void)os_futex_wake_private(&lane->bell, INT_MAX);
    }
}

static bool is_leaving(const struct lane_spool *lane)
{
    return __atomic_load_n(&lane->leave, __ATOMIC_RELAXED) != 0;
}
static bool is_wanted(const struct lane_spool *lane)
{
    return __atomic_load_n(&lane->wanted, __ATOMIC_RELAXED) != 0 || is_leaving(lane);
}

/* Until the bell is another than `heard`: what was rung since we looked is not slept over. */
static void sleep_for(struct lane_spool *lane, uint32_t heard, uint64_t wait_ns)
{
    __atomic_store_n(&lane->sleeps, 1, __ATOMIC_SEQ_CST);
    (void)os_futex_wait_private(&lane->bell, heard, (int64_t)yarder_min(wait_ns, INT64_MAX));
    __atomic_store_n(&lane->sleeps, 0, __ATOMIC_SEQ_CST);
}

/* After a failed try. Ends early when the thread is wanted back. */
static void back_off(struct lane_spool *lane, const char *call, int error, const char *text)
{
    if (error == -ECANCELED) {
        return; /* it was wanted back: that is no failure */
    }
    const struct output_retry *retry = &lane->options.config->retry;
    char words[OUTPUT_FAILURE_BYTES];
    (void)snprintf(words, sizeof(words), "%s", text != NULL ? text : strerror(-error));
    lane_spool_tell_failure(lane, call, error, words);
    lane->backoff_ns = backoff_next(lane->backoff_ns, retry->base_ns, retry->limit_ns);
    uint64_t pause_ns = backoff_jitter(&lane->jitter, lane->backoff_ns);
    int r = courier_pause(lane->courier, (uint64_t)os_monotonic_ns() + pause_ns);
    (void)r; /* over, or wanted back: looked at next */
}

/* What is worth telling of a try that may have gone well all the same. */
static void tell_remarks(struct lane_spool *lane, const char *refusal, const char *note, bool again)
{
    if (refusal == NULL && note == NULL && !again) {
        return;
    }
    (void)pthread_mutex_lock(&lane->news_lock);
    if (refusal != NULL) {
        (void)snprintf(lane->news.refusal, sizeof(lane->news.refusal), "%s", refusal);
    }
    if (note != NULL) {
        (void)snprintf(lane->news.note, sizeof(lane->news.note), "%s", note);
    }
    lane->news.again |= again;
    (void)__atomic_fetch_add(&lane->news_count, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&lane->news_lock);
}

/* What a worker before had under way is at the most what one read gives. */
static void carry(struct lane_spool *lane, struct spool *spool, const struct spool_batch *batch)
{
    if (lane->fresh) {
        lane->again_until = batch->last;
        lane->fresh = false;
    }
    struct courier_load load = {
        .bytes = batch->bytes, .bytes_count = batch->bytes_count, .again_until = lane->again_until};
    crash_point("before-submit");
    lane_watch_enter(&lane->watch, "submit");
    courier_carry(lane->courier, &load);
    lane_watch_leave(&lane->watch);
    crash_point("after-submit");
    tell_remarks(lane, load.refusal, load.note, lane->backoff_ns != 0 && load.delivered > 0);
    if (load.settled_bytes > 0) {
        const struct spool_answers answers = {.delivered = load.delivered,
            .delivered_bytes = load.delivered_bytes,
            .dead = load.settled - load.delivered};
        int r = spool_answer(spool, batch, load.settled_bytes, &answers);
        crash_point("answered");
        lane->backoff_ns = 0;
        if (r < 0) {
            lane_spool_tell_failure(lane, "ack", r, strerror(-r));
        }
        lane_wake_writer(lane->options.event_fd, lane->options.writer_sleeps);
    }
    if (load.error < 0) {
        back_off(lane, "submit", load.error, load.text);
    }
}

/* false: there is nothing to carry now. */
static bool carry_next(struct lane_spool *lane, struct spool *spool)
{
    const char *text = NULL;
    struct spool_batch batch;
    int r = spool_read(spool, &batch);
    if (r == -EAGAIN) {
        return false;
    }
    if (r < 0) {
        lane_spool_tell_failure(lane, "read", r, strerror(-r));
        r = courier_pause(lane->courier, (uint64_t)os_monotonic_ns() + pause_disk_ns);
        return true;
    }
    lane_watch_enter(&lane->watch, "open");
    r = courier_start(lane->courier, &text);
    lane_watch_leave(&lane->watch);
    if (r < 0) {
        back_off(lane, "open", r, text);
        return true;
    }
    carry(lane, spool, &batch);
    return true;
}

/* The spool goes to whoever comes; the lane is in no job while we have `use`. */
static void close_spool(struct lane_spool *lane)
{
    (void)pthread_mutex_lock(&lane->use);
    spool_close(lane->spool);
    lane->spool = NULL;
    (void)pthread_mutex_unlock(&lane->use);
}

void *carrier_main(void *lane_)
{
    struct lane_spool *lane = lane_;
    char name[16];
    (void)snprintf(name, sizeof(name), "carrier-%u", lane->options.index);
    (void)pthread_setname_np(pthread_self(), name);
    while (!is_leaving(lane)) {
        uint32_t heard = __atomic_load_n(&lane->bell, __ATOMIC_SEQ_CST);
        struct spool *spool = __atomic_load_n(&lane->spool, __ATOMIC_ACQUIRE); /* spool_take */
        if (__atomic_exchange_n(&lane->reopen, 0, __ATOMIC_RELAXED) != 0) {
            courier_reopen(lane->courier);
        }
        if (spool != NULL && is_wanted(lane)) {
            close_spool(lane);
        } else if (spool == NULL || !carry_next(lane, spool)) {
            sleep_for(lane, heard, UINT64_MAX);
        }
    }
    lane_watch_enter(&lane->watch, "close");
    courier_stop(lane->courier);
    close_spool(lane);
    lane_watch_leave(&lane->watch);
    return NULL;
}
