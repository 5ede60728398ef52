/* SPDX-License-Identifier: Apache-2.0 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "latency_lttng_event.h"

#include <errno.h>

#include "latency_lttng.h"

bool latency_lttng_open(void)
{
    errno = ENOTCONN;
    return lttng_ust_tracepoint_enabled(yarder_latency, record);
}

void latency_lttng_call(const char *text, size_t bytes)
{
    lttng_ust_tracepoint(yarder_latency, record, text, bytes);
}
