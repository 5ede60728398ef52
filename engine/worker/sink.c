/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/text.h"
#include "os/memory.h"
#include "outputs/sweep.h"
#include "worker/alarm.h"
#include "worker/worker_private.h"

enum {
    RECORD_BYTES = 64,  /* what a record costs beside its text, for the budget */
    BUFFERS_BEHIND = 4, /* so many in use: a lane does not keep up */
};

static int outputs_open(struct sink *sink, struct worker *worker, char *why, size_t why_bytes)
{
    const struct daemon_config *config = worker->config;
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        const struct output_on_full *on_full = &config->outputs[i].on_full;
        bool spares = on_full->policy == OUTPUT_FULL_AUTO;
        bool blocks = spares || on_full->policy == OUTPUT_FULL_BLOCK;
        struct output_open_options options = {.config = &config->outputs[i],
            .index = i,
            .hold = worker->hold,
            .host = config->host,
            .state_dir = config->state_dir,
            .event_fd = worker->lanes_source.fd,
            .writer_sleeps = &worker->sleeps,
            .services = &worker->services,
            .block_limit_ns = blocks ? on_full->block_ns : 0,
            .waiting_hurts = spares ? &sink->waiting_hurts : NULL,
            .sweeper = sink->sweeper,
            .first_start = worker->first_start};
        int r = output_open(&worker->outputs[i], &options, why, why_bytes);
        if (r < 0) {
            return r;
        }
        bool waits = options.block_limit_ns != 0 || !worker->outputs[i].one_file ||
                     on_full->policy == OUTPUT_FULL_DROP_OLDEST;
        sink->blocking |= waits ? UINT64_C(1) << i : 0;
        sink->spares |= spares;
        sink->outputs_count++;
    }
    return 0;
}

/* Without it files are put aside all the same. */
static void sweeper_start(struct sink *sink, struct worker *worker)
{
    bool wanted = false;
    for (uint32_t i = 0; i < worker->config->outputs_count; i++) {
        wanted |= sweeper_wanted(&worker->config->outputs[i]);
    }
    int r = wanted ? sweeper_open(&sink->sweeper, worker->lanes_source.fd, &worker->sleeps) : 0;
    if (r < 0) {
        worker_say(worker, "files put aside are neither compressed nor removed: %s", strerror(-r));
    }
}

int sink_open(struct sink *sink, struct worker *worker, char *why, size_t why_bytes)
{
    *sink = (struct sink){.router = worker->sink.router,
        .alarms = worker->sink.alarms,
        .outputs = worker->outputs,
        .hold = worker->hold,
        .inputs = worker->inputs,
        .taps = &worker->taps,
        .crash_text = getenv("YARDER_CRASH_RECORD")};
    sweeper_start(sink, worker);
    return outputs_open(sink, worker, why, why_bytes);
}

/* Whether this record must wait for one of its outputs. Asked before it goes to any. */
static bool must_wait(struct sink *sink, const struct route_verdict *verdict,
    const struct yarder_record *record, uint64_t now_ns)
{
    uint64_t left = verdict->outputs & sink->blocking;
    while (left != 0) {
        uint32_t output = (uint32_t)__builtin_ctzll(left);
        left &= left - 1;
        if (output_blocks(&sink->outputs[output], record, now_ns)) {
            sink->room_comes = sink->outputs[output].pool.freed_count > 0;
            return true;
        }
    }
    return false;
}

/*
 * What can wait where it lies is left there then: memory that is used again at once is in the
 * cache, a whole queue is not.
 */
bool sink_is_behind(const struct sink *sink)
{
    static const uint64_t moves_ns = 10ull * 1000 * 1000;
    for (uint32_t i = 0; i < sink->outputs_count; i++) {
        const struct output *output = &sink->outputs[i];
        if ((sink->blocking >> i & 1) == 0 || output->under_way == 0 || !output->path_is_constant) {
            continue;
        }
        uint32_t all = sink->hold->shape.outputs[i].buffers_count;
        bool behind = all - output->pool.free_count >= yarder_max(BUFFERS_BEHIND, all / 4);
        if (behind && lane_stuck_ns(output->lane) < moves_ns) {
            return true;
        }
    }
    return false;
}

static void fate_count(struct hold_router *router, const struct route_verdict *verdict)
{
    router->accepted++;
    router->undecided += verdict->undecided;
    switch (verdict->fate) {
    case ROUTE_ROUTED:
        router->routed++;
        return;
    case ROUTE_DROPPED:
        router->filtered_drop++;
        return;
    case ROUTE_NOT_KEPT:
        router->filtered_keep++;
        return;
    case ROUTE_UNMATCHED:
        router->unmatched++;
        return;
    }
}

/* Tests plant a bug: a record that kills the worker. */
static void crash_if_planted(const struct sink *sink, const struct yarder_record *record)
{
    YARDER_ASSERT(
        record->text.length == 0 || memmem(record->text.at, record->text.length, sink->crash_text,
                                        strlen(sink->crash_text)) == NULL);
}

static void count_placed(
    struct sink *sink, const struct route_verdict *verdict, const struct yarder_record *record)
{
    if (YARDER_UNLIKELY(sink->crash_text != NULL)) {
        crash_if_planted(sink, record);
    }
    sink->budget_bytes -= (int64_t)record->text.length + RECORD_BYTES;
    input_count(&sink->inputs[record->input], record);
    fate_count(sink->hold->router, verdict);
}

/*
 * Places the first of these and its neighbours that go to the same outputs, once each, as far as
 * all of these have room at once. 0: the first one goes its way alone.
 */
static uint32_t place_run(struct sink *sink, const struct route_verdict *verdicts,
    const struct yarder_record *records, uint32_t count, uint64_t now_ns)
{
    const uint64_t outputs = verdicts->outputs;
    uint32_t run = 0;
    while (run < count && verdicts[run].outputs == outputs && verdicts[run].repeated == 0) {
        run++;
    }
    for (uint64_t left = outputs; left != 0 && run > 0; left &= left - 1) {
        run = output_run_begin(&sink->outputs[__builtin_ctzll(left)], records, run, now_ns);
    }
    for (uint64_t left = outputs; left != 0 && run > 0; left &= left - 1) {
        output_run_end(&sink->outputs[__builtin_ctzll(left)], run, now_ns);
    }
    for (uint32_t i = 0; i < run; i++) {
        count_placed(sink, &verdicts[i], &records[i]);
    }
    return run;
}

/* To all outputs of its verdict, which is the router's of that row; they take it or drop it. */
static void give(struct sink *sink, uint32_t row, const struct route_verdict *verdict,
    const struct yarder_record *record, uint64_t now_ns)
{
    for (uint64_t left = verdict->outputs; left != 0; left &= left - 1) {
        uint32_t output = (uint32_t)__builtin_ctzll(left);
        bool repeated = (verdict->repeated >> output & 1) != 0;
        uint32_t copies = repeated ? router_copies(sink->router, row, output) : 1;
        output_put(&sink->outputs[output], record, copies, now_ns);
    }
}

/* false: it must wait. */
static bool place_one(
    struct sink *sink, uint32_t row, const struct yarder_record *record, uint64_t now_ns)
{
    const struct route_verdict *verdict = &sink->verdicts[row];
    if (must_wait(sink, verdict, record, now_ns)) {
        return false;
    }
    count_placed(sink, verdict, record);
    give(sink, row, verdict, record, now_ns);
    return true;
}

void sink_add(struct sink *sink, const struct yarder_record *record, uint64_t now_ns)
{
    struct route_verdict verdict;
    router_decide(sink->router, record, 1, (int64_t)now_ns, &verdict);
    fate_count(sink->hold->router, &verdict);
    give(sink, 0, &verdict, record, now_ns);
}

uint32_t sink_place(
    struct sink *sink, const struct yarder_record *records, uint32_t count, uint64_t now_ns)
{
    if (count == 0) {
        return 0;
    }
    router_decide(sink->router, records, count, (int64_t)now_ns, sink->verdicts);
    uint32_t at = 0;
    while (at < count) {
        uint32_t run = place_run(sink, &sink->verdicts[at], &records[at], count - at, now_ns);
        if (YARDER_UNLIKELY(run == 0)) {
            if (!place_one(sink, at, &records[at], now_ns)) {
                break;
            }
            run = 1;
        }
        at += run;
    }
    if (YARDER_UNLIKELY(sink->taps->count > 0)) {
        taps_put(sink->taps, records, sink->verdicts, at, now_ns);
    }
    if (YARDER_UNLIKELY(sink->alarms != NULL)) {
        alarms_look(sink->alarms, sink, records, at, now_ns);
    }
    return at;
}
