/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <zlib.h>

#include "outputs/compress.h"

enum { WINDOW_BITS_GZIP = 15 + 16, MEMORY_LEVEL = 8 };

const char *const compress_gzip_missing = NULL;

/* All of what was read, and at the end what is still owed. */
static int put(const struct compress_pipe *pipe, z_stream *stream, bool end)
{
    int state = Z_OK;
    do {
        stream->next_out = (unsigned char *)pipe->to;
        stream->avail_out = COMPRESS_CHUNK_BYTES;
        state = deflate(stream, end ? Z_FINISH : Z_NO_FLUSH);
        if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) {
            return -EIO;
        }
        int r = compress_write(pipe, COMPRESS_CHUNK_BYTES - stream->avail_out);
        if (r < 0) {
            return r;
        }
    } while (stream->avail_out == 0 || (end && state != Z_STREAM_END));
    return 0;
}

int compress_gzip(const struct compress_pipe *pipe)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS_GZIP, MEMORY_LEVEL,
            Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    int r = 0;
    ssize_t got = 1;
    while (got > 0 && r == 0) {
        got = compress_read(pipe);
        stream.next_in = (unsigned char *)pipe->from;
        stream.avail_in = got > 0 ? (unsigned)got : 0;
        r = got < 0 ? (int)got : put(pipe, &stream, got == 0);
    }
    (void)deflateEnd(&stream);
    return r;
}
