/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting connections, and what to do when a socket cannot go on: it never keeps the writer busy
 * with its failure, and is never given up.
 */
#include "worker/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { ACCEPTS_EACH_TIME = 64 };
static const uint64_t rest_ns = 100ull * 1000 * 1000;
static const uint64_t say_every_ns = 60ull * 1000 * 1000 * 1000;

bool worker_may_say(const struct worker *worker, uint64_t *said_ns)
{
    bool may = *said_ns == 0 || worker->now_ns - *said_ns >= say_every_ns;
    *said_ns = may ? worker->now_ns : *said_ns;
    return may;
}

void source_later(struct worker *worker, struct io_source *source)
{
    io_pause(worker->io, source);
    worker->rest_ns = worker->now_ns + rest_ns;
}

void sources_again(struct worker *worker)
{
    if (worker->rest_ns == 0 || worker->now_ns < worker->rest_ns) {
        return;
    }
    worker->rest_ns = 0;
    for (uint32_t i = 0; i < worker->config->inputs_count; i++) {
        if (worker->listeners[i].source.fd >= 0) {
            io_resume(worker->io, &worker->listeners[i].source);
        }
        if (worker->datagrams[i].source.fd >= 0) {
            io_resume(worker->io, &worker->datagrams[i].source);
        }
    }
}

static void refuse(struct worker *worker, struct listener_input *listener, int fd, const char *why)
{
    struct hold_input *counts = listener->input->counts;
    (void)close(fd);
    counts->connections_refused++;
    worker->dirty = true;
    if (worker_may_say(worker, &listener->refused_said_ns)) {
        worker_say(worker, "input %s: connections are refused: %s; %llu refused so far",
            listener->input->config->name, why, (unsigned long long)counts->connections_refused);
    }
}

static void accept_failed(struct worker *worker, struct listener_input *listener, int error)
{
    listener->input->counts->errors++;
    worker->dirty = true;
    if (worker_may_say(worker, &listener->failed_said_ns)) {
        worker_say(worker, "input %s: accept: %s; trying again", listener->input->config->name,
            strerror(-error));
    }
    source_later(worker, &listener->source);
}

static const char no_more_files[] = "the process may open no more files (LimitNOFILE, ulimit -n)";

/* Without a descriptor to spare the connection would stay, and wake us for ever: it is closed. */
static int refuse_one(struct worker *worker, struct listener_input *listener)
{
    int fd = -1;
    yarder_fd_drop(&worker->spare_fd);
    int r = stream_accept(listener->source.fd, &fd);
    if (r == 0) {
        refuse(worker, listener, fd, no_more_files);
    }
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return r;
}

/* The last ones are for files, rings and who asks for the status: connections may have the rest. */
static bool is_reserved(int fd)
{
    enum { RESERVED = 16 };
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
           (rlim_t)fd + yarder_min(RESERVED, limit.rlim_cur / 4) >= limit.rlim_cur;
}

/* 0, or why no further one can be accepted now. */
static int accept_one(struct worker *worker, struct listener_input *listener)
{
    int fd = -1;
    int r = stream_accept(listener->source.fd, &fd);
    if (r == -EMFILE || r == -ENFILE) {
        return refuse_one(worker, listener);
    }
    if (r < 0) {
        return r;
    }
    struct stream_input *stream = NULL;
    if (is_reserved(fd)) {
        refuse(worker, listener, fd, no_more_files);
        return 0;
    }
    if (listener->connections >= listener->input->config->connections_max) {
        refuse(worker, listener, fd, "connections-max is reached");
        return 0;
    }
    r = worker_add_stream(worker, listener->input->index, fd, &stream);
    if (r < 0) {
        refuse(worker, listener, fd, strerror(-r));
        return 0;
    }
    listener->input->counts->connections++;
    worker->dirty = true;
    return 0;
}

void accept_some(struct worker *worker, struct listener_input *listener)
{
    for (unsigned i = 0; i < ACCEPTS_EACH_TIME; i++) {
        int r = accept_one(worker, listener);
        if (r < 0 && r != -EAGAIN) {
            accept_failed(worker, listener, r);
        }
        if (r < 0) {
            return;
        }
    }
}
