/* SPDX-License-Identifier: Apache-2.0 */
/* The sweeper's thread, its list of paths to look after, and touch files. */
#include "outputs/sweep.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "os/memory.h"
#include "os/thread.h"
#include "outputs/lane_private.h"
#include "outputs/sweep_path.h"

enum { STACK_BYTES = 256 << 10, NICE_MOST = 19, NO_FILE_NS = 1 };

static const uint64_t second_ns = 1000000000;
static const uint64_t look_after_ns = 3600 * 1000000000ull; /* keep-days without any rotation */
static const uint64_t retry_after_ns = 60 * 1000000000ull;

struct task {
    struct task *next;
    struct rotation *rotation;
    uint64_t due_ns;
    char path[YARDER_PATH_BYTES_MAX];
};

struct sweeper {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct task *tasks; /* under the lock, as all up to `stop` */
    struct rotation *watched[YARDER_OUTPUTS_MAX];
    uint32_t watched_count;
    bool left;
    uint32_t stop; /* atomic */
    uint64_t touch_ns;
    int event_fd;
    const uint32_t *writer_sleeps;
    pthread_t thread;
};

bool sweeper_wanted(const struct output_config *config)
{
    const struct output_rotate *rotate = &config->rotate;
    return config->kind == OUTPUT_FILE &&
           (rotate->keep != 0 || rotate->keep_days != 0 || rotate->keep_bytes != 0 ||
               rotate->compress != ROTATE_RAW || rotate->touch.count != 0 ||
               rotate->reopen_touch.count != 0);
}

static void tell(struct sweeper *sweeper, struct rotation *rotation, uint32_t asked)
{
    __atomic_fetch_or(&rotation->asked, asked, __ATOMIC_SEQ_CST);
    lane_wake_writer(sweeper->event_fd, sweeper->writer_sleeps);
}

void sweeper_failed(struct sweeper *sweeper, struct rotation *rotation, const char *call, int error,
    const char *path)
{
    __atomic_fetch_add(&rotation->swept.failed, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_lock(&sweeper->lock);
    rotation->trouble.error = error;
    rotation->trouble.call = call;
    (void)snprintf(rotation->trouble.path, sizeof(rotation->trouble.path), "%s", path);
    (void)pthread_mutex_unlock(&sweeper->lock);
    tell(sweeper, rotation, ROTATE_ASKED_TOLD);
}

void sweeper_trouble(
    struct sweeper *sweeper, struct rotation *rotation, struct rotation_trouble *out)
{
    (void)pthread_mutex_lock(&sweeper->lock);
    *out = rotation->trouble;
    (void)pthread_mutex_unlock(&sweeper->lock);
}

/* Touch files */

/* When the last of them was changed. */
static uint64_t touched_ns(const struct yarder_texts *paths)
{
    uint64_t newest_ns = NO_FILE_NS;
    for (uint32_t i = 0; i < paths->count; i++) {
        struct stat status;
        if (stat(paths->at[i], &status) == 0) {
            uint64_t at_ns =
                (uint64_t)status.st_mtim.tv_sec * second_ns + (uint64_t)status.st_mtim.tv_nsec;
            newest_ns = yarder_max(newest_ns, at_ns);
        }
    }
    return newest_ns;
}

/* What is seen for the first time asks for nothing; neither does what has gone. */
static void look_at_touched(struct sweeper *sweeper, struct rotation *rotation)
{
    const struct output_rotate *rotate = &rotation->config->rotate;
    const struct yarder_texts *const paths[ROTATE_TOUCHES] = {
        &rotate->touch, &rotate->reopen_touch};
    for (uint32_t i = 0; i < ROTATE_TOUCHES; i++) {
        uint64_t seen_ns = __atomic_load_n(&rotation->touched_ns[i], __ATOMIC_RELAXED);
        uint64_t now_ns = paths[i]->count > 0 ? touched_ns(paths[i]) : 0;
        if (now_ns != seen_ns) {
            __atomic_store_n(&rotation->touched_ns[i], now_ns, __ATOMIC_RELAXED);
            tell(sweeper, rotation, now_ns > seen_ns && seen_ns != 0 ? 1u << i : ROTATE_ASKED_SEEN);
        }
    }
}

/* The list */

static struct task *task_of(struct sweeper *sweeper, struct rotation *rotation, const char *path)
{
    struct task *task = sweeper->tasks;
    while (task != NULL && (task->rotation != rotation || strcmp(task->path, path) != 0)) {
        task = task->next;
    }
    return task;
}

/* Under the lock. Without memory the next rotation asks again. */
static void put_task(
    struct sweeper *sweeper, struct rotation *rotation, const char *path, uint64_t due_ns)
{
    struct task *task = task_of(sweeper, rotation, path);
    if (task != NULL) {
        task->due_ns = yarder_min(task->due_ns, due_ns);
        return;
    }
    task = calloc(1, sizeof(*task));
    if (task != NULL) {
        task->rotation = rotation;
        task->due_ns = due_ns;
        (void)snprintf(task->path, sizeof(task->path), "%s", path);
        task->next = sweeper->tasks;
        sweeper->tasks = task;
    }
}

void sweeper_add(struct sweeper *sweeper, struct rotation *rotation, const char *path)
{
    if (sweeper == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&sweeper->lock);
    put_task(sweeper, rotation, path, 0);
    (void)pthread_cond_signal(&sweeper->changed);
    (void)pthread_mutex_unlock(&sweeper->lock);
}

void sweeper_watch(
    struct sweeper *sweeper, struct rotation *rotation, const uint64_t seen_ns[ROTATE_TOUCHES])
{
    if (sweeper == NULL) {
        return;
    }
    memcpy(rotation->touched_ns, seen_ns, sizeof(rotation->touched_ns));
    const struct output_rotate *rotate = &rotation->config->rotate;
    if (rotate->touch.count + rotate->reopen_touch.count == 0) {
        return;
    }
    (void)pthread_mutex_lock(&sweeper->lock);
    sweeper->watched[sweeper->watched_count++] = rotation;
    (void)pthread_cond_signal(&sweeper->changed);
    (void)pthread_mutex_unlock(&sweeper->lock);
}

/* Takes the first that is due out of the list; else *next_ns is when one will be. Under the lock.
 */
static struct task *due_task(struct sweeper *sweeper, uint64_t now_ns, uint64_t *next_ns)
{
    for (struct task **at = &sweeper->tasks; *at != NULL; at = &(*at)->next) {
        struct task *task = *at;
        if (task->due_ns <= now_ns) {
            *at = task->next;
            return task;
        }
        *next_ns = yarder_min(*next_ns, task->due_ns);
    }
    return NULL;
}

static void wait_until(struct sweeper *sweeper, uint64_t next_ns)
{
    const struct timespec until = {
        .tv_sec = (time_t)(next_ns / second_ns), .tv_nsec = (long)(next_ns % second_ns)};
    (void)pthread_cond_timedwait(&sweeper->changed, &sweeper->lock, &until);
}

/* Without the lock. */
static void sweep_one(struct sweeper *sweeper, struct task *task)
{
    enum sweep_result result = sweep_path(sweeper, task->rotation, task->path, &sweeper->stop);
    uint64_t now_ns = (uint64_t)os_monotonic_ns();
    uint64_t after_ns = UINT64_MAX;
    if (result == SWEEP_AGAIN) {
        after_ns = second_ns;
    } else if (result == SWEEP_FAILED) {
        after_ns = retry_after_ns;
    } else if (task->rotation->config->rotate.keep_days != 0) {
        after_ns = look_after_ns;
    }
    if (after_ns != UINT64_MAX) {
        (void)pthread_mutex_lock(&sweeper->lock);
        put_task(sweeper, task->rotation, task->path, now_ns + after_ns);
        (void)pthread_mutex_unlock(&sweeper->lock);
    }
    free(task);
}

static void *run(void *sweeper_)
{
    struct sweeper *sweeper = sweeper_;
    (void)pthread_setname_np(pthread_self(), "yarder-sweep");
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), NICE_MOST);
    (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
    (void)pthread_mutex_lock(&sweeper->lock);
    while (__atomic_load_n(&sweeper->stop, __ATOMIC_RELAXED) == 0) {
        uint64_t now_ns = (uint64_t)os_monotonic_ns();
        uint64_t next_ns = now_ns + look_after_ns;
        uint32_t watched = sweeper->watched_count; /* only grows */
        if (watched > 0 && now_ns >= sweeper->touch_ns) {
            sweeper->touch_ns = now_ns + second_ns;
            (void)pthread_mutex_unlock(&sweeper->lock);
            for (uint32_t i = 0; i < watched; i++) {
                look_at_touched(sweeper, sweeper->watched[i]);
            }
            (void)pthread_mutex_lock(&sweeper->lock);
        }
        next_ns = watched > 0 ? sweeper->touch_ns : next_ns;
        struct task *task = due_task(sweeper, now_ns, &next_ns);
        if (task == NULL) {
            wait_until(sweeper, next_ns);
            continue;
        }
        (void)pthread_mutex_unlock(&sweeper->lock);
        sweep_one(sweeper, task);
        (void)pthread_mutex_lock(&sweeper->lock);
    }
    sweeper->left = true;
    (void)pthread_cond_signal(&sweeper->changed);
    (void)pthread_mutex_unlock(&sweeper->lock);
    return NULL;
}

int sweeper_open(struct sweeper **out, int event_fd, const uint32_t *writer_sleeps)
{
    YARDER_OWN_HEAP struct sweeper *sweeper = calloc(1, sizeof(*sweeper));
    pthread_condattr_t attributes;
    if (sweeper == NULL) {
        return -ENOMEM;
    }
    sweeper->event_fd = event_fd;
    sweeper->writer_sleeps = writer_sleeps;
    (void)pthread_mutex_init(&sweeper->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sweeper->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    int r = os_thread_start(&sweeper->thread, STACK_BYTES, run, sweeper);
    if (r == 0) {
        *out = yarder_heap_take(&sweeper);
    }
    return r;
}

bool sweeper_stop(struct sweeper *sweeper, uint64_t wait_ns)
{
    uint64_t end_ns = (uint64_t)os_monotonic_ns() + wait_ns;
    (void)pthread_mutex_lock(&sweeper->lock);
    __atomic_store_n(&sweeper->stop, 1, __ATOMIC_RELAXED);
    (void)pthread_cond_signal(&sweeper->changed);
    while (!sweeper->left && (uint64_t)os_monotonic_ns() < end_ns) {
        wait_until(sweeper, end_ns);
    }
    bool left = sweeper->left;
    (void)pthread_mutex_unlock(&sweeper->lock);
    return left;
}

void sweeper_close(struct sweeper *sweeper)
{
    (void)pthread_join(sweeper->thread, NULL);
    for (struct task *task = sweeper->tasks; task != NULL; task = sweeper->tasks) {
        sweeper->tasks = task->next;
        free(task);
    }
    (void)pthread_cond_destroy(&sweeper->changed);
    (void)pthread_mutex_destroy(&sweeper->lock);
    free(sweeper);
}
