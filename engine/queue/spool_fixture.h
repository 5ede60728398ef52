/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of spools: a state directory of their own, and records that tell who they are. */
#ifndef YARDER_QUEUE_SPOOL_FIXTURE_H
#define YARDER_QUEUE_SPOOL_FIXTURE_H

#include "queue/spool.h"

#include "base/test_random.h"

enum { TESTING_RECORD_BYTES_MAX = 16 << 10, TESTING_RUN_BYTES = 256 << 10 };

extern char testing_state[64]; /* the state directory */
extern char testing_spool[96]; /* of the spool "out" in it */
extern unsigned testing_lines; /* told so far */
extern struct spool_shared testing_shared;
extern char testing_line[SPOOL_LINE_BYTES_MAX];
extern char testing_run[TESTING_RUN_BYTES]; /* for packed records */

/* The segments there are, by name, in order. */
struct testing_names {
    size_t count;
    char names[512][24];
};

void testing_begin(void);
void testing_end(void);
struct spool_options testing_options(void);
struct spool *testing_open(const struct spool_options *options);
/* A record whose text is `text_bytes` long and follows from its id. Returns its packed bytes. */
size_t testing_record(char *at, struct yarder_id id, size_t text_bytes);
/* Which record it is; fails unless all of it is as testing_record made it. */
struct yarder_id testing_read(const char *at, size_t bytes_count, size_t *taken);
/* The path of a file of the spool; until the next call. */
const char *testing_path(const char *name);
void testing_segments(struct testing_names *out);
/* Appends records [from, from + count) and releases them; how many were stored. */
uint32_t testing_append(
    struct spool *spool, uint64_t epoch, uint64_t from, uint32_t count, size_t text_bytes);
/*
 * Reads and answers everything: records `from` to `to` - 1 of the epoch, but for `gap` in a row.
 */
void testing_drain_gap(
    struct spool *spool, uint64_t epoch, uint64_t from, uint64_t to, uint64_t gap);
void testing_drain(struct spool *spool, uint64_t epoch, uint64_t from, uint64_t to);
void testing_counts(struct spool *spool, uint64_t stored, uint64_t delivered, uint64_t dropped,
    uint64_t damaged, uint64_t left);
void testing_release(struct spool *spool);
int testing_setup(void **state);
int testing_teardown(void **state);
#define SCENE(name) cmocka_unit_test_setup_teardown(name, testing_setup, testing_teardown)

#endif
