/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: at a reload what a queue still holds goes over to a hold of another shape, record by record
 * and in order, and what finds no room is counted. Method: random queues, partly delivered, sealed,
 * with gaps, moved to larger and smaller buffers; what comes out is compared with what went in.
 * MOVE_SEED replays a run.
 */
#include "worker/queue_move.h"

#include <string.h>

#include "base/test_random.h"
#include "queue/queue.h"

enum { PAGE = 4096, ROUNDS = 600, BYTES_MAX = 4 << 20, RECORD_MAX = 12000 };

/* A hold with one output; its queues are filled through a pool. */
struct side {
    int fd;
    struct hold *hold;
    struct queue_pool pool;
};

static void side_open(struct side *side, uint32_t queues, uint32_t buffers, uint32_t buffer_bytes)
{
    const struct hold_shape shape = {.outputs_count = 1,
        .queues_count = queues,
        .buffers_count = buffers,
        .outputs = {
            {.queues_count = queues, .buffers_count = buffers, .buffer_bytes = buffer_bytes}}};
    *side = (struct side){.fd = -1};
    assert_int_equal(hold_create(&shape, &side->fd), 0);
    assert_int_equal(hold_open(&side->hold, side->fd), 0);
    assert_int_equal(hold_load(side->hold), 0);
    assert_int_equal(queue_pool_open(&side->pool, side->hold, 0), 0);
}

static void side_close(struct side *side)
{
    queue_pool_close(&side->pool);
    hold_close(side->hold);
    (void)close(side->fd);
}

static bool put(struct side *side, uint32_t q, const char *text, size_t bytes)
{
    struct hold_queue *queue = &side->hold->queues[q];
    queue->flags = HOLD_QUEUE_ACTIVE;
    if (!queue_has_room(&side->pool, queue, bytes)) {
        return false;
    }
    char *at = queue_put_begin(&side->pool, queue, bytes);
    if (at == NULL) {
        return queue_put_long(&side->pool, queue, text, bytes);
    }
    memcpy(at, text, bytes);
    queue_put_end(&side->pool, queue, bytes);
    side->hold->outputs[0].copies++;
    return true;
}

/* All that [base, head) of a queue still holds, in order. */
static size_t content(const struct side *side, uint32_t q, char *to)
{
    const struct hold *hold = side->hold;
    const struct hold_queue *queue = &hold->queues[q];
    size_t bytes = 0;
    for (uint32_t b = queue->first_buffer; b != HOLD_NONE; b = hold->buffers[b].next) {
        const struct hold_buffer *buffer = &hold->buffers[b];
        uint64_t from = yarder_max(queue->base, buffer->start) - buffer->start;
        memcpy(to + bytes, hold_buffer_bytes(hold, 0, b) + from, buffer->used - from);
        bytes += buffer->used - from;
    }
    return bytes;
}

static void fill(struct side *side, uint32_t q)
{
    static char text[RECORD_MAX];
    for (uint32_t records = below(60); records > 0; records--) {
        uint32_t bytes = 1 + below(below(15) == 0 ? RECORD_MAX : 300);
        memset(text, 'a' + (int)below(26), bytes);
        text[bytes - 1] = '\n';
        if (!put(side, q, text, bytes)) {
            break;
        }
    }
    struct hold_queue *queue = &side->hold->queues[q];
    for (uint32_t writes = below(4); writes > 0 && !queue_is_empty(queue); writes--) {
        (void)queue_seal(&side->pool, queue);
        (void)queue_complete(&side->pool, queue, below(queue->seal_bytes + 1));
    }
    if (below(3) == 0) {
        (void)queue_drop_oldest(&side->pool, queue);
    }
    if (below(3) == 0 && !queue_is_empty(queue)) {
        (void)queue_seal(&side->pool, queue);
    }
    queue->flags = HOLD_QUEUE_ACTIVE;
    queue->dev = 8;
    queue->ino = 100 + q;
    queue->expected_size = 5000 + q;
    (void)snprintf(hold_queue_name(side->hold, q), YARDER_PATH_BYTES_MAX, "/log/%u", q);
}

static void a_queue_of_any_shape_moves_whole(void **state)
{
    (void)state;
    static char before[BYTES_MAX];
    static char after[BYTES_MAX];
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct side old;
        struct side new;
        side_open(&old, 1, 3 + below(10), PAGE * (1 + below(4)));
        fill(&old, 0);
        uint64_t held = hold_held(old.hold, 0);
        side_open(&new, 1, 40, PAGE * (1 + below(4)));
        uint32_t from[1] = {HOLD_NONE};
        assert_int_equal(queues_move(old.hold, 0, new.hold, 0, from), 0);
        const struct hold_queue *was = &old.hold->queues[0];
        const struct hold_queue *is = &new.hold->queues[0];
        assert_int_equal(from[0], 0);
        size_t bytes = content(&old, 0, before);
        assert_int_equal(content(&new, 0, after), bytes);
        assert_memory_equal(after, before, bytes);
        assert_int_equal(hold_held(new.hold, 0), held);
        assert_int_equal(is->tail - is->base, was->tail - was->base);
        assert_int_equal(is->ino, was->ino);
        assert_int_equal(is->expected_size, was->expected_size);
        assert_true(is->seal_bytes <= was->seal_bytes);
        if (is->seal_bytes > 0) {
            assert_memory_equal(
                queue_sealed(&new.pool, is), queue_sealed(&old.pool, was), is->seal_bytes);
        }
        if (is->seal_bytes < was->seal_bytes) { /* what is not covered may come twice: said */
            assert_int_equal(new.hold->outputs[0].uncertain,
                queue_sealed_records(&old.pool, was) -
                    (is->seal_bytes > 0 ? queue_sealed_records(&new.pool, is) : 0));
        }
        assert_int_equal(new.hold->outputs[0].copies, old.hold->outputs[0].copies);
        side_close(&old);
        side_close(&new);
    }
}

static void what_finds_no_room_is_counted(void **state)
{
    (void)state;
    struct side old;
    struct side new;
    side_open(&old, 1, 20, 2 * PAGE);
    static char text[3000];
    memset(text, 'x', sizeof(text));
    uint64_t records = 0;
    while (put(&old, 0, text, sizeof(text))) {
        records++;
    }
    side_open(&new, 1, 4, PAGE);
    uint32_t from[1];
    assert_int_equal(queues_move(old.hold, 0, new.hold, 0, from), 0);
    uint64_t dropped = new.hold->outputs[0].dropped[HOLD_DROPPED_FULL];
    assert_int_equal(hold_held(new.hold, 0) + dropped, records);
    assert_true(hold_held(new.hold, 0) >= 4);
    side_close(&old);
    side_close(&new);
}

/* The open record itself is too large for the new queue: the next one begins at its beginning. */
static void an_open_record_that_finds_no_room(void **state)
{
    (void)state;
    struct side old;
    struct side new;
    side_open(&old, 1, 20, 2 * PAGE);
    static char text[30000];
    memset(text, 'x', sizeof(text));
    assert_true(put(&old, 0, text, sizeof(text)));
    assert_true(put(&old, 0, "next\n", 5));
    struct hold_queue *was = &old.hold->queues[0];
    (void)queue_seal(&old.pool, was);
    (void)queue_complete(&old.pool, was, 100);
    side_open(&new, 1, 4, PAGE);
    uint32_t from[1];
    assert_int_equal(queues_move(old.hold, 0, new.hold, 0, from), 0);
    const struct hold_queue *is = &new.hold->queues[0];
    assert_int_equal(new.hold->outputs[0].dropped[HOLD_DROPPED_FULL], 1);
    assert_int_equal(is->tail, 0);
    assert_int_equal(is->head, 5);
    assert_memory_equal(queue_seal(&new.pool, &new.hold->queues[0]), "next\n", 5);
    side_close(&old);
    side_close(&new);
}

/* Fewer files at a time: those that have something come first. */
static void fewer_queues_than_before(void **state)
{
    (void)state;
    struct side old;
    struct side new;
    side_open(&old, 5, 20, PAGE);
    for (uint32_t q = 0; q < 5; q++) {
        old.hold->queues[q].flags = HOLD_QUEUE_ACTIVE;
        (void)snprintf(hold_queue_name(old.hold, q), YARDER_PATH_BYTES_MAX, "/log/%u", q);
    }
    assert_true(put(&old, 1, "one\n", 4));
    assert_true(put(&old, 3, "three\n", 6));
    assert_true(put(&old, 4, "four\n", 5));
    side_open(&new, 2, 20, PAGE);
    uint32_t from[2] = {HOLD_NONE, HOLD_NONE};
    assert_int_equal(queues_move(old.hold, 0, new.hold, 0, from), 0);
    assert_int_equal(from[0], 1);
    assert_int_equal(from[1], 3);
    assert_string_equal(hold_queue_name(new.hold, 1), "/log/3");
    assert_int_equal(hold_held(new.hold, 0), 2);
    assert_int_equal(new.hold->outputs[0].dropped[HOLD_DROPPED_LEFT], 1);
    side_close(&old);
    side_close(&new);
}

int main(void)
{
    random_begin("MOVE_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_queue_of_any_shape_moves_whole),
        cmocka_unit_test(what_finds_no_room_is_counted),
        cmocka_unit_test(an_open_record_that_finds_no_room),
        cmocka_unit_test(fewer_queues_than_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
