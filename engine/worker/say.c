/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker has to say goes to standard error by a thread of its own: who reads that may have
 * stopped (a full pipe, a terminal held by Ctrl-S, a file on a disk that hangs), and no record must
 * wait with it.
 *
 *        taken              put            one slot for each line, slot = counter % LINES_MAX;
 *     ...[line][line][line]....            `put` is the writer's, `taken` the thread's
 *
 * What finds no slot is counted, and said when there is one.
 */
#include "worker/say.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "os/thread.h"

enum { LINES_MAX = 64, LINE_BYTES = 512, STACK_BYTES = 64 << 10, CLOSE_WAIT_MS = 200 };

struct say {
    uint32_t put;    /* release in hand_over pairs with acquire in the thread */
    uint32_t taken;  /* release in the thread pairs with acquire in hand_over */
    uint32_t unsaid; /* the writer's: lines that found no slot */
    sem_t lines_there;
    pthread_t thread;
    char lines[LINES_MAX][LINE_BYTES];
};

static void write_line(const char *line)
{
    char whole[LINE_BYTES + 16];
    int length = snprintf(whole, sizeof(whole), "yarder: %s\n", line);
    (void)!write(
        STDERR_FILENO, whole, (size_t)length); /* no stream: a stuck one could not be left */
}

static void *run(void *argument)
{
    struct say *say = argument;
    (void)pthread_setname_np(pthread_self(), "yarder-say");
    for (;;) {
        while (sem_wait(&say->lines_there) < 0) {
        }
        uint32_t taken = say->taken;
        if (taken == __atomic_load_n(&say->put, __ATOMIC_ACQUIRE)) {
            return NULL; /* a post without a line: leave */
        }
        write_line(say->lines[taken % LINES_MAX]);
        __atomic_store_n(&say->taken, taken + 1, __ATOMIC_RELEASE);
    }
}

/* Whether there was a slot. */
static bool hand_over(struct say *say, const char *line)
{
    uint32_t taken = __atomic_load_n(&say->taken, __ATOMIC_ACQUIRE);
    if (say->put - taken == LINES_MAX) {
        return false;
    }
    (void)snprintf(say->lines[say->put % LINES_MAX], LINE_BYTES, "%s", line);
    __atomic_store_n(&say->put, say->put + 1, __ATOMIC_RELEASE);
    (void)sem_post(&say->lines_there);
    return true;
}

void say_words(struct say *say, const char *format, va_list arguments)
{
    char line[LINE_BYTES];
    (void)vsnprintf(line, sizeof(line), format, arguments);
    if (say == NULL) {
        write_line(line);
        return;
    }
    if (say->unsaid > 0) {
        char gap[LINE_BYTES];
        (void)snprintf(
            gap, sizeof(gap), "%u lines before this one could not be said in time", say->unsaid);
        say->unsaid = hand_over(say, gap) ? 0 : say->unsaid;
    }
    say->unsaid += hand_over(say, line) ? 0 : 1;
}

struct say *say_open(void)
{
    YARDER_OWN_HEAP struct say *say = calloc(1, sizeof(*say));
    if (say == NULL || sem_init(&say->lines_there, 0, 0) < 0) {
        return NULL;
    }
    return os_thread_start(&say->thread, STACK_BYTES, run, say) == 0 ? yarder_heap_take(&say)
                                                                     : NULL;
}

void say_close(struct say *say)
{
    if (say == NULL) {
        return;
    }
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += CLOSE_WAIT_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)sem_post(&say->lines_there);
    if (pthread_timedjoin_np(say->thread, NULL, &until) == 0) { /* else it ends with the process */
        (void)sem_destroy(&say->lines_there);
        free(say);
    }
}
