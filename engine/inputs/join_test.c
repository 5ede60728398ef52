/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a long record that comes in parts is made whole, whoever dies between two of them. Method:
 * random threads of random processes interleave their parts; between two calls the worker may
 * commit, or die and be followed by one that loads the commit. JOIN_SEED replays a run.
 */
#include "inputs/join.h"

#include <errno.h>
#include <string.h>

#include "base/test_random.h"

enum { LIMIT = 64 << 10, PART_BYTES = 9000, WRITERS = 12, STEPS = 30000, FIELDS = 3 };

/* A thread on its way through a long record. */
struct writer {
    uint64_t region;
    uint32_t tid;
    uint16_t serial, part, parts;
    uint32_t text_bytes;
};

struct scene {
    int fd;
    struct hold *hold;
    struct writer writers[WRITERS], committed[WRITERS];
};

static void scene_open(struct scene *scene)
{
    const struct hold_shape shape = {.joins_count = JOINS_COUNT, .join_bytes = JOIN_BYTES};
    *scene = (struct scene){.fd = -1};
    assert_int_equal(hold_create(&shape, &scene->fd), 0);
    assert_int_equal(hold_open(&scene->hold, scene->fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
}

static void scene_close(struct scene *scene)
{
    hold_close(scene->hold);
    (void)close(scene->fd);
}

static char text_byte(const struct writer *writer, uint32_t at)
{
    return (char)('a' + (writer->tid * 7 + writer->serial * 3u + at / 100) % 26);
}

/* Every other record has none. */
static struct yarder_text logger_of(const struct writer *writer)
{
    static const struct yarder_text loggers[] = {{NULL, 0}, {"app.long", 8}};
    return loggers[writer->serial % 2];
}

/* The next part as the ring reader gives it; text and fields are static. */
static struct ring_record part_of(const struct writer *writer, uint32_t bytes)
{
    static char text[PART_BYTES];
    static char value[16];
    static struct yarder_field fields[FIELDS];
    for (uint32_t i = 0; i < bytes; i++) {
        text[i] = text_byte(writer, writer->text_bytes + i);
    }
    (void)snprintf(value, sizeof(value), "%u", writer->serial);
    struct ring_record part = {.part = writer->part,
        .serial = writer->serial,
        .continues = writer->part > 0,
        .more = writer->part + 1 < writer->parts,
        .record = {.text = {text, bytes},
            .logger = logger_of(writer),
            .tid = writer->tid,
            .level = YARDER_LEVEL_ERROR,
            .time_ns = writer->serial}};
    if (writer->part == 0) {
        for (uint32_t i = 0; i < FIELDS; i++) {
            fields[i] = (struct yarder_field){
                .key = {"key", 1 + i}, .value = {value, strlen(value)}, .type = YARDER_FIELD_TEXT};
        }
        part.record.fields = fields;
        part.record.fields_count = FIELDS;
    }
    return part;
}

static void check_record(
    const struct writer *writer, const struct yarder_record *record, uint32_t bytes)
{
    uint32_t kept = (uint32_t)yarder_min(bytes, LIMIT);
    assert_int_equal(record->text.length, kept);
    for (uint32_t i = 0; i < kept; i += 1 + i / 50) {
        assert_int_equal(record->text.at[i], text_byte(writer, i));
    }
    assert_int_equal((record->flags & YARDER_FLAG_TRUNCATED) != 0, kept < bytes);
    const struct yarder_text logger = logger_of(writer);
    assert_int_equal(record->logger.length, logger.length);
    if (logger.length > 0) {
        assert_memory_equal(record->logger.at, logger.at, logger.length);
    }
    assert_int_equal(record->level, YARDER_LEVEL_ERROR);
    assert_int_equal(record->time_ns, writer->serial);
    char value[16];
    (void)snprintf(value, sizeof(value), "%u", writer->serial);
    assert_int_equal(record->fields_count, FIELDS);
    for (uint32_t i = 0; i < FIELDS; i++) {
        assert_int_equal(record->fields[i].key.length, 1 + i);
        assert_memory_equal(record->fields[i].key.at, "key", 1 + i);
        assert_int_equal(record->fields[i].value.length, strlen(value));
        assert_memory_equal(record->fields[i].value.at, value, strlen(value));
    }
}

static void begin(struct writer *writer)
{
    writer->serial++;
    writer->part = 0;
    writer->parts = (uint16_t)(2 + below(10));
    writer->text_bytes = 0;
}

static void step(struct scene *scene, struct writer *writer)
{
    uint32_t bytes = 1 + below(PART_BYTES - 1);
    const struct ring_record part = part_of(writer, bytes);
    if (part.more) {
        assert_int_equal(join_put(scene->hold, writer->region, LIMIT, &part), 0);
        writer->part++;
        writer->text_bytes += bytes;
        if (below(60) == 0) {
            begin(writer); /* its thread gave it up */
        }
        return;
    }
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = {0};
    uint32_t tries = below(3); /* it must wait: asked again, nothing has changed */
    for (uint32_t i = 0; i <= tries; i++) {
        assert_int_equal(join_last(scene->hold, writer->region, LIMIT, &part, fields, &record), 0);
        check_record(writer, &record, writer->text_bytes + bytes);
    }
    const struct yarder_record key = {.tid = writer->tid};
    join_free(scene->hold, writer->region, &key);
    begin(writer);
}

static void commit(struct scene *scene)
{
    hold_commit(scene->hold);
    memcpy(scene->committed, scene->writers, sizeof(scene->writers));
    if (below(5) != 0) { /* else killed before it */
        join_settle(scene->hold);
    }
}

/* The rings give all parts since the commit again. */
static void crash(struct scene *scene)
{
    hold_close(scene->hold);
    assert_int_equal(hold_open(&scene->hold, scene->fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
    join_settle(scene->hold);
    memcpy(scene->writers, scene->committed, sizeof(scene->writers));
}

static void parts_become_one_record_across_deaths(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    for (uint32_t i = 0; i < WRITERS; i++) {
        scene.writers[i] = (struct writer){.region = 1 + i / 4, .tid = 100 + i % 4};
        begin(&scene.writers[i]);
    }
    commit(&scene);
    for (unsigned i = 0; i < STEPS; i++) {
        /* A record that ends frees a join for good only with the next commit. */
        step(&scene, &scene.writers[below(WRITERS)]);
        if (below(2) == 0) {
            commit(&scene);
            join_settle(scene.hold);
        }
        if (below(30) == 0) {
            crash(&scene);
        }
    }
    scene_close(&scene);
}

static void what_has_no_beginning_is_told(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer writer = {.region = 5, .tid = 9, .serial = 1, .part = 1, .parts = 4};
    struct ring_record part = part_of(&writer, 10);
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = {0};
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), -ENOENT);
    writer.part = 0;
    part = part_of(&writer, 10);
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), 0);
    writer.part = 2; /* one is missing */
    part = part_of(&writer, 10);
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), -ENOENT);
    writer.part = 3;
    part = part_of(&writer, 10);
    assert_int_equal(join_last(scene.hold, 5, LIMIT, &part, fields, &record), -ENOENT);
    writer.part = 1;
    writer.serial = 2; /* of another record */
    part = part_of(&writer, 10);
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), -ENOENT);
    assert_int_equal(join_put(scene.hold, 6, LIMIT, &part), -ENOENT);
    scene_close(&scene);
}

/* A thread in the middle of a line of each of its streams. */
static void the_streams_of_a_thread_are_joined_apart(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer out = {.region = 5, .tid = 1, .serial = 1, .parts = 2};
    struct writer err = {.region = 5, .tid = 1, .serial = 2, .parts = 2};
    struct ring_record part = part_of(&out, 10);
    part.record.stream = YARDER_STREAM_STDOUT;
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), 0);
    part = part_of(&err, 10);
    part.record.stream = YARDER_STREAM_STDERR;
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), 0);
    out.part = 1;
    part = part_of(&out, 10);
    part.record.stream = YARDER_STREAM_STDOUT;
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record;
    assert_int_equal(join_last(scene.hold, 5, LIMIT, &part, fields, &record), 0);
    assert_int_equal(record.stream, YARDER_STREAM_STDOUT);
    join_free(scene.hold, 5, &record);
    assert_int_equal(join_orphan(scene.hold, 5, fields, &record), 0);
    assert_int_equal(record.stream, YARDER_STREAM_STDERR);
    scene_close(&scene);
}

static void there_are_so_many_and_freed_ones_wait_for_the_commit(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer writer = {.region = 5, .serial = 1, .parts = 4};
    for (uint32_t i = 0; i < JOINS_COUNT; i++) {
        writer.tid = i;
        const struct ring_record part = part_of(&writer, 10);
        assert_int_equal(join_put(scene.hold, 5, LIMIT, &part), 0);
    }
    writer.tid = JOINS_COUNT;
    const struct ring_record one_more = part_of(&writer, 10);
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &one_more), -ENOSPC);
    join_free(scene.hold, 5, &(struct yarder_record){.tid = 3});
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &one_more), -ENOSPC);
    hold_commit(scene.hold);
    join_settle(scene.hold);
    assert_int_equal(join_put(scene.hold, 5, LIMIT, &one_more), 0);
    scene_close(&scene);
}

/* Whoever takes them all for good stands in nobody's way: the one without parts for longest goes.
 */
static void the_oldest_goes_when_none_is_free(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer writer = {.serial = 1, .parts = 4};
    for (uint32_t i = 0; i < JOINS_COUNT; i++) { /* 5 of region 7, 3 of 8, 8 of 9 */
        writer.region = i < 5 ? 7 : i < 8 ? 8 : 9;
        writer.tid = i;
        const struct ring_record part = part_of(&writer, 100);
        assert_int_equal(join_put(scene.hold, writer.region, LIMIT, &part), 0);
    }
    writer.region = 7;
    writer.tid = 0;
    writer.part = 1;
    struct ring_record part = part_of(&writer, 100); /* its first one is the freshest now */
    assert_int_equal(join_put(scene.hold, 7, LIMIT, &part), 0);
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = {0};
    uint64_t owner = 0;
    /* A region that has many gives up its own. */
    assert_int_equal(join_oldest(scene.hold, 9, &owner, fields, &record), 0);
    assert_int_equal(owner, 9);
    assert_int_equal(record.tid, 8);
    /* For one that has few or none, whoever has too many. */
    static const uint64_t needy[] = {8, 100};
    for (unsigned i = 0; i < YARDER_COUNT_OF(needy); i++) {
        assert_int_equal(join_oldest(scene.hold, needy[i], &owner, fields, &record), 0);
        assert_int_equal(owner, 7);
        assert_int_equal(record.tid, 1);
        assert_int_equal(record.flags, YARDER_FLAG_PARTIAL);
        writer = (struct writer){.region = 7, .tid = 1, .serial = 1, .parts = 4};
        record.flags = 0;
        check_record(&writer, &record, 100);
    }
    join_free(scene.hold, 7, &(struct yarder_record){.tid = 1});
    assert_int_equal(join_oldest(scene.hold, 8, &owner, fields, &record), -EAGAIN);
    writer = (struct writer){.region = 8, .tid = 50, .serial = 1, .parts = 4};
    part = part_of(&writer, 100);
    assert_int_equal(join_put(scene.hold, 8, LIMIT, &part), -ENOSPC);
    hold_commit(scene.hold);
    join_settle(scene.hold);
    assert_int_equal(join_put(scene.hold, 8, LIMIT, &part), 0);
    /* Many regions with a few each: the oldest of all. */
    for (uint32_t i = 0; i < JOINS_COUNT; i++) {
        scene.hold->joins[i].region = 20 + i / 4;
        scene.hold->joins[i].touched = UINT32_MAX - 3 + (i + 5) % JOINS_COUNT; /* over its end */
    }
    assert_int_equal(join_oldest(scene.hold, 1, &owner, fields, &record), 0);
    assert_int_equal(owner, 20 + (JOINS_COUNT - 5) / 4);
    scene_close(&scene);
}

static void orphans_of_a_process_come_out(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer writer = {.region = 5, .serial = 1, .parts = 4};
    for (uint32_t i = 0; i < 5; i++) {
        writer.tid = i;
        writer.region = i == 4 ? 6 : 5;
        const struct ring_record part = part_of(&writer, 100);
        assert_int_equal(join_put(scene.hold, writer.region, LIMIT, &part), 0);
    }
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = {0};
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(join_orphan(scene.hold, 5, fields, &record), 0);
        assert_int_equal(record.flags, YARDER_FLAG_PARTIAL);
        writer.tid = record.tid;
        record.flags = 0;
        check_record(&writer, &record, 100);
        join_free(scene.hold, 5, &record);
    }
    assert_int_equal(join_orphan(scene.hold, 5, fields, &record), -ENOENT);
    assert_int_equal(join_orphan(scene.hold, 0, fields, &record), -ENOENT);
    assert_int_equal(join_orphan(scene.hold, 6, fields, &record), 0);
    scene_close(&scene);
}

/* record-max was lowered by a reload while a record was on its way: it is cut, nothing more. */
static void a_smaller_limit_in_the_middle_of_a_record(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct writer writer = {.region = 5, .tid = 1, .serial = 1, .parts = 3};
    struct ring_record part = part_of(&writer, PART_BYTES - 1);
    assert_int_equal(join_put(scene.hold, 5, YARDER_RECORD_BYTES_MAX, &part), 0);
    writer.part = 1;
    writer.text_bytes = PART_BYTES - 1;
    part = part_of(&writer, PART_BYTES - 1);
    assert_int_equal(join_put(scene.hold, 5, 1000, &part), 0);
    writer.part = 2;
    part = part_of(&writer, 10);
    struct yarder_field fields[YARDER_FIELDS_MAX];
    struct yarder_record record = {0};
    assert_int_equal(join_last(scene.hold, 5, 1000, &part, fields, &record), 0);
    assert_int_equal(record.text.length, PART_BYTES - 1);
    assert_true((record.flags & YARDER_FLAG_TRUNCATED) != 0);
    assert_int_equal(record.fields_count, FIELDS);
    scene_close(&scene);
}

int main(void)
{
    random_begin("JOIN_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_become_one_record_across_deaths),
        cmocka_unit_test(what_has_no_beginning_is_told),
        cmocka_unit_test(the_streams_of_a_thread_are_joined_apart),
        cmocka_unit_test(there_are_so_many_and_freed_ones_wait_for_the_commit),
        cmocka_unit_test(the_oldest_goes_when_none_is_free),
        cmocka_unit_test(orphans_of_a_process_come_out),
        cmocka_unit_test(a_smaller_limit_in_the_middle_of_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
