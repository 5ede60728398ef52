/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker as small as it can be: one output over real files, its hold, and what the supervisor
 * keeps for it. Time is the test's. A death throws the private state away; what the lane had under
 * way ends first, as a process's writes have before it is reaped.
 */
#ifndef YARDER_OUTPUTS_DELIVERY_FIXTURE_H
#define YARDER_OUTPUTS_DELIVERY_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "outputs/delivery.h"

enum { WORLD_PATH_BYTES = 300, WORLD_KEPT_EACH = 2, WORLD_TAGS = 19 };

struct world_kept {
    int fd; /* -1: none */
    uint64_t dev, ino;
};

struct world {
    char folder[200];
    char target[WORLD_PATH_BYTES];
    struct output_config config;
    uint64_t block_limit_ns;
    const bool *waiting_hurts;
    int hold_fd;
    struct hold *hold;
    struct output output;
    struct output_services services;
    struct world_kept (*kept)[WORLD_KEPT_EACH]; /* of each queue, newest first */
    uint32_t queues;
    int event_fd;
    uint32_t sleeps;
    uint64_t now_ns;
    uint32_t complaints;
    uint32_t deaf; /* the supervisor does not listen for so many words */
    bool works;
};

/* Makes the folder and a configuration: file "log", one queue, `buffers` of 16 KiB. */
void world_init(struct world *world, uint32_t queues, uint32_t buffers);
/* A worker takes up from the last commit. */
void world_start(struct world *world);
void world_die(struct world *world);
void world_end(struct world *world);
void world_remove(const char *folder); /* world_end removes its own */

/* The steps of a pass; world_pass makes all of them. */
void world_reap(struct world *world);
void world_commit(struct world *world, bool drain);
void world_pass(struct world *world);

/* Puts one record; its tag may be NULL. */
void world_put(struct world *world, const char *text, size_t bytes, const char *tag);

/* A record that begins with the number; one of WORLD_TAGS tags. False: it must wait. */
bool world_put_number(struct world *world, uint64_t number);
/* The numbers in a file: ascending by `step`, from `first`; returns how many. */
uint64_t world_check_numbers(
    const struct world *world, const char *name, uint64_t first, uint64_t step);

/* Sleeps until the lane answers, as the writer does. Nothing to wait for: returns at once. */
void world_wait(struct world *world);
/* Passes until all is delivered; time goes on by itself. */
void world_deliver(struct world *world);

/* Path of a file in the folder, in static memory (two at a time); its content, likewise. */
const char *world_path(const struct world *world, const char *name);
const char *world_content(const struct world *world, const char *name, size_t *bytes);
void world_append(const struct world *world, const char *name, const char *text);

/* What the output took is delivered, dropped or held. */
void world_check_ledger(const struct world *world);

#endif
