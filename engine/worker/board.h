/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: a page on which the supervisor tells its workers' control threads what only it knows.
 * A memfd; the supervisor alone writes, each word by itself; texts change before the count that
 * announces them (release, paired with the acquire of whoever reads the count).
 */
#ifndef YARDER_WORKER_BOARD_H
#define YARDER_WORKER_BOARD_H

#include "base/base.h"

enum { BOARD_TEXT_BYTES = 2000 };

struct board {
    uint64_t started_ns;      /* realtime */
    uint64_t workers_started; /* the first, those after a crash, those of reloads */
    uint64_t workers_crashed;
    uint64_t reloads_begun; /* number of the last one that began to read the sources */
    uint64_t reloads_done;  /* number of the last one that ended, good or bad */
    uint64_t reloads_failed;
    char reload_error[BOARD_TEXT_BYTES]; /* of the last reload; "" when it was good */
    uint64_t ring_clients, ring_bytes, ring_refused;
    uint64_t fenced_outputs; /* bit per output whose file a dead worker's lane still holds */
};

#endif
