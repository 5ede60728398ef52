/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what a spool says it has stored comes out once, in order, whatever its files went through;
 * and every record is in exactly one of its counts. Method: named situations, one after another;
 * spool_model_test.c mixes them at random.
 */
#include "queue/spool.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "queue/spool_fixture.h"

static void comes_out_as_it_went_in(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    testing_drain(spool, 1, 0, 0);
    assert_int_equal(testing_append(spool, 1, 1, 300, 200), 300);
    testing_counts(spool, 300, 0, 0, 0, 300);
    testing_drain(spool, 1, 1, 301);
    testing_counts(spool, 300, 300, 0, 0, 0);
    static struct testing_names names;
    testing_segments(&names);
    assert_int_equal(names.count, 1); /* the ones that are answered are gone */
    spool_close(spool);
    spool = testing_open(&options);
    testing_counts(spool, 300, 300, 0, 0, 0);
    testing_drain(spool, 1, 0, 0);
    spool_close(spool);
}

/* A reader gets what a stored commit has booked, and nothing behind it. */
static void gives_what_is_released(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    size_t used = testing_record(testing_run, (struct yarder_id){1, 1}, 100);
    struct spool_stored first;
    assert_int_equal(spool_append(spool, testing_run, used, &first), 0);
    used = testing_record(testing_run, (struct yarder_id){1, 2}, 100);
    struct spool_stored second;
    assert_int_equal(spool_append(spool, testing_run, used, &second), 0);
    assert_int_equal(second.index, 2);
    testing_drain(spool, 1, 0, 0);
    spool_release(&testing_shared, first.end);
    testing_drain(spool, 1, 1, 2);
    spool_release(&testing_shared, second.end);
    spool_release(&testing_shared, first.end); /* never back */
    testing_drain(spool, 1, 2, 3);
    spool_close(spool);
}

/* Each reload and each start begins a segment: with direct, one of its whole size. */
static void closing_gives_room_back(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool_look look;
    options.direct = true;
    for (uint64_t i = 1; i <= 4 * SPOOL_SEGMENTS_IN_LIMIT; i++) {
        struct spool *spool = testing_open(&options);
        spool_look(spool, &look);
        assert_true(look.bytes <= (i - 1) * 2 * 4096);
        assert_int_equal(testing_append(spool, 7, i, 1, 50), 1);
        spool_close(spool);
    }
    struct spool *spool = testing_open(&options);
    testing_release(spool);
    testing_drain(spool, 7, 1, 4 * SPOOL_SEGMENTS_IN_LIMIT + 1);
    spool_close(spool);
}

static void stores_what_is_given_again_once(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 7, 1, 10, 50), 10);
    spool_close(spool);
    spool = testing_open(&options);
    testing_release(spool);
    size_t used = 0;
    for (uint64_t i = 5; i < 16; i++) { /* 5 to 10 are there */
        used += testing_record(testing_run + used, (struct yarder_id){7, i}, 50);
    }
    struct spool_stored stored;
    assert_int_equal(spool_append(spool, testing_run, used, &stored), 0);
    assert_int_equal(stored.bytes, used);
    assert_int_equal(stored.records, 11);
    assert_int_equal(stored.doubles, 6);
    assert_int_equal(stored.index, 15);
    spool_release(&testing_shared, stored.end);
    testing_drain(spool, 7, 1, 16);
    spool_close(spool);
}

/* Another daemon counts from 1; that its clock is behind does not make its records doubles. */
static void takes_an_older_epoch(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 9, 1, 5, 50), 5);
    testing_drain(spool, 9, 1, 6);
    spool_close(spool);
    spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 8, 1, 5, 50), 5);
    testing_drain(spool, 8, 1, 6);
    testing_counts(spool, 10, 10, 0, 0, 0);
    spool_close(spool);
}

/* After a reload records of the hold before lie in front of the new one's, and may come again. */
static void knows_doubles_of_two_epochs(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 9, 1, 5, 50), 5);
    size_t used = 0;
    for (uint64_t i = 0; i < 6; i++) {
        struct yarder_id id = {i < 3 ? 9 : 10, i < 3 ? 6 + i : i - 2};
        used += testing_record(testing_run + used, id, 50);
    }
    struct spool_stored stored;
    assert_int_equal(spool_append(spool, testing_run, used, &stored), 0);
    assert_int_equal(stored.doubles, 0);
    spool_close(spool);
    for (int again = 0; again < 2; again++) {
        spool = testing_open(&options);
        assert_int_equal(spool_append(spool, testing_run, used, &stored), 0);
        assert_int_equal(stored.records, 6);
        assert_int_equal(stored.doubles, 6);
        assert_int_equal(stored.index, 11);
        spool_close(spool);
    }
}

static void answers_part_of_a_batch(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 64), 10);
    struct spool_batch batch;
    assert_int_equal(spool_read(spool, &batch), 0);
    assert_int_equal(batch.records, 10);
    struct spool_answers answers = {.delivered = 2, .dead = 1, .delivered_bytes = 128};
    assert_int_equal(spool_answer(spool, &batch, batch.bytes_count / 10 * 3, &answers), 0);
    assert_int_equal(spool_read(spool, &batch), 0);
    assert_int_equal(batch.records, 7);
    spool_close(spool);
    spool = testing_open(&options);
    struct spool_look look;
    spool_look(spool, &look);
    assert_int_equal(look.left, 7);
    assert_int_equal(look.totals.delivered, 2);
    assert_int_equal(look.totals.dead, 1);
    assert_int_equal(look.totals.delivered_bytes, 128);
    testing_release(spool);
    testing_drain(spool, 1, 4, 11);
    spool_close(spool);
}

static void holds_to_its_limit(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    uint64_t next = 1;
    for (uint32_t stored = 50; stored == 50;) {
        stored = testing_append(spool, 1, next, 50, 1000);
        next += stored;
        struct spool_look look;
        spool_look(spool, &look);
        assert_true(look.bytes <= options.limit_bytes);
    }
    assert_int_equal(testing_append(spool, 1, next, 50, 1000), 0);
    assert_true(next > 800); /* 1 MiB of 1100 bytes each */
    testing_drain(spool, 1, 1, next);
    assert_int_equal(testing_append(spool, 1, next, 50, 1000), 50);
    testing_drain(spool, 1, next, next + 50);
    spool_close(spool);
}

static void drops_the_oldest(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    options.drop_oldest = true;
    struct spool *spool = testing_open(&options);
    struct spool_batch batch;
    assert_int_equal(testing_append(spool, 1, 1, 50, 1000), 50);
    assert_int_equal(spool_read(spool, &batch), 0); /* the reader is in the first segment */
    uint32_t first = batch.records;
    for (uint64_t next = 51; next < 3001; next += 50) {
        assert_int_equal(testing_append(spool, 1, next, 50, 1000), 50);
    }
    struct spool_look look;
    spool_look(spool, &look);
    uint64_t dropped = look.totals.dropped_oldest;
    assert_true(dropped > 1500);
    assert_int_equal(look.left, 3000 - dropped);
    assert_true(look.bytes <= options.limit_bytes);
    assert_true(look.left * 1100 > options.limit_bytes - 3 * options.limit_bytes / 16);
    size_t taken;
    assert_int_equal(testing_read(batch.bytes, batch.bytes_count, &taken).number, 1);
    struct spool_answers answers = {.delivered = batch.records};
    assert_int_equal(spool_answer(spool, &batch, batch.bytes_count, &answers), 0);
    testing_drain_gap(spool, 1, first + 1, 3001, dropped);
    testing_counts(spool, 3000, 3000 - dropped, dropped, 0, 0);
    spool_close(spool);
}

static void refuses_what_is_no_record(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    struct spool_stored stored;
    memset(testing_run, 'x', 4096);
    assert_int_equal(spool_append(spool, testing_run, 4096, &stored), -EBADMSG);
    size_t used = testing_record(testing_run, (struct yarder_id){1, 1}, 100);
    memset(testing_run + used, 0, 64);
    assert_int_equal(spool_append(spool, testing_run, used + 64, &stored), 0);
    assert_int_equal(stored.bytes, used);
    spool_release(&testing_shared, stored.end);
    static char text[TESTING_RUN_BYTES / 2];
    struct yarder_record record = {.text = {text, sizeof(text)}};
    used = pack_record(&record, (struct yarder_id){1, 2}, testing_run);
    assert_int_equal(spool_append(spool, testing_run, used, &stored), -EMSGSIZE);
    testing_drain(spool, 1, 1, 2);
    spool_close(spool);
}

static void is_locked(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    struct spool *second = NULL;
    char why[256];
    char expected[64];
    assert_int_equal(spool_open(&second, &options, why, sizeof(why)), -EAGAIN);
    (void)snprintf(expected, sizeof(expected), "process %ld", (long)getpid());
    assert_non_null(strstr(why, expected));
    spool_close(spool);
    options.limit_bytes = 64 << 10;
    assert_int_equal(spool_open(&second, &options, why, sizeof(why)), -EINVAL);
    assert_non_null(strstr(why, "at least"));
}

static void names_folders(void **state)
{
    (void)state;
    char name[64];
    spool_folder_name("redis:h/0", name, sizeof(name));
    assert_string_equal(name, "redis%3Ah%2F0");
    spool_folder_name("..", name, sizeof(name));
    assert_string_equal(name, "%2E.");
}

/* Appender, reader and a third thread that releases and looks; for the thread sanitizer. */
enum { THREAD_RECORDS = 20000, THREAD_RUN = 40 };
struct threads {
    struct spool *spool;
    spool_place stored; /* release by the appender, acquire by the one that releases */
    bool done;          /* relaxed */
    uint64_t delivered; /* the reader's, until it is joined */
};

static void *append_all(void *threads_)
{
    struct threads *threads = threads_;
    static char own[THREAD_RUN * 512];
    for (uint64_t next = 1; next <= THREAD_RECORDS;) {
        size_t used = 0;
        for (uint64_t i = next; i < next + THREAD_RUN && i <= THREAD_RECORDS; i++) {
            used += testing_record(own + used, (struct yarder_id){1, i}, 100);
        }
        struct spool_stored stored;
        int r = spool_append(threads->spool, own, used, &stored);
        if (r == 0) {
            next += stored.records;
            __atomic_store_n(&threads->stored, stored.end, __ATOMIC_RELEASE);
        } else {
            assert_int_equal(r, -ENOSPC);
            (void)sched_yield();
        }
    }
    return NULL;
}

static void *read_all(void *threads_)
{
    struct threads *threads = threads_;
    while (!__atomic_load_n(&threads->done, __ATOMIC_RELAXED)) {
        struct spool_batch batch;
        if (spool_read(threads->spool, &batch) != 0) {
            (void)sched_yield();
            continue;
        }
        struct spool_answers answers = {.delivered = batch.records};
        threads->delivered += batch.records;
        assert_int_equal(spool_answer(threads->spool, &batch, batch.bytes_count, &answers), 0);
    }
    return NULL;
}

static void with_threads(bool drop_oldest)
{
    struct spool_options options = testing_options();
    options.drop_oldest = drop_oldest;
    options.sync = SPOOL_SYNC_INTERVAL;
    struct threads threads = {.spool = testing_open(&options)};
    pthread_t appender;
    pthread_t reader;
    assert_int_equal(pthread_create(&appender, NULL, append_all, &threads), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_all, &threads), 0);
    struct spool_look look;
    do {
        spool_release(&testing_shared, __atomic_load_n(&threads.stored, __ATOMIC_ACQUIRE));
        spool_look(threads.spool, &look);
    } while (look.stored < THREAD_RECORDS || look.left > 0);
    __atomic_store_n(&threads.done, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(appender, NULL), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    spool_look(threads.spool, &look);
    testing_counts(threads.spool, THREAD_RECORDS, threads.delivered,
        drop_oldest ? THREAD_RECORDS - threads.delivered : 0, 0, 0);
    spool_close(threads.spool);
}

static void works_with_threads(void **state)
{
    (void)state;
    with_threads(false);
}
static void drops_with_threads(void **state)
{
    (void)state;
    with_threads(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(comes_out_as_it_went_in),
        SCENE(gives_what_is_released),
        SCENE(closing_gives_room_back),
        SCENE(stores_what_is_given_again_once),
        SCENE(takes_an_older_epoch),
        SCENE(knows_doubles_of_two_epochs),
        SCENE(answers_part_of_a_batch),
        SCENE(holds_to_its_limit),
        SCENE(drops_the_oldest),
        SCENE(refuses_what_is_no_record),
        SCENE(is_locked),
        SCENE(names_folders),
        SCENE(works_with_threads),
        SCENE(drops_with_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
