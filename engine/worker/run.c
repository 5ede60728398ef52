/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a worker process, and the connections and regions that come and go in it. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "os/crash.h"
#include "os/identity.h"
#include "outputs/sweep.h"
#include "worker/alarm.h"
#include "worker/prepare.h"
#include "worker/status.h"

void worker_say(struct worker *worker, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say_words(worker->say, format, arguments);
    va_end(arguments);
}

void worker_complain(void *worker, const char *line)
{
    worker_say(worker, "%s", line);
}

int worker_add_region(struct worker *worker, struct channel_message *message)
{
    struct input *input = NULL;
    for (uint32_t i = 0; i < worker->config->inputs_count && input == NULL; i++) {
        input = worker->config->inputs[i].kind == INPUT_RING ? &worker->inputs[i] : NULL;
    }
    if (input == NULL) {
        return -ENOENT;
    }
    struct ring_input *ring = NULL;
    const struct ring_process process = {.id = message->number,
        .pid = message->pid,
        .program = message->text,
        .region_fd = yarder_fd_take(&message->fds[0]),
        .doorbell_fd = yarder_fd_take(&message->fds[1])};
    int r = ring_input_open(&ring, input, worker->hold, &process);
    if (r < 0) {
        return r;
    }
    ring->gone = message->index != 0;
    ring->doorbell.owner_kind = SOURCE_DOORBELL;
    if (ring->doorbell.fd < 0 || io_add(worker->io, &ring->doorbell) < 0) {
        ring->doorbell_ended = true; /* looked at often all the same */
    }
    region_reader_announce(ring->reader, (uint64_t)getpid(), false);
    struct ring_input **last = &worker->rings;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = ring;
    worker->dirty = true;
    worker->more = true;
    return 0;
}

int worker_add_stream(struct worker *worker, uint32_t input, int fd, struct stream_input **out)
{
    struct stream_input *stream = stream_open(&worker->inputs[input], fd);
    if (stream == NULL) {
        return -ENOMEM;
    }
    stream->source.owner_kind = SOURCE_STREAM;
    int r = io_add(worker->io, &stream->source);
    if (r < 0) {
        stream->source.fd = -1;
        stream_close(stream);
        return r;
    }
    stream->next = worker->streams;
    if (stream->next != NULL) {
        stream->next->link = &stream->next;
    }
    stream->link = &worker->streams;
    worker->streams = stream;
    worker->listeners[input].connections++;
    *out = stream;
    return 0;
}

void worker_drop_stream(struct worker *worker, struct stream_input *stream)
{
    io_remove(worker->io, &stream->source);
    worker->listeners[stream->input->index].connections--;
    *stream->link = stream->next;
    if (stream->next != NULL) {
        stream->next->link = stream->link;
    }
    stream_close(stream);
}

/* The supervisor forwards what matters as messages: a terminal's Ctrl-C must not kill a worker. */
static void ignore_signals(void)
{
    const int ignored[] = {
        SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGRTMIN, SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < YARDER_COUNT_OF(ignored); i++) {
        (void)signal(ignored[i], SIG_IGN);
    }
}

/*
 * A lane that hangs on a disk is left behind. One with a backend comes back soon from whatever it
 * is at, but may have a command to end, and to wait for: all of them together have a few seconds.
 */
static void close_outputs(struct worker *worker)
{
    const uint64_t lane_wait_ns = 200000000;
    const uint64_t backends_wait_ns = 6000000000; /* less than the supervisor waits for us */
    uint64_t end_ns = (uint64_t)os_monotonic_ns() + backends_wait_ns;
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_want(&worker->outputs[i], true, worker->now_ns); /* of all of them, then each */
    }
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        uint64_t now_ns = (uint64_t)os_monotonic_ns();
        bool backend = worker->outputs[i].config->kind == OUTPUT_OFFLOAD && now_ns < end_ns;
        (void)output_close(&worker->outputs[i], backend ? end_ns - now_ns : lane_wait_ns);
    }
}

int worker_run(const struct worker_options *options)
{
    static struct worker worker; /* large; zeroed */
    ignore_signals();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NAME, "yarder-writer");
    crash_arm();
    worker.channel_fd = options->channel_fd;
    int r = worker_setup(&worker, options);
    if (r == -EINVAL) {
        return 2;
    }
    if (r == -ECANCELED || r == -EPIPE) {
        return 0;
    }
    if (r < 0) {
        return 1;
    }
    r = worker_loop(&worker);
    status_close(worker.status);
    bool swept = sweeper_end(&worker);
    close_outputs(&worker);
    if (worker.sink.sweeper != NULL && swept) {
        sweeper_close(worker.sink.sweeper);
    }
    alarms_close(worker.sink.alarms);
    say_close(worker.say);
    return r < 0 ? 1 : 0;
}
