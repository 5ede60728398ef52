/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL at random moments: a child with two threads logs numbered, checksummed records into its
 * region and notes in shared memory what was appended; after the kill everything noted must be
 * there, whole, once, in order. At most one more than noted may be there for each thread.
 */
#include "ring/testing.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { KILLS = 200, THREADS = 2 };

struct line {
    uint64_t thread;
    uint64_t number;
    uint64_t check;
    uint8_t rest[240];
};

static uint64_t *noted;
static uint64_t seen[THREADS];
static struct ring_producer *producer;

static uint64_t checksum(const struct line *line, size_t rest_bytes)
{
    uint64_t sum = line->thread * 31 + line->number;
    for (size_t i = 0; i < rest_bytes; i++) {
        sum = sum * 31 + line->rest[i];
    }
    return sum;
}

static void *write_lines(void *argument)
{
    uint64_t thread = (uint64_t)(uintptr_t)argument;
    uint64_t random = thread + 99;
    for (uint64_t number = 0;;) {
        struct line line = {.thread = thread, .number = number};
        size_t rest_bytes = testing_random(&random) % sizeof(line.rest);
        memset(line.rest, (int)random, rest_bytes);
        line.check = checksum(&line, rest_bytes);
        struct ring_entry entry = {
            .text = &line, .text_bytes = 24 + rest_bytes, .tid = (uint32_t)thread};
        ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
        if (ring_append(producer, &entry) == RING_APPENDED) {
            __atomic_store_n(&noted[thread], ++number, __ATOMIC_RELEASE);
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void child(const struct pair *pair)
{
    pthread_t threads[THREADS];
    if (ring_producer_open(&producer, pair->fd, &pair->shape) != 0) {
        _exit(9);
    }
    for (uintptr_t i = 0; i < THREADS; i++) {
        (void)pthread_create(&threads[i], NULL, write_lines, (void *)i);
    }
    for (;;) {
        (void)pause();
    }
}

static void drain(struct pair *pair)
{
    pair_take(pair);
    for (uint32_t i = 0; i < pair->batch.count; i++) {
        struct line line = {0};
        struct yarder_text text = pair->records[i].record.text;
        assert_true(text.length >= 24 && text.length <= sizeof(line));
        memcpy(&line, text.at, text.length);
        assert_true(line.thread < THREADS);
        assert_int_equal(line.check, checksum(&line, text.length - 24));
        assert_int_equal(line.number, seen[line.thread]);
        seen[line.thread]++;
    }
    region_reader_publish(pair->reader);
}

static uint64_t kill_once(enum region_kind kind, uint64_t *random)
{
    struct pair *pair = pair_open(kind, 0);
    memset(noted, 0, sizeof(*noted) * THREADS);
    memset(seen, 0, sizeof(seen));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        child(pair);
    }
    int64_t until_ns = os_monotonic_ns() + 1500000 + (int64_t)(testing_random(random) % 4000000);
    while (os_monotonic_ns() < until_ns) {
        drain(pair);
    }
    (void)kill(pid, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (!region_reader_idle(pair->reader)) {
        drain(pair);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_true(seen[i] == noted[i] || seen[i] == noted[i] + 1);
    }
    struct ring_losses losses;
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, 0);
    uint64_t records = seen[0] + seen[1];
    pair_close(pair);
    return records;
}

static void torture(enum region_kind kind)
{
    uint64_t random = testing_seed();
    uint64_t records = 0;
    for (unsigned i = 0; i < KILLS; i++) {
        records += kill_once(kind, &random);
    }
    print_message(
        "%d kills, %llu records, none corrupt, none lost\n", KILLS, (unsigned long long)records);
    assert_true(records > KILLS);
}

static void restartable(void **state)
{
    (void)state;
    if (ring_producer_kind() != REGION_RSEQ || ring_clock_choice() != REGION_CLOCK_TSC) {
        skip();
    }
    torture(REGION_RSEQ);
}

static void claimed(void **state)
{
    (void)state;
    torture(REGION_PLAIN);
}

int main(void)
{
    noted = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (noted == MAP_FAILED) {
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(restartable), cmocka_unit_test(claimed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
