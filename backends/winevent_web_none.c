/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "winevent_web.h"

int winevent_web_check(char *url, char *why, size_t why_bytes)
{
    (void)url;
    (void)snprintf(why, why_bytes,
        "https:// is not there: this yarder was built without libcurl (libcurl4-openssl-dev) or "
        "zlib (zlib1g-dev)");
    return -EINVAL;
}

/* Nothing below is reached, for no such target is accepted. */
int winevent_web_open(
    struct winevent_web **out, struct yarder_host *host, const struct winevent_web_options *options)
{
    (void)options;
    *out = NULL;
    return host->fail(host, -ENOSYS, "built without libcurl");
}

int winevent_web_submit(struct winevent_web *web, struct yarder_batch *batch, uint64_t deadline_ns)
{
    (void)web;
    (void)batch;
    (void)deadline_ns;
    return -ENOSYS;
}

void winevent_web_close(struct winevent_web *web)
{
    (void)web;
}
