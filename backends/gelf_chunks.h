/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF's datagrams back into messages: chunks put together, zlib and gzip taken out.
 *
 *   chunk  1e 0f | message id, 8 bytes | number | count, 1 to 128 | its part
 *   zlib   78 .. ; gzip 1f 8b ; else it is the message itself
 *
 * What is unfinished is kept for a few seconds, and not more of it than GELF_PENDING_BYTES_MAX: the
 * oldest goes first, and is counted.
 */
#ifndef YARDER_BACKENDS_GELF_CHUNKS_H
#define YARDER_BACKENDS_GELF_CHUNKS_H

#include <zlib.h>

#include "bytes.h"

enum {
    GELF_CHUNKS_MAX = 128,
    GELF_PENDING_MAX = 1024,
    GELF_PENDING_BYTES_MAX = 64 << 20, /* with what memory for a part costs beside it */
    GELF_PART_BYTES = 32,
    GELF_MESSAGE_BYTES_MAX = 8 << 20, /* inflated */
    GELF_PEER_BYTES = 64,
};

struct gelf_pending {
    uint8_t key[8 + GELF_PEER_BYTES]; /* id and peer: ids of two senders may be the same */
    uint64_t since_ns;                /* 0: free */
    uint32_t count, have;
    size_t bytes;
    struct yarder_text parts[GELF_CHUNKS_MAX]; /* at NULL: not there */
};

struct gelf_chunks {
    struct gelf_pending *pending[GELF_PENDING_MAX]; /* NULL: none */
    size_t bytes;
    uint64_t lost; /* messages and chunks that came to nothing, since the caller looked */
    struct bytes whole, inflated;
    z_stream inflate;
    bool can_inflate;
};

int gelf_chunks_open(struct gelf_chunks *chunks); /* zeroed; 0 or -ENOMEM */
void gelf_chunks_close(struct gelf_chunks *chunks);

/*
 * 1: *text is a message, whose bytes are the caller's to change until the next call; 0: it is a
 * chunk, kept; -EBADMSG: it is nothing, and counted as lost.
 */
int gelf_chunks_take(struct gelf_chunks *chunks, char *at, size_t length, struct yarder_text peer,
    uint64_t now_ns, char **text, size_t *text_length);
/* Drops what waits for too long. */
void gelf_chunks_look(struct gelf_chunks *chunks, uint64_t now_ns);

#endif
