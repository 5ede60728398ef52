/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever happens to a spool, in any order, each record that it stored is delivered, or is
 * in one of its counts; none is delivered twice after it was answered, none is made up. Method: a
 * random sequence of appends (some given again), reads, answers of parts, drops, clean and unclean
 * closes, cut tails and flipped bits, beside an array that knows what each index is. SPOOL_SEED
 * replays a run, SPOOL_STEPS sets its length.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "queue/spool_fixture.h"
#include "queue/spool_inside.h"

enum { STEPS = 6000, RECORDS_MAX = 1 << 20, RUN_RECORDS = 60, TEXT_BYTES_MAX = 1200 };

/* What stands at an index of the spool. */
struct entry {
    uint64_t epoch, number;
    uint32_t bytes;
    bool answered, damaged;
};

static struct model {
    struct entry *entries;
    uint64_t stored, delivered, dead;
    uint64_t epoch, next_number;
    uint64_t flagged; /* entries that were damaged before they were answered */
    struct spool *spool;
    struct spool_options options;
} model;

_Static_assert(RUN_RECORDS *(TEXT_BYTES_MAX + 200) < TESTING_RUN_BYTES, "a run fits");

static void open_spool(void)
{
    model.options.drop_oldest = below(2) == 0;
    model.options.direct = below(3) == 0;
    model.options.sync = below(8) == 0 ? SPOOL_SYNC_BATCH : SPOOL_SYNC_NONE;
    model.spool = testing_open(&model.options);
}

/* Between two steps everything must add up. */
static void check_counts(void)
{
    struct spool_look look;
    spool_look(model.spool, &look);
    assert_int_equal(look.stored, model.stored);
    assert_int_equal(look.totals.delivered, model.delivered);
    assert_int_equal(look.totals.dead, model.dead);
    assert_int_equal(look.stored, look.totals.delivered + look.totals.dead +
                                      look.totals.dropped_oldest + look.totals.damaged + look.left);
    assert_true(look.totals.damaged <= model.flagged);
    assert_true(look.bytes <= model.options.limit_bytes);
}

/* Makes the packed bytes of up to RUN_RECORDS records, from this number on. */
static size_t make_run(uint64_t number, uint32_t count, size_t *ends)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        /* The length follows from the id, so that a record given again is the same one. */
        size_t text_bytes = (number + i) * UINT64_C(2654435761) % TEXT_BYTES_MAX;
        used += testing_record(
            testing_run + used, (struct yarder_id){model.epoch, number + i}, text_bytes);
        ends[i] = used;
    }
    return used;
}

static void step_append(void)
{
    uint64_t again = below(4) == 0 ? below(20) : 0; /* of those before: stored, or cut off */
    uint64_t from = model.next_number > again ? model.next_number - again : 1;
    uint32_t count = 1 + below(RUN_RECORDS - 20);
    size_t ends[RUN_RECORDS];
    size_t bytes = make_run(from, count, ends);
    uint64_t last = model.stored > 0 && model.entries[model.stored - 1].epoch == model.epoch
                        ? model.entries[model.stored - 1].number
                        : 0;
    struct spool_stored stored;
    int r = spool_append(model.spool, testing_run, bytes, &stored);
    if (r == -ENOSPC) {
        return;
    }
    assert_int_equal(r, 0);
    assert_true(stored.records > 0 && stored.records <= count);
    assert_int_equal(stored.bytes, ends[stored.records - 1]);
    for (uint32_t i = 0; i < stored.records; i++) {
        uint64_t number = from + i;
        if (number > last) {
            assert_true(model.stored < RECORDS_MAX);
            model.entries[model.stored++] = (struct entry){.epoch = model.epoch,
                .number = number,
                .bytes = (uint32_t)(ends[i] - (i == 0 ? 0 : ends[i - 1]))};
            model.next_number = yarder_max(model.next_number, number + 1);
        }
    }
    assert_int_equal(stored.index, model.stored);
    if (below(3) != 0) {
        spool_release(&testing_shared, stored.end);
    }
}

/* The entry of an id, from `from` on; it is never one that was answered or damaged. */
static uint64_t find_entry(uint64_t from, struct yarder_id id)
{
    for (uint64_t i = from; i < model.stored; i++) {
        if (model.entries[i].epoch == id.epoch_ns && model.entries[i].number == id.number) {
            return i;
        }
    }
    fail_msg("record %llu was never stored", (unsigned long long)id.number);
    return 0;
}

/* Reads a batch and answers its first records. Returns whether there was one. */
static bool step_read(bool all)
{
    struct spool_batch batch;
    int r = spool_read(model.spool, &batch);
    if (r == -EAGAIN) {
        return false;
    }
    assert_int_equal(r, 0);
    uint32_t answered = all ? batch.records : below(batch.records + 1);
    struct spool_answers answers = {0};
    size_t at = 0;
    size_t done = 0;
    uint64_t index = model.stored - yarder_min(model.stored, 4096);
    uint64_t before = 0;
    for (uint32_t i = 0; i < batch.records; i++) {
        size_t taken;
        struct yarder_id id = testing_read(batch.bytes + at, batch.bytes_count - at, &taken);
        index = find_entry(index, id);
        struct entry *entry = &model.entries[index];
        assert_int_equal(entry->bytes, taken);
        assert_false(entry->damaged);
        assert_false(entry->answered);
        assert_true(i == 0 || index > before);
        before = index;
        at += taken;
        if (i < answered) {
            entry->answered = true;
            done = at;
            *(below(10) == 0 ? &answers.dead : &answers.delivered) += 1;
        }
    }
    assert_int_equal(at, batch.bytes_count);
    assert_int_equal(spool_answer(model.spool, &batch, done, &answers), 0);
    model.delivered += answers.delivered;
    model.dead += answers.dead;
    return true;
}

/* Where in its file an index of this segment lies. */
static off_t offset_of(const struct spool_segment *segment, uint64_t index)
{
    off_t offset = SPOOL_HEAD_BYTES;
    for (uint64_t i = segment->first; i < index; i++) {
        offset += model.entries[i].bytes;
    }
    return offset;
}

static void flip(const struct spool_segment *segment, uint64_t from)
{
    if (segment->records == 0) {
        return;
    }
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    uint64_t index = segment->first + below((uint32_t)segment->records);
    struct entry *entry = &model.entries[index];
    if (entry->damaged || index < from) {
        return; /* a second flip might mend it */
    }
    off_t at = offset_of(segment, index) + below(entry->bytes);
    YARDER_OWN_FD int fd = open(testing_path(name), O_RDWR);
    char byte;
    if (fd < 0) {
        return; /* dropped */
    }
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ (1 << below(8)));
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    entry->damaged = true;
    model.flagged += !entry->answered;
}

/* Cuts the file of a segment that has no foot; what is gone was never stored. */
static void cut_tail(const struct spool_segment *segment, uint64_t answered_to)
{
    char name[SPOOL_FILE_NAME_BYTES];
    spool_segment_name(segment->number, name);
    uint64_t kept = segment->first + below((uint32_t)segment->records + 1);
    kept = yarder_max(kept, answered_to);
    off_t size = offset_of(segment, kept);
    if (kept < model.stored) {
        size += below(model.entries[kept].bytes);
    }
    assert_int_equal(truncate(testing_path(name), size), 0);
    model.stored = kept;
}

/* What is damaged at the end of a segment without a foot is its torn tail, and was never stored. */
static void forget_tail(const struct spool_segment *segment, uint64_t answered_to)
{
    while (model.stored > segment->first && model.stored > answered_to &&
           model.entries[model.stored - 1].damaged) {
        model.stored--;
        model.flagged -= !model.entries[model.stored].answered;
    }
}

/* `clean`: closed properly. Else as a kill leaves it, and perhaps a power loss. */
static void step_reopen(bool clean)
{
    struct spool *spool = model.spool;
    bool open = spool->append_fd >= 0;
    static struct spool_segment segments[512];
    size_t count = spool->segments_count;
    assert_true(count <= YARDER_COUNT_OF(segments));
    if (count > 0) {
        memcpy(segments, spool->segments, count * sizeof(segments[0]));
    }
    uint64_t answered_to = spool->ack.index + spool->ack.dropped_ahead;
    if (!clean) {
        yarder_fd_drop(&spool->append_fd); /* so no foot is written */
        spool->append_fd = -1;
    }
    spool_close(spool);
    if (open && !clean && below(2) == 0 && answered_to <= model.stored) {
        cut_tail(&segments[count - 1], answered_to);
        segments[count - 1].records = model.stored - segments[count - 1].first;
    }
    for (uint32_t flips = below(3) == 0 ? below(12) : 0; flips > 0 && count > 0; flips--) {
        size_t which = below((uint32_t)count);
        bool scanned = open && !clean && which == count - 1;
        /* How many a stretch between two epochs has cost nobody can tell. */
        if (!scanned || segments[which].before.at[0].epoch_ns == model.epoch) {
            flip(&segments[which], scanned ? answered_to : 0);
        }
    }
    if (open && !clean) {
        forget_tail(&segments[count - 1], answered_to);
    }
    /* Ids go on without a gap, or nobody could tell how many a stretch at a beginning has cost. */
    const struct entry *last = model.stored > 0 ? &model.entries[model.stored - 1] : NULL;
    model.next_number = last != NULL && last->epoch == model.epoch ? last->number + 1 : 1;
    if (below(10) == 0) {
        model.epoch += below(2) == 0 ? 1000 : (uint64_t)-1; /* the clock may go backwards */
        model.next_number = 1;
    }
    open_spool();
    struct spool_look look;
    spool_look(model.spool, &look);
    spool_release(&testing_shared, look.end);
}

static void mixes_everything(void **state)
{
    (void)state;
    const char *wanted = getenv("SPOOL_STEPS");
    unsigned long steps = wanted != NULL ? strtoul(wanted, NULL, 10) : STEPS;
    model.entries = calloc(RECORDS_MAX, sizeof(model.entries[0]));
    assert_non_null(model.entries);
    model.options = testing_options();
    model.options.limit_bytes = 400 << 10;
    model.epoch = UINT64_C(1) << 40;
    model.next_number = 1;
    open_spool();
    for (unsigned long step = 0; step < steps; step++) {
        uint32_t choice = below(100);
        if (choice < 48) {
            step_append();
        } else if (choice < 92) {
            (void)step_read(below(2) == 0);
        } else {
            step_reopen(choice < 95);
        }
        check_counts();
    }
    struct spool_look look;
    spool_look(model.spool, &look);
    spool_release(&testing_shared, look.end);
    while (step_read(true)) {
        check_counts();
    }
    spool_look(model.spool, &look);
    assert_int_equal(look.left, 0);
    uint64_t unseen = 0;
    uint64_t unseen_sound = 0;
    for (uint64_t i = 0; i < model.stored; i++) {
        unseen += !model.entries[i].answered;
        unseen_sound += !model.entries[i].answered && !model.entries[i].damaged;
    }
    assert_int_equal(unseen, look.totals.dropped_oldest + look.totals.damaged);
    assert_true(unseen_sound <= look.totals.dropped_oldest);
    print_message("%lu steps: %llu stored, %llu delivered, %llu dead, %llu dropped, %llu damaged\n",
        steps, (unsigned long long)look.stored, (unsigned long long)look.totals.delivered,
        (unsigned long long)look.totals.dead, (unsigned long long)look.totals.dropped_oldest,
        (unsigned long long)look.totals.damaged);
    spool_close(model.spool);
    free(model.entries);
}

int main(void)
{
    random_begin("SPOOL_SEED");
    const struct CMUnitTest tests[] = {
        SCENE(mixes_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
