/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a spool whose files were torn, damaged, removed or are not its own gives what is sound of
 * them, says what is not, and counts every record. Method: one such spool after another.
 */
#include "queue/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/checksum.h"
#include "queue/spool_check.h"
#include "queue/spool_disk.h"
#include "queue/spool_fixture.h"

static void put_file(const char *name, const char *bytes, size_t bytes_count, off_t at)
{
    YARDER_OWN_FD int fd = open(testing_path(name), O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, bytes_count, at), (ssize_t)bytes_count);
}

static off_t file_size(const char *name)
{
    struct stat seen;
    assert_int_equal(stat(testing_path(name), &seen), 0);
    return seen.st_size;
}

/* A process that dies in the middle of a write leaves half a record behind. */
static void cuts_a_torn_tail(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct spool *spool = testing_open(&options);
        (void)testing_append(spool, 1, 1, 20, 100);
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    static struct testing_names names;
    testing_segments(&names);
    assert_int_equal(names.count, 1);
    off_t size = file_size(names.names[0]);
    assert_int_equal(truncate(testing_path(names.names[0]), size - 24), 0);
    testing_lines = 0;
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_lines, 1);
    assert_non_null(strstr(testing_line, "cut off"));
    testing_counts(spool, 19, 0, 0, 0, 19);
    assert_int_equal(testing_append(spool, 1, 18, 5, 100), 5); /* 18 and 19 again, 20 to 22 */
    testing_release(spool);
    testing_drain(spool, 1, 1, 23);
    spool_close(spool);
    struct stat seen;
    assert_int_equal(stat(testing_path("damaged"), &seen), 0);
}

static void goes_on_behind_damage(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 40, 100), 40);
    spool_close(spool);
    static struct testing_names names;
    testing_segments(&names);
    size_t bytes = testing_record(testing_run, (struct yarder_id){1, 1}, 100);
    /* In the middle of the first, of the 10th and 11th, and the length of the 20th. */
    put_file(names.names[0], "!", 1, 4096 + 50);
    put_file(names.names[0], testing_run, bytes, (off_t)(4096 + 9 * bytes + 40));
    put_file(names.names[0], "\377\377\377\177", 4, (off_t)(4096 + 19 * bytes));
    testing_lines = 0;
    spool = testing_open(&options);
    testing_release(spool);
    struct spool_batch batch;
    uint64_t expected = 2;
    while (spool_read(spool, &batch) == 0) {
        size_t at = 0;
        while (at < batch.bytes_count) {
            size_t taken;
            uint64_t number = testing_read(batch.bytes + at, batch.bytes_count - at, &taken).number;
            assert_int_equal(number, expected);
            expected = number == 9 ? 12 : number == 19 ? 21 : number + 1;
            at += taken;
        }
        struct spool_answers answers = {.delivered = batch.records};
        assert_int_equal(spool_answer(spool, &batch, at, &answers), 0);
    }
    assert_int_equal(expected, 41);
    assert_int_equal(testing_lines, 1);
    testing_counts(spool, 40, 36, 0, 4, 0);
    spool_close(spool);
}

/* A segment that is gone, one that is another spool's, one that cannot be read, other files. */
static void counts_segments_that_are_gone(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    uint64_t next = 1;
    for (; next < 801; next += 50) {
        assert_int_equal(testing_append(spool, 1, next, 50, 1000), 50);
    }
    spool_close(spool);
    static struct testing_names names;
    testing_segments(&names);
    assert_true(names.count > 8);
    assert_int_equal(unlink(testing_path(names.names[2])), 0);
    char folder[256];
    (void)snprintf(folder, sizeof(folder), "%s", testing_path(names.names[4]));
    assert_int_equal(unlink(folder), 0);
    assert_int_equal(mkdir(folder, 0700), 0);
    put_file(names.names[6], "another spool's", 15, 8);
    put_file("README", "hello", 5, 0);
    testing_lines = 0;
    spool = testing_open(&options);
    assert_true(testing_lines >= 3);
    testing_release(spool);
    struct spool_batch batch;
    uint64_t records = 0;
    while (spool_read(spool, &batch) == 0) {
        struct spool_answers answers = {.delivered = batch.records};
        records += batch.records;
        assert_int_equal(spool_answer(spool, &batch, batch.bytes_count, &answers), 0);
    }
    assert_true(records > 600 && records < 800);
    testing_counts(spool, 800, records, 0, 800 - records, 0);
    spool_close(spool);
}

static void delivers_again_without_its_ack(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 100), 10);
    struct spool_batch batch;
    assert_int_equal(spool_read(spool, &batch), 0);
    struct spool_answers answers = {.delivered = 5};
    assert_int_equal(spool_answer(spool, &batch, batch.bytes_count / 2, &answers), 0);
    spool_close(spool);
    put_file("ack", "garbage", 7, 8);
    put_file("ack", "garbage", 7, 4096 + 8);
    testing_lines = 0;
    spool = testing_open(&options);
    assert_int_equal(testing_lines, 1);
    assert_non_null(strstr(testing_line, "delivered again"));
    testing_release(spool);
    testing_drain(spool, 1, 1, 11);
    spool_close(spool);
}

/* One torn slot of the two costs one answer, which comes twice. */
static void trusts_the_whole_slot(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 100), 10);
    struct spool_batch batch;
    struct spool_answers answers = {.delivered = 1};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(spool_read(spool, &batch), 0);
        assert_int_equal(
            spool_answer(spool, &batch, batch.bytes_count / batch.records, &answers), 0);
    }
    spool_close(spool);
    put_file("ack", "\377", 1, 4096 + 60); /* generations 1, 2 at open; then 3, 4, 5, 6 */
    spool = testing_open(&options);
    testing_release(spool);
    testing_drain(spool, 1, 5, 11);
    spool_close(spool);
    put_file("ack", "\377", 1, 60);
    spool = testing_open(&options);
    testing_counts(spool, 10, 10, 0, 0, 0);
    spool_close(spool);
}

/* Somebody removes what is being written; the daemon goes on in a new segment. */
static void survives_the_loss_of_its_segment(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 100), 10);
    static struct testing_names names;
    testing_segments(&names);
    assert_int_equal(unlink(testing_path(names.names[0])), 0);
    assert_int_equal(testing_append(spool, 1, 11, 10, 100), 10);
    testing_drain(spool, 1, 11, 21);
    testing_counts(spool, 20, 10, 0, 10, 0);
    spool_close(spool);
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file system that takes no more, in the middle of a write: told, and tried again. */
static void goes_on_when_the_disk_does(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 1000), 10);
    (void)signal(SIGXFSZ, SIG_IGN);
    limit_files(20 << 10);
    size_t used = 0;
    for (uint64_t i = 11; i < 31; i++) {
        used += testing_record(testing_run + used, (struct yarder_id){1, i}, 1000);
    }
    struct spool_stored stored;
    assert_int_equal(spool_append(spool, testing_run, used, &stored), -EFBIG);
    testing_counts(spool, 10, 0, 0, 0, 10);
    limit_files(0); /* not even an ack */
    struct spool_batch batch;
    struct spool_answers answers = {.delivered = 10};
    struct spool_totals totals;
    assert_int_equal(spool_read(spool, &batch), 0);
    assert_int_equal(batch.records, 10);
    assert_int_equal(spool_answer(spool, &batch, batch.bytes_count, &answers), -EFBIG);
    spool_totals_read(&testing_shared, &totals);
    assert_int_equal(totals.delivered, 0);                /* as the ack file has it */
    assert_int_equal(spool_read(spool, &batch), -EAGAIN); /* but not given again here */
    limit_files(RLIM_INFINITY);
    assert_int_equal(spool_append(spool, testing_run, used, &stored), 0);
    assert_int_equal(stored.records, 20);
    assert_int_equal(stored.doubles, 0);
    spool_release(&testing_shared, stored.end);
    testing_drain(spool, 1, 11, 31);
    testing_counts(spool, 30, 30, 0, 0, 0);
    spool_totals_read(&testing_shared, &totals);
    assert_int_equal(totals.delivered, 30);
    spool_close(spool);
    spool = testing_open(&options);
    testing_counts(spool, 30, 30, 0, 0, 0);
    spool_close(spool);
}

/* Makes head or ack of a file one of version 2, as a later yarder does. */
static void age(const char *name, off_t at, void *block, size_t version_at, size_t crc_at)
{
    char *bytes = block;
    uint32_t version = SPOOL_VERSION + 1;
    YARDER_OWN_FD int fd = open(testing_path(name), O_RDWR);
    assert_int_equal(pread(fd, block, crc_at, at), (ssize_t)crc_at);
    memcpy(bytes + version_at, &version, sizeof(version));
    uint32_t crc = checksum_crc32c(block, crc_at);
    memcpy(bytes + crc_at, &crc, sizeof(crc));
    assert_int_equal(pwrite(fd, block, crc_at + sizeof(crc), at), (ssize_t)(crc_at + sizeof(crc)));
}

/* What a later version wrote is no damage: a daemon that is put back must not throw it away. */
static void leaves_a_later_version_alone(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 10, 100), 10);
    spool_close(spool);
    static struct testing_names names;
    testing_segments(&names);
    put_file(names.names[0], "\377\377", 2, 4096 + 30); /* records that we could not read */
    off_t size = file_size(names.names[0]);
    struct spool_head head;
    struct spool_ack ack;
    char why[SPOOL_LINE_BYTES_MAX];
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            age(names.names[0], 0, &head, offsetof(struct spool_head, version),
                offsetof(struct spool_head, crc));
        } else {
            age("ack", 4096, &ack, offsetof(struct spool_ack, version),
                offsetof(struct spool_ack, crc));
        }
        testing_lines = 0;
        assert_int_equal(spool_open(&spool, &options, why, sizeof(why)), -EPROTONOSUPPORT);
        assert_non_null(strstr(why, "a later yarder"));
        assert_int_equal(testing_lines, 1);
        struct spool_report report;
        uint32_t mended = 0;
        const struct spool_check_options check = {.state_dir = testing_state, .folder = "out"};
        assert_int_equal(spool_check(&report, &check), -EPROTONOSUPPORT);
        assert_int_equal(spool_repair(&check, &mended), -EPROTONOSUPPORT);
        assert_int_equal(file_size(names.names[0]), size);
        struct stat seen;
        assert_int_equal(stat(testing_path("damaged"), &seen), -1);
    }
}

static int count_visited(void *owner, const char *bytes, size_t bytes_count, uint32_t records)
{
    (void)bytes, (void)bytes_count;
    *(uint64_t *)owner += records;
    return 0;
}

/*
 * Damage before and behind the first record that is left: what is answered stays answered, what is
 * sound comes, what is not is set aside and counted.
 */
static void is_mended(void **state)
{
    (void)state;
    struct spool_options options = testing_options();
    struct spool *spool = testing_open(&options);
    assert_int_equal(testing_append(spool, 1, 1, 40, 100), 40);
    struct spool_batch batch;
    struct spool_answers answers = {.delivered = 20};
    assert_int_equal(spool_read(spool, &batch), 0);
    assert_int_equal(spool_answer(spool, &batch, batch.bytes_count / 2, &answers), 0);
    const struct spool_check_options check = {
        .state_dir = testing_state, .folder = "out", .reads = true};
    uint32_t mended = 0;
    assert_int_equal(spool_repair(&check, &mended), -EAGAIN);
    struct spool_report report;
    assert_int_equal(spool_check(&report, &check), 0);
    assert_int_equal(report.process, getpid());
    assert_int_equal(report.records, 20);
    assert_int_equal(report.bad_bytes, 0);
    assert_int_equal(report.first_ns, 0); /* testing_record states none */
    spool_close(spool);
    static struct testing_names names;
    testing_segments(&names);
    size_t bytes = testing_record(testing_run, (struct yarder_id){1, 1}, 100);
    put_file(names.names[0], "!", 1, (off_t)(4096 + 5 * bytes + 50));
    put_file(names.names[0], "!", 1, (off_t)(4096 + 30 * bytes + 50));
    assert_int_equal(spool_check(&report, &check), 0);
    assert_int_equal(report.bad_bytes, 2 * bytes);
    assert_int_equal(report.missing, 2);
    assert_int_equal(report.bad_segments, 1);
    assert_int_equal(spool_repair(&check, &mended), 0);
    assert_int_equal(mended, 1);
    assert_int_equal(spool_repair(&check, &mended), 0);
    assert_int_equal(mended, 0);
    assert_int_equal(spool_check(&report, &check), 0);
    assert_int_equal(report.bad_bytes, 0);
    assert_int_equal(report.records, 20);
    assert_int_equal(report.aside, 2);
    uint64_t visited = 0;
    assert_int_equal(spool_visit(&check, count_visited, &visited), 0);
    assert_int_equal(visited, 19);
    spool = testing_open(&options);
    testing_release(spool);
    testing_drain_gap(spool, 1, 21, 41, 1);
    testing_counts(spool, 40, 39, 0, 1, 0);
    spool_close(spool);
}

static void is_no_spool(void **state)
{
    (void)state;
    struct spool_report report;
    uint32_t mended = 0;
    const struct spool_check_options check = {.state_dir = testing_state, .folder = "none"};
    assert_int_equal(spool_check(&report, &check), -ENOENT);
    assert_int_equal(spool_repair(&check, &mended), -ENOENT);
    assert_int_equal(spool_folders(testing_state, NULL, NULL), 0);
    char name[64];
    spool_name_of_folder("redis%3Ah%2F0%", name, sizeof(name));
    assert_string_equal(name, "redis:h/0%");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(cuts_a_torn_tail),
        SCENE(goes_on_behind_damage),
        SCENE(counts_segments_that_are_gone),
        SCENE(delivers_again_without_its_ack),
        SCENE(trusts_the_whole_slot),
        SCENE(survives_the_loss_of_its_segment),
        SCENE(goes_on_when_the_disk_does),
        SCENE(leaves_a_later_version_alone),
        SCENE(is_mended),
        SCENE(is_no_spool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
