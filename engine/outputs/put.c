/* SPDX-License-Identifier: Apache-2.0 */
/* Rendering records into queues, and what happens when there is no room. */
#include <string.h>

#include "codec/pack.h"
#include "outputs/delivery_private.h"

/* The text and a newline, and nothing to look at. */
static bool is_plain(const struct output *output, const struct yarder_record *record)
{
    return output->plain && !encode_is_foreign(record);
}

static size_t text_bound(const struct output *output, const struct yarder_record *record)
{
    if (is_plain(output, record)) {
        return record->text.length + 1;
    }
    return output->packs ? pack_bytes(record) : encoder_bound(output->encoder, record);
}

/* `number` of its id, should it be packed. */
static size_t render_text(
    struct output *output, const struct yarder_record *record, uint64_t number, char *at)
{
    if (is_plain(output, record)) {
        if (record->text.length > 0) {
            memcpy(at, record->text.at, record->text.length);
        }
        at[record->text.length] = '\n';
        return record->text.length + 1;
    }
    if (output->packs) {
        return pack_record(record, (struct yarder_id){output->offload.epoch_ns, number}, at);
    }
    return encoder_run(output->encoder, record, at);
}

/* The encoder chain that the record goes through; NULL: none. */
static inline struct chain *chain_of(
    const struct output *output, const struct yarder_record *record)
{
    return output->chains[record->kind == YARDER_KIND_REQUEST];
}

/* Of a chain, what is more than CHAIN_BYTES_MAX is known only once it is rendered. */
static size_t bound_of(const struct output *output, const struct yarder_record *record)
{
    const struct chain *chain = chain_of(output, record);
    size_t bytes = text_bound(output, record);
    return YARDER_LIKELY(chain == NULL) ? bytes : chain_bound(chain, bytes);
}

/* Into bound_of bytes of room, or the scratch: SIZE_MAX, too long for that; 0, a chain's nothing.
 */
static size_t render(struct output *output, const struct yarder_record *record, uint64_t number,
    char *at, size_t room)
{
    struct chain *chain = chain_of(output, record);
    if (YARDER_LIKELY(chain == NULL)) {
        return render_text(output, record, number, at);
    }
    if (text_bound(output, record) > CHAIN_BYTES_MAX) {
        return SIZE_MAX;
    }
    size_t bytes = render_text(output, record, number, chain_input(chain));
    ssize_t made = chain_run(chain, record->time_ns, bytes, at, room);
    return made < 0 ? SIZE_MAX : (size_t)made;
}

/* A record that no buffer may take as long as it might be, as long as it is; SIZE_MAX: too long. */
static size_t render_long(
    struct output *output, const struct yarder_record *record, uint64_t number, size_t bound)
{
    if (bound > output->scratch_bytes && chain_of(output, record) == NULL) {
        return SIZE_MAX;
    }
    return render(output, record, number, output->scratch, output->scratch_bytes);
}

/* Room that the record needs; SIZE_MAX: more than an empty queue has. */
static size_t needed_by(struct output *output, const struct yarder_record *record)
{
    size_t bytes = bound_of(output, record);
    size_t most = queue_record_bytes_max(&output->pool);
    if (YARDER_UNLIKELY(bytes > most)) {
        bytes = render_long(output, record, 0, bytes); /* seldom as much as it might be */
    }
    return bytes <= most ? bytes : SIZE_MAX;
}

/*
 * What an output that spares others has used of its patience by the time it blocked. A thirtieth of
 * the time comes back: 2 s in a minute. So one that is slow stops nobody for longer than a dead
 * one.
 */
static uint64_t patience_spent_ns(const struct output *output)
{
    enum { COMES_BACK = 30 };
    uint64_t back_ns = (output->blocked_ns - output->spent_at_ns) / COMES_BACK;
    return output->spent_ns > back_ns ? output->spent_ns - back_ns : 0;
}

/* The configured patience: since when nothing moves, and whether that is still short of the limit.
 */
static bool is_patient(struct output *output, uint64_t now_ns)
{
    if (output->blocked_ns == 0) {
        output_set_blocked(output, now_ns);
    }
    if (output->waiting_hurts != NULL && *output->waiting_hurts) {
        output->spent_ns = output->block_limit_ns; /* once is enough, as long as nothing moves */
        output->spent_at_ns = output->blocked_ns;
    }
    uint64_t waited_ns = patience_spent_ns(output) + now_ns - output->blocked_ns;
    return output->block_limit_ns == UINT64_MAX || waited_ns < output->block_limit_ns;
}

/* drop-oldest: whether the next commit frees what was dropped to make room. */
static bool make_room(struct output *output, uint64_t now_ns)
{
    if (output->pool.freed_count > 0) {
        return true;
    }
    struct hold_queue *fullest = output->slots[0].queue;
    for (uint32_t i = 1; i < output->slots_count; i++) {
        struct hold_queue *queue = output->slots[i].queue;
        bool fuller = queue_waiting_bytes(queue) > queue_waiting_bytes(fullest);
        fullest = fuller ? queue : fullest;
    }
    output->counts->dropped[HOLD_DROPPED_OLDEST] += queue_drop_oldest(&output->pool, fullest);
    output_complain(output, now_ns, "queue full, the oldest records are dropped and counted");
    return output->pool.freed_count > 0;
}

void output_moves(struct output *output, uint64_t now_ns)
{
    /* Shorter ones are how inputs that can wait are kept at the speed of a good disk. */
    static const uint64_t counts_from_ns = 100ull * 1000 * 1000;
    uint64_t stretch_ns = output->blocked_ns == 0 ? 0 : now_ns - output->blocked_ns;
    if (output->waiting_hurts != NULL && stretch_ns >= counts_from_ns) {
        output->spent_ns =
            yarder_min(patience_spent_ns(output) + stretch_ns, output->block_limit_ns);
        output->spent_at_ns = now_ns;
    }
    output_set_blocked(output, 0);
}

/* A record found room; but a rest of a buffer is no sign that anything moves. */
static inline void note_room(struct output *output, uint64_t now_ns)
{
    if (YARDER_UNLIKELY(output->blocked_ns != 0 && output->pool.free_count > 0)) {
        output_moves(output, now_ns);
    }
}

bool output_blocks(struct output *output, const struct yarder_record *record, uint64_t now_ns)
{
    if (output->lane == NULL || output->gone) {
        return false;
    }
    struct output_slot *slot = slot_for(output, record, now_ns);
    if (YARDER_UNLIKELY(slot == NULL)) {
        bool comes = !output->no_path && slot_comes(output, now_ns);
        return comes || (!output->no_path && is_patient(output, now_ns));
    }
    size_t needed = needed_by(output, record);
    if (YARDER_UNLIKELY(needed == SIZE_MAX)) {
        return false; /* no use in waiting: it is dropped */
    }
    if (YARDER_LIKELY(queue_has_room(&output->pool, slot->queue, needed))) {
        note_room(output, now_ns);
        return false;
    }
    bool oldest = output->config->on_full.policy == OUTPUT_FULL_DROP_OLDEST;
    return oldest ? make_room(output, now_ns) : is_patient(output, now_ns);
}

enum put_result { PUT_DONE, PUT_NOTHING, PUT_NO_ROOM };

static enum put_result put_long(struct output *output, struct output_slot *slot,
    const struct yarder_record *record, uint64_t number, size_t bound)
{
    size_t bytes = render_long(output, record, number, bound);
    if (bytes == 0) {
        return PUT_NOTHING;
    }
    bool put =
        bytes != SIZE_MAX && queue_put_long(&output->pool, slot->queue, output->scratch, bytes);
    return put ? PUT_DONE : PUT_NO_ROOM;
}

/* One try. */
static enum put_result put_once(struct output *output, struct output_slot *slot,
    const struct yarder_record *record, uint64_t number)
{
    size_t bound = bound_of(output, record);
    if (YARDER_UNLIKELY(!queue_fits(&output->pool, bound))) {
        return put_long(output, slot, record, number, bound);
    }
    char *at = queue_put_begin(&output->pool, slot->queue, bound);
    if (YARDER_UNLIKELY(at == NULL)) {
        return PUT_NO_ROOM;
    }
    size_t bytes = render(output, record, number, at, bound);
    if (YARDER_UNLIKELY(bytes == 0)) {
        return PUT_NOTHING;
    }
    queue_put_end(&output->pool, slot->queue, bytes);
    return PUT_DONE;
}

/* Something was put into the slot's queue. */
static inline void note_put(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    slot->queue->used_ns = now_ns;
    if (slot->due_ns == 0) {
        slot->due_ns = now_ns + output->config->flush_ns;
    }
    if (slot->late_ns == 0) { /* also where it is due already, for it is yet to be opened */
        slot_late(slot, now_ns + output->config->flush_ns);
    }
}

static void drop_full(struct output *output, uint32_t count, uint64_t now_ns)
{
    output->counts->dropped[HOLD_DROPPED_FULL] += count;
    output_complain(output, now_ns, "queue full, records are dropped and counted");
}

static void put_or_drop(struct output *output, struct output_slot *slot,
    const struct yarder_record *record, uint64_t number, uint64_t now_ns)
{
    switch (put_once(output, slot, record, number)) {
    case PUT_DONE:
        note_put(output, slot, now_ns);
        break;
    case PUT_NOTHING: /* no byte of it is to be written: it is delivered */
        output->counts->delivered++;
        break;
    case PUT_NO_ROOM:
    default:
        drop_full(output, 1, now_ns);
    }
}

void output_put(
    struct output *output, const struct yarder_record *record, uint32_t copies, uint64_t now_ns)
{
    uint64_t number = output->counts->copies;
    output->counts->copies += copies;
    if (output->lane == NULL) {
        output->counts->delivered += copies;
        return;
    }
    if (YARDER_UNLIKELY(output->gone)) {
        output->counts->dropped[HOLD_DROPPED_LEFT] += copies;
        return;
    }
    struct output_slot *slot = slot_for(output, record, now_ns);
    if (YARDER_UNLIKELY(slot == NULL) && output->timed && !output->no_path) {
        slot = slot_instead(output, record);
    }
    if (YARDER_UNLIKELY(slot == NULL)) {
        output->counts->dropped[HOLD_DROPPED_PATH] += copies;
        output_complain(output, now_ns,
            "no file for a record: max-open=%llu files are all busy, or the path is too long",
            (unsigned long long)output->config->open_max);
        return;
    }
    for (uint32_t i = 0; i < copies; i++) {
        put_or_drop(output, slot, record, ++number, now_ns);
    }
}

/* Puts a record if it surely fits: what it took of `room`; 0: nothing. */
static inline size_t render_within(struct output *output, const struct yarder_record *record,
    uint64_t number, char *at, size_t room)
{
    return bound_of(output, record) <= room ? render(output, record, number, at, room) : 0;
}

/* The queue is full, and the policy is to drop what comes. */
static bool drops_now(struct output *output, const struct output_slot *slot,
    const struct yarder_record *record, uint64_t now_ns)
{
    size_t needed = needed_by(output, record);
    return output->path_is_constant && needed != SIZE_MAX &&
           output->config->on_full.policy != OUTPUT_FULL_DROP_OLDEST &&
           !queue_has_room(&output->pool, slot->queue, needed) && !is_patient(output, now_ns);
}

uint32_t output_run_begin(
    struct output *output, const struct yarder_record *records, uint32_t count, uint64_t now_ns)
{
    if (output->lane == NULL) {
        return count;
    }
    const struct output_slot *slot = &output->slots[output->last_slot];
    struct queue_run *run = &output->run;
    if (count == 0 || output->gone || !slot_takes(output, slot, &records[0])) {
        return 0;
    }
    output->run_drops = false;
    if (!queue_run_begin(&output->pool, slot->queue, bound_of(output, &records[0]), run)) {
        output->run_drops = drops_now(output, slot, &records[0], now_ns);
        return output->run_drops ? count : 0;
    }
    const uint64_t number = output->counts->copies + 1;
    uint32_t put = 0;
    do {
        size_t bytes =
            render_within(output, &records[put], number + put, run->at, queue_run_room(run));
        if (YARDER_UNLIKELY(bytes == 0)) {
            break;
        }
        queue_run_put(run, bytes);
        put++;
    } while (put < count && (output->one_file || slot_takes(output, slot, &records[put])));
    return put;
}

void output_run_end(struct output *output, uint32_t count, uint64_t now_ns)
{
    output->counts->copies += count;
    if (output->lane == NULL || count == 0) {
        output->counts->delivered += count;
        return;
    }
    if (YARDER_UNLIKELY(output->run_drops)) {
        drop_full(output, count, now_ns);
        return;
    }
    struct output_slot *slot = &output->slots[output->last_slot];
    queue_run_end(&output->pool, slot->queue, &output->run, count);
    note_put(output, slot, now_ns);
    note_room(output, now_ns);
}
