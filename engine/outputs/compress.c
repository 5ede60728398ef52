/* SPDX-License-Identifier: Apache-2.0 */
#include "outputs/compress.h"

#include <errno.h>

const char *rotate_cannot(enum rotate_compress compress)
{
    const char *const missing[ROTATE_COMPRESSIONS] = {
        [ROTATE_GZIP] = compress_gzip_missing, [ROTATE_ZSTD] = compress_zstd_missing};
    return missing[compress];
}

ssize_t compress_read(const struct compress_pipe *pipe)
{
    if (__atomic_load_n(pipe->stop, __ATOMIC_RELAXED) != 0) {
        return -ECANCELED;
    }
    ssize_t r = read(pipe->in, pipe->from, COMPRESS_CHUNK_BYTES);
    return r < 0 ? -errno : r;
}

int compress_write(const struct compress_pipe *pipe, size_t bytes_count)
{
    for (size_t written = 0; written < bytes_count;) {
        ssize_t r = write(pipe->out, pipe->to + written, bytes_count - written);
        if (r <= 0) {
            return r < 0 ? -errno : -EIO;
        }
        written += (size_t)r;
    }
    return 0;
}

int compress_file(enum rotate_compress how, int in, int out, const uint32_t *stop)
{
    YARDER_OWN_HEAP char *from = malloc(COMPRESS_CHUNK_BYTES);
    YARDER_OWN_HEAP char *to = malloc(COMPRESS_CHUNK_BYTES);
    const struct compress_pipe pipe = {.in = in, .out = out, .stop = stop, .from = from, .to = to};
    if (from == NULL || to == NULL) {
        return -ENOMEM;
    }
    return how == ROTATE_GZIP ? compress_gzip(&pipe) : compress_zstd(&pipe);
}
