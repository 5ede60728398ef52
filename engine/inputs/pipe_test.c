/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of what a program writes into its pipe nothing is lost or taken twice, whenever the worker
 * dies. Method: a worker that is killed at random between passes, and, by standing in for splice,
 * read and memcpy, right after or in the middle of each of them; its successor goes on from the
 * commit and from what lies in the pipes. PIPE_SEED and PIPE_STEPS replay or lengthen a run.
 */
#include "inputs/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/test_random.h"

enum { STEPS = 20000, RECORD_MAX = 4 << 10 };

/* A death inside a call: the call is made, then the worker is gone. 0: it lives. */
static uint32_t deaths_ahead;
static jmp_buf death;
static bool splice_works = true;

static void may_die(void)
{
    if (deaths_ahead > 0 && --deaths_ahead == 0) {
        longjmp(death, 1);
    }
}

ssize_t splice(
    int from, off64_t *from_at, int to, off64_t *to_at, size_t bytes_count, unsigned flags)
{
    if (!splice_works) {
        errno = EINVAL;
        return -1;
    }
    may_die();
    ssize_t r = syscall(SYS_splice, from, from_at, to, to_at, bytes_count, flags);
    int error = errno;
    may_die();
    errno = error;
    return r;
}

ssize_t read(int fd, void *to, size_t bytes_count)
{
    may_die();
    size_t part = bytes_count > 1 && deaths_ahead > 0 ? 1 + below((uint32_t)bytes_count)
                                                      : bytes_count; /* it may give less */
    ssize_t r = syscall(SYS_read, fd, to, part);
    int error = errno;
    may_die();
    errno = error;
    return r;
}

/* Lines that were written and not yet committed as placed, by their text. */
struct scene {
    int hold_fd;
    struct hold *hold;
    struct pipe_input pipe;
    struct input_config config;
    struct input input;
    struct batch *batch;
    int source[2], staging[2];
    uint32_t written, placed, committed; /* numbers of lines */
    char half_line[RECORD_MAX * 2];
    size_t half_line_bytes; /* of line `written`, of which a part is in the pipe */
    size_t half_line_done;
    uint32_t turns, deaths, cuts;
    bool clean; /* the private state is what the commit says: the halves may be turned */
};

static size_t line_of(uint32_t number, char *line)
{
    uint32_t state = number * 2654435761u;
    uint32_t spare = state % 50 == 0 ? RECORD_MAX + state % 500 : state % 120;
    int head = snprintf(line, 32, "%u:", number);
    memset(line + head, 'a' + (int)(number % 26), spare);
    size_t bytes = (size_t)head + spare;
    line[bytes++] = '\n';
    return bytes;
}

static void scene_open(struct scene *scene)
{
    const struct hold_shape shape = {
        .inputs_count = 1, .pipes_count = 1, .pipe_half_bytes = PIPE_HALF_BYTES};
    memset(scene, 0, sizeof(*scene));
    scene->config = (struct input_config){.kind = INPUT_EXEC, .record_bytes_max = RECORD_MAX};
    assert_int_equal(hold_create(&shape, &scene->hold_fd), 0);
    assert_int_equal(hold_open(&scene->hold, scene->hold_fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
    assert_int_equal(pipe2(scene->source, O_CLOEXEC), 0);
    assert_int_equal(pipe2(scene->staging, O_CLOEXEC), 0);
    (void)fcntl(scene->source[1], F_SETPIPE_SZ, 1 << 20);
    (void)fcntl(scene->staging[1], F_SETPIPE_SZ, 1 << 20);
    (void)fcntl(scene->source[1], F_SETFL, O_NONBLOCK);
    scene->batch = calloc(1, sizeof(*scene->batch));
    assert_non_null(scene->batch);
}

static void worker_open(struct scene *scene)
{
    input_init(&scene->input, &scene->config, 0, scene->hold, RECORD_MAX);
    const int fds[3] = {scene->source[0], scene->staging[0], scene->staging[1]};
    pipe_open(&scene->pipe, &scene->input, scene->hold, 0, YARDER_STREAM_STDOUT, fds);
}

static void worker_dies(struct scene *scene)
{
    scene->deaths++;
    scene->clean = true;
    scene->placed = scene->committed;
    hold_close(scene->hold);
    assert_int_equal(hold_open(&scene->hold, scene->hold_fd), 0);
    assert_int_equal(hold_load(scene->hold), 0);
}

static void scene_close(struct scene *scene)
{
    framer_deinit(&scene->pipe.framer);
    hold_close(scene->hold);
    (void)close(scene->hold_fd);
    for (int i = 0; i < 2; i++) {
        (void)close(scene->source[i]);
        (void)close(scene->staging[i]);
    }
    free(scene->batch);
}

/* The program writes: whole lines and parts of lines, as much as the pipe takes. */
static void program_writes(struct scene *scene, uint32_t lines)
{
    while (lines-- > 0) {
        if (scene->half_line_bytes == 0) {
            scene->half_line_bytes = line_of(scene->written, scene->half_line);
            scene->half_line_done = 0;
        }
        size_t left = scene->half_line_bytes - scene->half_line_done;
        size_t part = below(8) == 0 ? 1 + below((uint32_t)left) : left;
        ssize_t r = write(scene->source[1], scene->half_line + scene->half_line_done, part);
        if (r < 0) {
            assert_int_equal(errno, EAGAIN);
            return;
        }
        scene->half_line_done += (size_t)r;
        if (scene->half_line_done == scene->half_line_bytes) {
            scene->half_line_bytes = 0;
            scene->written++;
        }
    }
}

static void check_line(struct scene *scene, const struct yarder_record *record)
{
    static char line[2 * RECORD_MAX];
    size_t bytes = line_of(scene->placed, line) - 1;
    size_t kept = yarder_min(bytes, RECORD_MAX);
    assert_int_equal(record->text.length, kept);
    assert_memory_equal(record->text.at, line, kept);
    assert_int_equal((record->flags & YARDER_FLAG_TRUNCATED) != 0, kept < bytes);
    assert_int_equal(record->stream, YARDER_STREAM_STDOUT);
    scene->cuts += kept < bytes;
    scene->placed++;
}

static void commit(struct scene *scene)
{
    hold_commit(scene->hold);
    scene->committed = scene->placed;
    scene->clean = true;
}

/* One pass of the worker: turn, take, frame, place some, commit. */
static void worker_passes(struct scene *scene, bool blocked)
{
    if (scene->clean && pipe_turn(&scene->pipe)) {
        scene->turns++;
        scene->clean = false;
        may_die();
    }
    scene->clean = false;
    scene->pipe.hungry = true;
    int taken = pipe_intake(&scene->pipe);
    assert_true(taken >= 0);
    scene->pipe.unframed |= taken > 0;
    batch_clear(scene->batch);
    scene->batch->limit = YARDER_BATCH_RECORDS;
    uint32_t count = pipe_frame(&scene->pipe, scene->batch);
    uint32_t placed = blocked ? below(count + 1) : count;
    for (uint32_t i = 0; i < placed; i++) {
        check_line(scene, &scene->batch->records[i]);
    }
    if (placed < count) {
        pipe_rewind(&scene->pipe, placed);
    }
    may_die();
    if (below(4) != 0) {
        commit(scene);
        may_die();
    }
}

/* What follows a longjmp must not live in registers of its caller: hence a function of its own. */
static void live_or_die(struct scene *scene, uint32_t calls)
{
    deaths_ahead = calls;
    if (setjmp(death) == 0) {
        if (below(20) == 0) {
            worker_open(scene); /* dies in recovery, perhaps */
        }
        uint32_t passes = 1 + below(4);
        bool blocked = below(3) == 0;
        while (passes-- > 0) {
            worker_passes(scene, blocked);
        }
        deaths_ahead = 0;
        return;
    }
    worker_dies(scene);
}

static void nothing_is_lost_or_taken_twice(void **state)
{
    (void)state;
    const char *wanted = getenv("PIPE_STEPS");
    uint64_t steps = wanted != NULL ? strtoull(wanted, NULL, 0) : STEPS;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    for (uint64_t step = 0; step < steps; step++) {
        program_writes(&scene, below(200));
        uint32_t before = scene.deaths;
        if (below(3) == 0) {
            live_or_die(&scene, 1 + below(12));
        } else {
            worker_passes(&scene, below(4) == 0);
        }
        if (scene.deaths != before) {
            deaths_ahead = 0;
            worker_open(&scene);
        }
    }
    while (scene.placed < scene.written) {
        worker_passes(&scene, false);
    }
    print_message("%u lines, %u deaths, %u turns, %u lines cut at the limit\n", scene.written,
        scene.deaths, scene.turns, scene.cuts);
    assert_true(scene.deaths > steps / 20 && scene.turns > 10 && scene.cuts > 10);
    scene_close(&scene);
}

/* What a worker took beyond its commit is found by the one that carries it to another hold. */
static void recovery_can_be_done_again(void **state)
{
    (void)state;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    assert_int_equal(write(scene.source[1], "one\ntwo\nthree", 13), 13);
    deaths_ahead = 4; /* splice, and half a read */
    if (setjmp(death) == 0) {
        (void)!pipe_intake(&scene.pipe);
        fail();
    }
    deaths_ahead = 0;
    for (int i = 0; i < 3; i++) {
        worker_dies(&scene);
        pipe_recover(scene.hold, 0, scene.staging[0]);
        const struct hold_pipe *place = &scene.hold->pipes[0];
        assert_int_equal(place->end - place->start, 13);
        assert_memory_equal(
            hold_pipe_half(scene.hold, 0, place->half) + place->start, "one\ntwo\nthree", 13);
    }
    scene_close(&scene);
}

/* The last child's output stands in the pipe when its end is told: it is taken first. */
static void the_last_words_of_a_program(void **state)
{
    (void)state;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    assert_int_equal(write(scene.source[1], "first\nlast", 10), 10);
    pipe_child_ended(&scene.pipe, true);
    assert_true(scene.pipe.hungry);
    assert_int_equal(pipe_intake(&scene.pipe), 10);
    assert_false(scene.pipe.at_end);
    batch_clear(scene.batch);
    scene.batch->limit = YARDER_BATCH_RECORDS;
    assert_int_equal(pipe_frame(&scene.pipe, scene.batch), 1);
    assert_int_equal(pipe_intake(&scene.pipe), 0);
    assert_true(scene.pipe.at_end && !scene.pipe.hungry);
    for (int i = 0; i < 2; i++) { /* no room for it the first time */
        batch_clear(scene.batch);
        assert_int_equal(pipe_finish(&scene.pipe, scene.batch), 1);
        assert_int_equal(scene.batch->records[0].text.length, 4);
        assert_memory_equal(scene.batch->records[0].text.at, "last", 4);
        assert_int_equal(scene.batch->records[0].flags, 0);
        if (i == 0) {
            pipe_rewind(&scene.pipe, 0);
        }
    }
    pipe_finish_placed(&scene.pipe);
    assert_true(scene.pipe.finished);
    scene_close(&scene);
}

/* A program that is started again goes on in the same pipe: its half line is a line, no more. */
static void a_program_that_comes_again(void **state)
{
    (void)state;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    assert_int_equal(write(scene.source[1], "half", 4), 4);
    pipe_child_ended(&scene.pipe, false);
    assert_int_equal(pipe_intake(&scene.pipe), 4);
    assert_int_equal(pipe_intake(&scene.pipe), 0);
    batch_clear(scene.batch);
    scene.batch->limit = YARDER_BATCH_RECORDS;
    assert_int_equal(pipe_finish(&scene.pipe, scene.batch), 1);
    pipe_finish_placed(&scene.pipe);
    assert_false(scene.pipe.finished || scene.pipe.at_end || scene.pipe.child_ended);
    assert_int_equal(write(scene.source[1], "again\n", 6), 6);
    assert_int_equal(pipe_intake(&scene.pipe), 6);
    batch_clear(scene.batch);
    assert_int_equal(pipe_frame(&scene.pipe, scene.batch), 1);
    assert_memory_equal(scene.batch->records[0].text.at, "again", 5);
    scene_close(&scene);
}

static void a_full_half_stays_hungry(void **state)
{
    (void)state;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    uint32_t before = scene.pipe.place->end;
    for (unsigned i = 0; i < 100; i++) { /* nothing is placed: the half fills up */
        program_writes(&scene, 400);
        scene.pipe.hungry = true;
        int taken = pipe_intake(&scene.pipe);
        assert_true(taken >= 0);
        if (taken == 0) {
            break;
        }
        assert_int_equal(scene.pipe.place->end, before + (uint32_t)taken);
        before = scene.pipe.place->end;
        commit(&scene);
        assert_false(pipe_turn(&scene.pipe)); /* gains nothing */
    }
    assert_true(scene.pipe.hungry && !scene.pipe.at_end);
    assert_true(before <= pipe_half_bytes(RECORD_MAX));
    worker_passes(&scene, false);
    commit(&scene);
    assert_true(pipe_turn(&scene.pipe));
    assert_true(pipe_intake(&scene.pipe) > 0);
    scene_close(&scene);
}

static void without_splice_it_is_read(void **state)
{
    (void)state;
    static struct scene scene;
    scene_open(&scene);
    worker_open(&scene);
    splice_works = false;
    for (unsigned i = 0; i < 2000; i++) {
        program_writes(&scene, below(100));
        worker_passes(&scene, below(4) == 0);
        assert_true(scene.pipe.direct);
        commit(&scene);
        if (below(5) == 0) { /* between two passes a death costs nothing even so */
            worker_dies(&scene);
            worker_open(&scene);
        }
    }
    while (scene.placed < scene.written) {
        worker_passes(&scene, false);
    }
    (void)close(scene.source[1]);
    while (!scene.pipe.at_end) { /* what is left is half a line at the most */
        worker_passes(&scene, false);
    }
    assert_int_equal(scene.placed, scene.written);
    splice_works = true;
    scene.source[1] = -1;
    scene_close(&scene);
}

int main(void)
{
    random_begin("PIPE_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_or_taken_twice),
        cmocka_unit_test(recovery_can_be_done_again),
        cmocka_unit_test(the_last_words_of_a_program),
        cmocka_unit_test(a_program_that_comes_again),
        cmocka_unit_test(a_full_half_stays_hungry),
        cmocka_unit_test(without_splice_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
