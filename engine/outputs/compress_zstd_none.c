/* SPDX-License-Identifier: Apache-2.0 */
/* Built without libzstd. */
#include <errno.h>

#include "outputs/compress.h"

const char *const compress_zstd_missing = "libzstd-dev";

int compress_zstd(const struct compress_pipe *pipe)
{
    (void)pipe;
    return -ENOSYS;
}
