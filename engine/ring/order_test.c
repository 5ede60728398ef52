/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Order, exactly: threads that hop between cpus (and so between rings) while a signal handler logs
 * into the middle of their appends, and a reader that takes at the same time. Each writer numbers
 * its records; every one must come once, in order, unless its append said that it was not taken.
 * The plain kind has reader and producer on one mapping, so that a race detector can follow.
 */
#include "ring/testing.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

enum { WRITERS = 3, RUN_MS = 700, HANDLER = WRITERS };

struct line {
    uint64_t writer; /* WRITERS + n: the signal handler in writer n */
    uint64_t number;
    uint64_t check;
    char rest[96];
};

static struct ring_producer *producer;
static bool stop;
static uint64_t appended[WRITERS * 2]; /* each written by one thread (or its handler) alone */
static __thread uint64_t own;

static bool put(uint64_t writer)
{
    struct line line = {.writer = writer, .number = appended[writer]};
    line.check = line.writer * 1000003 ^ line.number;
    memset(line.rest, (int)line.number, sizeof(line.rest));
    struct ring_entry entry = {
        .text = &line, .text_bytes = sizeof(line), .tid = (uint32_t)writer + 1};
    ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
    enum ring_append_result result = ring_append(producer, &entry);
    if (result == RING_APPENDED) {
        __atomic_store_n(&appended[writer], line.number + 1, __ATOMIC_RELEASE);
    }
    return result == RING_APPENDED;
}

static void on_signal(int number)
{
    (void)number;
    (void)put(HANDLER + own);
}

static timer_t start_timer(void)
{
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    timer_t timer;
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec every = {.it_interval = {.tv_nsec = 53000}, .it_value = {.tv_nsec = 53000}};
    assert_int_equal(timer_settime(timer, 0, &every, NULL), 0);
    return timer;
}

static void *write_lines(void *argument)
{
    own = (uint64_t)(uintptr_t)argument;
    timer_t timer = start_timer();
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    for (uint64_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        if (i % 64 == 0) {
            cpu_set_t set;
            CPU_ZERO(&set);
            CPU_SET((size_t)((i / 64 + own) % (uint64_t)cpus), &set);
            (void)sched_setaffinity(0, sizeof(set), &set);
        }
        if (!put(own)) {
            (void)sched_yield();
        }
    }
    (void)timer_delete(timer);
    return NULL;
}

static uint64_t seen[WRITERS * 2];

static void check_batch(const struct pair *pair)
{
    for (uint32_t i = 0; i < pair->batch.count; i++) {
        struct line line;
        assert_int_equal(pair->records[i].record.text.length, sizeof(line));
        memcpy(&line, pair->records[i].record.text.at, sizeof(line));
        assert_true(line.writer < WRITERS * 2);
        assert_int_equal(line.check, line.writer * 1000003 ^ line.number);
        assert_int_equal(pair->records[i].record.tid, line.writer + 1);
        assert_int_equal(line.number, seen[line.writer]);
        seen[line.writer]++;
    }
}

static void run(enum region_kind kind, bool one_mapping)
{
    struct pair *pair = pair_open(kind, kind == REGION_PLAIN ? WRITERS * 2 + 2 : 0);
    if (one_mapping) {
        region_reader_close(pair->reader);
        struct region_reader_options options = {.pid = 1};
        assert_int_equal(region_reader_open_on(&pair->reader, &pair->producer->map, &options), 0);
    }
    producer = pair->producer;
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    memset(appended, 0, sizeof(appended));
    memset(seen, 0, sizeof(seen));
    pthread_t threads[WRITERS];
    for (uintptr_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, (void *)i), 0);
    }
    int64_t until_ns = os_monotonic_ns() + RUN_MS * INT64_C(1000000);
    while (os_monotonic_ns() < until_ns) {
        pair_take(pair);
        check_batch(pair);
        region_reader_publish(pair->reader);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    while (!region_reader_idle(pair->reader)) {
        pair_take(pair);
        check_batch(pair);
        region_reader_publish(pair->reader);
    }
    uint64_t total = 0;
    for (unsigned i = 0; i < WRITERS * 2; i++) {
        assert_int_equal(seen[i], appended[i]);
        total += seen[i];
    }
    uint64_t records = 0;
    for (uint32_t i = 0; i < pair->shape.rings; i++) {
        records += region_ring(&pair->producer->map, i)->records;
    }
    assert_int_equal(records, total);
    print_message("%llu records, %llu of them from handlers\n", (unsigned long long)total,
        (unsigned long long)(seen[WRITERS] + seen[WRITERS + 1] + seen[WRITERS + 2]));
    assert_true(seen[WRITERS] > 0 && seen[0] > 0);
    pair_close(pair);
}

static void restartable(void **state)
{
    (void)state;
    if (ring_producer_kind() != REGION_RSEQ || ring_clock_choice() != REGION_CLOCK_TSC) {
        skip();
    }
    run(REGION_RSEQ, false);
}

static void claimed(void **state)
{
    (void)state;
    run(REGION_PLAIN, true);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigaction(SIGUSR1, &action, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(restartable), cmocka_unit_test(claimed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
