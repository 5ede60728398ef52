/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/spool_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"

char testing_state[64];
char testing_spool[96];
unsigned testing_lines;
struct spool_shared testing_shared;
char testing_line[SPOOL_LINE_BYTES_MAX];

static int testing_remove(const char *path, const struct stat *seen, int kind, struct FTW *place)
{
    (void)seen;
    (void)kind;
    (void)place;
    return remove(path);
}

void testing_begin(void)
{
    const char *place = getenv("TMPDIR");
    (void)snprintf(testing_state, sizeof(testing_state), "%.40s/yarder-spool-XXXXXX",
        place != NULL ? place : "/tmp");
    assert_non_null(mkdtemp(testing_state));
    testing_shared = (struct spool_shared){0};
    (void)snprintf(testing_spool, sizeof(testing_spool), "%s/spool/out", testing_state);
}

void testing_end(void)
{
    assert_int_equal(nftw(testing_state, testing_remove, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void testing_tell(void *owner, const char *line)
{
    (void)owner;
    testing_lines++;
    (void)snprintf(testing_line, sizeof(testing_line), "%s", line);
}

struct spool_options testing_options(void)
{
    return (struct spool_options){.state_dir = testing_state,
        .name = "out",
        .limit_bytes = 1 << 20,
        .record_bytes_max = TESTING_RECORD_BYTES_MAX,
        .tell = testing_tell,
        .shared = &testing_shared};
}

struct spool *testing_open(const struct spool_options *options)
{
    struct spool *spool = NULL;
    char why[256];
    int r = spool_open(&spool, options, why, sizeof(why));
    if (r != 0) {
        fail_msg("spool_open: %d %s", r, why);
    }
    return spool;
}

size_t testing_record(char *at, struct yarder_id id, size_t text_bytes)
{
    static char text[TESTING_RECORD_BYTES_MAX];
    assert_true(text_bytes <= sizeof(text));
    for (size_t i = 0; i < text_bytes; i++) {
        text[i] = (char)('a' + (id.number + i) % 26);
    }
    struct yarder_record record = {.text = {text, text_bytes},
        .logger = text_of("spool.test"),
        .time_ns = (int64_t)id.number,
        .facility = YARDER_FACILITY_NONE};
    return pack_record(&record, id, at);
}

struct yarder_id testing_read(const char *at, size_t bytes_count, size_t *taken)
{
    struct yarder_record record;
    struct yarder_id id;
    struct yarder_field fields[1];
    assert_int_equal(pack_read(at, bytes_count, &record, &id, fields, 1, taken), 0);
    assert_true(text_is(record.logger, "spool.test"));
    assert_int_equal(record.time_ns, (int64_t)id.number);
    for (size_t i = 0; i < record.text.length; i++) {
        assert_int_equal(record.text.at[i], (char)('a' + (id.number + i) % 26));
    }
    return id;
}

const char *testing_path(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", testing_spool, name);
    return path;
}

static int testing_name_order(const void *a, const void *b)
{
    return strcmp(a, b);
}

void testing_segments(struct testing_names *out)
{
    out->count = 0;
    DIR *folder = opendir(testing_spool);
    assert_non_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (strlen(entry->d_name) == 20 && strcmp(entry->d_name + 16, ".seg") == 0) {
            assert_true(out->count < YARDER_COUNT_OF(out->names));
            memcpy(out->names[out->count++], entry->d_name, 21);
        }
    }
    (void)closedir(folder);
    qsort(out->names, out->count, sizeof(out->names[0]), testing_name_order);
}

char testing_run[TESTING_RUN_BYTES];

uint32_t testing_append(
    struct spool *spool, uint64_t epoch, uint64_t from, uint32_t count, size_t text_bytes)
{
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
        used += testing_record(testing_run + used, (struct yarder_id){epoch, from + i}, text_bytes);
        assert_true(used <= sizeof(testing_run) - TESTING_RECORD_BYTES_MAX);
    }
    struct spool_stored stored = {0};
    int r = spool_append(spool, testing_run, used, &stored);
    if (r == -ENOSPC) {
        return 0;
    }
    assert_int_equal(r, 0);
    spool_release(&testing_shared, stored.end);
    return stored.records;
}

/*
 * Reads and answers everything: records `from` to `to` - 1 of the epoch, but for `gap` in a row.
 */
void testing_drain_gap(
    struct spool *spool, uint64_t epoch, uint64_t from, uint64_t to, uint64_t gap)
{
    struct spool_batch batch;
    int r;
    while ((r = spool_read(spool, &batch)) == 0) {
        size_t at = 0;
        for (uint32_t i = 0; i < batch.records; i++, from++) {
            size_t taken = 0;
            struct yarder_id id = testing_read(batch.bytes + at, batch.bytes_count - at, &taken);
            if (gap > 0 && id.number == from + gap) {
                from += gap;
                gap = 0;
            }
            assert_int_equal(id.epoch_ns, epoch);
            assert_int_equal(id.number, from);
            at += taken;
        }
        assert_int_equal(at, batch.bytes_count);
        struct spool_answers answers = {.delivered = batch.records};
        assert_int_equal(spool_answer(spool, &batch, at, &answers), 0);
    }
    assert_int_equal(r, -EAGAIN);
    assert_int_equal(from, to);
    assert_int_equal(gap, 0);
}

void testing_drain(struct spool *spool, uint64_t epoch, uint64_t from, uint64_t to)
{
    testing_drain_gap(spool, epoch, from, to, 0);
}

void testing_counts(struct spool *spool, uint64_t stored, uint64_t delivered, uint64_t dropped,
    uint64_t damaged, uint64_t left)
{
    struct spool_look look;
    spool_look(spool, &look);
    assert_int_equal(look.stored, stored);
    assert_int_equal(look.totals.delivered, delivered);
    assert_int_equal(look.totals.dropped_oldest, dropped);
    assert_int_equal(look.totals.damaged, damaged);
    assert_int_equal(look.left, left);
    assert_int_equal(stored, delivered + dropped + damaged + left + look.totals.dead);
}

void testing_release(struct spool *spool)
{
    struct spool_look look;
    spool_look(spool, &look);
    spool_release(&testing_shared, look.end);
}

int testing_setup(void **state)
{
    (void)state;
    testing_begin();
    return 0;
}
int testing_teardown(void **state)
{
    (void)state;
    testing_end();
    return 0;
}
