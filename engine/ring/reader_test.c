/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Append and reader against a plain FIFO: every size, wrap-around, parts, full rings, headroom,
 * gaps, fields, names, cursors, sleep words; in each kind of region.
 */
#include "ring/testing.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

static const enum region_kind kinds[] = {REGION_RSEQ, REGION_PLAIN, REGION_LOCKED};
static char pattern[RING_APPEND_BYTES_MAX + 512];

static struct pair *open_kind(unsigned i)
{
    if (kinds[i] == REGION_RSEQ && ring_producer_kind() != REGION_RSEQ) {
        return NULL; /* no rseq here: the other kinds are what this machine uses */
    }
    return pair_open(kinds[i], kinds[i] == REGION_LOCKED ? 1 : 0);
}

static const char *text_for(uint64_t number)
{
    return pattern + number % 251;
}

/* Everything taken must continue the sequence: record n has size_of(n) bytes from text_for(n). */
static void expect_next(const struct ring_record *got, uint64_t number, size_t bytes)
{
    assert_int_equal(got->record.text.length, bytes);
    assert_memory_equal(got->record.text.at, text_for(number), bytes);
    assert_int_equal(got->record.flags, 0);
    assert_int_equal(got->record.pid, 42);
    assert_int_equal(got->record.tid, 5);
    assert_int_equal(got->record.input, 3);
    assert_int_equal(got->record.tag.length, 6);
    assert_true(llabs(got->record.time_ns - os_realtime_ns()) < 60000000000);
}

static void pin(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void unpin(void)
{
    cpu_set_t set;
    memset(&set, 0xff, sizeof(set));
    assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void sizes(void **state)
{
    (void)state;
    for (unsigned k = 0; k < YARDER_COUNT_OF(kinds); k++) {
        struct pair *pair = open_kind(k);
        if (pair == NULL) {
            continue;
        }
        for (size_t bytes = 0; bytes <= RING_APPEND_BYTES_MAX;
             bytes += bytes < 600 || bytes > 32200 ? 1 : 61) {
            assert_int_equal(
                pair_append(pair, YARDER_LEVEL_ERROR, text_for(bytes), bytes), RING_APPENDED);
            pair_take(pair);
            assert_int_equal(pair->batch.count, 1);
            expect_next(&pair->records[0], bytes, bytes);
            assert_true(region_reader_idle(pair->reader));
            region_reader_publish(pair->reader);
        }
        pair_close(pair);
    }
}

struct model {
    uint64_t next_in;
    uint64_t next_out;
    uint64_t lost;
    size_t bytes[1 << 16];
};
static struct model model;

static void model_append(struct pair *pair, uint64_t *random)
{
    uint64_t roll = testing_random(random);
    size_t bytes = (roll & 15) == 0 ? roll / 16 % RING_APPEND_BYTES_MAX : roll / 16 % 300;
    if (pair_append(pair, YARDER_LEVEL_ERROR, text_for(model.next_in), bytes) == RING_APPENDED) {
        model.bytes[model.next_in++ % YARDER_COUNT_OF(model.bytes)] = bytes;
    } else {
        model.lost++;
    }
}

static void model_take(struct pair *pair, uint64_t *random)
{
    pair->batch.records_max = 1 + (uint32_t)(testing_random(random) % TESTING_RECORDS);
    pair_take(pair);
    for (uint32_t i = 0; i < pair->batch.count; i++) {
        expect_next(&pair->records[i], model.next_out,
            model.bytes[model.next_out % YARDER_COUNT_OF(model.bytes)]);
        model.next_out++;
    }
    if (!pair->batch.more) {
        assert_int_equal(model.next_out, model.next_in);
    }
    if ((testing_random(random) & 3) != 0) {
        region_reader_publish(pair->reader);
    }
}

static void fifo(void **state)
{
    (void)state;
    uint64_t random = testing_seed();
    pin(); /* one ring, so that "full" is one thing */
    for (unsigned k = 0; k < YARDER_COUNT_OF(kinds); k++) {
        struct pair *pair = open_kind(k);
        if (pair == NULL) {
            continue;
        }
        memset(&model, 0, sizeof(model));
        for (unsigned step = 0; step < 60000; step++) {
            if (testing_random(&random) % 24 != 0) {
                model_append(pair, &random);
            } else {
                model_take(pair, &random);
            }
        }
        struct ring_losses losses;
        region_reader_losses(pair->reader, &losses);
        assert_int_equal(losses.refused, 0);
        assert_true(model.next_in > 10000); /* through the ring's end many times */
        pair_close(pair);
    }
    unpin();
}

static uint32_t fill(struct pair *pair, uint8_t level)
{
    uint32_t count = 0;
    while (pair_append(pair, level, text_for(0), 1000) == RING_APPENDED) {
        count++;
    }
    return count;
}

static void headroom_and_gap(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    uint32_t need = 1032; /* 28 + 1000, rounded to 8 */
    assert_int_equal(fill(pair, YARDER_LEVEL_INFO), RING_BYTES_MIN / 4 * 3 / need);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_DEBUG, text_for(0), 1000), RING_FULL);
    ring_lose(pair->producer, 0, 3);
    uint32_t in_all = RING_BYTES_MIN / need;
    assert_int_equal(fill(pair, YARDER_LEVEL_NOTICE), in_all - RING_BYTES_MIN / 4 * 3 / need);
    ring_lose(pair->producer, 0, 2);
    uint32_t taken = 0;
    uint32_t gap_at = 0;
    while (!region_reader_idle(pair->reader)) {
        pair_take(pair);
        for (uint32_t i = 0; i < pair->batch.count; i++, taken++) {
            if ((pair->records[i].record.flags & YARDER_FLAG_GAP) != 0) {
                assert_int_equal(pair->records[i].record.lost_before, 3);
                assert_int_equal(gap_at, 0);
                gap_at = taken;
                assert_int_equal(pair->records[i].record.level, YARDER_LEVEL_NOTICE);
            }
        }
    }
    assert_int_equal(taken, in_all);
    assert_int_equal(gap_at, RING_BYTES_MIN / 4 * 3 / need); /* at its place in the stream */
    /* Not published: still full. */
    assert_int_equal(pair_append(pair, YARDER_LEVEL_EMERG, text_for(0), 1000), RING_FULL);
    region_reader_publish(pair->reader);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_DEBUG, text_for(0), 1000), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].record.lost_before, 2);
    struct ring_losses losses;
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.lost, 5);
    pair_close(pair);
}

static void *wait_for_space(void *argument)
{
    struct pair *pair = argument;
    for (unsigned tries = 0; tries < 5000; tries++) {
        if (pair_append(pair, YARDER_LEVEL_ERROR, text_for(9), 9) == RING_APPENDED) {
            return pair;
        }
        ring_wait_space(pair->producer, 0, 2000000);
    }
    return NULL;
}

static void waits_for_space(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    (void)fill(pair, YARDER_LEVEL_ERROR);
    while (pair_append(pair, YARDER_LEVEL_ERROR, text_for(9), 9) == RING_APPENDED) {
    }
    pthread_t waiter;
    assert_int_equal(pthread_create(&waiter, NULL, wait_for_space, pair), 0);
    while (!region_reader_idle(pair->reader)) {
        pair_take(pair);
        region_reader_publish(pair->reader);
    }
    void *result = NULL;
    assert_int_equal(pthread_join(waiter, &result), 0);
    assert_ptr_equal(result, pair);
    pair_close(pair);
}

/* Fields of every type and the most that there can be. */
static void fields(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 1);
    static const char number[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    uint8_t extra[4096];
    size_t extra_bytes = 0;
    for (unsigned i = 0; i < YARDER_FIELDS_MAX; i++) {
        enum yarder_field_type type = (enum yarder_field_type)(1 + i % 5);
        size_t bytes = type == YARDER_FIELD_TEXT ? i % 8 : type == YARDER_FIELD_BOOL ? 1 : 8;
        struct yarder_field field = {.key = {pattern, i}, .value = {number, bytes}, .type = type};
        size_t used = ring_field_put(extra + extra_bytes, sizeof(extra) - extra_bytes, &field);
        assert_int_equal(used, 6 + i + bytes);
        extra_bytes += used;
    }
    struct yarder_field bad = {.key = {pattern, 1}, .value = {number, 7}, .type = YARDER_FIELD_INT};
    assert_int_equal(ring_field_put(extra, sizeof(extra), &bad), 0);
    bad = (struct yarder_field){.key = {pattern, 256}, .type = YARDER_FIELD_TEXT};
    assert_int_equal(ring_field_put(extra, sizeof(extra), &bad), 0);
    struct ring_entry entry = {
        .text = "hello", .text_bytes = 5, .extra = extra, .extra_bytes = extra_bytes, .tid = 5};
    ring_entry_seal(
        &entry, RING_REQUEST | YARDER_STREAM_STDERR << RING_STREAM_SHIFT, YARDER_LEVEL_ALERT, 0);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair_take(pair);
    const struct yarder_record *record = &pair->records[0].record;
    assert_int_equal(pair->batch.count, 1);
    assert_int_equal(record->kind, YARDER_KIND_REQUEST);
    assert_int_equal(record->stream, YARDER_STREAM_STDERR);
    assert_int_equal(record->level, YARDER_LEVEL_ALERT);
    assert_int_equal(record->fields_count, YARDER_FIELDS_MAX);
    for (unsigned i = 0; i < YARDER_FIELDS_MAX; i++) {
        assert_int_equal(record->fields[i].key.length, i);
        assert_memory_equal(record->fields[i].key.at, pattern, i);
        assert_memory_equal(record->fields[i].value.at, number, record->fields[i].value.length);
    }
    /* A field cut off by the record's end: the rest is there, the record is flagged. */
    entry.extra_bytes--;
    ring_entry_seal(&entry, 0, YARDER_LEVEL_INFO, 0);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].record.fields_count, YARDER_FIELDS_MAX - 1);
    assert_true((pair->records[0].record.flags & YARDER_FLAG_UNPARSED) != 0);
    pair_close(pair);
}

static void names(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 1);
    struct region_name *name = &pair->producer->map.names[9];
    struct ring_entry entry = {.text = "x", .text_bytes = 1};
    ring_entry_seal(&entry, 0, YARDER_LEVEL_INFO, 9);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].record.logger.length, 0);
    memcpy(name->at, "a.\nc", 4);
    name->bytes = 4;
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].record.logger.length, 4);
    assert_memory_equal(pair->records[0].record.logger.at, "a._c", 4);
    ring_entry_seal(&entry, 0, YARDER_LEVEL_INFO, UINT16_MAX); /* no such id: no name */
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->records[0].record.logger.length, 0);
    pair_close(pair);
}

/* A new reader goes on where the commit of the old one stood. */
static void resumes(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(
            pair_append(pair, YARDER_LEVEL_ERROR, text_for(i), 100 + i), RING_APPENDED);
    }
    pair->batch.records_max = 4;
    pair_take(pair);
    assert_true(pair->batch.more);
    region_reader_publish(pair->reader);
    pair_take(pair);
    uint64_t committed = region_reader_cursor(pair->reader, 0); /* 8 records, 4 of them published */
    region_reader_close(pair->reader);
    assert_int_equal(
        region_reader_open(&pair->reader, pair->fd,
            &(struct region_reader_options){.pid = 42, .input = 3, .tag = {"tester", 6}}),
        0);
    pair_take(pair);
    expect_next(&pair->records[0], 4, 104); /* from the tail, without a commit */
    struct ring_losses losses;
    region_reader_resume(pair->reader, &committed, 0);
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 0);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 2);
    expect_next(&pair->records[0], 8, 108);
    region_reader_publish(pair->reader);
    const uint64_t impossible[] = {
        UINT64_MAX, committed + 4, committed + (1 << 20), UINT64_C(1) << 40};
    for (unsigned i = 0; i < YARDER_COUNT_OF(impossible); i++) {
        region_reader_resume(pair->reader, &impossible[i], 0);
        region_reader_losses(pair->reader, &losses);
        assert_int_equal(losses.refused, 1);
        assert_true(region_reader_idle(pair->reader));
    }
    pair_close(pair);
}

/* What was taken and not published can be taken again, in the same order, with the same gap. */
static void rewinds(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 2);
    for (unsigned i = 0; i < 8; i++) {
        struct ring_entry entry = {.text = text_for(i), .text_bytes = i, .tid = 4 + i % 2};
        ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
        assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
        if (i == 3) {
            ring_lose(pair->producer, entry.ring, 7);
        }
    }
    for (unsigned round = 0; round < 3; round++) {
        pair_take(pair);
        assert_int_equal(pair->batch.count, 8);
        for (unsigned i = 0; i < 8; i++) {
            assert_int_equal(pair->records[i].record.text.length, i);
            assert_int_equal(pair->records[i].record.lost_before, i == 5 ? 7 : 0);
        }
        for (unsigned i = 8; i > 0; i--) {
            region_reader_rewind(pair->reader, &pair->records[i - 1]);
        }
    }
    pair_take(pair);
    struct ring_record old = pair->records[0];
    region_ring(&pair->producer->map, old.ring)->head += UINT64_C(1)
                                                         << 30; /* a resync in between */
    pair_take(pair);
    uint64_t cursor = region_reader_cursor(pair->reader, old.ring);
    region_reader_rewind(pair->reader, &old);
    assert_int_equal(region_reader_cursor(pair->reader, old.ring), cursor);
    pair_close(pair);
}

static void sleep_words(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    assert_false(ring_sleeping(pair->producer));
    assert_false(ring_must_ring(pair->producer, 0));
    region_reader_sleep(pair->reader, RING_DEEP);
    (void)ring_membarrier();
    assert_true(ring_sleeping(pair->producer));
    assert_true(ring_must_ring(pair->producer, 0));
    assert_false(ring_must_ring(pair->producer, 0)); /* once an epoch */
    region_reader_sleep(pair->reader, RING_AWAKE);
    assert_false(ring_must_ring(pair->producer, 0));
    region_reader_sleep(pair->reader, RING_LIGHT);
    assert_false(ring_must_ring(pair->producer, 0)); /* not half full */
    (void)fill(pair, YARDER_LEVEL_ERROR);
    assert_true(ring_must_ring(pair->producer, 0));
    region_reader_sleep(pair->reader, RING_DEEP);
    assert_true(ring_must_ring(pair->producer, 0));
    region_reader_announce(pair->reader, 77, true);
    assert_int_equal(pair->producer->map.header->worker, 77);
    assert_int_equal(pair->producer->map.header->shutdown, 1);
    pair_close(pair);
}

static void shapes(void **state)
{
    (void)state;
    struct region_shape shape = {.kind = REGION_PLAIN, .clock = REGION_CLOCK_NS};
    region_shape_set(&shape, REGION_MEMORY_DEFAULT, 4);
    assert_int_equal(shape.ring_bytes, 1 << 20);
    region_shape_set(&shape, REGION_MEMORY_DEFAULT, 3);
    assert_int_equal(shape.ring_bytes, 1 << 20);
    region_shape_set(&shape, REGION_MEMORY_DEFAULT, 64);
    assert_int_equal(shape.ring_bytes, RING_BYTES_MIN);
    region_shape_set(&shape, UINT64_MAX, 100000);
    assert_int_equal(shape.rings, REGION_RINGS_MAX);
    assert_int_equal(shape.ring_bytes, RING_BYTES_MAX);
    region_shape_set(&shape, 0, 2);
    struct region_shape wrong = shape;
    wrong.region_bytes += 4096;
    int fd = -1;
    assert_int_equal(region_create(&fd, &wrong), -EINVAL);
    assert_int_equal(region_create(&fd, &shape), 0);
    assert_true(region_is_owned(fd));
    struct os_file_id id;
    struct region_shape seen;
    assert_int_equal(region_inspect(fd, &seen, &id), 0);
    assert_memory_equal(&seen, &shape, sizeof(shape));
    /* Another version, a header that contradicts the file, and files that are no regions. */
    for (uint32_t version = REGION_VERSION + 1; version >= REGION_VERSION - 1; version--) {
        assert_int_equal(pwrite(fd, &version, 4, offsetof(struct region_header, version)), 4);
        assert_int_equal(region_inspect(fd, &seen, &id), version == REGION_VERSION ? 0 : -EPROTO);
    }
    const uint32_t version = REGION_VERSION;
    assert_int_equal(pwrite(fd, &version, 4, offsetof(struct region_header, version)), 4);
    uint32_t rings = 3;
    assert_int_equal(pwrite(fd, &rings, 4, offsetof(struct region_header, rings)), 4);
    assert_int_equal(region_inspect(fd, &seen, &id), -EPROTO);
    (void)close(fd);
    fd = memfd_create("unsealed", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    assert_int_equal(region_inspect(fd, &seen, &id), -EPERM);
    (void)close(fd);
    assert_int_equal(os_memfd_create(&fd, "empty", 4096), 0);
    assert_int_equal(region_inspect(fd, &seen, &id), -EPROTO);
    (void)close(fd);
    assert_int_equal(region_inspect(STDERR_FILENO, &seen, &id), -EPERM);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i * 7 + i / 251);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(fifo),
        cmocka_unit_test(headroom_and_gap),
        cmocka_unit_test(waits_for_space),
        cmocka_unit_test(fields),
        cmocka_unit_test(names),
        cmocka_unit_test(resumes),
        cmocka_unit_test(rewinds),
        cmocka_unit_test(sleep_words),
        cmocka_unit_test(shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
