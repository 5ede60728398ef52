/* SPDX-License-Identifier: Apache-2.0 */
/* The sweeper at work on real files: what a kill leaves, what is still written, what is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "outputs/sweep.h"

enum { PATH_BYTES = 400, CONTENT_BYTES = 300000 };

struct yard {
    char folder[100];
    char log[PATH_BYTES];
    struct output_config config;
    struct rotation rotation;
    struct sweeper *sweeper;
    int event_fd;
    uint32_t sleeps;
};

static const char *path_of(const struct yard *yard, const char *name)
{
    static char path[PATH_BYTES];
    (void)snprintf(path, sizeof(path), "%s/%s", yard->folder, name);
    return path;
}

static void write_file(const struct yard *yard, const char *name, size_t bytes, time_t changed)
{
    static char content[CONTENT_BYTES];
    memset(content, 'x', bytes);
    YARDER_OWN_FD int fd = open(path_of(yard, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0604);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, bytes), bytes);
    const struct timespec times[2] = {
        {.tv_sec = changed, .tv_nsec = 7}, {.tv_sec = changed, .tv_nsec = 7}};
    assert_int_equal(futimens(fd, times), 0);
}

static bool is_there(const struct yard *yard, const char *name)
{
    struct stat status;
    return lstat(path_of(yard, name), &status) == 0;
}

static void yard_init(struct yard *yard)
{
    *yard = (struct yard){.config.kind = OUTPUT_FILE, .sleeps = 1};
    (void)snprintf(yard->folder, sizeof(yard->folder), "/tmp/sweep-test-XXXXXX");
    assert_non_null(mkdtemp(yard->folder));
    (void)snprintf(yard->log, sizeof(yard->log), "%s", path_of(yard, "log"));
    yard->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    yard->rotation.config = &yard->config;
    assert_int_equal(pthread_mutex_init(&yard->rotation.names, NULL), 0);
    write_file(yard, "log", 10, 1000);
}

static void yard_start(struct yard *yard)
{
    assert_int_equal(sweeper_open(&yard->sweeper, yard->event_fd, &yard->sleeps), 0);
    const uint64_t seen_ns[ROTATE_TOUCHES] = {0};
    sweeper_watch(yard->sweeper, &yard->rotation, seen_ns);
    sweeper_add(yard->sweeper, &yard->rotation, yard->log);
}

static void yard_end(struct yard *yard)
{
    assert_true(sweeper_stop(yard->sweeper, UINT64_C(20000000000)));
    sweeper_close(yard->sweeper);
    DIR *folder = opendir(yard->folder);
    assert_non_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        (void)unlink(path_of(yard, entry->d_name));
    }
    (void)closedir(folder);
    assert_int_equal(rmdir(yard->folder), 0);
    (void)pthread_mutex_destroy(&yard->rotation.names);
    (void)close(yard->event_fd);
}

/* Until the counter is so high. */
static void wait_for(const uint64_t *counter, uint64_t count)
{
    for (unsigned i = 0; __atomic_load_n(counter, __ATOMIC_RELAXED) < count; i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
}

static void wait_asked(struct yard *yard, uint32_t bit)
{
    for (unsigned i = 0; (__atomic_load_n(&yard->rotation.asked, __ATOMIC_RELAXED) & bit) == 0;
         i++) {
        assert_true(i < 20000);
        (void)poll(NULL, 0, 1);
    }
    __atomic_store_n(&yard->rotation.asked, 0, __ATOMIC_RELAXED);
}

static void test_what_a_kill_leaves(void **state)
{
    (void)state;
    struct yard yard;
    yard_init(&yard);
    yard.config.rotate.compress = ROTATE_GZIP;
    if (rotate_cannot(ROTATE_GZIP) != NULL) {
        skip();
    }
    write_file(&yard, "log.1", 1000, 900); /* compressed already, as its twin shows */
    write_file(&yard, "log.1.gz", 50, 900);
    write_file(&yard, "log.2", 1000, 800); /* somebody else's twin */
    write_file(&yard, "log.2.gz", 50, 801);
    write_file(&yard, "log.3", CONTENT_BYTES, 700);
    write_file(&yard, "log.12345.yarder-tmp", 10, 600);
    write_file(&yard, "log.x.yarder-tmp", 10, 600);
    yard_start(&yard);
    wait_for(&yard.rotation.swept.compressed, 1);
    wait_for(&yard.rotation.swept.failed, 1); /* the name is taken: it stays raw, and is told */
    wait_asked(&yard, ROTATE_ASKED_TOLD);
    struct rotation_trouble trouble;
    sweeper_trouble(yard.sweeper, &yard.rotation, &trouble);
    assert_string_equal(trouble.call, "compress");
    assert_true(is_there(&yard, "log") && is_there(&yard, "log.1.gz") && !is_there(&yard, "log.1"));
    assert_true(is_there(&yard, "log.2") && is_there(&yard, "log.2.gz"));
    assert_true(is_there(&yard, "log.3.gz") && !is_there(&yard, "log.3"));
    assert_true(!is_there(&yard, "log.12345.yarder-tmp") && is_there(&yard, "log.x.yarder-tmp"));
    struct stat status;
    assert_int_equal(stat(path_of(&yard, "log.3.gz"), &status), 0);
    assert_int_equal(status.st_mtim.tv_sec, 700);
    assert_int_equal(status.st_mtim.tv_nsec, 7);
    assert_int_equal(status.st_mode & 07777, 0604);
    yard_end(&yard);
}

/* Neither compressed nor removed, until its lock is free. */
static void test_what_is_written(void **state)
{
    (void)state;
    struct yard yard;
    yard_init(&yard);
    yard.config.rotate.keep = 1;
    write_file(&yard, "log.1", 1000, 900);
    write_file(&yard, "log.2", 1000, 800);
    write_file(&yard, "log.3", 1000, 700);
    int held = open(path_of(&yard, "log.2"), O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(held, LOCK_EX | LOCK_NB), 0);
    yard_start(&yard);
    wait_for(&yard.rotation.swept.removed, 1);
    assert_true(is_there(&yard, "log.2") && !is_there(&yard, "log.3"));
    (void)close(held);
    wait_for(&yard.rotation.swept.removed, 2);
    assert_true(is_there(&yard, "log.1") && !is_there(&yard, "log.2"));
    yard_end(&yard);
}

static void test_touched(void **state)
{
    (void)state;
    struct yard yard;
    yard_init(&yard);
    char paths[2][PATH_BYTES];
    (void)snprintf(paths[0], PATH_BYTES, "%s", path_of(&yard, "one"));
    (void)snprintf(paths[1], PATH_BYTES, "%s", path_of(&yard, "two"));
    char *rotate[] = {paths[0]};
    char *reopen[] = {paths[1]};
    yard.config.rotate.touch = (struct yarder_texts){rotate, 1};
    yard.config.rotate.reopen_touch = (struct yarder_texts){reopen, 1};
    yard_start(&yard);
    wait_asked(&yard, ROTATE_ASKED_SEEN);
    write_file(&yard, "one", 1, 500); /* it appears, from long ago */
    wait_asked(&yard, ROTATE_ASKED_ROTATE);
    write_file(&yard, "two", 1, 500);
    wait_asked(&yard, ROTATE_ASKED_REOPEN);
    assert_int_equal(unlink(paths[0]), 0);
    wait_asked(&yard, ROTATE_ASKED_SEEN);
    assert_int_equal(
        __atomic_load_n(&yard.rotation.touched_ns[1], __ATOMIC_RELAXED), UINT64_C(500000000007));
    yard_end(&yard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_kill_leaves),
        cmocka_unit_test(test_what_is_written),
        cmocka_unit_test(test_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
