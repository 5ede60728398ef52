/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gzip and compress, with uWSGI's parameters: gzip is level 9 with the largest memory, flushed
 * before it is finished, in a member without a name or a time; compress is zlib's default.
 */
#include <errno.h>
#define ZLIB_CONST /* it only reads next_in */
#include <zlib.h>

#include "codec/chain_private.h"

enum {
    GZIP_LEVEL = 9,
    GZIP_MEMORY = 9,
    COMPRESS_MEMORY = 8, /* zlib's default */
    GZIP_HEAD_BYTES = 10,
    GZIP_TAIL_BYTES = 8,
    WRAP_BYTES = 5 + 6, /* of the last block, and of a zlib stream */
    FLUSH_BYTES = 16,   /* what a flush and an empty last block add, generously */
};

struct chain_zlib {
    enum chain_zlib_kind kind;
    z_stream stream; /* all its memory is taken by deflateInit2 */
};

int chain_zlib_open(struct chain_zlib **out, enum chain_zlib_kind kind)
{
    struct chain_zlib *zlib = calloc(1, sizeof(*zlib));
    if (zlib == NULL) {
        return -ENOMEM;
    }
    zlib->kind = kind;
    bool gzip = kind == CHAIN_GZIP;
    int r = deflateInit2(&zlib->stream, gzip ? GZIP_LEVEL : Z_DEFAULT_COMPRESSION, Z_DEFLATED,
        gzip ? -MAX_WBITS : MAX_WBITS, gzip ? GZIP_MEMORY : COMPRESS_MEMORY, Z_DEFAULT_STRATEGY);
    if (r != Z_OK) {
        free(zlib);
        return -ENOMEM;
    }
    *out = zlib;
    return 0;
}

void chain_zlib_close(struct chain_zlib *zlib)
{
    if (zlib != NULL) {
        (void)deflateEnd(&zlib->stream);
        free(zlib);
    }
}

/* Of deflate and its wrapping: deflateBound's most careful answer, whatever the memory. */
static size_t deflated_bound(size_t bytes)
{
    return bytes + (bytes + 7) / 8 + (bytes + 63) / 64 + WRAP_BYTES + FLUSH_BYTES;
}

size_t chain_zlib_bound(const struct chain_zlib *zlib, size_t bytes)
{
    (void)zlib;
    return deflated_bound(bytes) + GZIP_HEAD_BYTES + GZIP_TAIL_BYTES;
}

static char *put_little(char *at, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        at[i] = (char)(value >> 8 * i & 255);
    }
    return at + 4;
}

static char *deflate_all(z_stream *stream, struct yarder_text text, bool flush, char *at)
{
    static const Bytef nothing[1];
    const uInt room = (uInt)deflated_bound(text.length);
    int r = deflateReset(stream);
    YARDER_ASSERT(r == Z_OK);
    stream->next_in = text.length > 0 ? (const Bytef *)text.at : nothing;
    stream->avail_in = (uInt)text.length;
    stream->next_out = (Bytef *)at;
    stream->avail_out = room;
    if (flush) {
        r = deflate(stream, Z_SYNC_FLUSH);
        YARDER_ASSERT(r == Z_OK && stream->avail_in == 0);
    }
    r = deflate(stream, Z_FINISH);
    YARDER_ASSERT(r == Z_STREAM_END); /* within the bound */
    return at + (room - stream->avail_out);
}

size_t chain_zlib_run(struct chain_zlib *zlib, struct yarder_text text, char *at)
{
    static const char head[GZIP_HEAD_BYTES] = {'\x1f', '\x8b', 8, 0, 0, 0, 0, 0, 0, 3};
    YARDER_ASSERT(text.length <= CHAIN_BYTES_MAX);
    if (zlib->kind == CHAIN_COMPRESS) {
        return (size_t)(deflate_all(&zlib->stream, text, false, at) - at);
    }
    memcpy(at, head, sizeof(head));
    char *end = deflate_all(&zlib->stream, text, true, at + sizeof(head));
    uLong sum = crc32(0, Z_NULL, 0);
    if (text.length > 0) {
        sum = crc32(sum, (const Bytef *)text.at, (uInt)text.length);
    }
    end = put_little(end, (uint32_t)sum);
    end = put_little(end, (uint32_t)text.length);
    return (size_t)(end - at);
}
