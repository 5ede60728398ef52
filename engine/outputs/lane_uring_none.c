/* SPDX-License-Identifier: Apache-2.0 */
/* Built instead of lane_uring.c where liburing is not there: every lane writes plainly. */
#include "outputs/lane_uring.h"

#include <errno.h>

int lane_uring_open(struct lane_uring **out)
{
    (void)out;
    return -ENOSYS;
}

void lane_uring_close(struct lane_uring *uring)
{
    YARDER_ASSERT(uring == NULL);
}

void lane_uring_append(struct lane_uring *uring, int fd, const char *bytes, uint32_t bytes_count,
    bool sync, struct lane_uring_result *result)
{
    (void)fd, (void)bytes, (void)bytes_count, (void)sync;
    YARDER_ASSERT(uring == NULL);
    *result = (struct lane_uring_result){.written = -ENOSYS, .broken = true};
}
