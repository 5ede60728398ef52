/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records out of rings and pipes into the queues. Both can be taken again: a record that must wait
 * stays where it is, and the place that the commit stores is right before it.
 */
#include <errno.h>
#include <string.h>

#include "worker/lines.h"

/* A pass is short, so that lanes get their work and no kind of inputs keeps the others waiting. */
enum { TURN_BYTES = 1 << 20, TAKES_EACH = 4, PIPE_LITTLE_BYTES = PIPE_INTAKE_BYTES / 4 };

enum { SUSPECT_RING = 1, SUSPECT_PIPE = 2 };
static uint64_t suspect_of(uint64_t kind, uint64_t number)
{
    return kind << 56 | (number & ((UINT64_C(1) << 56) - 1));
}

/* The gap in front of a record, as a record of its own: it shows at its place in every output. */
static bool place_gap(
    struct worker *worker, const struct ring_input *ring, const struct yarder_record *behind)
{
    char text[128];
    int length = snprintf(text, sizeof(text),
        "yarder: %u records of pid %u are missing here: no room in its ring, or no ring yet",
        behind->lost_before, ring->pid);
    const struct yarder_record gap = {.text = {text, (size_t)length},
        .time_ns = behind->time_ns,
        .received_ns = behind->received_ns,
        .tag = behind->tag,
        .logger = behind->logger,
        .pid = behind->pid,
        .tid = behind->tid,
        .input = behind->input,
        .level = YARDER_LEVEL_WARNING,
        .facility = YARDER_FACILITY_NONE};
    bool placed = sink_place(&worker->sink, &gap, 1, worker->now_ns) == 1;
    worker->dirty |= placed;
    return placed;
}

/* What is the same for all records of a ring; of one whose end is not there. */
static struct yarder_record unfinished_of(
    const struct worker *worker, const struct ring_input *ring)
{
    return (struct yarder_record){.input = ring->input->index,
        .tag = ring->tag,
        .pid = ring->pid,
        .facility = YARDER_FACILITY_NONE,
        .received_ns = worker->batch->now_ns};
}

/*
 * No join is free for a part of this ring: the record that has been without a part for longest goes
 * out as it is. The part waits for the commit that frees the join.
 */
static void make_join(struct worker *worker, const struct ring_input *ring)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = unfinished_of(worker, ring);
    uint64_t region = 0;
    bool free_soon = true;
    if (join_oldest(worker->hold, ring->id, &region, fields, &record) == 0) {
        const struct ring_input *owner = worker->rings;
        while (owner != NULL && owner->id != region) {
            owner = owner->next;
        }
        record.tag = owner == NULL ? ring->input->tag : owner->tag;
        record.pid = owner == NULL ? 0 : owner->pid;
        free_soon = sink_place(&worker->sink, &record, 1, worker->now_ns) == 1;
        if (free_soon) {
            join_free(worker->hold, region, &record);
        }
    }
    worker->dirty |= free_soon;
    worker->sink.room_comes |= free_soon;
}

/* One part of a long record. false: it must wait. */
static bool place_part(
    struct worker *worker, struct ring_input *ring, const struct ring_record *part)
{
    uint32_t limit = ring->input->record_bytes_max;
    int joined = part->more ? join_put(worker->hold, ring->id, limit, part) : -ENOENT;
    if (joined == 0) {
        return true;
    }
    if (joined == -ENOSPC) {
        make_join(worker, ring);
        return false;
    }
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = part->record;
    bool whole =
        !part->more && join_last(worker->hold, ring->id, limit, part, fields, &record) == 0;
    if (!whole) {
        record.flags |= YARDER_FLAG_PARTIAL; /* its beginning is lost: what is here is delivered */
    }
    if (sink_place(&worker->sink, &record, 1, worker->now_ns) != 1) {
        return false;
    }
    if (whole) {
        join_free(worker->hold, ring->id, &record);
    }
    return true;
}

/* Runs of whole records are placed at once, parts and gaps one by one. How many were placed. */
static uint32_t place_ring(struct worker *worker, struct ring_input *ring, uint32_t count)
{
    struct ring_record *taken = worker->take->records;
    uint32_t at = 0;
    while (at < count) {
        if (taken[at].record.lost_before > 0) {
            if (!place_gap(worker, ring, &taken[at].record)) {
                return at;
            }
            taken[at].record.lost_before = 0; /* should it have to wait: not told again */
        }
        if (taken[at].continues || taken[at].more) {
            if (!place_part(worker, ring, &taken[at])) {
                return at;
            }
            at++;
            continue;
        }
        uint32_t run = 0;
        batch_clear(worker->batch);
        worker->batch->limit = YARDER_BATCH_RECORDS;
        while (at + run < count && !taken[at + run].continues && !taken[at + run].more &&
               (run == 0 || taken[at + run].record.lost_before == 0)) {
            struct yarder_record *record = &worker->batch->records[run];
            *record = taken[at + run].record;
            run++;
            if (ring->input->requests != NULL && record->kind != YARDER_KIND_REQUEST) {
                batch_recognise(worker->batch, ring->input, record);
                worker->batch->fields_used += record->fields_count;
                if (batch_room(worker->batch) == 0) {
                    break;
                }
            }
        }
        uint32_t placed = lines_place(worker, lines_of_ring(ring), worker->batch->records, run);
        at += placed;
        if (placed < run) {
            return at;
        }
    }
    return at;
}

/* The first record taken is what killed our predecessors: into quarantine, with its other parts. */
static bool set_aside(struct worker *worker, struct ring_input *ring, uint64_t suspect)
{
    const struct ring_record *first = &worker->take->records[0];
    struct yarder_record record = first->record;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    bool joined = worker->careful.set_aside && first->continues && !first->more &&
                  join_last(worker->hold, ring->id, ring->input->record_bytes_max, first, fields,
                      &record) == 0;
    bool aside = careful_is_killer(worker, suspect, &record);
    if (aside && joined) {
        join_free(worker->hold, ring->id, &record);
    }
    return aside;
}

/* Deferred texts are made here: what kills in that is named before, and set aside without one. */
static uint32_t take_ring(
    struct worker *worker, struct ring_input *ring, uint32_t limit, bool *more)
{
    const struct careful *careful = &worker->careful;
    uint64_t suspect = suspect_of(SUSPECT_RING, ring->id);
    worker->take->verbatim = careful->set_aside && careful->suspect == suspect;
    careful_before(worker, suspect);
    uint32_t count = ring_input_take(ring, &worker->clock, worker->take, limit, more);
    if (count == 0) {
        careful_before(worker, 0);
    }
    return count;
}

static bool collect_ring(struct worker *worker, struct ring_input *ring)
{
    uint64_t suspect = suspect_of(SUSPECT_RING, ring->id);
    for (unsigned takes = 0; takes < TAKES_EACH; takes++) {
        bool more = false;
        uint32_t limit = careful_limit(worker, YARDER_BATCH_RECORDS);
        uint32_t count = limit == 0 ? 0 : take_ring(worker, ring, limit, &more);
        if (count == 0) {
            worker->more |= more;
            worker->dirty |= ring->taken; /* over what is no record: its room is given back */
            return true;
        }
        if (set_aside(worker, ring, suspect)) {
            worker->dirty = true;
            continue;
        }
        uint32_t placed = place_ring(worker, ring, count);
        worker->dirty |= placed > 0;
        worker->sink.budget_bytes -= placed > 0 ? (int64_t)worker->take->work_bytes : 0;
        if (placed < count) {
            ring_input_rewind(ring, worker->take, placed, count);
            return false;
        }
        if (!more || worker->careful.on) {
            worker->more |= more;
            return true;
        }
        if (worker->sink.budget_bytes <= 0) {
            break;
        }
    }
    worker->more = true;
    return true;
}

static bool place_unfinished(struct worker *worker, const struct ring_input *ring)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = unfinished_of(worker, ring);
    while (join_orphan(worker->hold, ring->id, fields, &record) == 0) {
        if (sink_place(&worker->sink, &record, 1, worker->now_ns) != 1) {
            return false;
        }
        join_free(worker->hold, ring->id, &record);
        worker->dirty = true;
    }
    return true;
}

/* At the end: what living processes have not ended goes out, flagged. False: it must wait. */
bool collect_unfinished(struct worker *worker)
{
    for (const struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (!place_unfinished(worker, ring)) {
            return false;
        }
    }
    return true;
}

/* A process that has ended and is drained: its unfinished records go out, its region may go. */
static bool retire_ring(struct worker *worker, struct ring_input *ring)
{
    if (!ring->dead && !region_reader_idle(ring->reader)) {
        return true;
    }
    if (ring->taken) { /* not before its tails are published: else a kill takes the last again */
        worker->more = true;
        return true;
    }
    if (!place_unfinished(worker, ring)) {
        return false;
    }
    struct ring_input **link = &worker->rings;
    while (*link != ring) {
        link = &(*link)->next;
    }
    *link = ring->next;
    if (!ring->doorbell_ended) {
        io_remove(worker->io, &ring->doorbell);
    }
    lines_ended(worker, lines_of_ring(ring));
    ring_input_store(ring);
    ring->next = worker->retired;
    worker->retired = ring;
    worker->dirty = true;
    return true;
}

/* The list begins with this ring from now on. */
static void begin_with_ring(struct worker *worker, struct ring_input *ring)
{
    if (worker->rings == ring) {
        return;
    }
    struct ring_input **link = &worker->rings;
    while (*link != ring) {
        link = &(*link)->next;
    }
    *link = NULL;
    struct ring_input *last = ring;
    while (last->next != NULL) {
        last = last->next;
    }
    last->next = worker->rings;
    worker->rings = ring;
}

static bool collect_rings(struct worker *worker)
{
    ring_clock_refresh(&worker->clock);
    bool behind = sink_is_behind(&worker->sink);
    struct ring_input *next = NULL;
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = next) {
        next = ring->next;
        if (behind && !region_reader_presses(ring->reader)) {
            worker->left_some = true;
            continue;
        }
        int64_t budget = worker->sink.budget_bytes;
        bool spent = budget <= 0;
        if (spent || !collect_ring(worker, ring) || (ring->gone && !retire_ring(worker, ring))) {
            /* Who got something before it had to wait lets the next one begin. */
            bool got = worker->sink.budget_bytes < budget && next != NULL;
            begin_with_ring(worker, got ? next : ring);
            worker->more |= spent;
            return spent;
        }
    }
    return true;
}

/* Frames and places what a pipe's half holds. false: a record must wait. */
static bool place_pipe(struct worker *worker, struct pipe_input *pipe)
{
    uint64_t suspect = suspect_of(SUSPECT_PIPE, pipe->index);
    while (pipe->unframed) {
        batch_clear(worker->batch);
        worker->batch->limit = careful_limit(worker, YARDER_BATCH_RECORDS);
        uint32_t count = pipe_frame(pipe, worker->batch);
        if (count == 0) {
            pipe->unframed = worker->batch->limit == 0;
            break;
        }
        careful_before(worker, suspect);
        if (careful_is_killer(worker, suspect, &worker->batch->records[0])) {
            worker->dirty = true;
            return true;
        }
        uint32_t placed = lines_place(worker, lines_of_pipe(pipe), worker->batch->records, count);
        worker->dirty |= placed > 0;
        if (placed < count) {
            pipe_rewind(pipe, placed);
            return false;
        }
        if (worker->careful.on || worker->sink.budget_bytes <= 0) {
            worker->more = true;
            break;
        }
    }
    return true;
}

static bool finish_pipe(struct worker *worker, struct pipe_input *pipe)
{
    batch_clear(worker->batch);
    worker->batch->limit = YARDER_BATCH_RECORDS;
    uint32_t count = pipe_finish(pipe, worker->batch);
    uint32_t number = lines_of_pipe(pipe);
    if (lines_place(worker, number, worker->batch->records, count) < count) {
        pipe_rewind(pipe, 0);
        return false;
    }
    lines_ended(worker, number);
    pipe_finish_placed(pipe);
    worker->dirty = true;
    return true;
}

static bool collect_pipe(struct worker *worker, struct pipe_input *pipe)
{
    int taken = pipe->hungry ? pipe_intake(pipe) : 0;
    if (taken < 0) {
        worker_say(worker, "input %s cannot be read: %s; no more is taken from it",
            pipe->input->config->name, strerror(-taken));
        pipe->at_end = true;
    }
    if (taken > 0 && taken < PIPE_LITTLE_BYTES && !worker->last_call && !pipe->child_ended) {
        pipe->hungry = false; /* its writer is at work: after a nap more is there than right away */
        pipe->little_ns = worker->now_ns;
    }
    worker->dirty |= taken > 0;
    worker->more |= pipe->hungry;
    pipe->unframed |= taken > 0;
    if (!place_pipe(worker, pipe)) {
        return false;
    }
    bool drained = !pipe->hungry && !pipe->unframed;
    if (drained && (pipe->at_end || pipe->child_ended) && !finish_pipe(worker, pipe)) {
        return false;
    }
    if (pipe->finished) {
        io_remove(worker->io, &pipe->source);
    }
    return true;
}

static bool collect_pipes(struct worker *worker)
{
    uint32_t count = worker->hold->shape.pipes_count;
    uint32_t first = worker->first_pipe;
    worker->pipes_call = false;
    if (count > 0 && sink_is_behind(&worker->sink)) {
        worker->left_some = true;
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (first + i) % count;
        struct pipe_input *pipe = &worker->pipes[index];
        if (!worker->pipe_is_open[index] || pipe->finished) {
            continue;
        }
        bool spent = worker->sink.budget_bytes <= 0;
        if (spent || !collect_pipe(worker, pipe)) {
            worker->first_pipe = index;
            worker->more |= spent;
            return spent;
        }
    }
    return true;
}

static bool collect_turn(struct worker *worker, enum collect_turn turn)
{
    worker->sink.budget_bytes = TURN_BYTES;
    switch (turn) {
    case TURN_RINGS:
        return collect_rings(worker);
    case TURN_PIPES:
        return collect_pipes(worker);
    case TURN_SOCKETS:
    case TURNS:
        break;
    }
    if (careful_limit(worker, 1) == 0) {
        worker->more = true; /* a suspect is under way: no other record shares this pass with it */
        worker_listen(worker);
        return true;
    }
    return feed_sources(worker);
}

/* Whether records are soon lost if nothing is taken: of producers and peers that do not wait. */
static bool inputs_press(const struct worker *worker)
{
    for (const struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (!ring->dead && region_reader_presses(ring->reader) &&
            !region_reader_waits(ring->reader)) {
            return true;
        }
    }
    for (uint32_t i = 0; i < worker->config->inputs_count; i++) {
        int fd = worker->datagrams[i].source.fd;
        if (fd >= 0 && socket_presses(fd)) {
            return true;
        }
    }
    return false;
}

/* Rings are not taken from while a record waits, but what is lost in them meanwhile is counted. */
static void look_at_losses(struct worker *worker)
{
    for (struct ring_input *ring = worker->rings; ring != NULL; ring = ring->next) {
        if (!ring->dead && region_reader_look_at_losses(ring->reader)) {
            ring->taken = true; /* the commit stores it */
            worker->dirty = true;
        }
    }
}

void collect(struct worker *worker)
{
    worker->more = false;
    worker->left_some = false;
    enum collect_turn first = worker->careful.on ? TURN_RINGS : worker->turn;
    /* What a connection gave before comes first; while it waits, nothing else is taken. */
    bool room = feed_flush(worker);
    worker->turn = room ? (first + 1) % TURNS : TURN_SOCKETS;
    for (uint32_t i = 0; i < TURNS && room; i++) {
        enum collect_turn turn = (first + i) % TURNS;
        room = collect_turn(worker, turn);
        bool got = worker->sink.budget_bytes < TURN_BYTES;
        worker->turn = room ? worker->turn : (turn + got) % TURNS;
    }
    worker->more |= worker->pipes_call && !worker->left_some;
    worker->blocked = !room;
    if (worker->sink.spares && (worker->blocked || worker->sink.waiting_hurts)) {
        worker->sink.waiting_hurts = inputs_press(worker);
    }
    if (!room) {
        look_at_losses(worker);
        worker_listen(worker);
    }
}
