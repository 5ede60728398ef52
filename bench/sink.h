/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of bench/sink.c share. */
#ifndef YARDER_BENCH_SINK_H
#define YARDER_BENCH_SINK_H

#include <stdint.h>

struct sink_tally {
    volatile uint64_t records, bytes;
};

struct sink_tally *sink_tally_open(const char *path);

/* Never returns, unless it cannot: then an exit status. */
int sink_pull(const char *port, const char *tally);

#endif
