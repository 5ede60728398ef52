/* SPDX-License-Identifier: Apache-2.0 */
/* Built without zlib. */
#include <errno.h>

#include "outputs/compress.h"

const char *const compress_gzip_missing = "zlib1g-dev";

int compress_gzip(const struct compress_pipe *pipe)
{
    (void)pipe;
    return -ENOSYS;
}
