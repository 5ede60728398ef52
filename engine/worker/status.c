/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread: answers on the control socket, a line of JSON in, a line of JSON out
 * (docs/control.md). It reads commits of the hold as any other process could, and never touches
 * what the writer owns. Many askers are served at a time, a request of each in turn; each request
 * has a time limit, and when all places are taken the asker that has been idle longest gives way:
 * so nobody who is slow, silent or endless keeps another from an answer.
 */
#include "worker/status.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "os/memory.h"
#include "os/thread.h"
#include "worker/asker.h"
#include "worker/recent.h"
#include "worker/report.h"
#include "worker/tap_answer.h"

enum {
    ASKERS_MAX = 32,
    ASKER_WAIT_MS = 2000,  /* for a whole request, and for an answer to be taken */
    ASKER_LEAST_MS = 100,  /* so long an asker keeps its place whoever waits for it */
    ACCEPT_PAUSE_MS = 100, /* after a failure that would come again at once */
    STACK_BYTES = 512 << 10,
};

struct status {
    struct worker *worker; /* only what never changes after setup, and what outputs tell */
    struct hold *hold;     /* a view of our own */
    int control_fd;
    int stop_fd;
    int spare_fd;       /* given up to accept with when the process has no descriptor left */
    uint64_t accept_ms; /* not before */
    uint64_t sample_ms; /* the next one of `recent` */
    pthread_t thread;
    struct recent recent;
    struct asker askers[ASKERS_MAX];
};

static uint64_t now_ms(void)
{
    return (uint64_t)os_monotonic_ns() / 1000000;
}

/*
 * Asked for first, forwarded then: a reload that begins in between reads the sources after the
 * question, hence does for it.
 */
static cJSON *forward(struct status *status, enum channel_kind kind)
{
    const struct channel_message message = channel_message_of(kind, 0, 0);
    const struct board *board = status->worker->board;
    /* acquire: pairs with the release in control/reload.c */
    uint64_t begun = board == NULL ? 0 : __atomic_load_n(&board->reloads_begun, __ATOMIC_ACQUIRE);
    int r = channel_send(status->worker->channel_fd, &message, 1000);
    cJSON *answer = cJSON_CreateObject();
    if (r < 0) {
        (void)cJSON_AddStringToObject(answer, "error", "the supervisor does not answer");
    } else if (kind == CHANNEL_RELOAD) {
        (void)cJSON_AddNumberToObject(answer, "reload", (double)(begun + 1));
    }
    return answer;
}

/* The outputs' files are put aside at the next pass, which the lanes' event begins. */
static cJSON *rotate_answer(struct worker *worker, const cJSON *request)
{
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(request, "output");
    cJSON *answer = cJSON_CreateObject();
    uint32_t asked = 0;
    for (uint32_t i = 0; i < worker->config->outputs_count; i++) {
        const struct output_config *config = &worker->config->outputs[i];
        bool named = cJSON_IsString(wanted) && strcmp(wanted->valuestring, config->name) == 0;
        if (config->kind == OUTPUT_FILE && (wanted == NULL || named)) {
            output_ask_rotate(&worker->outputs[i]);
            asked++;
        }
    }
    uint64_t one = 1;
    (void)!write(worker->lanes_source.fd, &one, sizeof(one));
    if (asked == 0) {
        (void)cJSON_AddStringToObject(answer, "error",
            wanted == NULL ? "no output has files" : "no output of that name has files");
    } else {
        (void)cJSON_AddNumberToObject(answer, "rotate", asked);
    }
    return answer;
}

static cJSON *answer_to(struct status *status, struct asker *asker, const char *line, size_t bytes)
{
    cJSON *request = cJSON_ParseWithLength(line, bytes);
    const cJSON *what = cJSON_GetObjectItemCaseSensitive(request, "do");
    const char *word = cJSON_IsString(what) ? what->valuestring : "";
    cJSON *answer = NULL;
    if (strcmp(word, "status") == 0) {
        answer = hold_snapshot(status->hold) < 0 ? NULL
                                                 : report_status(status->hold, status->worker,
                                                       recent_oldest(&status->recent), now_ms());
    } else if (strcmp(word, "reload") == 0) {
        answer = forward(status, CHANNEL_RELOAD);
    } else if (strcmp(word, "reopen") == 0) {
        answer = forward(status, CHANNEL_REOPEN);
    } else if (strcmp(word, "rotate") == 0) {
        answer = rotate_answer(status->worker, request);
    } else if (strcmp(word, "tap") == 0) {
        answer = tap_answer(status->worker, request, &asker->tap);
    } else {
        answer = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(answer, "error",
            "not understood: expected {\"do\":\"status\"}, {\"do\":\"reload\"}, "
            "{\"do\":\"reopen\"}, {\"do\":\"rotate\"} or {\"do\":\"tap\"}");
    }
    cJSON_Delete(request);
    return answer;
}

static void spare_open(struct status *status)
{
    if (status->spare_fd < 0) {
        status->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
}

static void let_go(struct status *status, struct asker *asker)
{
    if (asker->tap != NULL) {
        taps_withdraw(&status->worker->taps, asker->tap);
        asker->tap = NULL;
    }
    asker_close(asker);
    spare_open(status);
}

/* One step of an asker that can go on: at most one request. */
static void serve(struct status *status, struct asker *asker, bool ready)
{
    bool good = true;
    if (ready && asker->answer == NULL && asker_request(asker) == 0) {
        good = asker_receive(asker);
    }
    size_t bytes = good && asker->answer == NULL ? asker_request(asker) : 0;
    if (bytes > 0) {
        cJSON *answer = answer_to(status, asker, asker->said, bytes);
        good = asker_answer(asker, cJSON_PrintUnformatted(answer), now_ms());
        cJSON_Delete(answer);
    }
    if (good && asker->answer != NULL) {
        good = asker_send(asker, now_ms());
    }
    if (!good || asker_is_through(asker)) {
        let_go(status, asker);
    }
}

/* The place for the next asker: a free one, or the one that has been idle longest; NULL: later. */
static struct asker *place_of(struct status *status, uint64_t at_ms)
{
    struct asker *oldest = NULL;
    uint64_t oldest_ms = UINT64_MAX;
    for (uint32_t i = 0; i < ASKERS_MAX; i++) {
        struct asker *asker = &status->askers[i];
        if (asker->fd < 0) {
            return asker;
        }
        if (asker->tap == NULL && asker->since_ms < oldest_ms) {
            oldest = asker;
            oldest_ms = asker->since_ms;
        }
    }
    return oldest != NULL && at_ms - oldest_ms >= ASKER_LEAST_MS ? oldest : NULL;
}

static int accept_one(struct status *status)
{
    int fd = accept4(status->control_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static void accept_asker(struct status *status, struct asker *place)
{
    if (place->fd >= 0) {
        let_go(status, place);
    }
    int fd = accept_one(status);
    if (fd == -EMFILE || fd == -ENFILE) {
        yarder_fd_drop(&status->spare_fd);
        status->spare_fd = -1;
        fd = accept_one(status);
    }
    if (fd >= 0) {
        asker_open(place, fd, now_ms());
    } else if (fd != -EAGAIN && fd != -EINTR && fd != -ECONNABORTED) {
        status->accept_ms = now_ms() + ACCEPT_PAUSE_MS;
    }
}

static void expire(struct status *status, uint64_t at_ms)
{
    for (uint32_t i = 0; i < ASKERS_MAX; i++) {
        struct asker *asker = &status->askers[i];
        bool stays = asker->tap != NULL && asker->answer == NULL;
        if (asker->fd >= 0 && !stays && at_ms - asker->since_ms >= ASKER_WAIT_MS) {
            let_go(status, asker);
        }
    }
    taps_sweep(&status->worker->taps);
    if (at_ms >= status->sample_ms) {
        status->sample_ms = at_ms + RECENT_EVERY_MS;
        if (hold_snapshot(status->hold) == 0) {
            recent_add(&status->recent, status->hold, at_ms);
        }
    }
}

/*
 * What to wait for: the end, the listener, then the askers, as many as there are: poll refuses more
 * places than the process may have descriptors. Returns their count, and how long to wait at most.
 */
static uint32_t wishes(struct status *status, struct pollfd *ready, int *wait_ms)
{
    uint64_t at_ms = now_ms();
    uint64_t until_ms = status->sample_ms;
    uint32_t count = 2;
    bool may_accept = at_ms >= status->accept_ms && place_of(status, at_ms) != NULL;
    ready[0] = (struct pollfd){.fd = status->stop_fd, .events = POLLIN};
    ready[1] = (struct pollfd){.fd = may_accept ? status->control_fd : -1, .events = POLLIN};
    until_ms = may_accept ? until_ms : yarder_min(until_ms, at_ms + ASKER_LEAST_MS);
    for (uint32_t i = 0; i < ASKERS_MAX; i++) {
        const struct asker *asker = &status->askers[i];
        if (asker->fd < 0) {
            continue;
        }
        bool answers = asker->answer != NULL;
        bool goes_on = !answers && asker_request(asker) > 0;
        ready[count++] = (struct pollfd){.fd = asker->fd, .events = answers ? POLLOUT : POLLIN};
        bool stays = asker->tap != NULL && !answers;
        uint64_t end_ms = stays ? UINT64_MAX : asker->since_ms + ASKER_WAIT_MS;
        until_ms = yarder_min(until_ms, goes_on ? at_ms : end_ms);
    }
    *wait_ms = until_ms <= at_ms ? 0 : (int)(until_ms - at_ms);
    return count;
}

/* false: it is time to leave. */
static bool turn(struct status *status)
{
    struct pollfd ready[2 + ASKERS_MAX];
    int wait_ms = 0;
    uint32_t count = wishes(status, ready, &wait_ms);
    if (poll(ready, count, wait_ms) < 0) {
        const struct timespec pause = {.tv_nsec = ACCEPT_PAUSE_MS * 1000000};
        (void)nanosleep(&pause, NULL); /* no memory: it would fail again at once */
        return true;
    }
    if (ready[0].revents != 0) {
        return false;
    }
    count = 2;
    for (uint32_t i = 0; i < ASKERS_MAX; i++) { /* the same ones in the same order */
        if (status->askers[i].fd >= 0) {
            serve(status, &status->askers[i], ready[count++].revents != 0);
        }
    }
    expire(status, now_ms());
    struct asker *place = ready[1].revents == 0 ? NULL : place_of(status, now_ms());
    if (place != NULL) {
        accept_asker(status, place);
    }
    return true;
}

static void *control_thread(void *argument)
{
    struct status *status = argument;
    (void)pthread_setname_np(pthread_self(), "control");
    while (turn(status)) {
    }
    for (uint32_t i = 0; i < ASKERS_MAX; i++) { /* they ask again, and the next worker answers */
        if (status->askers[i].fd >= 0) {
            let_go(status, &status->askers[i]);
        }
    }
    return NULL;
}

int status_open(struct worker *worker, int control_fd)
{
    YARDER_OWN_HEAP struct status *status = calloc(1, sizeof(*status));
    if (status == NULL) {
        return -ENOMEM;
    }
    status->worker = worker;
    status->control_fd = control_fd;
    status->spare_fd = -1;
    spare_open(status);
    for (uint32_t i = 0; i < ASKERS_MAX; i++) {
        status->askers[i].fd = -1;
    }
    /* What the worker begins with, which no commit of this hold may say yet. */
    recent_add(&status->recent, worker->hold, now_ms());
    status->sample_ms = now_ms() + RECENT_EVERY_MS;
    int r = hold_open(&status->hold, worker->hold_fd);
    status->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (r == 0 && status->stop_fd < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = os_thread_start(&status->thread, STACK_BYTES, control_thread, status);
    }
    if (r == 0) {
        worker->status = yarder_heap_take(&status);
    }
    return r;
}

void status_stop(struct status *status)
{
    const uint64_t one = 1;
    if (status != NULL) {
        (void)!write(status->stop_fd, &one, sizeof(one));
    }
}

void status_close(struct status *status)
{
    if (status == NULL) {
        return;
    }
    status_stop(status);
    (void)pthread_join(status->thread, NULL);
    hold_close(status->hold);
    free(status);
}
