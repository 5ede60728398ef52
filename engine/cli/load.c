/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Senders, each with its own road and pace. A record is due at an absolute time: a sender that was
 * held up catches up, so the rate is kept over any span and not only when nothing goes wrong.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "cli/send.h"
#include "cli/sequence.h"
#include "codec/frame.h"
#include "os/memory.h"

enum { READ_BYTES = 64 << 10, SPANS = 64 };

volatile sig_atomic_t send_stopped;

struct sender {
    const struct send_plan *plan;
    struct send_tally *tally;
    struct sequence sequence; /* plan->sequence */
};

/* Waits until record `number` is due; false: a signal ended it. */
static bool wait_due(struct send_road *road, int64_t start_ns, uint64_t number, int *error)
{
    uint64_t rate = road->plan->rate;
    if (rate == 0) {
        return send_stopped == 0;
    }
    int64_t due_ns =
        start_ns + (int64_t)(number / rate * 1000000000u + number % rate * 1000000000u / rate);
    if (due_ns > os_monotonic_ns()) {
        *error = road_flush(road);
        const struct timespec due = {due_ns / 1000000000, due_ns % 1000000000};
        while (send_stopped == 0 &&
               clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR) {
        }
    }
    return send_stopped == 0;
}

/* The text of one record, in `room` or elsewhere. */
static const char *make_text(struct sender *sender, uint64_t number, char *room, size_t *bytes)
{
    const struct send_plan *plan = sender->plan;
    if (plan->text != NULL) {
        *bytes = strlen(plan->text);
        return plan->text;
    }
    if (plan->sequence != NULL) {
        *bytes = sequence_write(&sender->sequence, room, number);
    } else {
        *bytes = plan->size_bytes;
    }
    return room;
}

static int send_made(struct sender *sender, struct send_road *road)
{
    const struct send_plan *plan = sender->plan;
    size_t room = (size_t)yarder_max(plan->size_bytes, SEQUENCE_HEAD_BYTES_MAX);
    YARDER_OWN_HEAP char *text = malloc(room);
    if (text == NULL) {
        return -ENOMEM;
    }
    memset(text, 'x', room);
    int64_t start_ns = os_monotonic_ns();
    int r = 0;
    for (uint64_t i = 0; r == 0 && (plan->count == 0 || i < plan->count); i++) {
        if (!wait_due(road, start_ns, i, &r)) {
            break;
        }
        size_t bytes = 0;
        const char *made = make_text(sender, i, text, &bytes);
        r = r < 0 ? r : road_put(road, made, bytes, sender->tally);
    }
    return r;
}

static int send_spans(struct sender *sender, struct send_road *road, struct framer *framer,
    const char *bytes, size_t bytes_count)
{
    struct frame_span spans[SPANS];
    size_t at = 0;
    int count = SPANS;
    while (at < bytes_count || count == SPANS) {
        size_t used = 0;
        count = framer_take(framer, bytes + at, bytes_count - at, spans, SPANS, &used);
        at += used;
        for (int i = 0; i < count; i++) {
            int r = road_put(road, spans[i].text.at, spans[i].text.length, sender->tally);
            if (r < 0) {
                return r;
            }
        }
    }
    return road_flush(road); /* a line typed is a line sent */
}

static int send_lines(struct sender *sender, struct send_road *road)
{
    struct framer framer;
    struct frame_span span;
    YARDER_OWN_HEAP char *bytes = malloc(READ_BYTES);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    framer_init(&framer, FRAME_LF, YARDER_TEXT_BYTES_MAX);
    int r = 0;
    ssize_t got = 1;
    while (r == 0 && got != 0 && send_stopped == 0) {
        got = read(STDIN_FILENO, bytes, READ_BYTES);
        if (got > 0) {
            r = send_spans(sender, road, &framer, bytes, (size_t)got);
        } else if (got < 0 && errno != EINTR) {
            r = -errno;
        }
    }
    if (r == 0 && framer_finish(&framer, true, &span) == 1) {
        r = road_put(road, span.text.at, span.text.length, sender->tally);
    }
    framer_deinit(&framer);
    return r;
}

static void *send_one(void *argument)
{
    struct sender *sender = argument;
    struct send_road road;
    int r = road_open(&road, sender->plan);
    if (r == 0) {
        r = sender->plan->read_lines ? send_lines(sender, &road) : send_made(sender, &road);
        int closed = road_close(&road);
        r = r < 0 ? r : closed;
    }
    sender->tally->error = r;
    sender->tally->end_ns = os_monotonic_ns();
    return NULL;
}

/* The threads of one process; all of them are joined. */
static void run_threads(struct sender *senders, uint32_t count)
{
    pthread_t threads[SEND_SENDERS_MAX];
    uint32_t started = 0;
    while (started + 1 < count) {
        int error = pthread_create(&threads[started], NULL, send_one, &senders[started + 1]);
        if (error != 0) {
            senders[started + 1].tally->error = -error;
            break;
        }
        started++;
    }
    (void)send_one(&senders[0]);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    if (senders[0].plan->way == SEND_RING) {
        senders[0].tally->unflushed = yarder_flush(SEND_FLUSH_MS) == -ETIMEDOUT;
    }
}

static void stop(int number)
{
    (void)number;
    send_stopped = 1;
}

static void catch_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: reads end */
    for (size_t i = 0; i < YARDER_COUNT_OF(numbers); i++) {
        (void)sigaction(numbers[i], &action, NULL);
    }
    (void)signal(SIGCHLD, SIG_DFL);
}

/* Further processes; they end with this one. */
static int run_processes(const struct send_plan *plan, struct sender *senders)
{
    pid_t children[SEND_SENDERS_MAX];
    uint32_t started = 0;
    int r = 0;
    while (started + 1 < plan->processes && r == 0) {
        pid_t pid = fork();
        if (pid == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
            run_threads(&senders[(size_t)(started + 1) * plan->threads], plan->threads);
            _exit(0);
        }
        r = pid < 0 ? -errno : 0;
        children[started] = pid;
        started += r == 0 ? 1 : 0;
    }
    if (r == 0) {
        run_threads(senders, plan->threads);
    }
    for (uint32_t i = 0; i < started; i++) {
        if (send_stopped != 0 || r < 0) {
            (void)kill(children[i], SIGTERM);
        }
        int status = 0;
        while (waitpid(children[i], &status, 0) < 0 && errno == EINTR) {
            (void)kill(children[i], SIGTERM);
        }
        if (!WIFEXITED(status)) {
            senders[(size_t)(i + 1) * plan->threads].tally->error = -ECHILD;
        }
    }
    return r;
}

static void add(struct send_tally *sum, const struct send_tally *one)
{
    sum->sent += one->sent;
    sum->bytes += one->bytes;
    sum->lost += one->lost;
    sum->filtered += one->filtered;
    sum->end_ns = one->end_ns > sum->end_ns ? one->end_ns : sum->end_ns;
    sum->error = sum->error != 0 ? sum->error : one->error;
    sum->unflushed = sum->unflushed || one->unflushed;
}

/* Several senders are sources of their own. */
static void open_sequence(struct sender *sender, size_t index, size_t count)
{
    const struct send_plan *plan = sender->plan;
    if (plan->sequence == NULL) {
        return;
    }
    char source[SEQUENCE_SOURCE_BYTES_MAX + 1];
    (void)snprintf(source, sizeof(source), "%.56s", plan->sequence);
    if (count > 1) {
        (void)snprintf(source, sizeof(source), "%.56s-%zu", plan->sequence, index);
    }
    sequence_open(&sender->sequence, source, plan->size_bytes);
}

int send_load(const struct send_plan *plan, struct send_tally *tally)
{
    size_t count = (size_t)plan->processes * plan->threads;
    YARDER_ASSERT(count > 0 && count <= SEND_SENDERS_MAX);
    size_t bytes = count * sizeof(struct send_tally);
    struct send_tally *tallies =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    YARDER_OWN_HEAP struct sender *senders = calloc(count, sizeof(*senders));
    if (tallies == MAP_FAILED || senders == NULL) {
        return -ENOMEM;
    }
    sequence_init();
    catch_signals();
    for (size_t i = 0; i < count; i++) {
        senders[i].plan = plan;
        senders[i].tally = &tallies[i];
        open_sequence(&senders[i], i, count);
    }
    int r = run_processes(plan, senders);
    *tally = (struct send_tally){0};
    for (size_t i = 0; i < count; i++) {
        add(tally, &tallies[i]);
    }
    (void)munmap(tallies, bytes);
    return r;
}
