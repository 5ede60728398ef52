/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <zstd.h>

#include "outputs/compress.h"

const char *const compress_zstd_missing = NULL;

static int put(const struct compress_pipe *pipe, ZSTD_CCtx *context, size_t bytes_count)
{
    ZSTD_inBuffer in = {.src = pipe->from, .size = bytes_count};
    bool end = bytes_count == 0;
    bool more = true;
    while (more) {
        ZSTD_outBuffer out = {.dst = pipe->to, .size = COMPRESS_CHUNK_BYTES};
        size_t left = ZSTD_compressStream2(context, &out, &in, end ? ZSTD_e_end : ZSTD_e_continue);
        if (ZSTD_isError(left)) {
            return -EIO;
        }
        int r = compress_write(pipe, out.pos);
        if (r < 0) {
            return r;
        }
        more = end ? left != 0 : in.pos < in.size;
    }
    return 0;
}

int compress_zstd(const struct compress_pipe *pipe)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (context == NULL || ZSTD_isError(ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1))) {
        (void)ZSTD_freeCCtx(context);
        return -ENOMEM;
    }
    int r = 0;
    ssize_t got = 1;
    while (got > 0 && r == 0) {
        got = compress_read(pipe);
        r = got < 0 ? (int)got : put(pipe, context, (size_t)got);
    }
    (void)ZSTD_freeCCtx(context);
    return r;
}
