/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/lane_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

uint32_t fixture_syncs;
int fixture_sync_errno;

/* Stands before libc's, so that a test can count and fail it. */
int fdatasync(int fd)
{
    __atomic_add_fetch(&fixture_syncs, 1, __ATOMIC_SEQ_CST);
    int fail = __atomic_load_n(&fixture_sync_errno, __ATOMIC_SEQ_CST);
    if (fail != 0) {
        errno = fail;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int fixture_setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    const char *base = getenv("TMPDIR");
    (void)snprintf(fixture->folder, sizeof(fixture->folder), "%s/lane-test-XXXXXX",
        base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(fixture->folder));
    fixture->config.kind = OUTPUT_FILE;
    fixture->config.mode = 0640;
    fixture->config.mkdir = true;
    fixture->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_true(fixture->event_fd >= 0);
    fixture->options = (struct lane_options){
        .config = &fixture->config,
        .index = 7,
        .event_fd = fixture->event_fd,
        .writer_sleeps = &fixture->writer_sleeps,
        .owner_uid = (uid_t)-1,
        .owner_gid = (gid_t)-1,
    };
    __atomic_store_n(&fixture_syncs, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fixture_sync_errno, 0, __ATOMIC_SEQ_CST);
    *state = fixture;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    (void)status, (void)type, (void)where;
    return remove(path);
}

int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->lane != NULL) {
        assert_int_equal(lane_close(fixture->lane, FIXTURE_CLOSE_NS), 0);
    }
    (void)close(fixture->event_fd);
    (void)nftw(fixture->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

void fixture_start(struct fixture *fixture)
{
    int r = lane_open(&fixture->lane, &fixture->options);
    if (r < 0 && fixture->config.file_io == OUTPUT_FILE_IO_URING) {
        print_message("no io_uring here: %s\n", strerror(-r));
        fixture->lane = NULL;
        skip();
    }
    assert_int_equal(r, 0);
}

const char *fixture_path(const struct fixture *fixture, const char *name, char *path)
{
    int length = snprintf(path, FIXTURE_PATH_BYTES, "%s/%s", fixture->folder, name);
    assert_in_range(length, 1, FIXTURE_PATH_BYTES - 1);
    return path;
}

struct lane_job *fixture_wait(struct fixture *fixture)
{
    struct lane_job *job = lane_done(fixture->lane);
    while (job == NULL) {
        __atomic_store_n(&fixture->writer_sleeps, 1, __ATOMIC_SEQ_CST);
        job = lane_done(fixture->lane); /* once more, after the flag */
        if (job == NULL) {
            struct pollfd event = {.fd = fixture->event_fd, .events = POLLIN};
            assert_int_equal(poll(&event, 1, 20000), 1);
            uint64_t count = 0;
            assert_int_equal(read(fixture->event_fd, &count, sizeof(count)), sizeof(count));
            job = lane_done(fixture->lane);
        }
        __atomic_store_n(&fixture->writer_sleeps, 0, __ATOMIC_SEQ_CST);
    }
    return job;
}

void fixture_run(struct fixture *fixture, struct lane_job *job)
{
    lane_submit(fixture->lane, job);
    assert_ptr_equal(fixture_wait(fixture), job);
}

void fixture_open(struct fixture *fixture, struct lane_job *job, const char *path)
{
    job->request = LANE_OPEN;
    job->path = path;
    fixture_run(fixture, job);
    if (job->answer != LANE_DONE) {
        fail_msg("%s: %s: %s", path, job->failed_call, strerror(-job->error));
    }
    assert_true(job->fd > STDERR_FILENO);
    job->expected_size = job->size;
}

void fixture_write(struct fixture *fixture, struct lane_job *job, const char *text)
{
    job->request = LANE_WRITE;
    job->bytes = text;
    job->bytes_count = (uint32_t)strlen(text);
    fixture_run(fixture, job);
    if (job->answer == LANE_DONE) {
        job->expected_size = job->size;
    }
}

void fixture_close(struct fixture *fixture, struct lane_job *job)
{
    job->request = LANE_CLOSE;
    fixture_run(fixture, job);
    assert_int_equal(job->answer, LANE_DONE);
    assert_int_equal(job->fd, -1);
}

const char *fixture_content(const char *path)
{
    static char content[65 << 10];
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t length = read(fd, content, sizeof(content) - 1);
    assert_true(length >= 0);
    content[length] = '\0';
    return content;
}

void fixture_append(const char *path, const char *text)
{
    YARDER_OWN_FD int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}
