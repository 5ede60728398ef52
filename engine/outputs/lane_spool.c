/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/lane_spool.h"

#include <errno.h>
#include <string.h>

#include "os/crash.h"
#include "os/memory.h"
#include "os/thread.h"
#include "outputs/lane_offload.h"
#include "outputs/lane_spool_private.h"

enum {
    RECORD_OVERHEAD_BYTES = 128 << 10, /* of a packed record beside its text */
    CARRIER_STACK_BYTES = 1 << 20,
};

static void note_news(struct lane_spool *lane)
{
    (void)__atomic_fetch_add(&lane->news_count, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&lane->news_lock);
    lane_wake_writer(lane->options.event_fd, lane->options.writer_sleeps);
}

void lane_spool_tell_failure(struct lane_spool *lane, const char *call, int error, const char *text)
{
    (void)pthread_mutex_lock(&lane->news_lock);
    lane->news.failures++;
    lane->news.call = call;
    lane->news.error = error;
    (void)snprintf(lane->news.text, sizeof(lane->news.text), "%s", text);
    note_news(lane);
}

static void tell(void *owner, const char *line)
{
    struct lane_spool *lane = owner;
    (void)pthread_mutex_lock(&lane->news_lock);
    uint32_t at = lane->news.spool_lines++;
    if (at < LANE_SPOOL_LINES) {
        (void)snprintf(lane->news.spool[at], sizeof(lane->news.spool[at]), "%s", line);
    }
    note_news(lane);
}

bool lane_spool_take_news(struct lane_spool *lane, struct lane_spool_news *out)
{
    uint32_t count = __atomic_load_n(&lane->news_count, __ATOMIC_RELAXED);
    if (count == lane->news_taken || pthread_mutex_trylock(&lane->news_lock) != 0) {
        return false; /* who has the lock wakes us */
    }
    *out = lane->news;
    lane->news = (struct lane_spool_news){0};
    lane->news_taken = __atomic_load_n(&lane->news_count, __ATOMIC_RELAXED);
    (void)pthread_mutex_unlock(&lane->news_lock);
    return true;
}

/* The longest record that will be stored: what does not fit in a fourth of the limit never will. */
static uint32_t record_bytes_max(uint64_t limit_bytes)
{
    uint64_t most = YARDER_RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES;
    while (spool_limit_min((uint32_t)most) > limit_bytes) {
        most /= 2;
    }
    return (uint32_t)most;
}

static int spool_take(struct lane_spool *lane, char *why, size_t why_bytes)
{
    const struct output_config *config = lane->options.config;
    static const enum spool_sync syncs[] = {[OUTPUT_SYNC_NONE] = SPOOL_SYNC_NONE,
        [OUTPUT_SYNC_INTERVAL] = SPOOL_SYNC_INTERVAL,
        [OUTPUT_SYNC_BATCH] = SPOOL_SYNC_BATCH};
    const struct spool_options options = {.state_dir = lane->options.state_dir,
        .name = config->name,
        .limit_bytes = config->queue.disk_bytes,
        .record_bytes_max = record_bytes_max(config->queue.disk_bytes),
        .sync = syncs[config->fsync.policy],
        .sync_interval_ns = config->fsync.interval_ns,
        .drop_oldest = config->on_full.policy == OUTPUT_FULL_DROP_OLDEST,
        .direct = config->direct,
        .tell = tell,
        .owner = lane,
        .shared = &lane->shared};
    struct spool *spool = NULL;
    int r = spool_open(&spool, &options, why, why_bytes);
    if (r == 0) {
        spool_look(spool, &lane->found);
        lane->fresh = true;
        __atomic_store_n(&lane->spool, spool, __ATOMIC_RELEASE); /* pairs with the carrier's */
    }
    return r;
}

static void open_spool(struct lane_spool *lane, struct lane_job *job)
{
    int r = 0;
    job->answer = LANE_DONE;
    job->fd = -1;
    job->dev = job->ino = job->size = 0;
    job->regular = false;
    if (lane->spool == NULL) {
        r = spool_take(lane, lane->why, sizeof(lane->why));
    } else {
        spool_look(lane->spool, &lane->found);
    }
    if (r < 0) {
        lane_job_failed(job, "open", r);
        job->failed_text = lane->why;
        job->locked_elsewhere = r == -EAGAIN;
    }
    carrier_ring(lane);
}

/* Where the record that begins at `at` of the job's bytes ends: as the queue knows it. */
static size_t record_end(const struct lane_job *job, const struct pieces_whole *whole, size_t at)
{
    for (uint32_t i = 0; whole->by_ends && i < job->batch.ends_count; i++) {
        uint32_t end = job->batch.ends[-(ptrdiff_t)(i + 1)];
        if (end > job->batch.ends_offset + at) {
            return yarder_min(end - job->batch.ends_offset, whole->bytes_count);
        }
    }
    return whole->bytes_count;
}

/* One that cannot be stored, ever, is passed over and counted. Its end, or 0: not that. */
static size_t pass_over(
    struct lane_job *job, const struct pieces_whole *whole, size_t at, int error)
{
    if (error != -EBADMSG && error != -EMSGSIZE) {
        return 0;
    }
    job->lost++;
    return record_end(job, whole, at);
}

/* By its own limit; a full disk is a failure. */
static bool is_full(const struct lane_spool *lane)
{
    struct spool_look look;
    spool_look(lane->spool, &look);
    return look.bytes + look.bytes / 4 > lane->options.config->queue.disk_bytes;
}

static size_t store(struct lane_spool *lane, struct lane_job *job, const struct pieces_whole *whole)
{
    /* Crcs go into the queue's own memory: it is sealed, so nobody else looks at it. */
    char *bytes = (char *)(uintptr_t)whole->bytes;
    size_t done = 0;
    while (done < whole->bytes_count) {
        struct spool_stored stored;
        int r = spool_append(lane->spool, bytes + done, whole->bytes_count - done, &stored);
        if (r == 0) {
            done += stored.bytes;
            job->doubles += stored.doubles;
            job->stored_end = stored.end;
            continue;
        }
        size_t end = pass_over(job, whole, done, r);
        if (end <= done) {
            lane_job_failed(job, r == -ENOSPC && is_full(lane) ? "full" : "append", r);
            carrier_ring(lane); /* what is answered goes when it looks, and makes room */
            break;
        }
        done = end;
    }
    return done;
}

static void append(struct lane_spool *lane, struct lane_job *job)
{
    struct pieces_whole whole;
    job->answer = LANE_DONE;
    if (job->reopen) {
        __atomic_store_n(&lane->reopen, 1, __ATOMIC_RELAXED);
        carrier_ring(lane);
    }
    if (job->bytes_count == 0) {
        return;
    }
    int r = lane->spool == NULL ? -ESTALE : pieces_take(&lane->pieces, job, &whole);
    if (r < 0) {
        lane_job_failed(job, "append", r);
        return;
    }
    if (__atomic_exchange_n(&lane->hurry, 0, __ATOMIC_RELAXED) != 0) {
        spool_widen(lane->spool, lane->options.config->queue.memory_bytes);
    }
    crash_point("before-store");
    size_t stored = whole.bytes_count == 0 ? 0 : store(lane, job, &whole);
    crash_point("after-store");
    pieces_settle(&lane->pieces, job, &whole, stored);
}

static void answer(void *self, struct lane_job *job)
{
    struct lane_spool *lane = self;
    YARDER_ASSERT(job->request == LANE_OPEN || job->request == LANE_WRITE);
    job->doubles = job->lost = 0;
    job->stored_end = 0;
    lane_watch_enter(lane->lane_watch, job->request == LANE_OPEN ? "open" : "append");
    (void)pthread_mutex_lock(&lane->use);
    if (job->request == LANE_OPEN) {
        open_spool(lane, job);
    } else {
        append(lane, job);
    }
    (void)pthread_mutex_unlock(&lane->use);
    lane_watch_leave(lane->lane_watch);
}

static int start(void *self, struct lane_watch *watch)
{
    ((struct lane_spool *)self)->lane_watch = watch;
    return 0;
}

static int tend(void *self, bool leaving, uint64_t *next_ns)
{
    struct lane_spool *lane = self;
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    uint64_t due_ns = UINT64_MAX;
    (void)leaving; /* closing the spool syncs it */
    (void)pthread_mutex_lock(&lane->use);
    int r = lane->spool == NULL ? 0 : spool_sync_due(lane->spool, now_ns, &due_ns);
    (void)pthread_mutex_unlock(&lane->use);
    *next_ns = due_ns == UINT64_MAX ? UINT64_MAX : due_ns - yarder_min(due_ns, now_ns);
    return r;
}

static void leave(void *self)
{
    struct lane_spool *lane = self;
    __atomic_store_n(&lane->leave, 1, __ATOMIC_RELAXED);
    courier_want(lane->courier, true);
    carrier_ring(lane);
    lane_watch_enter(lane->lane_watch, "close");
    (void)pthread_join(lane->thread, NULL);
    lane->joined = true;
    lane_watch_leave(lane->lane_watch);
}

static void want(void *self, bool wanted)
{
    struct lane_spool *lane = self;
    __atomic_store_n(&lane->wanted, wanted, __ATOMIC_RELAXED);
    courier_want(lane->courier, wanted);
    carrier_ring(lane);
}

const struct lane_ops lane_spool_ops = {
    .start = start, .answer = answer, .tend = tend, .leave = leave, .want = want};

const struct spool_look *lane_spool_found(const struct lane_spool *lane)
{
    return &lane->found;
}

void lane_spool_release(struct lane_spool *lane, spool_place place)
{
    if (place > lane->shared.released) {
        spool_release(&lane->shared, place);
        carrier_ring(lane);
    }
}

void lane_spool_hurry(struct lane_spool *lane)
{
    __atomic_store_n(&lane->hurry, 1, __ATOMIC_RELAXED);
}

void lane_spool_totals(const struct lane_spool *lane, struct spool_totals *out)
{
    spool_totals_read(&lane->shared, out);
}

const struct lane_watch *lane_spool_watch(const struct lane_spool *lane)
{
    return &lane->watch;
}

int lane_spool_open(
    struct lane_spool **out, const struct lane_spool_options *options, char *why, size_t why_bytes)
{
    YARDER_ASSERT(options->config->kind == OUTPUT_OFFLOAD && options->config->backend != NULL);
    struct lane_spool *lane =
        aligned_alloc(YARDER_CACHE_LINE, yarder_align_up(sizeof(*lane), YARDER_CACHE_LINE));
    if (lane == NULL) {
        return -ENOMEM;
    }
    memset(lane, 0, sizeof(*lane));
    lane->options = *options;
    lane->jitter = (uint64_t)os_monotonic_ns() | 1;
    lane->joined = true;
    (void)pthread_mutex_init(&lane->use, NULL);
    (void)pthread_mutex_init(&lane->news_lock, NULL);
    const struct courier_options courier = lane_courier_options(options->config, options->host);
    int r = courier_open(&lane->courier, &courier, why, why_bytes);
    if (r == 0) {
        r = os_thread_start(&lane->thread, CARRIER_STACK_BYTES, carrier_main, lane);
        lane->joined = r < 0;
    }
    if (r < 0) {
        lane_spool_close(lane);
        return r;
    }
    *out = lane;
    return 0;
}

void lane_spool_close(struct lane_spool *lane)
{
    if (lane == NULL) {
        return;
    }
    if (!lane->joined) { /* the lane was never started */
        leave(lane);
    }
    courier_close(lane->courier);
    pieces_drop(&lane->pieces);
    (void)pthread_mutex_destroy(&lane->use);
    (void)pthread_mutex_destroy(&lane->news_lock);
    free(lane);
}
