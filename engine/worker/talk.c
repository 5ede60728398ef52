/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the supervisor while the worker is at work, and the words it says itself. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "os/memory.h"
#include "worker/worker_private.h"

enum { MESSAGES_EACH_TIME = 64, SEND_WAIT_MS = 1000 };

/* Before its first pass a worker may wait. At work it asks again after a later commit. */
static int tell_of_file(const struct worker *worker, const struct channel_message *message)
{
    return channel_send(
        worker->channel_fd, message, worker->phase == WORKER_PREPARING ? SEND_WAIT_MS : 0);
}

int worker_keep_file(void *owner, uint32_t queue, int fd, bool only)
{
    const struct worker *worker = owner;
    const struct hold_queue *named = &worker->hold->queues[queue];
    const struct channel_file file = {.dev = named->dev, .ino = named->ino};
    struct channel_message message = channel_message_of(CHANNEL_FILE, queue, only);
    memcpy(message.text, &file, sizeof(file));
    message.fds[0] = fd;
    return tell_of_file(worker, &message);
}

int worker_forget_file(void *owner, uint32_t queue)
{
    const struct worker *worker = owner;
    const struct channel_message message = channel_message_of(CHANNEL_FILE_CLOSED, queue, 0);
    return tell_of_file(worker, &message);
}

/* One that cannot be read is given back, so that its process does not log into it for nobody. */
void worker_take_region(struct worker *worker, struct channel_message *message)
{
    int r = message->fds[0] < 0 ? -EMFILE : worker_add_region(worker, message);
    if (r == 0) {
        return;
    }
    worker_say(worker, "the ring of pid %u cannot be read now: %s; it is sent to the log socket",
        message->pid, strerror(-r));
    const struct channel_message refused =
        channel_message_of(CHANNEL_REGION_REFUSED, 0, message->number);
    (void)!channel_send(worker->channel_fd, &refused, SEND_WAIT_MS);
}

static void region_gone(struct worker *worker, uint64_t id)
{
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (ring->id == id) {
            ring->gone = true;
            worker->more = true;
        }
    }
}

static void child_ended(struct worker *worker, const struct channel_message *message)
{
    uint32_t pipe = message->index;
    if (pipe >= worker->hold->shape.pipes_count || !worker->pipe_is_open[pipe]) {
        return;
    }
    pipe_child_ended(&worker->pipes[pipe], message->number == 1);
    worker->more = true;
}

/* Inputs are read no more. What the loop has received already can still be taken from streams. */
void worker_stop_reading(struct worker *worker, bool keep_streams)
{
    for (uint32_t i = 0; i < worker->config->inputs_count; i++) {
        if (worker->listeners[i].source.fd >= 0) {
            io_remove(worker->io, &worker->listeners[i].source);
            yarder_fd_drop(&worker->listeners[i].source.fd);
            worker->listeners[i].source.fd = -1;
        }
        if (worker->datagrams[i].source.fd >= 0) {
            io_remove(worker->io, &worker->datagrams[i].source);
            yarder_fd_drop(&worker->datagrams[i].source.fd);
            worker->datagrams[i].source.fd = -1;
        }
    }
    for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
        if (worker->pipe_is_open[i] && !worker->pipes[i].finished) {
            io_remove(worker->io, &worker->pipes[i].source);
            worker->pipe_is_open[i] = false;
        }
    }
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (!ring->doorbell_ended) {
            io_remove(worker->io, &ring->doorbell);
            ring->doorbell_ended = true;
        }
    }
    while (!keep_streams && worker->streams != NULL) {
        worker_drop_stream(worker, worker->streams);
    }
}

/*
 * A reload: what the sockets have already given is placed (io_pause keeps it takeable), datagram
 * sockets and listeners go on in the kernel, and the writes finish.
 */
static void quiet(struct worker *worker)
{
    enum { QUIET_MS_MAX = 2000 };
    for (struct stream_input *stream = worker->streams; stream != NULL; stream = stream->next) {
        io_pause(worker->io, &stream->source);
    }
    for (uint32_t i = 0; i < worker->config->inputs_count; i++) {
        if (worker->datagrams[i].source.fd >= 0) {
            io_pause(worker->io, &worker->datagrams[i].source);
        }
    }
    worker->phase = WORKER_QUIETING;
    worker->quiet_passes = 0; /* one at least, which takes what the sockets gave */
    worker->stop_ns = (uint64_t)os_monotonic_ns() + QUIET_MS_MAX * UINT64_C(1000000);
}

static void stop(struct worker *worker, const struct channel_message *message)
{
    uint64_t deadline_ns = (uint64_t)os_monotonic_ns() + message->number;
    if (worker->phase == WORKER_QUIET) {
        memcpy(&worker->stop_outputs, message->text, sizeof(worker->stop_outputs));
        for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
            worker->outputs[i].fenced = (worker->stop_outputs >> i & 1) == 0;
        }
        worker->phase = WORKER_STOPPING;
    } else {
        worker->stop_outputs = UINT64_MAX;
        worker->last_call = worker->phase == WORKER_RUNNING; /* what is there is still taken */
        worker->last_call_ns = deadline_ns - message->number / 2;
        if (!worker->last_call) {
            worker_stop_reading(worker, false);
            worker->phase = WORKER_STOPPING;
        }
        for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
            region_reader_announce(ring->reader, (uint64_t)getpid(), true);
        }
        for (uint32_t i = 0; i < worker->hold->shape.pipes_count; i++) {
            worker->pipes[i].hungry = true; /* one that gave little may have got more since */
        }
    }
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_want(&worker->outputs[i], false, worker->now_ns);
        output_hurry(&worker->outputs[i]);
    }
    worker->stop_ns = deadline_ns;
}

static void fence(struct worker *worker, const struct channel_message *message)
{
    if (message->index < worker->sink.outputs_count) {
        worker->outputs[message->index].fenced = message->number != 0;
    }
}

static void answer(struct worker *worker, struct channel_message *message)
{
    switch (message->kind) {
    case CHANNEL_REGION:
        worker_take_region(worker, message);
        return;
    case CHANNEL_REGION_GONE:
        region_gone(worker, message->number);
        return;
    case CHANNEL_CHILD_ENDED:
        child_ended(worker, message);
        return;
    case CHANNEL_REOPEN:
        for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
            output_reopen(&worker->outputs[i]);
        }
        worker->dirty = true;
        return;
    case CHANNEL_ROTATE:
        for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
            if (worker->config->outputs[i].kind == OUTPUT_FILE) {
                output_ask_rotate(&worker->outputs[i]);
            }
        }
        return;
    case CHANNEL_QUIET:
        quiet(worker);
        return;
    case CHANNEL_STOP:
        stop(worker, message);
        return;
    case CHANNEL_FENCE:
        fence(worker, message);
        return;
    case CHANNEL_ALIVE:
        (void)!channel_send(worker->channel_fd, message, 1000);
        return;
    default:
        return; /* of a newer supervisor, or out of place: nothing to do */
    }
}

void worker_listen(struct worker *worker)
{
    for (unsigned i = 0; i < MESSAGES_EACH_TIME; i++) {
        struct channel_message message;
        int r = channel_receive(worker->channel_fd, &message);
        if (r == -EPIPE) {
            worker->orphaned = true; /* the supervisor has died: nobody keeps our hold */
            return;
        }
        if (r <= 0) {
            return;
        }
        answer(worker, &message);
        channel_message_drop(&message);
    }
    worker->more = true;
}
