/* SPDX-License-Identifier: Apache-2.0 */
/* Built without zlib. */
#include <errno.h>

#include "codec/chain_private.h"

int chain_zlib_open(struct chain_zlib **out, enum chain_zlib_kind kind)
{
    (void)out;
    (void)kind;
    return -ENOSYS;
}

void chain_zlib_close(struct chain_zlib *zlib)
{
    YARDER_ASSERT(zlib == NULL);
}

size_t chain_zlib_bound(const struct chain_zlib *zlib, size_t bytes)
{
    (void)zlib;
    (void)bytes;
    YARDER_ASSERT(false); /* there is none */
    return 0;
}

size_t chain_zlib_run(struct chain_zlib *zlib, struct yarder_text text, char *at)
{
    (void)zlib;
    (void)text;
    (void)at;
    YARDER_ASSERT(false);
    return 0;
}
