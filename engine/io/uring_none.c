/* SPDX-License-Identifier: Apache-2.0 */
/* Twin of uring.c for a build without liburing. */
#include <errno.h>

#include "io/io_private.h"

int uring_open(struct io **out, const struct io_options *options, char *why, size_t why_bytes)
{
    (void)out;
    (void)options;
    (void)snprintf(why, why_bytes, "this yarder was built without liburing");
    return -ENOSYS;
}
