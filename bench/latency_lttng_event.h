/* SPDX-License-Identifier: Apache-2.0 */
/* The tracepoint of bench/latency_lttng.c, in LTTng's way: this file is included several times. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER yarder_latency

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "latency_lttng_event.h"

#if !defined(BENCH_LATENCY_LTTNG_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_LATENCY_LTTNG_EVENT_H

#include <lttng/tracepoint.h>

/* clang-format off: macros of LTTng's */
LTTNG_UST_TRACEPOINT_EVENT(yarder_latency, record,
    LTTNG_UST_TP_ARGS(const char *, text, size_t, bytes),
    LTTNG_UST_TP_FIELDS(lttng_ust_field_sequence_text(char, text, text, size_t, bytes)))
/* clang-format on */

#endif

#include <lttng/tracepoint-event.h>
