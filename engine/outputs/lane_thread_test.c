/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the thread around the calls: order and content of thousands of jobs over many files, one
 * wake-up when the writer sleeps and none when it does not, syncs that fall due while nothing else
 * happens, and a hung lane that holds nobody but itself. Meant to be run under TSan as well.
 */
#include "outputs/lane_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    FILES = 50,
    ROUNDS = 200,
    LINE_BYTES = 64,
    HUNG_NS = 50 * 1000 * 1000,
    INTERVAL_NS = 20 * 1000 * 1000,
    LONG_NS = 1000 * 1000 * 1000,
    PIPE_BYTES = 64 << 10,
};

static void nap(void)
{
    struct timespec millisecond = {0, 1000 * 1000};
    (void)nanosleep(&millisecond, NULL);
}

struct many {
    struct lane_job job;
    char path[FIXTURE_PATH_BYTES];
    char line[LINE_BYTES];
    char expected[ROUNDS * 8]; /* each line is at most seven digits and a newline */
    size_t expected_bytes;
    unsigned rounds;
};

/* The next step of a file: lines until its rounds are done, then CLOSE; false: it was the last. */
static bool step(struct lane *lane, struct many *many)
{
    struct lane_job *job = &many->job;
    assert_int_equal(job->answer, LANE_DONE);
    if (job->request == LANE_CLOSE) {
        return false;
    }
    if (job->request == LANE_WRITE) {
        assert_int_equal(job->written, job->bytes_count);
        assert_int_equal(job->size, many->expected_bytes);
    }
    job->expected_size = job->size;
    job->request = many->rounds == ROUNDS ? LANE_CLOSE : LANE_WRITE;
    if (job->request == LANE_WRITE) {
        int length = snprintf(many->line, sizeof(many->line), "%u\n", many->rounds);
        job->bytes = many->line;
        job->bytes_count = (uint32_t)length;
        memcpy(many->expected + many->expected_bytes, many->line, (size_t)length);
        many->expected_bytes += (size_t)length;
        many->rounds++;
    }
    lane_submit(lane, job);
    return true;
}

static void thousands_of_jobs_over_many_files(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    struct many *files = calloc(FILES, sizeof(*files));
    assert_non_null(files);
    for (unsigned i = 0; i < FILES; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "d%u/log%u", i % 7, i);
        files[i].job = (struct lane_job){.request = LANE_OPEN, .owner = &files[i]};
        files[i].job.path = fixture_path(fixture, name, files[i].path);
        lane_submit(fixture->lane, &files[i].job);
    }
    unsigned left = FILES;
    while (left > 0) {
        struct lane_job *job = fixture_wait(fixture);
        left -= !step(fixture->lane, job->owner);
    }
    for (unsigned i = 0; i < FILES; i++) {
        assert_int_equal(files[i].rounds, ROUNDS);
        assert_string_equal(fixture_content(files[i].path), files[i].expected);
    }
    free(files);
}

static void a_full_ring_is_answered_in_order(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    struct lane_job *jobs = calloc(LANE_JOBS_MAX, sizeof(*jobs));
    assert_non_null(jobs);
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < LANE_JOBS_MAX; i++) {
            jobs[i].request = round % 2 == 0 ? LANE_OPEN : LANE_CLOSE;
            jobs[i].path = "/dev/null";
            lane_submit(fixture->lane, &jobs[i]);
        }
        for (size_t i = 0; i < LANE_JOBS_MAX; i++) {
            assert_ptr_equal(fixture_wait(fixture), &jobs[i]);
            assert_int_equal(jobs[i].answer, LANE_DONE);
        }
    }
    for (size_t i = 0; i < LANE_JOBS_MAX; i++) {
        fixture_close(fixture, &jobs[i]);
    }
    assert_null(lane_done(fixture->lane));
    free(jobs);
}

static void close_answers_what_is_left(void **state)
{
    struct fixture *fixture = *state;
    static struct lane_job jobs[100];
    fixture_start(fixture);
    for (size_t i = 0; i < YARDER_COUNT_OF(jobs); i++) {
        jobs[i] = (struct lane_job){.request = LANE_OPEN, .path = "/dev/null", .fd = -1};
        lane_submit(fixture->lane, &jobs[i]);
    }
    assert_int_equal(lane_close(fixture->lane, FIXTURE_CLOSE_NS), 0);
    fixture->lane = NULL;
    for (size_t i = 0; i < YARDER_COUNT_OF(jobs); i++) {
        assert_int_equal(jobs[i].answer, LANE_DONE);
        assert_true(jobs[i].fd > STDERR_FILENO);
        (void)close(jobs[i].fd);
    }
}

static uint64_t event_count(const struct fixture *fixture)
{
    uint64_t count = 0;
    return read(fixture->event_fd, &count, sizeof(count)) < 0 ? 0 : count;
}

static void wakes_the_writer_only_when_it_sleeps(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    struct lane_job job = {.request = LANE_OPEN, .path = "/dev/null"};
    lane_submit(fixture->lane, &job);
    while (lane_done(fixture->lane) == NULL) {
        nap();
    }
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(event_count(fixture), 0);
    __atomic_store_n(&fixture->writer_sleeps, 1, __ATOMIC_SEQ_CST);
    job.request = LANE_CLOSE;
    lane_submit(fixture->lane, &job);
    struct pollfd event = {.fd = fixture->event_fd, .events = POLLIN};
    assert_int_equal(poll(&event, 1, 20000), 1);
    assert_int_equal(event_count(fixture), 1);
    assert_ptr_equal(lane_done(fixture->lane), &job);
    __atomic_store_n(&fixture->writer_sleeps, 0, __ATOMIC_SEQ_CST);
}

static void interval_syncs_while_idle(void **state)
{
    struct fixture *fixture = *state;
    char paths[2][FIXTURE_PATH_BYTES];
    struct lane_job jobs[2] = {{0}, {0}};
    fixture->config.fsync = (struct output_fsync){OUTPUT_SYNC_INTERVAL, INTERVAL_NS};
    fixture_start(fixture);
    fixture_open(fixture, &jobs[0], fixture_path(fixture, "a", paths[0]));
    fixture_open(fixture, &jobs[1], fixture_path(fixture, "b", paths[1]));
    fixture_write(fixture, &jobs[0], "a\n");
    fixture_write(fixture, &jobs[1], "b\n");
    while (__atomic_load_n(&fixture_syncs, __ATOMIC_SEQ_CST) < 2) {
        nap(); /* bounded by the test's time limit */
    }
    assert_int_equal(lane_take_sync_error(fixture->lane), 0);
    __atomic_store_n(&fixture_sync_errno, EIO, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fixture->writer_sleeps, 1, __ATOMIC_SEQ_CST);
    (void)event_count(fixture);
    jobs[0].request = LANE_WRITE;
    lane_submit(fixture->lane, &jobs[0]);
    struct pollfd event = {.fd = fixture->event_fd, .events = POLLIN};
    int error = 0;
    while (error == 0) { /* a failure with no job to say it wakes the writer too */
        assert_int_equal(poll(&event, 1, 20000), 1);
        (void)event_count(fixture);
        error = lane_take_sync_error(fixture->lane);
    }
    __atomic_store_n(&fixture->writer_sleeps, 0, __ATOMIC_SEQ_CST);
    assert_int_equal(error, -EIO);
    assert_int_equal(lane_take_sync_error(fixture->lane), 0); /* said once */
    assert_ptr_equal(lane_done(fixture->lane), &jobs[0]);
    assert_int_equal(jobs[0].answer, LANE_DONE);
    assert_int_equal(jobs[0].sync_error, 0);
    fixture_close(fixture, &jobs[0]);
    fixture_close(fixture, &jobs[1]);
}

static void close_pays_what_the_interval_owes(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    struct lane_job job = {0};
    fixture->config.fsync = (struct output_fsync){OUTPUT_SYNC_INTERVAL, (uint64_t)3600 * LONG_NS};
    fixture_start(fixture);
    fixture_open(fixture, &job, fixture_path(fixture, "a", path));
    fixture_write(fixture, &job, "a\n");
    fixture_write(fixture, &job, "a\n");
    assert_int_equal(fixture_syncs, 0);
    __atomic_store_n(&fixture_sync_errno, EDQUOT, __ATOMIC_SEQ_CST);
    fixture_close(fixture, &job);
    assert_int_equal(fixture_syncs, 1);
    assert_int_equal(job.sync_error, -EDQUOT);
    __atomic_store_n(&fixture_sync_errno, 0, __ATOMIC_SEQ_CST);
    fixture_open(fixture, &job, path);
    fixture_write(fixture, &job, "b\n");
    assert_int_equal(lane_close(fixture->lane, FIXTURE_CLOSE_NS), 0);
    fixture->lane = NULL;
    assert_int_equal(fixture_syncs, 2); /* leaving does, too */
    (void)close(job.fd);
}

static void a_hung_lane_holds_nobody_else(void **state)
{
    struct fixture *fixture = *state;
    char fifo[FIXTURE_PATH_BYTES];
    char path[FIXTURE_PATH_BYTES];
    static const char more_than_a_pipe[PIPE_BYTES + 1];
    assert_int_equal(mkfifo(fixture_path(fixture, "fifo", fifo), 0600), 0);
    int reader = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    /* the hung lane's until the process ends: see lane_close */
    static struct lane *hung;
    static struct output_config config;
    static uint32_t writer_sleeps;
    static struct lane_job stuck;
    config = fixture->config;
    struct lane_options options = fixture->options;
    options.config = &config;
    options.writer_sleeps = &writer_sleeps;
    assert_int_equal(lane_open(&hung, &options), 0);
    stuck = (struct lane_job){.request = LANE_OPEN, .path = fifo};
    lane_submit(hung, &stuck);
    while (lane_done(hung) == NULL) {
        nap();
    }
    assert_int_equal(stuck.answer, LANE_DONE);
    stuck.request = LANE_WRITE;
    stuck.bytes = more_than_a_pipe;
    stuck.bytes_count = sizeof(more_than_a_pipe);
    lane_submit(hung, &stuck);
    while (lane_stuck_ns(hung) < HUNG_NS) {
        nap();
    }
    assert_non_null(lane_call(hung));
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, fixture_path(fixture, "log", path));
    for (int i = 0; i < 100; i++) {
        fixture_write(fixture, &job, "line\n");
        assert_int_equal(job.answer, LANE_DONE);
    }
    fixture_close(fixture, &job);
    assert_int_equal(lane_close(hung, HUNG_NS), -ETIMEDOUT);
    assert_null(lane_done(hung));
    assert_true(lane_stuck_ns(hung) >= (uint64_t)2 * HUNG_NS);
    char some[4096];
    while (lane_done(hung) == NULL) { /* let it go, so that nothing of it outlives the test */
        (void)!read(reader, some, sizeof(some));
        nap();
    }
    assert_int_equal(stuck.written, sizeof(more_than_a_pipe));
    (void)close(stuck.fd);
    (void)close(reader);
}

/* A read that takes its time is told of like any other call: here many lines nearly alike. */
static void a_slow_compare_is_seen(void **state)
{
    enum { BATCH_BYTES = 64 << 10, FILE_BYTES = 512 << 10 };
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    char *lines = malloc(FILE_BYTES);
    char *batch = malloc(BATCH_BYTES);
    assert_true(lines != NULL && batch != NULL);
    memset(lines, '\n', FILE_BYTES);
    memset(batch, '\n', BATCH_BYTES);
    batch[BATCH_BYTES - 2] = 'x';
    const uint32_t ends[] = {BATCH_BYTES};
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, fixture_path(fixture, "log", path));
    assert_int_equal(write(job.fd, lines, FILE_BYTES), FILE_BYTES);
    job.request = LANE_COMPARE;
    job.batch = (struct compare_batch){
        .bytes = batch, .bytes_count = BATCH_BYTES, .ends = ends + 1, .ends_count = 1};
    lane_submit(fixture->lane, &job);
    bool seen = false;
    struct lane_job *done = NULL;
    while (done == NULL) {
        uint64_t stuck_ns = lane_stuck_ns(fixture->lane);
        const char *call = lane_call(fixture->lane);
        seen = seen || (stuck_ns > 0 && call != NULL && strcmp(call, "read") == 0);
        done = lane_done(fixture->lane);
    }
    assert_true(seen);
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.found.standing, BATCH_BYTES - 2); /* at the file's end */
    assert_int_equal(lane_stuck_ns(fixture->lane), 0);
    fixture_close(fixture, &job);
    free(lines);
    free(batch);
}

/* The thread is found by its name in /proc, and its signals are blocked. */
static void bears_its_name(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    unsigned found = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        char path[320];
        char text[4096] = "";
        (void)snprintf(path, sizeof(path), "/proc/self/task/%s/status", task->d_name);
        YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ||
            strstr(text, "Name:\tlane-7\n") == NULL) {
            continue;
        }
        found++;
        const char *blocked = strstr(text, "SigBlk:\t");
        assert_non_null(blocked);
        uint64_t mask = strtoull(blocked + 8, NULL, 16);
        uint64_t common = 0x7fffffff & ~(1u << 8) & ~(1u << 18); /* not KILL and STOP */
        assert_int_equal(mask & common, common);
    }
    (void)closedir(tasks);
    assert_int_equal(found, 1);
}

int main(void)
{
#define SCENE(scene) cmocka_unit_test_setup_teardown(scene, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        SCENE(thousands_of_jobs_over_many_files),
        SCENE(a_full_ring_is_answered_in_order),
        SCENE(close_answers_what_is_left),
        SCENE(wakes_the_writer_only_when_it_sleeps),
        SCENE(interval_syncs_while_idle),
        SCENE(close_pays_what_the_interval_owes),
        SCENE(a_hung_lane_holds_nobody_else),
        SCENE(a_slow_compare_is_seen),
        SCENE(bears_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
