/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a spool's lane and its carrier have done becomes true in the private state.
 *
 *     copies + found = delivered + dropped + dead + held        held: in the queue, and `spooled`
 *
 * A WRITE moves records from the queue to `spooled`; what the spool's totals have grown by since
 * they were booked moves them on from there. `found` are records of the spool that no commit had
 * booked as stored: those of a daemon before, all of them at once when its hold is new. Records
 * that a worker stored and did not live to book are no such case: they are sealed still, come
 * again, and are doubles.
 */
#include <errno.h>
#include <string.h>

#include "base/checksum.h"
#include "os/memory.h"
#include "outputs/delivery_private.h"
#include "outputs/lane_spool.h"

/* Records that were spooled are so no more; those that nobody knew of are found. */
static void take_spooled(struct hold_output *counts, uint64_t records)
{
    counts->found += records > counts->spooled ? records - counts->spooled : 0;
    counts->spooled -= yarder_min(counts->spooled, records);
}

/* What a total has grown by. An ack file that was lost begins again, and so do we. */
static uint64_t grown(uint64_t *booked, uint64_t now)
{
    uint64_t by = now > *booked ? now - *booked : 0;
    *booked = now;
    return by;
}

static bool book(struct output *output, const struct spool_totals *now, uint64_t now_ns)
{
    struct hold_output *counts = output->counts;
    struct hold_spool *booked = &counts->spool;
    uint64_t delivered = grown(&booked->delivered, now->delivered);
    uint64_t bytes = grown(&booked->delivered_bytes, now->delivered_bytes);
    uint64_t dead = grown(&booked->dead, now->dead);
    uint64_t oldest = grown(&booked->dropped_oldest, now->dropped_oldest);
    uint64_t damaged = grown(&booked->damaged, now->damaged);
    uint64_t gone = delivered + dead + oldest + damaged;
    if (gone == 0) {
        return bytes > 0;
    }
    counts->delivered += delivered;
    counts->delivered_bytes += bytes;
    counts->dead += dead;
    counts->dropped[HOLD_DROPPED_OLDEST] += oldest;
    counts->dropped[HOLD_DROPPED_DAMAGED] += damaged;
    take_spooled(counts, gone);
    if (delivered + dead > 0) {
        counts->last_progress_ns = (uint64_t)os_realtime_ns();
    }
    output_set_spool_late(output, counts->spooled == 0 ? 0 : now_ns);
    return true;
}

static bool book_now(struct output *output, uint64_t now_ns)
{
    struct spool_totals now;
    if (!output->offload.spool_found) {
        return false; /* what lies there comes first: see reconcile */
    }
    lane_spool_totals(output->offload.spool, &now);
    return book(output, &now, now_ns);
}

static void find(struct output *output, uint64_t records)
{
    output->counts->found += records;
    output->counts->spooled += records;
    output->offload.spool_unbooked = 0;
}

/* Another spool than the one that was booked: what lay in that one is out of our reach. */
static void change_spool(struct output *output, const struct spool_look *found, uint64_t now_ns)
{
    struct hold_output *counts = output->counts;
    if (counts->spooled > 0) {
        output_complain(output, now_ns,
            "%llu records lie in another queue on disk than the one of its name; not delivered",
            (unsigned long long)counts->spooled);
    }
    counts->dropped[HOLD_DROPPED_LEFT] += counts->spooled;
    counts->spooled = 0;
    counts->spool = (struct hold_spool){.id = found->id,
        .delivered = found->totals.delivered,
        .delivered_bytes = found->totals.delivered_bytes,
        .dead = found->totals.dead,
        .dropped_oldest = found->totals.dropped_oldest,
        .damaged = found->totals.damaged};
}

/*
 * The commit is held against what lay there when it was opened; what the carrier has done since is
 * booked after that. What is missing is counted, and so is what is not.
 */
static void reconcile(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct spool_look *found = lane_spool_found(output->offload.spool);
    struct hold_output *counts = output->counts;
    bool ours = counts->spool.id == found->id;
    if (!ours) {
        change_spool(output, found, now_ns);
    }
    output->offload.spool_found = true;
    output->offload.spool_end = found->end;
    (void)book(output, &found->totals, now_ns);
    if (counts->spooled > found->left) {
        counts->dropped[HOLD_DROPPED_DAMAGED] += counts->spooled - found->left;
        counts->spooled = found->left;
    }
    uint64_t more = found->left - counts->spooled;
    output_set_spool_late(output, found->left == 0 ? 0 : now_ns);
    if (ours && !queue_is_empty(slot->queue)) {
        output->offload.spool_unbooked = more; /* most likely sealed still: the next WRITE tells */
        output->offload.spool_end = more > 0 ? 0 : found->end;
        return;
    }
    if (more > 0) {
        output_complain(output, now_ns, "%llu records wait in its queue on disk from before",
            (unsigned long long)more);
    }
    find(output, more);
}

static void failed(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    static const uint64_t full_pause_ns = 50ull * 1000 * 1000;
    const struct lane_job *job = &slot->job;
    slot->due_ns = now_ns;
    if (job->error == -ENOSPC && strcmp(job->failed_call, "full") == 0) {
        slot->retry_ns = now_ns + full_pause_ns;
        output_complain(output, now_ns, "its queue on disk is full; records wait in memory");
        return;
    }
    char text[OUTPUT_FAILURE_BYTES];
    if (job->failed_text != NULL && job->failed_text[0] != '\0') {
        (void)snprintf(text, sizeof(text), "%.*s", (int)sizeof(text) - 1, job->failed_text);
    } else {
        (void)snprintf(
            text, sizeof(text), "queue on disk: %s: %s", job->failed_call, strerror(-job->error));
    }
    bool first = slot->backoff_ns == 0;
    slot_back_off(output, slot, now_ns);
    if (job->locked_elsewhere && first) {
        return; /* most likely the worker before, on its way */
    }
    output_tell_failure(output, HOLD_NONE, job->failed_call, job->error, text);
    output_complain(output, now_ns, "%s; records wait, trying again", text);
}

void spool_reap_open(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    if (slot->job.answer != LANE_DONE) {
        slot->state = SLOT_CLOSED;
        failed(output, slot, now_ns);
        return;
    }
    slot->state = SLOT_IDLE;
    slot->backoff_ns = slot->retry_ns = 0;
    slot->due_ns = queue_is_empty(slot->queue) ? 0 : now_ns;
    reconcile(output, slot, now_ns);
}

/*
 * Of the records that the queue gave away, `doubles` were in the spool before. Those that no commit
 * had booked are booked now, as the others are; those that were called found by then are not.
 */
static void book_stored(struct output *output, struct output_slot *slot, uint64_t records)
{
    const struct lane_job *job = &slot->job;
    struct hold_output *counts = output->counts;
    uint64_t lost = yarder_min(job->lost, records);
    uint64_t known = yarder_min(job->doubles, output->offload.spool_unbooked);
    uint64_t again = job->doubles - known;
    output->offload.spool_unbooked -= known;
    counts->dropped[HOLD_DROPPED_DAMAGED] += lost;
    counts->spooled += records - lost;
    counts->spooled -= yarder_min(counts->spooled, again);
    counts->found -= yarder_min(counts->found, again);
    bool no_more = queue_is_empty(slot->queue) || (records > 0 && job->doubles == 0);
    if (output->offload.spool_unbooked > 0 && no_more) {
        find(output, output->offload.spool_unbooked); /* nobody will give them again */
    }
    if (output->offload.spool_unbooked == 0) {
        output->offload.spool_end = yarder_max(output->offload.spool_end, job->stored_end);
    }
}

static void settle(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    bool began = output->counts->spooled == 0;
    book_stored(output, slot, queue_complete(&output->pool, slot->queue, job->written));
    if (job->written > 0) {
        slot->backoff_ns = slot->retry_ns = 0;
        output_moves(output, now_ns);
        slot_late(slot, queue_is_empty(slot->queue) ? 0 : now_ns + output->config->flush_ns);
    }
    if (began && output->counts->spooled > 0) {
        output_set_spool_late(output, now_ns);
    }
}

void spool_reap_write(struct output *output, struct output_slot *slot, uint64_t now_ns)
{
    const struct lane_job *job = &slot->job;
    slot->state = SLOT_IDLE;
    slot->due_ns = now_ns;
    slot->queue->flags &= ~(uint32_t)(job->reopen ? HOLD_QUEUE_REOPEN : 0);
    if (job->bytes_count > 0) {
        settle(output, slot, now_ns);
    }
    if (job->error == -ESTALE) { /* closed for a worker that did not come */
        slot->state = SLOT_CLOSED;
        output->offload.spool_found = false;
    } else if (job->error < 0) {
        failed(output, slot, now_ns);
    }
}

/* Whether this line is to be told: each once a minute, and not too many of them. */
static bool is_news(struct output *output, const char *line, uint64_t now_ns)
{
    static const uint64_t minute_ns = 60ull * 1000 * 1000 * 1000;
    struct output_offload *offload = &output->offload;
    uint32_t crc = checksum_crc32c(line, strlen(line));
    if (now_ns - offload->lines_since_ns >= minute_ns) {
        offload->lines_since_ns = now_ns;
        offload->lines_said = 0;
    }
    for (uint32_t i = 0; i < offload->lines_said; i++) {
        if (offload->lines_crc[i] == crc) {
            return false;
        }
    }
    bool has_room = offload->lines_said < YARDER_COUNT_OF(offload->lines_crc);
    if (has_room) {
        offload->lines_crc[offload->lines_said++] = crc;
    }
    return has_room;
}

/* Damage is told in several lines, which belong together and come at once. */
static void say_lines(struct output *output, const struct lane_spool_news *news, uint64_t now_ns)
{
    uint32_t lines = (uint32_t)yarder_min(news->spool_lines, LANE_SPOOL_LINES);
    for (uint32_t i = 0; i < lines; i++) {
        if (is_news(output, news->spool[i], now_ns)) {
            output_say(output, "%s", news->spool[i]);
        }
    }
    if (news->spool_lines > lines) {
        output_complain(output, now_ns, "its queue on disk had %u more such lines to tell",
            news->spool_lines - lines);
    }
}

bool spool_reap_news(struct output *output, uint64_t now_ns)
{
    struct lane_spool_news news;
    if (output->offload.spool == NULL) {
        return false;
    }
    bool changed = lane_spool_take_news(output->offload.spool, &news);
    if (changed) {
        if (news.failures > 0) {
            output_tell_failure(output, HOLD_NONE, news.call, news.error, news.text);
            output->counts->errors += news.failures - 1;
            output_complain(output, now_ns, "%s; records wait on disk, trying again", news.text);
        }
        if (news.again) {
            output_complain(output, now_ns, "delivers again");
        }
        if (news.note[0] != '\0') {
            offload_tell_note(output, news.note, now_ns);
        }
        if (news.refusal[0] != '\0') {
            offload_complain_of_refusal(output, news.refusal, now_ns);
        }
        say_lines(output, &news, now_ns);
    }
    return book_now(output, now_ns) || changed;
}

void spool_settle(struct output *output)
{
    if (output->offload.spool != NULL) {
        lane_spool_release(output->offload.spool, output->offload.spool_end);
    }
}

void spool_without(struct output *output)
{
    struct hold_output *counts = output->counts;
    if (output->offload.spool == NULL && counts->spooled > 0) {
        counts->dropped[HOLD_DROPPED_LEFT] += counts->spooled;
        counts->spooled = 0;
        counts->spool = (struct hold_spool){0};
    }
}

bool output_spool_moves(const struct output *output, uint64_t now_ns)
{
    static const uint64_t stands_still_ns = 2000ull * 1000 * 1000;
    return output->packs && output->counts->spooled > 0 &&
           now_ns - output->offload.spool_late_ns < stands_still_ns;
}
