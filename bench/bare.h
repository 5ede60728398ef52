/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of bench/bare.c share. */
#ifndef YARDER_BENCH_BARE_H
#define YARDER_BENCH_BARE_H

#include <stddef.h>
#include <stdint.h>

struct bare_record {
    char *at;
    size_t bytes;
};

/* Exit statuses; 1 where the library is missing. */
int bare_redis(int port, uint64_t count, struct bare_record record);
int bare_push(int port, uint64_t count, struct bare_record record);

#endif
