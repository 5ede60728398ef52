/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/lane_offload.h"

#include <errno.h>

#include "os/crash.h"
#include "outputs/lane_private.h"
#include "outputs/pieces.h"

struct lane_offload {
    struct courier *courier;
    struct lane_watch *watch;
    struct pieces pieces;
};

static void open_backend(struct lane_offload *offload, struct lane_job *job)
{
    const char *text = NULL;
    lane_watch_enter(offload->watch, "open");
    int r = courier_start(offload->courier, &text);
    lane_watch_leave(offload->watch);
    job->answer = LANE_DONE;
    job->fd = -1;
    job->dev = job->ino = job->size = 0;
    job->regular = false;
    if (r < 0) {
        lane_job_failed(job, "open", r);
        job->failed_text = text;
    }
}

/* One try: how many bytes of what is whole are settled. */
static size_t carry(
    struct lane_offload *offload, struct lane_job *job, const struct pieces_whole *whole)
{
    struct courier_load load = {.bytes = whole->bytes,
        .bytes_count = whole->bytes_count,
        .ends = whole->by_ends ? job->batch.ends : NULL,
        .ends_count = job->batch.ends_count,
        .ends_from = job->batch.ends_offset,
        .again_until = job->again_until};
    crash_point("before-submit");
    lane_watch_enter(offload->watch, "submit");
    courier_carry(offload->courier, &load);
    lane_watch_leave(offload->watch);
    crash_point("after-submit");
    job->delivered = load.delivered;
    job->delivered_bytes = load.delivered_bytes;
    job->refusal = load.refusal;
    job->note = load.note;
    if (load.error < 0) {
        lane_job_failed(job, "submit", load.error);
        job->failed_text = load.text;
    }
    return load.settled_bytes;
}

static void write_job(struct lane_offload *offload, struct lane_job *job)
{
    struct pieces_whole whole;
    job->answer = LANE_DONE;
    if (job->reopen) {
        courier_reopen(offload->courier);
    }
    if (job->bytes_count == 0) {
        return;
    }
    int r = pieces_take(&offload->pieces, job, &whole);
    if (r < 0) {
        lane_job_failed(job, "submit", r);
        return;
    }
    size_t settled = whole.bytes_count == 0 ? 0 : carry(offload, job, &whole);
    pieces_settle(&offload->pieces, job, &whole, settled);
}

static int start(void *self, struct lane_watch *watch)
{
    struct lane_offload *offload = self;
    offload->watch = watch;
    return 0;
}

static void answer(void *self, struct lane_job *job)
{
    YARDER_ASSERT(job->request == LANE_OPEN || job->request == LANE_WRITE);
    if (job->request == LANE_OPEN) {
        open_backend(self, job);
    } else {
        write_job(self, job);
    }
}

static int tend(void *self, bool leaving, uint64_t *next_ns)
{
    (void)self, (void)leaving, (void)next_ns;
    return 0; /* nothing is owed beside jobs */
}

static void leave(void *self)
{
    struct lane_offload *offload = self;
    lane_watch_enter(offload->watch, "close");
    courier_stop(offload->courier);
    lane_watch_leave(offload->watch);
}

static void want(void *self, bool wanted)
{
    struct lane_offload *offload = self;
    courier_want(offload->courier, wanted);
}

const struct lane_ops lane_offload_ops = {
    .start = start, .answer = answer, .tend = tend, .leave = leave, .want = want};

struct courier_options lane_courier_options(const struct output_config *config, const char *host)
{
    return (struct courier_options){.backend = config->backend,
        .settings = config->settings,
        .output_name = config->name,
        .hostname = host,
        .format = config->format,
        .newlines = config->newlines,
        .bare = config->bare,
        .encode = &config->encode,
        .encode_requests = &config->encode_requests,
        .encode_uwsgi = config->encode_uwsgi,
        .timeout_ns = config->timeout_ns,
        .give_up_ns = config->give_up_ns,
        .dead_letter = config->dead_letter};
}

int lane_offload_open(struct lane_offload **out, const struct output_config *config,
    const char *host, char *why, size_t why_bytes)
{
    YARDER_ASSERT(config->kind == OUTPUT_OFFLOAD && config->backend != NULL);
    YARDER_OWN_HEAP struct lane_offload *offload = calloc(1, sizeof(*offload));
    if (offload == NULL) {
        return -ENOMEM;
    }
    const struct courier_options options = lane_courier_options(config, host);
    int r = courier_open(&offload->courier, &options, why, why_bytes);
    if (r == 0) {
        *out = yarder_heap_take(&offload);
    }
    return r;
}

void lane_offload_close(struct lane_offload *offload)
{
    if (offload != NULL) {
        courier_close(offload->courier);
        pieces_drop(&offload->pieces);
        free(offload);
    }
}
