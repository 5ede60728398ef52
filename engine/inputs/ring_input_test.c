/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A region behind the hold: what its producer lost, and what of it is no record, is in the ledger
 * once, whichever worker dies when; doorbells are answered all at once.
 */
#include "inputs/ring_input.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "ring/append.h"

enum { ID = 77 };

struct scene {
    int hold_fd, region_fd;
    struct hold *hold;
    struct input_config config;
    struct input input;
    struct ring_producer *producer;
    struct ring_clock clock;
    struct ring_input *ring;
    int bell; /* the client's end */
};

static struct ring_take take_room; /* large */

/* A worker begins: from the commit, with the region that the supervisor gives it. */
static void worker_begins(struct scene *scene)
{
    int pair[2];
    assert_int_equal(hold_open(&scene->hold, scene->hold_fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
    input_init(&scene->input, &scene->config, 0, scene->hold, YARDER_RECORD_BYTES_DEFAULT);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    scene->bell = pair[0];
    const struct ring_process process = {.id = ID,
        .pid = 42,
        .program = "tested",
        .region_fd = fcntl(scene->region_fd, F_DUPFD_CLOEXEC, 3),
        .doorbell_fd = pair[1]};
    assert_int_equal(ring_input_open(&scene->ring, &scene->input, scene->hold, &process), 0);
}

static void worker_dies(struct scene *scene)
{
    ring_input_close(scene->ring, false);
    hold_close(scene->hold);
    (void)close(scene->bell);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){.config = {.kind = INPUT_RING, .name = (char[]){"ring"}}};
    const struct hold_shape shape = {.inputs_count = 1, .regions_max = 4, .rings_max = 4};
    assert_int_equal(hold_create(&shape, &scene->hold_fd), 0);
    ring_clock_open(&scene->clock);
    struct region_shape region = {
        .kind = REGION_LOCKED, .clock = REGION_CLOCK_NS, .ticks_per_s = 1000000000};
    region_shape_set(&region, 0, 1);
    assert_int_equal(region_create(&scene->region_fd, &region), 0);
    assert_int_equal(ring_producer_open(&scene->producer, scene->region_fd, &region), 0);
    worker_begins(scene);
}

static void scene_close(struct scene *scene)
{
    worker_dies(scene);
    ring_producer_close(scene->producer);
    (void)close(scene->region_fd);
    (void)close(scene->hold_fd);
}

static void append(struct scene *scene, const char *text)
{
    struct ring_entry entry = {.text = text, .text_bytes = strlen(text), .tid = 1};
    ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
    assert_int_equal(ring_append(scene->producer, &entry), RING_APPENDED);
}

static uint32_t take(struct scene *scene)
{
    bool more = false;
    ring_clock_refresh(&scene->clock);
    return ring_input_take(scene->ring, &scene->clock, &take_room, YARDER_BATCH_RECORDS, &more);
}

static void commit(struct scene *scene)
{
    ring_input_store(scene->ring);
    hold_commit(scene->hold);
}

/* What stands in the commit. */
static void expect(struct scene *scene, uint64_t refused, uint64_t lost)
{
    const struct hold_input *counts = scene->input.counts;
    assert_int_equal(counts->received, refused);
    assert_int_equal(counts->refused[HOLD_REFUSED_CORRUPT], refused);
    assert_int_equal(counts->lost_ring, lost);
}

/* The length of the next record becomes impossible. */
static void break_next(struct scene *scene, unsigned records)
{
    uint64_t at = region_ring(&scene->producer->map, 0)->head;
    for (unsigned i = 0; i < records; i++) {
        append(scene, "abcd");
    }
    memset(region_data(&scene->producer->map, 0) + at, 0, 8);
}

static void what_is_no_record_is_refused_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    append(&scene, "good");
    break_next(&scene, 5);
    assert_int_equal(take(&scene), 1);
    assert_true(scene.ring->taken);
    ring_input_rewind(scene.ring, &take_room, 0, 1); /* no room for it just now */
    commit(&scene);
    expect(&scene, 0, 0);
    assert_int_equal(take(&scene), 1);
    commit(&scene);
    expect(&scene, 5, 0);
    worker_dies(&scene); /* before it published */
    worker_begins(&scene);
    expect(&scene, 5, 0);
    break_next(&scene, 2);
    assert_int_equal(take(&scene), 0);
    assert_true(scene.ring->taken); /* its room is given back */
    worker_dies(&scene);            /* before its commit */
    worker_begins(&scene);
    expect(&scene, 5, 0);
    append(&scene, "jumped over too");
    assert_int_equal(take(&scene), 0);
    append(&scene, "on it goes");
    assert_int_equal(take(&scene), 1);
    commit(&scene);
    ring_input_publish(scene.ring);
    expect(&scene, 6, 0); /* this worker cannot tell how many they were */
    scene_close(&scene);
}

static void losses_are_counted_and_told_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    ring_lose(scene.producer, 0, 3);
    append(&scene, "behind a gap");
    assert_int_equal(take(&scene), 1);
    assert_int_equal(take_room.records[0].record.lost_before, 3);
    commit(&scene);
    expect(&scene, 0, 3);
    worker_dies(&scene); /* before it published */
    worker_begins(&scene);
    append(&scene, "without one");
    assert_int_equal(take(&scene), 1);
    assert_int_equal(take_room.records[0].record.lost_before, 0);
    /* The gap alone found room; then the record waits, and the worker dies. */
    ring_lose(scene.producer, 0, 4);
    append(&scene, "waits");
    assert_int_equal(take(&scene), 1);
    assert_int_equal(take_room.records[0].record.lost_before, 4);
    take_room.records[0].record.lost_before = 0;
    ring_input_rewind(scene.ring, &take_room, 0, 1);
    commit(&scene);
    ring_input_publish(scene.ring);
    worker_dies(&scene);
    worker_begins(&scene);
    assert_int_equal(take(&scene), 1);
    assert_int_equal(take_room.records[0].record.lost_before, 0);
    commit(&scene);
    expect(&scene, 0, 7);
    scene_close(&scene);
}

/* Each slice of each waiting thread rings: one answer for all of it. */
static void all_bells_are_answered_at_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    unsigned rung = 0;
    while (send(scene.bell, "!", 1, MSG_DONTWAIT) == 1) {
        rung++;
    }
    assert_true(rung > 1);
    ring_input_answer(scene.ring);
    char byte;
    assert_int_equal(recv(scene.ring->doorbell.fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_false(scene.ring->doorbell_ended);
    assert_int_equal(shutdown(scene.bell, SHUT_WR), 0);
    ring_input_answer(scene.ring);
    assert_true(scene.ring->doorbell_ended);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_record_is_refused_once),
        cmocka_unit_test(losses_are_counted_and_told_once),
        cmocka_unit_test(all_bells_are_answered_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
