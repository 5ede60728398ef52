/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a backend does with them, no record that an offloaded output took is lost or sent
 * twice in one worker's life, and each is counted once. Method: a backend that fails, refuses,
 * answers out of order, hangs or lies, behind a real lane; deaths between any two steps of a pass.
 * OFFLOAD_SEED in the environment replays a run.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/test_random.h"
#include "offload/fake_backend.h"
#include "outputs/delivery_fixture.h"

enum { RECORDS = 3000, LONG_BYTES = 40000, DEATHS = 60, LETTERS_BYTES_MAX = 64 << 20 };
static const uint64_t second_ns = 1000000000;

static uint32_t long_every; /* one of so many records fits no buffer; 0: none */

static void begin(struct world *world, uint32_t buffers)
{
    long_every = 0;
    fake_reset();
    fake.seed = random_next();
    world_init(world, 1, buffers);
    world->config.kind = OUTPUT_OFFLOAD;
    world->config.backend = &fake_records;
    world->config.settings = calloc(1, fake_records.self_bytes);
    world->config.format = NULL;
    world->config.retry = (struct output_retry){.base_ns = 50000000, .limit_ns = second_ns};
    world->config.give_up_ns = UINT64_MAX;
    world->config.timeout_ns = 20 * second_ns;
    world_start(world);
}

static void end(struct world *world)
{
    world_check_ledger(world);
    assert_int_equal(fake.surprises, 0);
    assert_int_equal(fake.disorder, 0);
    assert_int_equal(fake.changed_ids, 0);
    free(world->config.settings);
    world_end(world);
    assert_int_equal(fake.opens, fake.closes);
    fake_forget();
}

static bool put_number(struct world *world, uint64_t number)
{
    static char text[LONG_BYTES];
    int head = snprintf(text, 32, "%llu ", (unsigned long long)number);
    bool is_long = long_every != 0 && below(long_every) == 0;
    size_t bytes = is_long ? 17000 + below(LONG_BYTES - 17000) : 20 + below(400);
    memset(text + head, 'x', bytes - (size_t)head);
    const struct yarder_field field = {
        .key = {"user", 4}, .value = {"mia", 3}, .type = YARDER_FIELD_TEXT};
    const struct yarder_record record = {
        .text = {text, bytes}, .fields = &field, .fields_count = below(2)};
    if (output_blocks(&world->output, &record, world->now_ns)) {
        return false;
    }
    output_put(&world->output, &record, 1, world->now_ns);
    return true;
}

/* Puts [first, end), waiting for room as the writer does. */
static void put_numbers(struct world *world, uint64_t first, uint64_t past)
{
    for (uint64_t number = first; number < past;) {
        if (put_number(world, number)) {
            number++;
        } else {
            world_pass(world);
            world_wait(world);
        }
    }
}

static const struct hold_output *counts(const struct world *world)
{
    return &world->hold->outputs[0];
}

static void what_is_put_arrives_in_order(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    long_every = 50;
    put_numbers(&world, 0, RECORDS);
    world_deliver(&world);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(fake.seen[i].taken, 1);
        assert_true(i == 0 || fake.seen[i].id.number > fake.seen[i - 1].id.number);
        assert_int_equal(fake.seen[i].id.epoch_ns, world.hold->header->epoch_ns);
    }
    assert_int_equal(counts(&world)->delivered, RECORDS);
    assert_int_equal(counts(&world)->dead, 0);
    assert_true(counts(&world)->delivered_bytes > 20 * RECORDS);
    assert_int_equal(fake.opens, 1);
    end(&world);
}

static void texts_are_rendered_for_who_wants_them(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    world_die(&world);
    static char format[] = "${msg} of ${host}";
    world.config.backend = &fake_texts;
    world.config.format = format;
    world_start(&world);
    world_put(&world, "7 apples", 8, NULL);
    world_deliver(&world);
    assert_int_equal(fake.seen[7].bytes, strlen("7 apples of here"));
    world_die(&world);
    world.config.bare = true;
    world_start(&world);
    world_put(&world, "8 pears\nand more", 16, NULL);
    world_deliver(&world);
    assert_int_equal(fake.seen[8].bytes, strlen("8 pears\nand more"));
    world_die(&world);
    world.config.bare = false;
    world.config.format = NULL; /* the backend's own */
    world_start(&world);
    world_put(&world, "9 plums", 7, NULL);
    world_deliver(&world);
    assert_int_equal(fake.seen[9].bytes, strlen("9 plums"));
    end(&world);
}

static void a_peer_that_is_down_is_told_and_tried_again(void **state)
{
    (void)state;
    struct world world;
    struct output_look look;
    begin(&world, 8);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 100);
    uint64_t until_ns = world.now_ns + 20 * second_ns;
    while (world.now_ns < until_ns) {
        world_pass(&world);
        world_wait(&world);
    }
    assert_in_range(fake.submits, 20, 400); /* of pauses of up to a second, at random */
    assert_int_equal(counts(&world)->errors, fake.submits);
    assert_int_equal(world.complaints, 1);
    output_look_at(&world.output, &look);
    assert_string_equal(look.failure.call, "submit");
    assert_string_equal(look.failure.text, "connect to peer:\\x07 refused");
    assert_int_equal(look.failure.error, -ECONNREFUSED);
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    assert_int_equal(counts(&world)->delivered, 100);
    end(&world);
}

static void an_open_that_fails_is_tried_again(void **state)
{
    (void)state;
    struct world world;
    struct output_look look;
    begin(&world, 8);
    world_die(&world);
    fake_reset();
    fake.open_fails = 3;
    world_start(&world);
    put_numbers(&world, 0, 10);
    world_deliver(&world);
    output_look_at(&world.output, &look);
    assert_string_equal(look.failure.text, "no such key: a.pem");
    assert_int_equal(fake.opens, 4);
    assert_int_equal(counts(&world)->delivered, 10);
    end(&world);
}

static void answers_out_of_order_settle_each_record_once(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    long_every = 50;
    fake_be(FAKE_MIXES);
    put_numbers(&world, 0, RECORDS);
    world_deliver(&world);
    uint64_t taken = 0;
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_int_equal(fake.seen[i].taken + fake.seen[i].refused, 1);
        taken += fake.seen[i].taken;
    }
    assert_int_equal(counts(&world)->delivered, taken);
    assert_int_equal(counts(&world)->dead, RECORDS - taken);
    end(&world);
}

/* Ids and the mark `again` are what a destination tells doubles by. */
static void deaths_lose_nothing(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    long_every = 50;
    uint64_t put = 0;
    fake_be(FAKE_MIXES);
    for (int death = 0; death < DEATHS; death++) {
        for (uint32_t steps = 1 + below(12); steps > 0; steps--) {
            uint64_t committed = put;
            for (uint32_t i = below(60); i > 0 && put_number(&world, put); i--) {
                put++;
            }
            world_reap(&world);
            if (steps == 1) { /* what this pass took is taken again after the death */
                put = committed;
                break;
            }
            world_commit(&world, below(2) == 0);
            if (below(2) == 0) {
                world_wait(&world);
            }
        }
        world_die(&world);
        world_start(&world);
        world_check_ledger(&world);
    }
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    uint64_t twice = 0;
    for (uint64_t i = 0; i < put; i++) {
        assert_true(fake.seen[i].taken + fake.seen[i].refused > 0);
        twice += fake.seen[i].taken > 1;
    }
    assert_true(put > 0);
    print_message("%llu records, %llu of them sent twice\n", (unsigned long long)put,
        (unsigned long long)twice);
    end(&world);
}

/* What the lane had gathered of it is gone. */
static void a_death_between_two_pieces_of_a_record(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    long_every = 1;
    put_numbers(&world, 0, 1);
    while (!queue_record_open(&world.hold->queues[0])) {
        world_pass(&world);
        world_wait(&world);
        world_reap(&world);
    }
    hold_commit(world.hold);
    world_die(&world);
    world_start(&world);
    world_deliver(&world);
    assert_int_equal(fake.seen[0].taken, 1);
    assert_true(fake.seen[0].bytes >= 17000);
    assert_int_equal(counts(&world)->delivered, 1);
    end(&world);
}

static size_t read_letters(const struct world *world, const char **content)
{
    size_t bytes = 0;
    *content = world_content(world, "dead", &bytes);
    size_t lines = 0;
    for (size_t i = 0; i < bytes; i++) {
        lines += (*content)[i] == '\n';
    }
    return lines;
}

static void dead_letters_stand_before_a_record_is_dead(void **state)
{
    (void)state;
    struct world world;
    struct output_look look;
    const char *content = NULL;
    begin(&world, 8);
    world_die(&world);
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/missing/dead", world.folder);
    world.config.dead_letter = path;
    world_start(&world);
    fake_be(FAKE_REFUSES);
    put_numbers(&world, 0, 200);
    for (int i = 0; i < 2000; i++) {
        world_pass(&world);
        world_wait(&world);
    }
    assert_int_equal(counts(&world)->dead, 0); /* there is no such folder */
    output_look_at(&world.output, &look);
    assert_non_null(strstr(look.failure.text, "missing/dead: open: No such file"));
    (void)snprintf(path, sizeof(path), "%s/dead", world.folder);
    world_deliver(&world);
    assert_int_equal(counts(&world)->dead, 200);
    assert_int_equal(read_letters(&world, &content), 200);
    assert_non_null(strstr(content, "\"reason\":\"bad\\\\x0abatch 7\""));
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777 & ~0640u, 0);
    end(&world);
}

static void who_is_tried_for_too_long_is_given_up(void **state)
{
    (void)state;
    struct world world;
    const char *content = NULL;
    begin(&world, 8);
    world_die(&world);
    char path[WORLD_PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/dead", world.folder);
    world.config.dead_letter = path;
    world.config.give_up_ns = 1; /* of real time: the second try is too late */
    world_start(&world);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 50);
    world_deliver(&world);
    assert_int_equal(counts(&world)->dead, 50);
    assert_int_equal(read_letters(&world, &content), 50);
    assert_non_null(strstr(content, "gave up after 0s: connect to peer"));
    fake_be(FAKE_TAKES);
    put_numbers(&world, 50, 60);
    world_deliver(&world);
    assert_int_equal(counts(&world)->delivered, 10);
    end(&world);
}

static void wait_until_it_hangs(struct world *world, uint32_t waits)
{
    while (__atomic_load_n(&fake.waits, __ATOMIC_RELAXED) == waits) {
        world_pass(world);
    }
}

static void a_lane_that_is_wanted_back_comes(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    fake_be(FAKE_HANGS);
    put_numbers(&world, 0, 100);
    wait_until_it_hangs(&world, 0);
    assert_true(world.output.under_way > 0);
    output_want(&world.output, true, world.now_ns);
    while (world.output.under_way > 0) {
        world_wait(&world);
        world_reap(&world);
    }
    assert_int_equal(hold_held(world.hold, 0), 100);
    assert_int_equal(counts(&world)->errors, 0);
    assert_int_equal(world.complaints, 0);
    for (int i = 0; i < 50; i++) { /* as long as it is wanted, nothing is tried */
        world_pass(&world);
        world_wait(&world);
    }
    uint32_t submits = fake.submits;
    assert_int_equal(submits, 1);
    output_want(&world.output, false, world.now_ns);
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    assert_int_equal(counts(&world)->delivered, 100);
    end(&world);
}

static void an_answer_that_does_not_come_ends_at_the_deadline(void **state)
{
    (void)state;
    struct world world;
    struct output_look look;
    begin(&world, 8);
    world_die(&world);
    world.config.timeout_ns = 1000000;
    world_start(&world);
    fake_be(FAKE_HANGS);
    put_numbers(&world, 0, 10);
    while (counts(&world)->errors == 0) {
        world_pass(&world);
        world_wait(&world);
    }
    output_look_at(&world.output, &look);
    assert_string_equal(look.failure.text, "no answer");
    fake_be(FAKE_LIES);
    while (strstr(look.failure.text, "without an answer") == NULL) {
        world_pass(&world);
        world_wait(&world);
        output_look_at(&world.output, &look);
    }
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    assert_int_equal(counts(&world)->delivered, 10);
    end(&world);
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 4);
    world.config.on_full.policy = OUTPUT_FULL_DROP_OLDEST;
    fake_be(FAKE_FAILS);
    for (uint64_t i = 0; i < 2000; i++) {
        while (!world_put_number(&world, i)) { /* room comes with the next commit */
            world_pass(&world);
            world_wait(&world);
        }
    }
    assert_true(counts(&world)->dropped[HOLD_DROPPED_OLDEST] > 0);
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    assert_int_equal(fake.seen[1999].taken, 1);
    assert_int_equal(
        counts(&world)->delivered + counts(&world)->dropped[HOLD_DROPPED_OLDEST], 2000);
    end(&world);
}

static void a_damaged_record_is_skipped_alone(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    fake_be(FAKE_FAILS);
    put_numbers(&world, 0, 3);
    world_pass(&world);
    world_wait(&world);
    const struct hold_queue *queue = &world.hold->queues[0];
    memset(hold_buffer_bytes(world.hold, 0, queue->first_buffer), 0xFF, 60);
    fake_be(FAKE_TAKES);
    world_deliver(&world);
    assert_int_equal(counts(&world)->dead, 1);
    assert_int_equal(counts(&world)->delivered, 2);
    assert_int_equal(fake.seen[2].taken, 1);
    end(&world);
}

static void a_reopen_reaches_the_backend(void **state)
{
    (void)state;
    struct world world;
    begin(&world, 8);
    world_pass(&world);
    world_wait(&world);
    output_reopen(&world.output);
    world_deliver(&world);
    world_wait(&world);
    assert_int_equal(fake.reopens, 1);
    put_numbers(&world, 0, 3);
    output_reopen(&world.output);
    world_deliver(&world);
    assert_int_equal(fake.reopens, 2);
    end(&world);
}

int main(void)
{
    random_begin("OFFLOAD_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_arrives_in_order),
        cmocka_unit_test(texts_are_rendered_for_who_wants_them),
        cmocka_unit_test(a_peer_that_is_down_is_told_and_tried_again),
        cmocka_unit_test(an_open_that_fails_is_tried_again),
        cmocka_unit_test(answers_out_of_order_settle_each_record_once),
        cmocka_unit_test(deaths_lose_nothing),
        cmocka_unit_test(a_death_between_two_pieces_of_a_record),
        cmocka_unit_test(dead_letters_stand_before_a_record_is_dead),
        cmocka_unit_test(who_is_tried_for_too_long_is_given_up),
        cmocka_unit_test(a_lane_that_is_wanted_back_comes),
        cmocka_unit_test(an_answer_that_does_not_come_ends_at_the_deadline),
        cmocka_unit_test(the_oldest_make_room),
        cmocka_unit_test(a_damaged_record_is_skipped_alone),
        cmocka_unit_test(a_reopen_reaches_the_backend),
    };
    return cmocka_run_group_tests_name("outputs-delivery-offload", tests, NULL, NULL);
}
