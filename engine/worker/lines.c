/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "inputs/gather.h"
#include "route/pattern.h"

/* Beside those of collect.c: a record of several lines, by its place in the hold. */
enum { SUSPECT_LINES = 3 };
enum { RECORD_BYTES = 64 }; /* what a line costs beside its text, for the budget */

struct lines {
    struct pattern_set patterns;
    enum multiline_kind kinds[YARDER_INPUTS_MAX];
    uint32_t first_lines[YARDER_INPUTS_MAX]; /* pattern of MULTILINE_REGEX */
    uint32_t pending;
    uint64_t due_ns; /* nothing is due before */
    const struct yarder_record *asked;
    bool answer; /* whether that one is a first line */
};

static int compile(
    struct lines *lines, const struct input_config *input, uint32_t index, char *why, size_t room)
{
    if (input->multiline == NULL) {
        return 0;
    }
    int r = multiline_kind_of(input->multiline, &lines->kinds[index], why, room);
    if (r < 0 || lines->kinds[index] != MULTILINE_REGEX) {
        return r;
    }
    return pattern_add(&lines->patterns, input->multiline, false, input->where,
        &lines->first_lines[index], why, room);
}

int lines_open(struct worker *worker, char *why, size_t why_bytes)
{
    const struct daemon_config *config = worker->config;
    bool wanted = false;
    for (uint32_t i = 0; i < config->inputs_count; i++) {
        wanted = wanted || config->inputs[i].multiline != NULL;
    }
    if (!wanted) {
        return 0;
    }
    struct lines *lines = calloc(1, sizeof(*lines));
    int r = lines == NULL ? -ENOMEM : pattern_set_open(&lines->patterns);
    for (uint32_t i = 0; i < config->inputs_count && r == 0; i++) {
        r = compile(lines, &config->inputs[i], i, why, why_bytes);
    }
    worker->lines = lines;
    if (lines != NULL) {
        lines->due_ns = UINT64_MAX;
    }
    return r != 0 ? r : pattern_set_seal(&lines->patterns);
}

void lines_resume(struct worker *worker)
{
    struct hold *hold = worker->hold;
    if (worker->lines == NULL) {
        return;
    }
    gather_settle(hold);
    for (uint32_t i = gather_first(); i < gather_end(hold); i++) {
        if (gather_is_used(hold, i)) {
            bool connection = (gather_number(hold, i) & STREAM_NUMBER_BIT) != 0;
            *gather_due_ns(hold, i) = connection ? 0 : *gather_due_ns(hold, i);
            worker->lines->pending++;
            worker->lines->due_ns = 0;
        }
    }
}

static uint16_t input_of_name(const struct daemon_config *config, const char *name)
{
    uint16_t input = 0;
    while (input < config->inputs_count && strcmp(config->inputs[input].name, name) != 0) {
        input++;
    }
    return input < config->inputs_count ? input : 0;
}

void lines_take(
    struct worker *worker, const struct hold *old, const struct daemon_config *old_config)
{
    struct hold *hold = worker->hold;
    uint32_t lost = 0;
    for (uint32_t i = gather_first(); i < gather_end(old); i++) {
        struct yarder_field fields[YARDER_FIELDS_MAX];
        struct yarder_record record;
        uint32_t index = 0;
        if (!gather_is_used(old, i) || gather_record(old, i, fields, &record) < 0) {
            continue;
        }
        record.input = record.input < old_config->inputs_count
                           ? input_of_name(worker->config, old_config->inputs[record.input].name)
                           : 0;
        if (gather_begin(hold, &record, gather_number(old, i), 0, &index) < 0) {
            hold->inputs[record.input].received++;
            hold->inputs[record.input].refused[HOLD_REFUSED_LIMIT]++;
            lost++;
        }
    }
    if (lost > 0) {
        worker_say(worker, "%u records of several lines found no place: multiline= is gone", lost);
    }
}

static bool is_first(struct worker *worker, const struct yarder_record *record)
{
    struct lines *lines = worker->lines;
    if (lines->kinds[record->input] != MULTILINE_REGEX) {
        return false;
    }
    if (lines->asked != record) {
        lines->asked = record;
        lines->answer = pattern_match(&lines->patterns, lines->first_lines[record->input],
                            record->text) == PATTERN_YES;
    }
    return lines->answer;
}

static enum multiline_verdict look(
    struct worker *worker, multiline_state *state, const struct yarder_record *record)
{
    if (record->kind == YARDER_KIND_REQUEST) {
        *state = 0;
        return MULTILINE_ALONE;
    }
    return multiline_look(
        worker->lines->kinds[record->input], state, record->text, is_first(worker, record));
}

static bool same_source(const struct yarder_record *a, const struct yarder_record *b)
{
    return a->input == b->input && a->pid == b->pid && a->tid == b->tid && a->stream == b->stream &&
           text_equal(a->tag, b->tag) && text_equal(a->host, b->host) &&
           text_equal(a->peer, b->peer);
}

/* How many of these are records by themselves, and known to be. */
static uint32_t count_alone(
    struct worker *worker, uint32_t number, const struct yarder_record *records, uint32_t count)
{
    uint32_t alone = 0;
    for (; alone < count; alone++) {
        const struct yarder_record *record = &records[alone];
        multiline_state state = 0;
        if (worker->lines->pending > 0 && gather_find(worker->hold, record, number) != HOLD_NONE) {
            break;
        }
        if (look(worker, &state, record) == MULTILINE_ALONE) {
            continue;
        }
        bool over = alone + 1 < count && same_source(record, record + 1) &&
                    look(worker, &state, record + 1) < MULTILINE_CONTINUES;
        if (!over) {
            break;
        }
    }
    return alone;
}

static void free_gathered(struct worker *worker, uint32_t index)
{
    gather_free(worker->hold, index);
    worker->lines->pending--;
    worker->dirty = true;
}

/* One that nobody can read is counted, not believed. */
static bool read_gathered(struct worker *worker, uint32_t index, struct yarder_field *fields,
    struct yarder_record *record)
{
    if (gather_record(worker->hold, index, fields, record) == 0 &&
        record->input < worker->config->inputs_count) {
        return true;
    }
    worker->inputs[0].counts->received++;
    worker->inputs[0].counts->refused[HOLD_REFUSED_CORRUPT]++;
    free_gathered(worker, index);
    return false;
}

/* false: it must wait. */
static bool place_gathered(struct worker *worker, uint32_t index, uint32_t flags)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    if (!read_gathered(worker, index, fields, &record)) {
        return true;
    }
    record.flags |= flags;
    if (sink_place(&worker->sink, &record, 1, worker->now_ns) != 1) {
        return false;
    }
    free_gathered(worker, index);
    return true;
}

static void set_due(struct worker *worker, uint32_t index, const struct yarder_record *record)
{
    uint64_t wait_ns = worker->config->inputs[record->input].multiline_wait_ns;
    uint64_t due_ns = worker->now_ns + wait_ns;
    *gather_due_ns(worker->hold, index) = (int64_t)due_ns;
    worker->lines->due_ns = yarder_min(worker->lines->due_ns, due_ns);
}

/* The first line of what is under way is counted when all of it is placed, the others here. */
static void count_joined(struct worker *worker, const struct yarder_record *record)
{
    struct hold_input *counts = worker->inputs[record->input].counts;
    counts->received++;
    counts->accepted++;
    worker->hold->router->accepted++;
    worker->hold->router->joined++;
    worker->sink.budget_bytes -= (int64_t)record->text.length + RECORD_BYTES;
}

/* A line to what is under way; false: that is as long as it may be. */
static bool add_line(struct worker *worker, uint32_t index, const struct yarder_record *record,
    multiline_state state, bool gap)
{
    const struct input_config *config = &worker->config->inputs[record->input];
    uint64_t most = config->multiline_bytes_max != 0
                        ? config->multiline_bytes_max
                        : worker->inputs[record->input].record_bytes_max;
    if (gather_add(worker->hold, index, record->text, gap, (uint32_t)most) < 0) {
        return false;
    }
    *gather_state(worker->hold, index) = state;
    *gather_flags(worker->hold, index) |= record->flags;
    set_due(worker, index, record);
    count_joined(worker, record);
    return true;
}

/* One line, which something may be under way for, or may begin something. false: it must wait. */
static bool take_line(struct worker *worker, uint32_t number, const struct yarder_record *record)
{
    uint32_t index = gather_find(worker->hold, record, number);
    multiline_state state = index == HOLD_NONE ? 0 : *gather_state(worker->hold, index);
    enum multiline_verdict verdict = look(worker, &state, record);
    bool goes_on = verdict >= MULTILINE_CONTINUES;
    if (goes_on &&
        add_line(worker, index, record, state, verdict == MULTILINE_CONTINUES_AFTER_GAP)) {
        return true;
    }
    uint32_t flags = goes_on ? (uint32_t)YARDER_FLAG_PARTIAL : 0u;
    if (index != HOLD_NONE && worker->careful.on) { /* in a pass of its own, by its own name */
        *gather_due_ns(worker->hold, index) = 0;
        worker->lines->due_ns = 0;
        worker->dirty = worker->sink.room_comes = true;
        return false;
    }
    if (index != HOLD_NONE && !place_gathered(worker, index, flags)) {
        return false;
    }
    if (verdict != MULTILINE_ALONE &&
        gather_begin(worker->hold, record, number, state, &index) == 0) {
        worker->lines->pending++;
        set_due(worker, index, record);
        return true;
    }
    return sink_place(&worker->sink, record, 1, worker->now_ns) == 1;
}

uint32_t lines_place(
    struct worker *worker, uint32_t number, const struct yarder_record *records, uint32_t count)
{
    struct lines *lines = worker->lines;
    bool joins = lines != NULL && count > 0 && lines->kinds[records->input] != MULTILINE_NONE;
    if (YARDER_LIKELY(!joins)) {
        return sink_place(&worker->sink, records, count, worker->now_ns);
    }
    lines->asked = NULL;
    uint32_t at = 0;
    while (at < count) {
        uint32_t alone = count_alone(worker, number, records + at, count - at);
        uint32_t placed = sink_place(&worker->sink, records + at, alone, worker->now_ns);
        at += placed;
        if (placed < alone || (at < count && !take_line(worker, number, &records[at]))) {
            break;
        }
        at += at < count;
    }
    return at;
}

void lines_ended(struct worker *worker, uint32_t number)
{
    struct hold *hold = worker->hold;
    for (uint32_t i = gather_first(); worker->lines != NULL && i < gather_end(hold); i++) {
        if (gather_is_used(hold, i) && gather_number(hold, i) == number) {
            *gather_due_ns(hold, i) = 0;
            worker->lines->due_ns = 0;
        }
    }
}

/*
 * One of these may be what killed the workers before: then each is named before it is touched, and
 * has a pass of its own, which it is the first in.
 */
static bool flush_one(struct worker *worker, uint32_t index, uint64_t suspect)
{
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    if (!worker->careful.on || !read_gathered(worker, index, fields, &record)) {
        return !gather_is_used(worker->hold, index) || place_gathered(worker, index, 0);
    }
    careful_before(worker, suspect);
    worker->dirty = true;
    if (careful_is_killer(worker, suspect, &record)) {
        free_gathered(worker, index);
        return true;
    }
    return place_gathered(worker, index, 0);
}

/* What is due by then; of the rest, when the first will be. */
static bool flush_until(struct worker *worker, int64_t until_ns)
{
    struct hold *hold = worker->hold;
    const struct careful *careful = &worker->careful;
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = gather_first(); i < gather_end(hold); i++) {
        uint64_t suspect = (uint64_t)SUSPECT_LINES << 56 | i;
        bool suspected = careful->set_aside && careful->suspect == suspect;
        if (!gather_is_used(hold, i)) {
            continue;
        }
        if (*gather_due_ns(hold, i) > until_ns && !suspected) {
            next_ns = yarder_min(next_ns, (uint64_t)*gather_due_ns(hold, i));
        } else if (!flush_one(worker, i, suspect)) {
            return false;
        } else if (careful->on) {
            return true;
        }
    }
    worker->lines->due_ns = next_ns;
    return true;
}

void lines_flush_due(struct worker *worker)
{
    static const uint64_t again_ns = 1000ull * 1000;
    if (worker->lines != NULL && worker->lines->pending > 0 &&
        worker->now_ns >= worker->lines->due_ns && !flush_until(worker, (int64_t)worker->now_ns)) {
        worker->lines->due_ns = worker->now_ns + again_ns;
    }
}

bool lines_flush(struct worker *worker)
{
    return worker->lines == NULL || worker->lines->pending == 0 ||
           (flush_until(worker, INT64_MAX) && worker->lines->pending == 0);
}

void lines_give_up(struct worker *worker)
{
    if (worker->lines != NULL && worker->lines->pending > 0) {
        worker_say(worker, "%u records of several lines found no room before the stop: lost",
            worker->lines->pending);
    }
}

void lines_settle(struct worker *worker)
{
    if (worker->lines != NULL) {
        gather_settle(worker->hold);
    }
}

uint64_t lines_due_ns(const struct worker *worker)
{
    return worker->lines == NULL || worker->lines->pending == 0 ? UINT64_MAX
                                                                : worker->lines->due_ns;
}
