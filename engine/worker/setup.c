/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's beginning: messages up to GO, then recovery from the commit. Until GO nothing is
 * written and no input is read, so that a worker that cannot start changes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inputs/gather.h"
#include "os/crash.h"
#include "os/memory.h"
#include "worker/alarm.h"
#include "worker/lines.h"
#include "worker/prepare.h"

static int next_message(struct worker *worker, struct channel_message *message)
{
    for (;;) {
        int r = channel_receive(worker->channel_fd, message);
        if (r != 0) {
            return r;
        }
        struct pollfd ready = {.fd = worker->channel_fd, .events = POLLIN};
        (void)poll(&ready, 1, -1);
    }
}

static int fail(const char *what, int error)
{
    (void)fprintf(stderr, "yarder: %s: %s\n", what, strerror(-error));
    return error;
}

/* Checked before by whoever made the configuration. */
static int open_requests(struct input *input, char *why, size_t why_bytes)
{
    struct request_format *format = NULL;
    int r = input->config->requests == NULL
                ? 0
                : request_open(&format, input->config->requests, why, why_bytes);
    input->requests = format;
    return r;
}

static int open_inputs(struct worker *worker)
{
    const struct daemon_config *config = worker->config;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        input_init(&worker->inputs[i], &config->inputs[i], (uint16_t)i, worker->hold,
            config->record_bytes_max);
        char why[256] = "no memory";
        int r = open_requests(&worker->inputs[i], why, sizeof(why));
        if (r < 0) {
            return fail(why, r);
        }
        worker->listeners[i].source.fd = -1;
        worker->datagrams[i].source.fd = -1;
    }
    worker->batch = calloc(1, sizeof(*worker->batch));
    worker->take = calloc(1, sizeof(*worker->take));
    return worker->batch == NULL || worker->take == NULL ? -ENOMEM : 0;
}

/*
 * What the loop watches: connections as many as the inputs may have, one source for anything else.
 * Never few: a reload may lower connections-max below the number of connections that there are.
 */
static uint32_t worker_sources_max(const struct daemon_config *config)
{
    enum { SOURCES_LEAST = 16384, OF_OUR_OWN = 2 };
    uint64_t sources = OF_OUR_OWN + YARDER_INPUTS_MAX + YARDER_PIPES_MAX + YARDER_REGIONS_MAX;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        sources += config->inputs[i].connections_max;
    }
    return (uint32_t)yarder_max(sources, SOURCES_LEAST);
}

static int open_loop(struct worker *worker)
{
    char why[256] = "";
    const struct io_options options = {.choice = (enum io_choice)worker->config->io,
        .sources_max = worker_sources_max(worker->config)};
    int r = io_open(&worker->io, &options, why);
    if (r < 0) {
        return fail("the event loop cannot be opened", r);
    }
    if (why[0] != '\0') {
        worker_say(worker, "%s", why);
    }
    int lanes = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lanes < 0) {
        return -errno;
    }
    worker->lanes_source =
        (struct io_source){.fd = lanes, .kind = IO_READY, .owner_kind = SOURCE_LANES};
    worker->channel_source = (struct io_source){
        .fd = worker->channel_fd, .kind = IO_READY, .owner_kind = SOURCE_CHANNEL};
    r = io_add(worker->io, &worker->lanes_source);
    return r < 0 ? r : io_add(worker->io, &worker->channel_source);
}

static int open_router(struct worker *worker)
{
    static struct route_output outputs[YARDER_OUTPUTS_MAX]; /* large */
    const char *input_names[YARDER_INPUTS_MAX];
    const struct route_spec spec = worker_route_spec(worker->config, outputs, input_names);
    char why[512] = "";
    int r = router_open(&worker->sink.router, &spec, why, sizeof(why));
    if (r == 0) {
        r = alarms_open(&worker->sink.alarms, worker, why, sizeof(why));
    }
    if (r < 0) {
        (void)fprintf(stderr, "yarder: %s\n", why);
    }
    return r;
}

/* The supervisor that laid it out may be of an older version than we are. */
static bool hold_suits(const struct hold *hold, const struct daemon_config *config)
{
    const struct hold_shape *has = &hold->shape;
    const struct hold_shape wants = hold_shape_of(config);
    bool suits =
        has->inputs_count == wants.inputs_count && has->outputs_count == wants.outputs_count &&
        has->pipes_count == wants.pipes_count && has->joins_count <= JOINS_COUNT + GATHERS_COUNT &&
        has->pipe_half_bytes >= wants.pipe_half_bytes && has->join_bytes >= wants.join_bytes;
    for (uint32_t i = 0; i < config->outputs_count && suits; i++) {
        suits = (has->outputs[i].queues_count == 0) == (wants.outputs[i].queues_count == 0) &&
                has->outputs[i].queues_count <= wants.outputs[i].queues_count;
    }
    return suits;
}

/* Less than was asked for is no reason not to work. */
static void check_share(struct worker *worker)
{
    const struct processors_share share = config_share(worker->config);
    char wanted[PROCESSORS_TEXT_BYTES];
    char got[PROCESSORS_TEXT_BYTES];
    cpu_set_t cpus;
    int nice = 0;
    unsigned refused = processors_refused(&share, &cpus, &nice);
    if ((refused & PROCESSORS_CPUS_REFUSED) != 0) {
        worker_say(worker,
            "cpus = %s: not all of them can be had here (a cpuset?); the worker "
            "runs on %s",
            processors_text(share.cpus, wanted), processors_text(&cpus, got));
    }
    if ((refused & PROCESSORS_NICE_REFUSED) != 0) {
        worker_say(worker,
            "nice = %d: not permitted without CAP_SYS_NICE (or a higher "
            "RLIMIT_NICE); the worker runs with %d",
            *share.nice, nice);
    }
}

/* PREPARE: all that can fail is tried now. */
static int prepare(struct worker *worker, struct preparation *preparation)
{
    if (preparation->hold_fd < 0 || worker->config == NULL) {
        return fail("the supervisor sent no hold or no settings", -EPROTO);
    }
    int r = hold_open(&worker->hold, preparation->hold_fd);
    r = r == 0 && !hold_suits(worker->hold, worker->config) ? -EPROTO : r;
    if (r < 0) {
        return fail("the hold is not usable", r);
    }
    worker->hold_fd = preparation->hold_fd;
    r = open_router(worker);
    char why[512] = "no memory";
    if (r == 0 && lines_open(worker, why, sizeof(why)) < 0) {
        r = fail(why, -EINVAL);
    }
    if (r == 0) {
        r = open_inputs(worker);
    }
    if (r == 0) {
        r = open_loop(worker);
    }
    if (r < 0) {
        return r;
    }
    ring_clock_open(&worker->clock);
    worker->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (worker->spare_fd < 0) {
        return fail("/dev/null", -errno);
    }
    worker->say = say_open();
    check_share(worker);
    const struct channel_message ready = channel_message_of(CHANNEL_READY, 0, 0);
    return channel_send(worker->channel_fd, &ready, 1000);
}

/*
 * What the supervisor keeps for a queue becomes what the commit names, and no more: a file that was
 * opened right before the death, too late for a commit, would stay locked by its kept descriptor.
 */
static void settle_kept(
    struct worker *worker, const struct preparation *preparation, uint32_t queue, int fd)
{
    /* Kept for a queue of the old hold: from our first commit on it is asked for as ours. */
    bool moved = fd >= 0 && preparation_from(preparation, queue) != HOLD_NONE;
    bool more = preparation_keeps_more(preparation, queue);
    if (fd < 0 && more) {
        worker_forget_file(worker, queue);
    } else if ((moved || more) && worker_keep_file(worker, queue, fd, true) < 0) {
        worker_say(worker, "%s: a crash of this worker may write records of it twice",
            hold_queue_name(worker->hold, queue));
    }
}

static void resume_outputs(struct worker *worker, struct preparation *preparation)
{
    for (uint32_t i = 0; i < worker->hold->shape.queues_count; i++) {
        const struct hold_queue *queue = &worker->hold->queues[i];
        bool active = (queue->flags & HOLD_QUEUE_ACTIVE) != 0;
        int fd = active ? preparation_file(preparation, i, queue->dev, queue->ino) : -1;
        settle_kept(worker, preparation, i, fd);
        if (active) {
            output_resume_queue(&worker->outputs[queue->output], i, fd);
        }
    }
    for (uint32_t i = 0; i < worker->sink.outputs_count; i++) {
        output_start(&worker->outputs[i], (uint64_t)os_monotonic_ns());
    }
}

/* GO: the lease is ours. */
static int take_over(struct worker *worker, struct preparation *preparation, uint64_t how)
{
    int r = hold_load(worker->hold);
    if (r < 0) {
        return fail("neither commit of the hold is whole", r);
    }
    join_settle(worker->hold);
    worker->first_start = how == 2;
    if (how == 1) {
        careful_begin(worker);
    }
    worker->services = (struct output_services){.owner = worker,
        .keep = worker_keep_file,
        .forget = worker_forget_file,
        .complain = worker_complain};
    /* Before the outputs look which buffers are free. */
    r = preparation->old_hold_fd < 0 ? 0 : handover_take(worker, preparation);
    if (r < 0) {
        return fail("the hold of the worker before cannot be taken over", r);
    }
    char why[256] = "";
    r = sink_open(&worker->sink, worker, why, sizeof(why));
    if (r < 0) {
        return fail(why, r);
    }
    lines_resume(worker);
    resume_outputs(worker, preparation);
    crash_point("taken-over");
    bool heir = how == 3;
    preparation->fenced = heir ? UINT64_MAX : preparation->fenced;
    r = preparation_inputs(worker, preparation);
    worker->phase = heir ? WORKER_QUIET : WORKER_RUNNING;
    worker->dirty = true;
    return r;
}

int worker_setup(struct worker *worker, const struct worker_options *options)
{
    static struct preparation preparation; /* large */
    preparation_init(&preparation);
    for (;;) {
        struct channel_message message;
        int r = next_message(worker, &message);
        if (r < 0) {
            return r;
        }
        if (message.kind == CHANNEL_PREPARE) {
            r = prepare(worker, &preparation);
        } else if (message.kind == CHANNEL_GO) {
            return take_over(worker, &preparation, message.number);
        } else if (message.kind == CHANNEL_SETTINGS) {
            char why[1024] = "";
            worker->config = options->config_of(message.fds[0], why, sizeof(why));
            r = worker->config == NULL ? fail(why, -EINVAL) : 0;
        } else if (message.kind == CHANNEL_STOP) {
            return -ECANCELED;
        } else {
            r = preparation_put(worker, &preparation, options, &message);
        }
        channel_message_drop(&message);
        if (r < 0) {
            return r;
        }
    }
}
