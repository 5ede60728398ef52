/* SPDX-License-Identifier: Apache-2.0 */
/* spdlog, for bench/latency.c. Without it on the machine (latency_spdlog_none.c) opening says so.
 */
#ifndef BENCH_LATENCY_SPDLOG_H
#define BENCH_LATENCY_SPDLOG_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Logs into a file from now on, the text and a newline: by the caller itself under spdlog's mutex,
 * or handed to spdlog's thread, waiting while its queue (8192 records, its default) is full. False:
 * errno says why, ENOSYS: built without spdlog.
 */
bool latency_spdlog_open(const char *path, bool handed_over);
bool latency_spdlog_call(const char *text, size_t bytes);
void latency_spdlog_close(void); /* all of it is in the file */

#ifdef __cplusplus
}
#endif

#endif
