/* SPDX-License-Identifier: Apache-2.0 */
/* LTTng-UST, for bench/latency.c. Without it on the machine (latency_lttng_none.c) opening says so.
 */
#ifndef BENCH_LATENCY_LTTNG_H
#define BENCH_LATENCY_LTTNG_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether the tracepoint yarder_latency:record is recorded by a session now. False: errno says why,
 * ENOSYS: built without LTTng-UST; ENOTCONN: no session has enabled it.
 */
bool latency_lttng_open(void);
void latency_lttng_call(const char *text, size_t bytes); /* the text is the event's one field */

#endif
