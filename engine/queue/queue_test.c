/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever is put, written in pieces, rewound, dropped or killed, each record stands in the
 * file whole, once, in order, or was counted as dropped. Method: a random writer goes through
 * passes as the worker does; a "file" takes what is submitted; records describe themselves, so the
 * file is read back and compared with plain counts. Freed buffers are poisoned as soon as they may
 * be used again. QUEUE_SEED and QUEUE_STEPS in the environment replay or lengthen a run.
 */
#include "queue/queue.h"

#include <string.h>

#include "base/test_random.h"

enum {
    PAGE = 4096,
    QUEUES = 2,
    BUFFERS = 6,
    FILE_BYTES = 64 << 20,
    RECORD_MAX = 3 * PAGE,
    FOREIGN = 0xfe, /* no record's byte */
    STEPS = 60000,
    RUN_MAX = 12,
};

/* A record: number and length in hexadecimal, then bytes that follow from them. */
enum { HEAD_BYTES = 16 };

/* What a file is to one queue, and what must hold for it. */
struct destination {
    char *bytes;
    size_t used;
    size_t batch_at; /* where the batch under way begins */
    uint32_t next;   /* number of the next record to be put */
    bool under_way;
    uint32_t answer; /* bytes that the write under way stands with */
};

/* Counters of a queue as the private state has them: a crash takes them back to the commit's. */
struct counts {
    uint32_t put, delivered, dropped, next;
};

struct scene {
    int fd;
    struct hold *hold;
    struct queue_pool pool;
    struct destination to[QUEUES];
    struct counts counts[QUEUES], committed[QUEUES];
    uint32_t crashes, rewinds, drops, longs, cuts, runs;
};

static void record_write(char *at, uint32_t number, uint32_t bytes)
{
    char head[HEAD_BYTES + 1];
    (void)snprintf(head, sizeof(head), "%08x%08x", number, bytes);
    memset(at, (int)(number % 200), bytes);
    memcpy(at, head, HEAD_BYTES);
}

static struct hold_queue *queue_at(const struct scene *scene, uint32_t index)
{
    return &scene->hold->queues[index];
}

static void poison_free(struct scene *scene)
{
    for (uint32_t i = 0; i < scene->pool.free_count; i++) {
        memset(hold_buffer_bytes(scene->hold, 0, scene->pool.free[i]), 0xee, PAGE);
    }
}

static void check_invariants(const struct scene *scene)
{
    uint32_t linked = 0;
    for (uint32_t q = 0; q < QUEUES; q++) {
        const struct hold_queue *queue = queue_at(scene, q);
        const struct counts *counts = &scene->counts[q];
        assert_true(queue->base <= queue->tail && queue->tail <= queue->head);
        assert_true(queue->seal_bytes == 0 || queue->seal_at == queue->tail);
        assert_int_equal(
            hold_queue_held(scene->hold, queue), counts->put - counts->delivered - counts->dropped);
        for (uint32_t b = queue->first_buffer; b != HOLD_NONE; b = scene->hold->buffers[b].next) {
            linked++;
        }
    }
    assert_int_equal(linked + scene->pool.free_count + scene->pool.freed_count, BUFFERS);
}

static void put_one(struct scene *scene, uint32_t q)
{
    struct hold_queue *queue = queue_at(scene, q);
    struct counts *counts = &scene->counts[q];
    uint32_t bytes = HEAD_BYTES + below(below(12) == 0 ? RECORD_MAX : 600);
    static char record[RECORD_MAX + 100];
    record_write(record, counts->next, bytes);
    bool room = queue_has_room(&scene->pool, queue, bytes);
    uint64_t head = queue->head;
    if (queue_fits(&scene->pool, bytes)) {
        char *at = queue_put_begin(&scene->pool, queue, bytes);
        assert_int_equal(at != NULL, room);
        if (at == NULL) {
            return;
        }
        memcpy(at, record, bytes);
        queue_put_end(&scene->pool, queue, bytes);
    } else {
        assert_null(queue_put_begin(&scene->pool, queue, bytes));
        assert_int_equal(queue_put_long(&scene->pool, queue, record, bytes), room);
        assert_true(bytes <= queue_record_bytes_max(&scene->pool));
        if (!room) {
            assert_int_equal(queue->head, head);
            return;
        }
        scene->longs++;
    }
    assert_int_equal(queue->head, head + bytes);
    counts->put++;
    counts->next++;
}

/* Several at once, of which the last ones may be taken back. */
static void put_run(struct scene *scene, uint32_t q)
{
    struct hold_queue *queue = queue_at(scene, q);
    struct counts *counts = &scene->counts[q];
    struct queue_run run;
    uint32_t bytes = HEAD_BYTES + below(300);
    uint64_t head = queue->head;
    bool room = queue_has_room(&scene->pool, queue, bytes);
    assert_int_equal(queue_run_begin(&scene->pool, queue, bytes, &run), room);
    uint64_t ends[RUN_MAX + 1] = {head};
    uint32_t written = 0;
    while (room && written < RUN_MAX && bytes <= queue_run_room(&run)) {
        record_write(run.at, counts->next + written, bytes);
        queue_run_put(&run, bytes);
        written++;
        ends[written] = ends[written - 1] + bytes;
        bytes = HEAD_BYTES + below(300);
    }
    assert_int_equal(room, written > 0);
    assert_int_equal(queue->head, head);
    uint32_t taken = below(3) == 0 ? below(written + 1) : written;
    queue_run_end(&scene->pool, queue, &run, taken);
    assert_int_equal(queue->head, ends[taken]);
    counts->put += taken;
    counts->next += taken;
    scene->runs += taken > 1;
}

/* What the write that came back did: see "reap" of the worker's pass. */
static void reap(struct scene *scene, uint32_t q)
{
    struct destination *to = &scene->to[q];
    struct hold_queue *queue = queue_at(scene, q);
    if (!to->under_way || below(3) == 0) {
        return;
    }
    to->under_way = false;
    scene->counts[q].delivered += queue_complete(&scene->pool, queue, to->answer);
    queue->expected_size = to->batch_at + to->answer;
}

/* Others append behind us: a record that is open there has to begin again. */
static void foreign(struct scene *scene, uint32_t q)
{
    struct destination *to = &scene->to[q];
    if (!to->under_way) {
        to->bytes[to->used++] = (char)FOREIGN;
    }
}

static void seal(struct scene *scene, uint32_t q)
{
    struct hold_queue *queue = queue_at(scene, q);
    struct destination *to = &scene->to[q];
    if (queue->seal_bytes != 0 || queue_is_empty(queue)) {
        return;
    }
    if (queue_record_open(queue) && queue->expected_size != to->used) {
        queue_rewind(queue);
        scene->rewinds++;
    }
    queue->expected_size = to->used;
    const char *bytes = queue_seal(&scene->pool, queue);
    assert_ptr_equal(bytes, queue_sealed(&scene->pool, queue));
    uint32_t ends_count = 0;
    uint32_t offset = 0;
    const uint32_t *ends = queue_sealed_ends(&scene->pool, queue, &ends_count, &offset);
    uint32_t within = 0;
    for (uint32_t i = 0; i < ends_count; i++) {
        uint32_t end = ends[-(ptrdiff_t)(i + 1)];
        within += end > offset && end - offset <= queue->seal_bytes;
    }
    assert_int_equal(within, queue_sealed_records(&scene->pool, queue));
}

/* The lane writes all of the seal, or a part (a full disk, a kill). */
static void submit(struct scene *scene, uint32_t q)
{
    struct hold_queue *queue = queue_at(scene, q);
    struct destination *to = &scene->to[q];
    if (queue->seal_bytes == 0 || to->under_way) {
        return;
    }
    to->answer = below(3) == 0 ? below(queue->seal_bytes + 1) : queue->seal_bytes;
    scene->cuts += to->answer < queue->seal_bytes;
    to->batch_at = to->used;
    assert_int_equal(queue->expected_size, to->used);
    assert_true(to->used + queue->seal_bytes + PAGE < FILE_BYTES);
    memcpy(to->bytes + to->used, queue_sealed(&scene->pool, queue), to->answer);
    to->used += to->answer;
    to->under_way = true;
}

static void drop(struct scene *scene, uint32_t q)
{
    uint32_t dropped = queue_drop_oldest(&scene->pool, queue_at(scene, q));
    scene->counts[q].dropped += dropped;
    scene->drops += dropped > 0;
}

/* A worker dies and another takes up: recovery books what stands, then the loop goes on. */
static void crash(struct scene *scene)
{
    scene->crashes++;
    queue_pool_close(&scene->pool);
    hold_close(scene->hold);
    assert_int_equal(hold_open(&scene->hold, scene->fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
    assert_int_equal(queue_pool_open(&scene->pool, scene->hold, 0), 0);
    poison_free(scene);
    for (uint32_t q = 0; q < QUEUES; q++) {
        struct destination *to = &scene->to[q];
        struct hold_queue *queue = queue_at(scene, q);
        scene->counts[q] = scene->committed[q];
        to->under_way = false;
        if (queue->seal_bytes == 0) {
            continue;
        }
        const char *file = to->bytes + queue->expected_size;
        size_t grown = to->used - queue->expected_size;
        const char *strange = memchr(file, FOREIGN, grown); /* came after the write */
        size_t ours = strange == NULL ? grown : (size_t)(strange - file);
        assert_true(ours <= queue->seal_bytes);
        /* No buffer of a stored seal was used again, or these would differ. */
        assert_memory_equal(file, queue_sealed(&scene->pool, queue), ours);
        scene->counts[q].delivered += queue_complete(&scene->pool, queue, (uint32_t)ours);
        queue->expected_size += ours;
    }
    check_invariants(scene);
}

static void commit(struct scene *scene)
{
    hold_commit(scene->hold);
    memcpy(scene->committed, scene->counts, sizeof(scene->committed));
    if (below(8) != 0) { /* else killed before it settles: the next one does */
        queue_pool_settle(&scene->pool);
    }
    poison_free(scene);
}

/* One pass; the chance of a kill after each step. */
static void pass(struct scene *scene)
{
    static void (*const steps[])(struct scene *, uint32_t) = {
        reap, put_one, put_run, drop, foreign, seal};
    for (size_t step = 0; step < YARDER_COUNT_OF(steps); step++) {
        for (uint32_t q = 0; q < QUEUES; q++) {
            uint32_t times = steps[step] == put_one   ? below(12)
                             : steps[step] == put_run ? below(3)
                             : steps[step] == drop    ? below(40) == 0
                             : steps[step] == foreign ? below(10) == 0
                                                      : 1;
            /* A record is open and foreign bytes come only while nothing is sealed in a commit. */
            if (steps[step] == foreign && queue_at(scene, q)->seal_bytes != 0) {
                times = 0;
            }
            while (times-- > 0) {
                steps[step](scene, q);
            }
        }
        check_invariants(scene);
        if (below(150) == 0) {
            crash(scene);
            return;
        }
    }
    commit(scene);
    if (below(60) == 0) {
        crash(scene);
        return;
    }
    submit(scene, 0);
    submit(scene, 1);
    if (below(40) == 0) {
        crash(scene);
    }
}

/* Reads the file back: every record once, in order; only counted ones are missing. */
static void read_back(const struct scene *scene, uint32_t q)
{
    const struct destination *to = &scene->to[q];
    const struct counts *counts = &scene->counts[q];
    uint32_t delivered = 0;
    uint32_t next = 0;
    size_t at = 0;
    while (at < to->used) {
        if ((unsigned char)to->bytes[at] == FOREIGN) {
            at++;
            continue;
        }
        size_t left = to->used - at;
        const char *cut = memchr(to->bytes + at, FOREIGN, yarder_min(left, RECORD_MAX + 100));
        size_t whole = cut == NULL ? left : (size_t)(cut - (to->bytes + at));
        char head[HEAD_BYTES + 1] = "";
        memcpy(head, to->bytes + at, yarder_min(HEAD_BYTES, whole));
        uint32_t bytes = whole < HEAD_BYTES ? 0 : (uint32_t)strtoul(head + 8, NULL, 16);
        if (whole < HEAD_BYTES || whole < bytes) {
            at += whole; /* torn by a stranger: it must come again */
            continue;
        }
        static char wanted[RECORD_MAX + 100];
        head[8] = '\0';
        uint32_t number = (uint32_t)strtoul(head, NULL, 16);
        assert_true(number >= next && bytes >= HEAD_BYTES && bytes <= sizeof(wanted));
        record_write(wanted, number, bytes);
        assert_memory_equal(to->bytes + at, wanted, bytes);
        next = number + 1;
        at += bytes;
        delivered++;
    }
    assert_int_equal(delivered, counts->delivered);
    assert_int_equal(counts->delivered + counts->dropped, counts->put);
}

static void drain(struct scene *scene)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        struct hold_queue *queue = queue_at(scene, q);
        while (!queue_is_empty(queue) || scene->to[q].under_way) {
            reap(scene, q);
            seal(scene, q);
            commit(scene);
            submit(scene, q);
        }
        read_back(scene, q);
    }
}

static void scene_open(struct scene *scene)
{
    const struct hold_shape shape = {.outputs_count = 1,
        .queues_count = QUEUES,
        .buffers_count = BUFFERS,
        .outputs = {{.queues_count = QUEUES, .buffers_count = BUFFERS, .buffer_bytes = PAGE}}};
    *scene = (struct scene){.fd = -1};
    assert_int_equal(hold_create(&shape, &scene->fd), 0);
    assert_int_equal(hold_open(&scene->hold, scene->fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
    assert_int_equal(queue_pool_open(&scene->pool, scene->hold, 0), 0);
    for (uint32_t q = 0; q < QUEUES; q++) {
        scene->to[q].bytes = malloc(FILE_BYTES);
        assert_non_null(scene->to[q].bytes);
    }
}

static void scene_close(struct scene *scene)
{
    for (uint32_t q = 0; q < QUEUES; q++) {
        free(scene->to[q].bytes);
    }
    queue_pool_close(&scene->pool);
    hold_close(scene->hold);
    (void)close(scene->fd);
}

static void every_record_stands_once_or_is_counted(void **state)
{
    (void)state;
    const char *wanted = getenv("QUEUE_STEPS");
    uint64_t steps = wanted != NULL ? strtoull(wanted, NULL, 0) : STEPS;
    struct scene scene;
    uint32_t crashes = 0, rewinds = 0, drops = 0, longs = 0, cuts = 0, runs = 0;
    while (steps > 0) { /* a scene until its files are full */
        scene_open(&scene);
        while (
            steps > 0 && scene.to[0].used < FILE_BYTES / 2 && scene.to[1].used < FILE_BYTES / 2) {
            pass(&scene);
            steps--;
        }
        drain(&scene);
        crashes += scene.crashes;
        rewinds += scene.rewinds;
        drops += scene.drops;
        longs += scene.longs;
        cuts += scene.cuts;
        runs += scene.runs;
        scene_close(&scene);
    }
    print_message("%u crashes, %u rewinds, %u drops, %u long records, %u short writes, %u runs\n",
        crashes, rewinds, drops, longs, cuts, runs);
    assert_true(crashes > 100 && rewinds > 100 && drops > 100 && longs > 100 && cuts > 100);
    assert_true(runs > 100);
}

static char *fill_buffer(struct scene *scene, uint32_t bytes)
{
    char *at = queue_put_begin(&scene->pool, queue_at(scene, 0), bytes);
    if (at != NULL) {
        memset(at, 'x', bytes);
        queue_put_end(&scene->pool, queue_at(scene, 0), bytes);
    }
    return at;
}

/* Space freed by a completion is not used in the same pass: the stored commit still names it. */
static void freed_memory_waits_for_the_commit(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct hold_queue *queue = queue_at(&scene, 0);
    char *first = fill_buffer(&scene, PAGE - 8);
    (void)queue_seal(&scene.pool, queue);
    hold_commit(scene.hold);
    queue_pool_settle(&scene.pool);
    assert_int_equal(queue_complete(&scene.pool, queue, queue->seal_bytes), 1);
    for (uint32_t i = 1; i < BUFFERS; i++) {
        assert_ptr_not_equal(fill_buffer(&scene, PAGE - 8), first);
    }
    assert_null(fill_buffer(&scene, PAGE - 8));
    hold_commit(scene.hold);
    queue_pool_settle(&scene.pool);
    assert_ptr_equal(fill_buffer(&scene, PAGE - 8), first);
    scene_close(&scene);
}

static void drop_all_gives_every_buffer_back(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    struct hold_queue *queue = queue_at(&scene, 0);
    for (uint32_t i = 0; i < 2 * BUFFERS; i++) {
        (void)fill_buffer(&scene, PAGE / 2 - 8);
    }
    uint64_t held = hold_queue_held(scene.hold, queue);
    (void)queue_seal(&scene.pool, queue);
    uint32_t done = queue_complete(&scene.pool, queue, PAGE / 2);
    assert_int_equal(done, 1);
    assert_true(queue_record_open(queue));
    assert_int_equal(queue_drop_all(&scene.pool, queue), held - done);
    assert_true(queue_is_empty(queue) && !queue_record_open(queue));
    assert_int_equal(scene.pool.freed_count + scene.pool.free_count, BUFFERS);
    scene_close(&scene);
}

int main(void)
{
    random_begin("QUEUE_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_stands_once_or_is_counted),
        cmocka_unit_test(freed_memory_waits_for_the_commit),
        cmocka_unit_test(drop_all_gives_every_buffer_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
