/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a lane appends, and notices all that others do to its files, before it writes a byte.
 * Method: one job at a time on real files, with a stranger's hand between two jobs. Each scene runs
 * with plain writes and through io_uring.
 */
#include "outputs/lane_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup_uring(void **state)
{
    int r = fixture_setup(state);
    ((struct fixture *)*state)->config.file_io = OUTPUT_FILE_IO_URING;
    return r;
}

static void appends(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_append(fixture_path(fixture, "log", path), "before\n");
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    assert_int_equal(job.size, 7);
    assert_true(job.regular);
    fixture_write(fixture, &job, "one\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.written, 4);
    assert_int_equal(job.size, 11);
    fixture_write(fixture, &job, "two\n");
    fixture_write(fixture, &job, ""); /* only looks */
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.written, 0);
    assert_int_equal(job.size, 15);
    assert_string_equal(fixture_content(path), "before\none\ntwo\n");
    char read_back[4] = "";
    assert_int_equal(pread(job.fd, read_back, 3, 7), 3); /* recovery compares: readable */
    assert_string_equal(read_back, "one");
    assert_int_equal(fixture_syncs, 0);
    fixture_close(fixture, &job);
    assert_int_equal(job.sync_error, 0);
    assert_int_equal(lane_stuck_ns(fixture->lane), 0);
    assert_null(lane_call(fixture->lane));
}

static void notices_a_rename(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    char renamed[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    fixture_write(fixture, &job, "one\n");
    struct lane_job old = job;
    assert_int_equal(rename(path, fixture_path(fixture, "log.1", renamed)), 0);
    fixture_append(path, "made by logrotate\n");
    fixture_write(fixture, &job, "two\n");
    assert_int_equal(job.answer, LANE_MOVED);
    assert_int_equal(job.old_fd, old.fd);
    assert_int_not_equal(job.fd, old.fd);
    assert_int_not_equal(job.ino, old.ino);
    assert_int_equal(job.size, 18);
    assert_true(job.regular);
    assert_string_equal(fixture_content(renamed), "one\n");
    assert_string_equal(fixture_content(path), "made by logrotate\n");
    job.expected_size = job.size;
    fixture_write(fixture, &job, "two\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_string_equal(fixture_content(path), "made by logrotate\ntwo\n");
    fixture_close(fixture, &old);
    fixture_close(fixture, &job);
}

static void notices_an_unlink(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    char folder[FIXTURE_PATH_BYTES];
    char elsewhere[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "a/b/log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    struct lane_job old = job;
    assert_int_equal(unlink(path), 0);
    fixture_write(fixture, &job, "one\n");
    assert_int_equal(job.answer, LANE_MOVED);
    assert_int_equal(job.size, 0);
    fixture_close(fixture, &old);
    old = job;
    fixture_path(fixture, "a", folder);
    assert_int_equal(rename(folder, fixture_path(fixture, "z", elsewhere)), 0);
    fixture_write(fixture, &job, "one\n"); /* the folders are made again */
    assert_int_equal(job.answer, LANE_MOVED);
    fixture_close(fixture, &old);
    fixture_write(fixture, &job, "one\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_string_equal(fixture_content(path), "one\n");
    fixture_close(fixture, &job);
}

static void notices_another_size(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    fixture_write(fixture, &job, "one\n");
    fixture_append(path, "foreign\n");
    job.record_open = true; /* its rest must not stand behind a stranger's line */
    fixture_write(fixture, &job, "two\n");
    assert_int_equal(job.answer, LANE_RESIZED);
    assert_int_equal(job.size, 12);
    assert_int_equal(job.written, 0);
    job.record_open = false; /* a whole record may */
    fixture_write(fixture, &job, "two\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_int_equal(job.size, 16);
    assert_string_equal(fixture_content(path), "one\nforeign\ntwo\n");
    assert_int_equal(truncate(path, 0), 0); /* copytruncate */
    fixture_write(fixture, &job, "three\n");
    assert_int_equal(job.answer, LANE_RESIZED);
    assert_int_equal(job.size, 0);
    job.expected_size = job.size;
    fixture_write(fixture, &job, "three\n");
    assert_string_equal(fixture_content(path), "three\n");
    fixture_close(fixture, &job);
}

static void keeps_an_open_record_together(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    char renamed[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    fixture_write(fixture, &job, "be");
    assert_int_equal(rename(path, fixture_path(fixture, "log.1", renamed)), 0);
    job.record_open = true;
    fixture_write(fixture, &job, "gun\n");
    assert_int_equal(job.answer, LANE_DONE);
    assert_string_equal(fixture_content(renamed), "begun\n");
    fixture_append(renamed, "x"); /* the size is still looked at */
    fixture_write(fixture, &job, "more");
    assert_int_equal(job.answer, LANE_RESIZED);
    assert_int_equal(access(path, F_OK), -1);
    struct lane_job old = job;
    job.reopen = true;
    fixture_write(fixture, &job, "more");
    assert_int_equal(job.answer, LANE_MOVED);
    job.expected_size = job.size;
    fixture_write(fixture, &job, "more"); /* reopen of the same file: simply goes on */
    assert_int_equal(job.answer, LANE_DONE);
    fixture_close(fixture, &old);
    fixture_close(fixture, &job);
}

static void gives_owner_and_mode_to_its_own_files_only(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    struct stat status;
    fixture->config.mode = 0664;
    bool root = geteuid() == 0;
    fixture->options.owner_uid = root ? 65534 : (uid_t)-1;
    fixture->options.owner_gid = root ? 65533 : (gid_t)-1;
    fixture_start(fixture);
    struct lane_job job = {0};
    mode_t before = umask(0077);
    fixture_open(fixture, &job, fixture_path(fixture, "new/log", path));
    (void)umask(before);
    assert_int_equal(job.owner_error, 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0664);
    assert_int_equal(status.st_uid, root ? 65534 : geteuid());
    assert_int_equal(status.st_gid, root ? 65533 : getegid());
    fixture_close(fixture, &job);

    fixture_append(fixture_path(fixture, "theirs", path), "");
    fixture_open(fixture, &job, path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(status.st_uid, geteuid());
    fixture_close(fixture, &job);

    char target[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "target", target);
    assert_int_equal(symlink(target, fixture_path(fixture, "link", path)), 0);
    fixture_open(fixture, &job, path); /* a planted link gives nothing away */
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_uid, geteuid());
    fixture_close(fixture, &job);
}

static void says_when_an_owner_cannot_be_given(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    bool root = geteuid() == 0;
    assert_int_equal(chmod(fixture->folder, 0777), 0);
    fixture->options.owner_uid = root ? 1 : 0;
    fixture_start(fixture);
    assert_int_equal(seteuid(root ? 65534 : geteuid()), 0);
    struct lane_job job = {0};
    job.request = LANE_OPEN;
    job.path = fixture_path(fixture, "log", path);
    fixture_run(fixture, &job);
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(job.answer, LANE_DONE); /* a log all the same */
    assert_int_equal(job.owner_error, -EPERM);
    fixture_close(fixture, &job);
}

static void makes_no_folder_unasked(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture->config.mkdir = false;
    fixture_start(fixture);
    struct lane_job job = {
        .request = LANE_OPEN, .path = fixture_path(fixture, "no/log", path), .fd = -1};
    fixture_run(fixture, &job);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -ENOENT);
    assert_string_equal(job.failed_call, "open");
    assert_int_equal(job.fd, -1);
    job.path = fixture->folder;
    fixture_run(fixture, &job);
    assert_int_equal(job.error, -EISDIR);
}

static void opens_a_file_it_may_not_read(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    bool root = geteuid() == 0;
    fixture_append(fixture_path(fixture, "log", path), "secret\n");
    assert_int_equal(chmod(path, root ? 0622 : 0200), 0);
    assert_int_equal(chmod(fixture->folder, 0755), 0);
    fixture_start(fixture);
    assert_int_equal(seteuid(root ? 65534 : geteuid()), 0);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    fixture_write(fixture, &job, "one\n");
    enum lane_answer answer = job.answer;
    bool write_only = (fcntl(job.fd, F_GETFL) & O_ACCMODE) == O_WRONLY;
    fixture_close(fixture, &job);
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(answer, LANE_DONE);
    assert_true(write_only);
    assert_int_equal(chmod(path, 0600), 0);
    assert_string_equal(fixture_content(path), "secret\none\n");
}

/* Forks a process that locks the path and waits to be killed. */
static pid_t fork_holder(const char *path)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        char said = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 'y' : 'n';
        (void)!write(ready[1], &said, 1);
        for (;;) {
            (void)pause();
        }
    }
    char said = 0;
    assert_int_equal(read(ready[0], &said, 1), 1);
    assert_int_equal(said, 'y');
    (void)close(ready[0]);
    (void)close(ready[1]);
    return pid;
}

static void refuses_what_another_process_writes(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_append(fixture_path(fixture, "log", path), "theirs\n");
    fixture_start(fixture); /* first: it may skip the scene, and the holder would stay */
    pid_t holder = fork_holder(path);
    struct lane_job job = {.request = LANE_OPEN, .path = path, .fd = -1, .truncate = true};
    fixture_run(fixture, &job);
    assert_int_equal(kill(holder, SIGKILL), 0);
    assert_int_equal(waitpid(holder, NULL, 0), holder);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_int_equal(job.error, -EAGAIN);
    assert_true(job.locked_elsewhere);
    assert_true(
        job.locked_by == holder || job.locked_by == 0); /* 0: /proc/locks names another device */
    assert_string_equal(fixture_content(path), "theirs\n"); /* not emptied under its owner */
    fixture_open(fixture, &job, path);
    assert_false(job.locked_elsewhere);
    assert_int_equal(job.size, 0);
    fixture_close(fixture, &job);
}

static void holds_the_lock_as_long_as_any_descriptor_lives(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    int kept = fcntl(job.fd, F_DUPFD_CLOEXEC, 0); /* as the supervisor's */
    fixture_close(fixture, &job);
    job.request = LANE_OPEN;
    fixture_run(fixture, &job);
    assert_int_equal(job.answer, LANE_FAILED);
    assert_true(job.locked_elsewhere);
    job.fd = kept; /* what a new worker does: it writes through the kept one */
    job.expected_size = 0;
    fixture_write(fixture, &job, "one\n");
    assert_int_equal(job.answer, LANE_DONE);
    fixture_close(fixture, &job);
    fixture_open(fixture, &job, path);
    fixture_close(fixture, &job);
}

/* Forks a process that appends without a pause until it is killed. */
static pid_t fork_appender(const char *path)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        while (write(fd, "theirs\n", 7) == 7) {
        }
        _exit(1);
    }
    return pid;
}

/* Whatever lands in between, `size` says where our own bytes end. */
static void knows_its_bytes_among_others(void **state)
{
    struct fixture *fixture = *state;
    char path[FIXTURE_PATH_BYTES];
    fixture_path(fixture, "log", path);
    fixture_start(fixture);
    struct lane_job job = {0};
    fixture_open(fixture, &job, path);
    pid_t appender = fork_appender(path);
    char line[2048];
    char read_back[sizeof(line)];
    unsigned done = 0;
    unsigned resized = 0;
    unsigned beside = 0;
    for (unsigned i = 0; i < 2000; i++) {
        memset(line, 'a' + (int)(i % 26), sizeof(line));
        job.request = LANE_WRITE;
        job.bytes = line;
        job.bytes_count = sizeof(line);
        job.record_open = i % 2 == 0;
        fixture_run(fixture, &job);
        if (job.answer == LANE_DONE) {
            assert_int_equal(job.written, sizeof(line));
            off_t at = (off_t)(job.size - sizeof(line));
            assert_int_equal(pread(job.fd, read_back, sizeof(line), at), sizeof(line));
            assert_memory_equal(read_back, line, sizeof(line));
            beside += job.size != job.expected_size + sizeof(line);
            done++;
        } else {
            assert_int_equal(job.answer, LANE_RESIZED);
            assert_true(job.record_open);
            assert_true(job.size > job.expected_size);
            resized++;
        }
        job.expected_size = job.size;
    }
    assert_true(done >= 1000); /* every one without an open record */
    assert_int_equal(kill(appender, SIGKILL), 0);
    assert_int_equal(waitpid(appender, NULL, 0), appender);
    print_message(
        "written %u, of them behind strangers' bytes %u; resized %u\n", done, beside, resized);
    fixture_close(fixture, &job);
}

#define BOTH_WAYS(scene)                                                                           \
    cmocka_unit_test_setup_teardown(scene, fixture_setup, fixture_teardown),                       \
        cmocka_unit_test_setup_teardown(scene, setup_uring, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_WAYS(appends),
        BOTH_WAYS(notices_a_rename),
        BOTH_WAYS(notices_an_unlink),
        BOTH_WAYS(notices_another_size),
        BOTH_WAYS(keeps_an_open_record_together),
        BOTH_WAYS(gives_owner_and_mode_to_its_own_files_only),
        BOTH_WAYS(says_when_an_owner_cannot_be_given),
        BOTH_WAYS(makes_no_folder_unasked),
        BOTH_WAYS(opens_a_file_it_may_not_read),
        BOTH_WAYS(refuses_what_another_process_writes),
        BOTH_WAYS(knows_its_bytes_among_others),
        BOTH_WAYS(holds_the_lock_as_long_as_any_descriptor_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
