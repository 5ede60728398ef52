/* SPDX-License-Identifier: Apache-2.0 */
/* A whole file through a compressor, by a thread that may take its time. */
#ifndef YARDER_OUTPUTS_COMPRESS_H
#define YARDER_OUTPUTS_COMPRESS_H

#include <sys/types.h>

#include "outputs/rotate.h"

enum { COMPRESS_CHUNK_BYTES = 128 << 10 };

struct compress_pipe {
    int in, out;
    const uint32_t *stop; /* relaxed: not 0: leave */
    char *from, *to;      /* a chunk each */
};

/* 0 at the end; -ECANCELED when it is to stop; -errno. */
ssize_t compress_read(const struct compress_pipe *pipe);
YARDER_MUST_USE int compress_write(const struct compress_pipe *pipe, size_t bytes_count);

/* 0 or -errno, -ENOSYS without the library. Allocates. */
YARDER_MUST_USE int compress_gzip(const struct compress_pipe *pipe);
YARDER_MUST_USE int compress_zstd(const struct compress_pipe *pipe);
YARDER_MUST_USE int compress_file(enum rotate_compress how, int in, int out, const uint32_t *stop);

/* The package that a build without them needs; NULL: it has it. */
extern const char *const compress_gzip_missing;
extern const char *const compress_zstd_missing;

#endif
