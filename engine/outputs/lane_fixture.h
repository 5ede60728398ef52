/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the lane share: a folder, a lane with its writer's event, one job at a time. */
#ifndef YARDER_OUTPUTS_LANE_FIXTURE_H
#define YARDER_OUTPUTS_LANE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/lane.h"

enum { FIXTURE_PATH_BYTES = 256, FIXTURE_CLOSE_NS = 2000000000 };

struct fixture {
    char folder[FIXTURE_PATH_BYTES];
    struct output_config config;
    uint32_t writer_sleeps;
    int event_fd;
    struct lane_options options;
    struct lane *lane; /* NULL until fixture_start */
};

/* cmocka's set-up and tear-down; tear-down closes the lane and removes the folder. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Starts the lane by fixture->config. Skips the test when io_uring is asked for and not to be had.
 */
void fixture_start(struct fixture *fixture);

/* A path in the folder; the result is the caller's array. */
const char *fixture_path(const struct fixture *fixture, const char *name, char *path);

/* Waits for the next answer, sleeping as the writer does. */
struct lane_job *fixture_wait(struct fixture *fixture);

/* Submits and waits. */
void fixture_run(struct fixture *fixture, struct lane_job *job);

/* Opens a path and asserts that it went well. */
void fixture_open(struct fixture *fixture, struct lane_job *job, const char *path);

/* A WRITE of a text that expects the file as the last answer left it. */
void fixture_write(struct fixture *fixture, struct lane_job *job, const char *text);

void fixture_close(struct fixture *fixture, struct lane_job *job);

/* The file's whole content, with a NUL; static memory of 64 KiB. */
const char *fixture_content(const char *path);

/* Appends as a stranger does. */
void fixture_append(const char *path, const char *text);

/* How often fdatasync(2) was called; while fail is not 0 it fails so (the test's own fdatasync). */
extern uint32_t fixture_syncs;
extern int fixture_sync_errno;

#endif
