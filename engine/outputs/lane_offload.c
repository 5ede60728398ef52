/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/lane_offload.h"

#include <errno.h>
#include <string.h>

#include "offload/courier.h"
#include "os/crash.h"
#include "outputs/lane_private.h"

struct lane_offload {
    struct courier *courier;
    struct lane_watch *watch;
    /* The beginning of a record whose rest is yet to come. */
    char *gathered;
    size_t gathered_bytes, gathered_room;
};

static void fail_job(struct lane_job *job, const char *call, int error, const char *text)
{
    lane_file_failed(job, call, error);
    job->failed_text = text;
}

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
        fail_job(job, "open", r, text);
    }
}

static int gather(struct lane_offload *offload, const char *bytes, size_t bytes_count)
{
    size_t needed = offload->gathered_bytes + bytes_count;
    if (needed > offload->gathered_room) {
        char *larger = realloc(offload->gathered, needed);
        if (larger == NULL) {
            return -ENOMEM;
        }
        offload->gathered = larger;
        offload->gathered_room = needed;
    }
    memcpy(offload->gathered + offload->gathered_bytes, bytes, bytes_count);
    offload->gathered_bytes = needed;
    return 0;
}

/* Where the last record of the job ends; 0: none does. */
static size_t last_end(const struct lane_job *job)
{
    const struct compare_batch *batch = &job->batch;
    uint64_t limit = (uint64_t)batch->ends_offset + job->bytes_count;
    uint32_t count = batch->ends_count;
    while (count > 0 && batch->ends[-(ptrdiff_t)count] > limit) {
        count--;
    }
    uint32_t end = count == 0 ? 0 : batch->ends[-(ptrdiff_t)count];
    return end > batch->ends_offset ? end - batch->ends_offset : 0;
}

/* One try. Whether all of the load is settled. */
static bool carry(struct lane_offload *offload, struct lane_job *job, struct courier_load *load)
{
    load->again_until = job->again_until;
    crash_point("before-submit");
    lane_watch_enter(offload->watch, "submit");
    courier_carry(offload->courier, load);
    lane_watch_leave(offload->watch);
    crash_point("after-submit");
    job->delivered = load->delivered;
    job->delivered_bytes = load->delivered_bytes;
    job->refusal = load->refusal;
    if (load->error < 0) {
        fail_job(job, "submit", load->error, load->text);
    }
    return load->error == 0;
}

/* The rest of a record, or more of it. */
static void write_piece(struct lane_offload *offload, struct lane_job *job, bool ends)
{
    size_t before = offload->gathered_bytes;
    int r = gather(offload, job->bytes, job->bytes_count);
    if (r < 0) {
        fail_job(job, "submit", r, NULL);
        return;
    }
    if (ends) {
        struct courier_load load = {
            .bytes = offload->gathered, .bytes_count = offload->gathered_bytes};
        bool settled = carry(offload, job, &load);
        offload->gathered_bytes = settled ? 0 : before;
        job->written = settled ? job->bytes_count : 0;
        return;
    }
    job->written = job->bytes_count;
}

/* Whole records, and perhaps the beginning of one that goes on in the next buffer. */
static void write_records(struct lane_offload *offload, struct lane_job *job, size_t end)
{
    struct courier_load load = {.bytes = job->bytes,
        .bytes_count = end,
        .ends = job->batch.ends,
        .ends_count = job->batch.ends_count,
        .ends_from = job->batch.ends_offset};
    bool settled = carry(offload, job, &load);
    job->written = (uint32_t)load.settled_bytes;
    if (settled && end < job->bytes_count &&
        gather(offload, job->bytes + end, job->bytes_count - end) == 0) {
        job->written = job->bytes_count;
    }
}

static void write_job(struct lane_offload *offload, struct lane_job *job)
{
    job->answer = LANE_DONE;
    if (job->reopen) {
        courier_reopen(offload->courier);
    }
    if (job->bytes_count == 0) {
        return;
    }
    size_t end = last_end(job);
    offload->gathered_bytes = job->record_open ? offload->gathered_bytes : 0;
    if (job->record_open || end == 0) {
        write_piece(offload, job, end > 0);
    } else {
        write_records(offload, job, end);
    }
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

int lane_offload_open(struct lane_offload **out, const struct output_config *config,
    const char *host, char *why, size_t why_bytes)
{
    YARDER_ASSERT(config->kind == OUTPUT_OFFLOAD && config->backend != NULL);
    YARDER_OWN_HEAP struct lane_offload *offload = calloc(1, sizeof(*offload));
    if (offload == NULL) {
        return -ENOMEM;
    }
    const struct courier_options options = {.backend = config->backend,
        .settings = config->settings,
        .output_name = config->name,
        .hostname = host,
        .format = config->format,
        .newlines = config->newlines,
        .bare = config->bare,
        .timeout_ns = config->timeout_ns,
        .give_up_ns = config->give_up_ns,
        .dead_letter = config->dead_letter};
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
        free(offload->gathered);
        free(offload);
    }
}
