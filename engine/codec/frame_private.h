/* SPDX-License-Identifier: Apache-2.0 */
/* What the first bytes of a frame say about it; private to the room. */
#ifndef YARDER_CODEC_FRAME_PRIVATE_H
#define YARDER_CODEC_FRAME_PRIVATE_H

#include "codec/frame.h"

enum {
    FRAME_HEAD_BYTES_MAX = 10,
    FRAME_COUNT_BYTES_MAX = 64 << 20, /* a counted frame beyond this is not believed */
};

enum frame_head_kind { FRAME_HEAD_SHORT, FRAME_HEAD_LINE, FRAME_HEAD_COUNTED, FRAME_HEAD_BROKEN };

struct frame_head {
    enum frame_head_kind kind;
    uint32_t bytes; /* LINE: 0; COUNTED: of the count; BROKEN: what belongs to the line unseen */
    uint32_t body_bytes;
};

/* SHORT: more bytes are needed to tell; never with FRAME_HEAD_BYTES_MAX of them. */
struct frame_head frame_read_head(
    const struct framer *framer, const char *bytes, size_t bytes_count);

#endif
