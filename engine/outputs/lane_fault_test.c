/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what goes wrong below a lane (full disk, limits, readers that are slow or gone, a sync that
 * fails) is answered as it is, and never as success. Method: the real thing each time: a small
 * tmpfs in a mount namespace of our own, FIFOs, a pipe as standard output, RLIMIT_FSIZE; failing
 * syncs by an fdatasync of the test's own.
 */
#include "outputs/lane_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { BIG_BYTES = 256 << 10, SMALL_DISK_BYTES = 1 << 20 };

static bool own_mounts;
static char big[BIG_BYTES];

static int setup_uring(void **state)
{
    int r = fixture_setup(state);
    ((struct fixture *)*state)->config.file_io = OUTPUT_FILE_IO_URING;
    return r;
}

static int setup_batch(void **state)
{
    int r = fixture_setup(state);
    ((struct fixture *)*state)->config.file_io = OUTPUT_FILE_IO_WRITE;
    ((struct fixture *)*state)->config.fsync.policy = OUTPUT_SYNC_BATCH;
    return r;
}

static int setup_batch_uring(void **state)
{
    int r = setup_batch(state);
    ((struct fixture *)*state)->config.file_io = OUTPUT_FILE_IO_URING;
    return r;
}

static char stdout_word[] = "stdout";

static int setup_stdio(void **state)
{
    int r = fixture_setup(state);
    ((struct fixture *)*state)->config.kind = OUTPUT_STDIO;
    ((struct fixture *)*state)->config.target = stdout_word;
    return r;
}

static void write_big(struct fixture *fixture, struct lane_job *job)
{
    job->request = LANE_WRITE;
    job->bytes = big;
    job->bytes_count = BIG_BYTES;
    fixture_run(fixture, job);
    if (job->answer == LANE_DONE) {
        job->expected_size = job->size;
    }
}

/* Writes until something fails; returns the bytes that stand, and how many writes were short. */
static uint64_t write_until_failed(struct fixture *fixture, struct lane_job *job, unsigned *shorts)
{
    uint64_t stands = 0;
    *shorts = 0;
    for (int i = 0; i < 64; i++) {
        write_big(fixture, job);
        if (job->answer != LANE_DONE) {
            return stands;
        }
        assert_in_range(job->written, 1, BIG_BYTES);
        *shorts += job->written < BIG_BYTES;
        stands += job->written;
        assert_int_equal(job->size, stands);
    }
    fail_msg("never full");
    return 0;
}

static void full_disk_is_short_then_an_error(void **state)
{
    struct fixture *fixture = *state;
    char disk[FIXTURE_PATH_BYTES];
    char path[FIXTURE_PATH_BYTES];
    char balloon[FIXTURE_PATH_BYTES];
    if (!own_mounts) {
        skip();
    }
    fixture_start(fixture); /* first: it may skip the scene, and the mount would stay */
    fixture_path(fixture, "disk", disk);
    assert_int_equal(mkdir(disk, 0755), 0);
    assert_int_equal(mount("none", disk, "tmpfs", 0, "size=1M"), 0);
    fixture_append(fixture_path(fixture, "disk/balloon", balloon), "takes a page\n");
    struct lane_job job = {0};
    fixture_open(fixture, &job, fixture_path(fixture, "disk/log", path));
    unsigned shorts = 0;
    uint64_t stands = write_until_failed(fixture, &job, &shorts);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -ENOSPC);
    assert_string_equal(job.failed_call, "write");
    assert_int_equal(job.written, 0);
    assert_int_equal(shorts, 1);
    assert_int_equal(stands, SMALL_DISK_BYTES - 4096);
    if (fixture->config.fsync.policy == OUTPUT_SYNC_BATCH) {
        /* the short write took its linked sync with it, and got another */
        bool plain = fixture->config.file_io == OUTPUT_FILE_IO_WRITE;
        assert_int_equal(fixture_syncs, plain ? 4 : 1);
    }
    assert_int_equal(unlink(balloon), 0); /* room again: it goes on where it stopped */
    fixture_write(fixture, &job, "rest\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.size, stands + 5);
    fixture_close(fixture, &job);
    assert_int_equal(umount2(disk, MNT_DETACH), 0);
}

static void size_limit_is_short_then_an_error(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit limit = {BIG_BYTES + 1000, before.rlim_max};
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, fixture_path(fixture, "log", path));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    unsigned shorts = 0;
    uint64_t stands = write_until_failed(fixture, &job, &shorts);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(job.error, -EFBIG);
    assert_int_equal(stands, BIG_BYTES + 1000);
    assert_int_equal(shorts, 1);
    fixture_close(fixture, &job);
}

static void batch_syncs_before_the_answer(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_start(fixture);
    bool plain = fixture->config.file_io == OUTPUT_FILE_IO_WRITE;
    assert_string_equal(lane_io_name(fixture->lane), plain ? "write" : "io_uring");
    struct lane_job job = {0};
    fixture_open(fixture, &job, fixture_path(fixture, "log", path));
    for (unsigned i = 1; i <= 10; i++) {
        fixture_write(fixture, &job, "line\n");
        assert_int_equal(job.answer, LANE_DONE);
        assert_int_equal(job.sync_error, 0);
        assert_int_equal(job.size, 5 * i);
        assert_int_equal(fixture_syncs, plain ? i : 0); /* else linked in the ring */
    }
    fixture_write(fixture, &job, ""); /* a new worker makes sure of what stands */
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(fixture_syncs, plain ? 11 : 1);
    if (plain) {
        __atomic_store_n(&fixture_sync_errno, EIO, __ATOMIC_SEQ_CST);
        fixture_write(fixture, &job, "line\n");
        assert_int_equal(job.answer, LANE_DONE); /* the bytes stand */
        assert_int_equal(job.written, 5);
        assert_int_equal(job.sync_error, -EIO);
        __atomic_store_n(&fixture_sync_errno, 0, __ATOMIC_SEQ_CST);
    }
    fixture_close(fixture, &job);
}

static void auto_takes_the_ring_for_batches_only(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    assert_string_equal(lane_io_name(fixture->lane), "write");
    assert_int_equal(lane_close(fixture->lane, FIXTURE_CLOSE_NS), 0);
    fixture->config.file_io = OUTPUT_FILE_IO_URING;
    fixture_start(fixture);
    assert_int_equal(lane_close(fixture->lane, FIXTURE_CLOSE_NS), 0);
    fixture->config.file_io = OUTPUT_FILE_IO_AUTO;
    fixture->config.fsync.policy = OUTPUT_SYNC_BATCH;
    fixture_start(fixture);
    assert_string_equal(lane_io_name(fixture->lane), "io_uring");
}

static void full_device_is_an_error(void **state)
{
    struct fixture *fixture = *state;
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, "/dev/full");
    assert_false(job.regular);
    fixture_write(fixture, &job, "line\n");
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -ENOSPC);
    fixture_close(fixture, &job);
    fixture_open(fixture, &job, "/dev/null");
    fixture_write(fixture, &job, "line\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.written, 5);
    fixture_close(fixture, &job);
}

/* Reads n bytes from a descriptor, in small pieces. */
static void read_slowly(int fd, size_t bytes_count)
{
    char piece[1000];
    while (bytes_count > 0) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&readable, 1, 20000), 1);
        ssize_t r = read(fd, piece, yarder_min(sizeof(piece), bytes_count));
        assert_true(r > 0);
        bytes_count -= (size_t)r;
    }
}

static void fifo_reader_slow_then_gone(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    assert_int_equal(mkfifo(fixture_path(fixture, "fifo", path), 0600), 0);
    fixture_start(fixture);
    struct lane_job job = {.request = LANE_OPEN, .path = path, .fd = -1};
    fixture_run(fixture, &job);
    assert_int_equal(job.error, -ENXIO); /* nobody reads; and we are no reader of it ourselves */
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(reader >= 0);
    fixture_open(fixture, &job, path);
    assert_false(job.regular);
    job.request = LANE_WRITE;
    job.bytes = big;
    job.bytes_count = BIG_BYTES; /* four pipes full */
    lane_submit(fixture->lane, &job);
    read_slowly(reader, BIG_BYTES);
    assert_ptr_equal(fixture_wait(fixture), &job);
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.written, BIG_BYTES);
    assert_int_equal(job.size, 0);
    lane_submit(fixture->lane, &job);
    read_slowly(reader, 100000);
    (void)close(reader);
    assert_ptr_equal(fixture_wait(fixture), &job);
    assert_int_equal(job.answer, LANE_DONE); /* short: what went into the pipe */
    assert_in_range(job.written, 65536, BIG_BYTES - 1);
    write_big(fixture, &job);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -EPIPE);
    fixture_close(fixture, &job);
}

/* Opens the job on `out` as standard output. */
static void open_stdout(struct fixture *fixture, struct lane_job *job, int out)
{
    (void)fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_int_equal(dup2(out, STDOUT_FILENO), STDOUT_FILENO);
    fixture_open(fixture, job, NULL);
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    (void)close(saved);
}

static void stdout_may_be_a_nonblocking_pipe(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    fixture_start(fixture);
    struct lane_job job = {0};
    open_stdout(fixture, &job, ends[1]);
    (void)close(ends[1]);
    job.request = LANE_WRITE;
    job.bytes = big;
    job.bytes_count = BIG_BYTES;
    lane_submit(fixture->lane, &job);
    read_slowly(ends[0], BIG_BYTES);
    assert_ptr_equal(fixture_wait(fixture), &job);
    assert_int_equal(job.written, BIG_BYTES);
    assert_true((fcntl(job.fd, F_GETFL) & O_NONBLOCK) != 0); /* not ours to change */
    (void)close(ends[0]);
    write_big(fixture, &job);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -EPIPE);
    fixture_close(fixture, &job);
}

static void stdout_may_be_a_file(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_append(fixture_path(fixture, "out", path), "before\n");
    int out = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    fixture_start(fixture);
    struct lane_job job = {0};
    open_stdout(fixture, &job, out);
    assert_true(job.regular);
    fixture_append(path, "theirs\n"); /* no look on standard output: it is shared by its nature */
    fixture_write(fixture, &job, "ours\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.size, 19);
    assert_string_equal(fixture_content(path), "before\ntheirs\nours\n");
    fixture_close(fixture, &job);
    (void)close(out);
}

/* A mount namespace of our own, so that no mount of a test outlives it. */
static bool take_own_mounts(void)
{
    int r = unshare(CLONE_NEWNS);
    if (r < 0) {
        r = unshare(CLONE_NEWUSER | CLONE_NEWNS);
    }
    return r == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN); /* as the daemon does */
    (void)signal(SIGPIPE, SIG_IGN);
    memset(big, 'x', sizeof(big));
    own_mounts = take_own_mounts();
    if (!own_mounts) {
        (void)fprintf(stderr, "no mount namespace: scenes with a full disk are skipped\n");
    }
#define SCENE(scene, setup) cmocka_unit_test_setup_teardown(scene, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        SCENE(full_disk_is_short_then_an_error, fixture_setup),
        SCENE(full_disk_is_short_then_an_error, setup_uring),
        SCENE(full_disk_is_short_then_an_error, setup_batch),
        SCENE(full_disk_is_short_then_an_error, setup_batch_uring),
        SCENE(size_limit_is_short_then_an_error, fixture_setup),
        SCENE(size_limit_is_short_then_an_error, setup_uring),
        SCENE(batch_syncs_before_the_answer, setup_batch),
        SCENE(batch_syncs_before_the_answer, setup_batch_uring),
        SCENE(auto_takes_the_ring_for_batches_only, fixture_setup),
        SCENE(full_device_is_an_error, fixture_setup),
        SCENE(full_device_is_an_error, setup_uring),
        SCENE(fifo_reader_slow_then_gone, fixture_setup),
        SCENE(fifo_reader_slow_then_gone, setup_uring),
        SCENE(stdout_may_be_a_nonblocking_pipe, setup_stdio),
        SCENE(stdout_may_be_a_file, setup_stdio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
