/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a lane and its one ring of jobs. Jobs are answered in order, so submission and
 * completion are three counters on the same slots:
 *
 *       taken          done          submitted        taken <= done <= submitted <= taken + MAX
 *         |  answered   |   waiting     |
 *      ...[job][job][job][job][job][job]...           slot = counter % LANE_JOBS_MAX
 *
 * `taken` and `submitted` are the writer's, `done` is the lane's.
 */
#include "outputs/lane.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "os/memory.h"
#include "os/thread.h"
#include "outputs/lane_private.h"

enum { STACK_BYTES = 128 << 10, STACK_OF_LIBRARIES_BYTES = 1 << 20, NAME_BYTES = 16 };

enum lane_life { LIFE_STARTING, LIFE_RUNS, LIFE_LEFT };

struct lane {
    /* the writer's line */
    uint32_t submitted; /* seq_cst: its release half pairs with the acquire in next_job */
    uint32_t taken;     /* plain: nobody else looks */
    uint32_t leave;     /* seq_cst: set once, by lane_close */
    char line_of_writer[YARDER_CACHE_LINE - 3 * sizeof(uint32_t)];

    /* the lane's line */
    uint32_t done;   /* seq_cst: its release half pairs with the acquire in lane_done */
    uint32_t sleeps; /* futex: 1 while the lane sleeps or is about to */
    int sync_error;  /* seq_cst exchange on both sides: carries only itself */
    uint32_t life;   /* futex, enum lane_life: release in set_life, acquire in wait_life */
    int start_error; /* written before LIFE_RUNS */
    char line_of_lane[YARDER_CACHE_LINE - 5 * sizeof(uint32_t)];

    struct lane_job *jobs[LANE_JOBS_MAX];
    pthread_t thread;
    const struct lane_ops *ops;
    void *self; /* of ops */
    struct lane_options options;
    struct lane_watch watch;
    struct lane_files files; /* self of the ops of files */
};
static_assert((LANE_JOBS_MAX & (LANE_JOBS_MAX - 1)) == 0, "counters wrap around");
static_assert(LANE_JOBS_MAX >= 2 * OUTPUT_OPEN_MAX, "two for each file");
static_assert(offsetof(struct lane, done) == YARDER_CACHE_LINE, "one line for each writer");

static void set_life(struct lane *lane, enum lane_life life)
{
    __atomic_store_n(&lane->life, life, __ATOMIC_RELEASE); /* pairs with wait_life */
    (void)os_futex_wake_private(&lane->life, INT_MAX);
}

/* Waits while the life is still `life`: 0 or -ETIMEDOUT. */
static int wait_life(struct lane *lane, enum lane_life life, uint64_t wait_ns)
{
    wait_ns = yarder_min(wait_ns, INT64_MAX);
    uint64_t start_ns = (uint64_t)os_monotonic_ns();
    while (__atomic_load_n(&lane->life, __ATOMIC_ACQUIRE) == life) { /* pairs with set_life */
        uint64_t waited_ns = (uint64_t)os_monotonic_ns() - start_ns;
        if (waited_ns >= wait_ns) {
            return -ETIMEDOUT;
        }
        (void)os_futex_wait_private(&lane->life, life, (int64_t)(wait_ns - waited_ns));
    }
    return 0;
}

/* The lane's side */

/*
 * Wakes the writer if it sleeps. Dekker: we have stored what it looks for (done, sync_error) and
 * now load its flag; it has stored the flag, fenced, and then looks. seq_cst on both: one of the
 * two sees the other.
 */
void lane_wake_writer(int event_fd, const uint32_t *writer_sleeps)
{
    if (__atomic_load_n(writer_sleeps, __ATOMIC_SEQ_CST) != 0) {
        uint64_t one = 1;
        ssize_t r = write(event_fd, &one, sizeof(one));
        (void)r; /* full means that it is readable, which is all that is wanted */
    }
}

static struct lane_job *next_job(struct lane *lane)
{
    uint32_t submitted = __atomic_load_n(&lane->submitted, __ATOMIC_ACQUIRE); /* see its field */
    return submitted == lane->done ? NULL : lane->jobs[lane->done % LANE_JOBS_MAX];
}

static void answer(struct lane *lane, struct lane_job *job)
{
    job->error = 0;
    job->failed_call = NULL;
    job->failed_text = NULL;
    job->refusal = job->note = NULL;
    job->written = 0;
    job->delivered = 0;
    job->delivered_bytes = 0;
    job->old_fd = -1;
    job->sync_error = 0;
    job->line_closed = false;
    job->rotated = false;
    job->modified_s = 0;
    job->owner_error = 0;
    job->locked_elsewhere = false;
    job->locked_by = 0;
    lane->ops->answer(lane->self, job);
    __atomic_store_n(&lane->done, lane->done + 1, __ATOMIC_SEQ_CST); /* the job is the writer's */
    lane_wake_writer(lane->options.event_fd, lane->options.writer_sleeps);
}

/* Returns how long the lane may sleep until something is due again. */
static uint64_t tend(struct lane *lane, bool leaving)
{
    uint64_t next_ns = UINT64_MAX;
    int r = lane->ops->tend(lane->self, leaving, &next_ns);
    if (r < 0) {
        /* taken by lane_take_sync_error; before the flag is looked at, as in answer */
        __atomic_store_n(&lane->sync_error, r, __ATOMIC_SEQ_CST);
        lane_wake_writer(lane->options.event_fd, lane->options.writer_sleeps);
    }
    return next_ns;
}

/*
 * Dekker with wake_lane: we store `sleeps` and then look for work; it stores work and then looks at
 * `sleeps`. seq_cst on both: either we see the work or it sees the sleeper. The futex compares
 * `sleeps` once more, so a wake-up between our look and our sleep is not lost.
 */
static void sleep_for(struct lane *lane, uint64_t wait_ns)
{
    __atomic_store_n(&lane->sleeps, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lane->submitted, __ATOMIC_SEQ_CST) == lane->done &&
        __atomic_load_n(&lane->leave, __ATOMIC_SEQ_CST) == 0) {
        (void)os_futex_wait_private(&lane->sleeps, 1, (int64_t)yarder_min(wait_ns, INT64_MAX));
    }
    __atomic_store_n(&lane->sleeps, 0, __ATOMIC_RELAXED); /* at worst one wake-up for nothing */
}

static void *lane_main(void *lane_)
{
    struct lane *lane = lane_;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof(name), "lane-%u", lane->options.index);
    (void)pthread_setname_np(pthread_self(), name);
    lane->start_error = lane->ops->start(lane->self, &lane->watch);
    bool runs = lane->start_error == 0;
    set_life(lane, LIFE_RUNS);
    while (runs) {
        struct lane_job *job = next_job(lane);
        if (job != NULL) {
            answer(lane, job);
        }
        uint64_t next_ns = tend(lane, false);
        if (job == NULL) {
            /* seq_cst: jobs stored before `leave` are seen with it, so look for them once more */
            if (__atomic_load_n(&lane->leave, __ATOMIC_SEQ_CST) != 0 && next_job(lane) == NULL) {
                runs = false;
            } else {
                sleep_for(lane, next_ns);
            }
        }
    }
    (void)tend(lane, true);
    lane->ops->leave(lane->self);
    set_life(lane, LIFE_LEFT);
    return NULL;
}

/* The writer's side */

static void wake_lane(struct lane *lane)
{
    if (__atomic_load_n(&lane->sleeps, __ATOMIC_SEQ_CST) != 0 && /* pairs with sleep_for */
        __atomic_exchange_n(&lane->sleeps, 0, __ATOMIC_RELAXED) != 0) {
        (void)os_futex_wake_private(&lane->sleeps, 1);
    }
}

/* Signals are for other threads: a lane's calls are never interrupted. 0 or -errno. */
int lane_open(struct lane **out, const struct lane_options *options)
{
    YARDER_ASSERT(options->ops != NULL || options->config->kind == OUTPUT_FILE ||
                  options->config->kind == OUTPUT_STDIO);
    YARDER_ASSERT(options->writer_sleeps != NULL);
    YARDER_OWN_HEAP struct lane *lane =
        aligned_alloc(YARDER_CACHE_LINE, yarder_align_up(sizeof(struct lane), YARDER_CACHE_LINE));
    if (lane == NULL) {
        return -ENOMEM;
    }
    memset(lane, 0, sizeof(*lane));
    lane->options = lane->files.options = *options;
    lane->ops = options->ops != NULL ? options->ops : &lane_files_ops;
    lane->self = options->ops != NULL ? options->self : &lane->files;
    size_t stack_bytes = lane->ops == &lane_files_ops ? STACK_BYTES : STACK_OF_LIBRARIES_BYTES;
    int r = os_thread_start(&lane->thread, stack_bytes, lane_main, lane);
    if (r < 0) {
        return r;
    }
    (void)wait_life(lane, LIFE_STARTING, UINT64_MAX); /* it makes no call on a file before */
    if (lane->start_error < 0) {
        r = lane->start_error;
        (void)pthread_join(lane->thread, NULL);
        return r;
    }
    *out = yarder_heap_take(&lane);
    return 0;
}

const char *lane_io_name(const struct lane *lane)
{
    return lane->files.by_uring ? "io_uring" : "write";
}

void lane_submit(struct lane *lane, struct lane_job *job)
{
    uint32_t submitted = lane->submitted;
    YARDER_ASSERT(submitted - lane->taken < LANE_JOBS_MAX);
    YARDER_ASSERT(lane->leave == 0);
    lane->jobs[submitted % LANE_JOBS_MAX] = job;
    __atomic_store_n(&lane->submitted, submitted + 1, __ATOMIC_SEQ_CST); /* the job is the lane's */
    wake_lane(lane);
}

struct lane_job *lane_done(struct lane *lane)
{
    if (__atomic_load_n(&lane->done, __ATOMIC_ACQUIRE) == lane->taken) { /* see its field */
        return NULL;
    }
    struct lane_job *job = lane->jobs[lane->taken % LANE_JOBS_MAX];
    lane->taken++;
    return job;
}

uint64_t lane_stuck_ns(const struct lane *lane)
{
    uint64_t since_ns = __atomic_load_n(&lane->watch.since_ns, __ATOMIC_RELAXED);
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    return since_ns == 0 || now_ns < since_ns ? 0 : now_ns - since_ns;
}

const char *lane_call(const struct lane *lane)
{
    return __atomic_load_n(&lane->watch.call, __ATOMIC_RELAXED);
}

int lane_take_sync_error(struct lane *lane)
{
    return __atomic_exchange_n(&lane->sync_error, 0, __ATOMIC_SEQ_CST);
}

void lane_want(struct lane *lane, bool wanted)
{
    if (lane->ops->want != NULL) {
        lane->ops->want(lane->self, wanted);
    }
}

int lane_close(struct lane *lane, uint64_t wait_ns)
{
    lane_want(lane, true);
    __atomic_store_n(&lane->leave, 1, __ATOMIC_SEQ_CST); /* pairs with sleep_for */
    wake_lane(lane);
    if (wait_life(lane, LIFE_RUNS, wait_ns) < 0) {
        (void)pthread_detach(lane->thread);
        return -ETIMEDOUT;
    }
    (void)pthread_join(lane->thread, NULL);
    free(lane);
    return 0;
}
