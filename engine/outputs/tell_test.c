/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: who looks at an output learns that it does not get on, since when, and why; and what it
 * reads of a failure is of one failure. Method: a disk that takes nothing for a while; a writer
 * that fails as fast as it can, beside a reader.
 */
#include "outputs/delivery_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "os/memory.h"
#include "outputs/delivery_private.h"

enum { FAILURES = 200000 };

static struct output_look look_at(const struct world *world)
{
    struct output_look look;
    output_look_at(&world->output, &look);
    return look;
}

static void a_disk_that_takes_nothing(void **state)
{
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    struct world world;
    world_init(&world, 1, 12);
    world_start(&world);
    world_put(&world, "before", 6, NULL);
    world_deliver(&world);
    assert_true(look_at(&world).stalled_ns == 0 && look_at(&world).failure.at_ns == 0);

    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    const struct rlimit none = {.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    uint64_t began_ns = (uint64_t)os_realtime_ns();
    world_put(&world, "waits", 5, NULL);
    assert_true(world.now_ns < (uint64_t)os_monotonic_ns()); /* the world is young: it is late */
    while (world.hold->outputs[0].errors < 3) {
        world_pass(&world);
        world_wait(&world);
    }
    struct output_look look = look_at(&world);
    assert_true(look.stalled_ns > 0);
    assert_string_equal(look.failure.call, "write");
    assert_int_equal(look.failure.error, -EFBIG);
    assert_int_equal(look.failure.queue, 0);
    assert_true(look.failure.at_ns >= began_ns);

    world_die(&world); /* the next worker knows that it waits */
    world_start(&world);
    assert_true(world.output.slots[0].late_ns > 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    world_deliver(&world);
    assert_int_equal(look_at(&world).stalled_ns, 0);
    world_end(&world);
}

static void a_queue_that_is_full(void **state)
{
    (void)state;
    static char text[4000];
    struct world world;
    world_init(&world, 1, 4);
    world.block_limit_ns = UINT64_MAX;
    world_start(&world);
    const struct yarder_record record = {.text = {text, sizeof(text)}};
    memset(text, 'x', sizeof(text));
    while (!output_blocks(&world.output, &record, world.now_ns)) {
        output_put(&world.output, &record, 1, world.now_ns);
    }
    assert_true(look_at(&world).blocked_ns > 0);
    world_deliver(&world);
    assert_int_equal(look_at(&world).blocked_ns, 0);
    world_end(&world);
}

static uint32_t leave;

/* Each failure of this test has its queue in all its words. */
static void *fail_on(void *output)
{
    static const char *const calls[] = {"open", "write"};
    static const char *const texts[] = {NULL, "connect to a peer with a name that is not short"};
    for (uint32_t i = 0; i < FAILURES; i++) {
        output_tell_failure(output, i % 2, calls[i % 2], -(int)(i % 2) - 1, texts[i % 2]);
    }
    __atomic_store_n(&leave, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void a_failure_is_read_whole(void **state)
{
    (void)state;
    struct world world;
    pthread_t thread;
    world_init(&world, 1, 4);
    world_start(&world);
    leave = 0;
    assert_int_equal(pthread_create(&thread, NULL, fail_on, &world.output), 0);
    while (__atomic_load_n(&leave, __ATOMIC_ACQUIRE) == 0) {
        struct output_failure failure = look_at(&world).failure;
        if (failure.at_ns != 0) {
            assert_int_equal(failure.error, -(int)failure.queue - 1);
            assert_string_equal(failure.call, failure.queue == 0 ? "open" : "write");
            assert_int_equal(strlen(failure.text), failure.queue == 0 ? 0 : 47);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(world.hold->outputs[0].errors, FAILURES);
    assert_int_equal(look_at(&world).failure.queue, 1);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_disk_that_takes_nothing),
        cmocka_unit_test(a_queue_that_is_full),
        cmocka_unit_test(a_failure_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
