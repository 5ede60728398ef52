/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of a load each record is settled once, whatever batches it is cut into and however often it
 * comes, and the answer says just how far it is settled. Method: loads of packed records, a backend
 * that does as it is told; deliveries themselves are tested where the lane is
 * (outputs/delivery_offload_test.c). COURIER_SEED replays a run.
 */
#include "offload/courier.h"

#include <errno.h>
#include <string.h>

#include "base/test_random.h"
#include "codec/pack.h"
#include "offload/fake_backend.h"

enum { RECORDS_MAX = 20000, LOAD_BYTES = 16 << 20 };

struct scene {
    struct courier_options options;
    struct courier *courier;
    char *bytes; /* the load */
    size_t bytes_count;
    uint32_t *ends; /* the first one is ends[RECORDS_MAX - 1] */
    uint32_t count;
};

static void start(struct scene *scene)
{
    char why[200] = "";
    const char *text = NULL;
    assert_int_equal(courier_open(&scene->courier, &scene->options, why, sizeof(why)), 0);
    assert_int_equal(courier_start(scene->courier, &text), 0);
    assert_int_equal(courier_start(scene->courier, &text), 0); /* it is open already */
}

static void begin(struct scene *scene, const struct yarder_backend *backend)
{
    fake_reset();
    fake.seed = random_next();
    static uint64_t settings[8];
    *scene = (struct scene){.options = {.backend = backend,
                                .settings = settings,
                                .output_name = "out",
                                .hostname = "here",
                                .timeout_ns = 10000000000,
                                .give_up_ns = UINT64_MAX},
        .bytes = malloc(LOAD_BYTES),
        .ends = calloc(RECORDS_MAX, sizeof(uint32_t))};
    assert_true(scene->bytes != NULL && scene->ends != NULL);
    start(scene);
}

static void end(struct scene *scene)
{
    courier_close(scene->courier);
    assert_int_equal(fake.opens, fake.closes);
    assert_int_equal(fake.surprises, 0);
    free(scene->bytes);
    free(scene->ends);
    fake_forget();
}

/* The next record of the load, of so many bytes of text. */
static void put(struct scene *scene, size_t text_bytes)
{
    static char text[1 << 20];
    char head[32];
    int head_bytes = snprintf(head, sizeof(head), "%u ", scene->count);
    memset(text, 'x', text_bytes);
    memcpy(text, head, (size_t)head_bytes);
    const struct yarder_record record = {
        .text = {text, yarder_max(text_bytes, (uint64_t)head_bytes)}};
    assert_true(scene->bytes_count + pack_bytes(&record) <= LOAD_BYTES);
    scene->bytes_count += pack_record(
        &record, (struct yarder_id){7, scene->count + 1ul}, scene->bytes + scene->bytes_count);
    scene->ends[RECORDS_MAX - ++scene->count] = (uint32_t)scene->bytes_count;
}

/* The rest of the load, from a byte on; by ends or by what the records' heads say. */
static struct courier_load load_of(const struct scene *scene, size_t from, bool by_ends)
{
    return (struct courier_load){.bytes = scene->bytes + from,
        .bytes_count = scene->bytes_count - from,
        .ends = by_ends ? scene->ends + RECORDS_MAX : NULL,
        .ends_count = scene->count,
        .ends_from = (uint32_t)from};
}

/* Tries until all of it is settled, each time at most as far as it is told: the queue's part. */
static void carry_all(struct scene *scene, bool by_ends, uint32_t *delivered, uint32_t *dead)
{
    size_t at = 0;
    for (int tries = 0; at < scene->bytes_count; tries++) {
        assert_true(tries < 100000);
        struct courier_load load = load_of(scene, at, by_ends);
        courier_carry(scene->courier, &load);
        assert_true(load.settled_bytes <= load.bytes_count);
        assert_true((load.error == 0) == (load.settled_bytes == load.bytes_count));
        assert_true(load.error == 0 || load.text != NULL);
        *delivered += load.delivered;
        *dead += load.settled - load.delivered;
        at += load.settled_bytes;
    }
}

static void a_load_is_cut_into_batches(void **state)
{
    (void)state;
    for (int by_ends = 0; by_ends < 2; by_ends++) {
        struct scene scene;
        uint32_t delivered = 0;
        uint32_t dead = 0;
        begin(&scene, &fake_records);
        for (int i = 0; i < 5000; i++) {
            put(&scene, 1);
        }
        carry_all(&scene, by_ends != 0, &delivered, &dead);
        assert_int_equal(delivered, 5000);
        assert_int_equal(fake.records_most, COURIER_BATCH_RECORDS);
        assert_int_equal(fake.submits, 5);
        end(&scene);
    }
}

/* Datagrams that nobody took are sent; the operator hears of it all the same. */
static void what_failed_is_told_though_all_is_settled(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, &fake_records);
    fake_be(FAKE_GRUMBLES);
    put(&scene, 1);
    struct courier_load load = load_of(&scene, 0, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.error, 0);
    assert_int_equal(load.delivered, 1);
    assert_string_equal(load.note, "nobody listens");
    fake_be(FAKE_TAKES);
    put(&scene, 1);
    load = load_of(&scene, load.settled_bytes, true);
    courier_carry(scene.courier, &load);
    assert_null(load.note);
    end(&scene);
}

/* What a peer on the network said, in more lines than one: escaped, unless it cannot forge any. */
static void newlines_stay_where_records_are_apart(void **state)
{
    (void)state;
    const struct yarder_record record = {.text = {"0 a\nb", 5}, .flags = YARDER_FLAG_NETWORK};
    for (int framed = 0; framed < 2; framed++) {
        struct scene scene;
        struct yarder_backend backend = fake_texts;
        backend.flags |= framed ? YARDER_BACKEND_FRAMED : 0;
        begin(&scene, &backend);
        scene.bytes_count = pack_record(&record, (struct yarder_id){7, 1}, scene.bytes);
        struct courier_load load = load_of(&scene, 0, false);
        courier_carry(scene.courier, &load);
        assert_int_equal(load.delivered, 1);
        assert_int_equal(fake.seen[0].bytes, framed ? 5 : 6);
        end(&scene);
    }
}

static void texts_of_any_length_find_room(void **state)
{
    (void)state;
    struct scene scene;
    uint32_t delivered = 0;
    uint32_t dead = 0;
    begin(&scene, &fake_texts);
    for (int i = 0; i < 12; i++) {
        put(&scene, 1 << (2 * (i % 11))); /* up to a record's most */
    }
    carry_all(&scene, true, &delivered, &dead);
    assert_int_equal(delivered, 12);
    assert_int_equal(fake.seen[10].bytes, 1 << 20);
    end(&scene);
}

static void what_is_settled_early_is_not_sent_again(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        struct scene scene;
        uint32_t delivered = 0;
        uint32_t dead = 0;
        begin(&scene, round % 2 == 0 ? &fake_records : &fake_texts);
        fake_be(FAKE_MIXES);
        for (uint32_t i = below(3000); i > 0; i--) {
            put(&scene, below(300));
        }
        carry_all(&scene, round % 4 < 2, &delivered, &dead);
        uint32_t taken = 0;
        for (uint32_t i = 0; i < scene.count; i++) {
            assert_int_equal(fake.seen[i].taken + fake.seen[i].refused, 1);
            taken += fake.seen[i].taken;
        }
        assert_int_equal(delivered, taken);
        assert_int_equal(delivered + dead, scene.count);
        end(&scene);
    }
}

/* Where nothing has gone for so long, what comes next is not tried for as long again. */
static void a_peer_that_stays_away_costs_one_try(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, &fake_records);
    courier_close(scene.courier);
    scene.options.give_up_ns = 1000ull * 1000 * 1000;
    start(&scene);
    fake_be(FAKE_FAILS);
    put(&scene, 10);
    struct courier_load load = load_of(&scene, 0, true);
    uint32_t tries = 0;
    for (; load.settled == 0; tries++) {
        courier_carry(scene.courier, &load);
    }
    assert_true(tries > 10);
    put(&scene, 10);
    size_t at = load.settled_bytes;
    load = load_of(&scene, at, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.settled, 1);
    assert_int_equal(load.error, 0);
    fake_be(FAKE_TAKES);
    at += load.settled_bytes;
    put(&scene, 10);
    load = load_of(&scene, at, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.delivered, 1);
    fake_be(FAKE_FAILS); /* its time begins anew */
    at += load.settled_bytes;
    put(&scene, 10);
    load = load_of(&scene, at, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.settled, 0);
    end(&scene);
}

/* Those that came with a later try have yet to have their time. */
static void giving_up_is_for_those_that_were_tried(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, &fake_records);
    courier_close(scene.courier);
    scene.options.give_up_ns = 1;
    start(&scene);
    fake_be(FAKE_FAILS);
    for (int i = 0; i < 10; i++) {
        put(&scene, 10);
    }
    struct courier_load load = load_of(&scene, 0, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.settled, 0);
    assert_int_equal(load.error, -ECONNREFUSED);
    assert_null(load.refusal);
    for (int i = 0; i < 10; i++) {
        put(&scene, 10);
    }
    load = load_of(&scene, 0, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.settled, 10);
    assert_int_equal(load.delivered, 0);
    assert_int_equal(load.error, -ECONNREFUSED);
    assert_non_null(strstr(load.refusal, "gave up after 0s: connect to peer"));
    size_t at = load.settled_bytes;
    fake_be(FAKE_TAKES);
    load = load_of(&scene, at, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.delivered, 10);
    end(&scene);
}

static void a_damaged_record_costs_itself_alone(void **state)
{
    (void)state;
    for (int by_ends = 0; by_ends < 2; by_ends++) {
        struct scene scene;
        begin(&scene, &fake_records);
        for (int i = 0; i < 10; i++) {
            put(&scene, 50);
        }
        memset(scene.bytes + scene.ends[RECORDS_MAX - 3], 0xEE, 8); /* the fourth one's length */
        struct courier_load load = load_of(&scene, 0, by_ends != 0);
        courier_carry(scene.courier, &load);
        assert_int_equal(load.settled_bytes, load.bytes_count);
        assert_int_equal(load.delivered, by_ends != 0 ? 9 : 3);
        assert_string_equal(load.refusal, "damaged in the queue");
        end(&scene);
    }
}

static void ends_that_make_no_sense_do_no_harm(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct scene scene;
        uint32_t delivered = 0;
        uint32_t dead = 0;
        begin(&scene, &fake_records);
        for (uint32_t i = 1 + below(40); i > 0; i--) {
            put(&scene, below(60));
        }
        for (uint32_t i = 1 + below(3); i > 0; i--) {
            scene.ends[RECORDS_MAX - 1 - below(scene.count)] = (uint32_t)random_next();
        }
        carry_all(&scene, true, &delivered, &dead);
        assert_true(delivered <= scene.count);
        end(&scene);
    }
}

static void a_courier_that_is_wanted_submits_nothing(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, &fake_records);
    put(&scene, 10);
    courier_want(scene.courier, true);
    struct courier_load load = load_of(&scene, 0, true);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.error, -ECANCELED);
    assert_int_equal(fake.submits, 0);
    assert_int_equal(courier_pause(scene.courier, UINT64_MAX), -ECANCELED);
    courier_want(scene.courier, false);
    assert_int_equal(courier_pause(scene.courier, 0), 0);
    courier_carry(scene.courier, &load);
    assert_int_equal(load.error, 0);
    end(&scene);
}

static void who_may_have_sent_it_before_is_said(void **state)
{
    (void)state;
    struct scene scene;
    begin(&scene, &fake_records);
    put(&scene, 10);
    fake.seen[0].bytes = 1; /* another process's doing */
    struct courier_load load = load_of(&scene, 0, true);
    load.again_until = (struct yarder_id){7, 1};
    courier_carry(scene.courier, &load);
    assert_int_equal(load.delivered, 1);
    assert_int_equal(fake.surprises, 0);
    end(&scene);
}

int main(void)
{
    random_begin("COURIER_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_cut_into_batches),
        cmocka_unit_test(what_failed_is_told_though_all_is_settled),
        cmocka_unit_test(newlines_stay_where_records_are_apart),
        cmocka_unit_test(texts_of_any_length_find_room),
        cmocka_unit_test(what_is_settled_early_is_not_sent_again),
        cmocka_unit_test(a_peer_that_stays_away_costs_one_try),
        cmocka_unit_test(giving_up_is_for_those_that_were_tried),
        cmocka_unit_test(a_damaged_record_costs_itself_alone),
        cmocka_unit_test(ends_that_make_no_sense_do_no_harm),
        cmocka_unit_test(a_courier_that_is_wanted_submits_nothing),
        cmocka_unit_test(who_may_have_sent_it_before_is_said),
    };
    return cmocka_run_group_tests_name("offload-courier", tests, NULL, NULL);
}
