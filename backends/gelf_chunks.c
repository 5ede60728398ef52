/* SPDX-License-Identifier: Apache-2.0 */
#include "gelf_chunks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 12, ID_BYTES = 8, WINDOW_EITHER = 15 + 32, INFLATE_BYTES = 64 << 10 };
static const uint64_t wait_ns = UINT64_C(5) * 1000000000;

int gelf_chunks_open(struct gelf_chunks *chunks)
{
    chunks->can_inflate = inflateInit2(&chunks->inflate, WINDOW_EITHER) == Z_OK;
    return chunks->can_inflate ? 0 : -ENOMEM;
}

static void forget(struct gelf_chunks *chunks, uint32_t place)
{
    struct gelf_pending *pending = chunks->pending[place];
    for (uint32_t i = 0; i < GELF_CHUNKS_MAX; i++) {
        free((char *)(uintptr_t)pending->parts[i].at); /* ours, whatever a text says */
    }
    chunks->bytes -= pending->bytes;
    chunks->pending[place] = NULL;
    free(pending);
}

void gelf_chunks_close(struct gelf_chunks *chunks)
{
    for (uint32_t i = 0; i < GELF_PENDING_MAX; i++) {
        if (chunks->pending[i] != NULL) {
            forget(chunks, i);
        }
    }
    bytes_free(&chunks->whole);
    bytes_free(&chunks->inflated);
    if (chunks->can_inflate) {
        (void)inflateEnd(&chunks->inflate);
    }
}

static uint32_t oldest(const struct gelf_chunks *chunks)
{
    uint32_t found = GELF_PENDING_MAX;
    for (uint32_t i = 0; i < GELF_PENDING_MAX; i++) {
        if (chunks->pending[i] != NULL &&
            (found == GELF_PENDING_MAX ||
                chunks->pending[i]->since_ns < chunks->pending[found]->since_ns)) {
            found = i;
        }
    }
    return found;
}

static void drop_oldest(struct gelf_chunks *chunks)
{
    forget(chunks, oldest(chunks));
    chunks->lost++;
}

void gelf_chunks_look(struct gelf_chunks *chunks, uint64_t now_ns)
{
    for (uint32_t i = 0; i < GELF_PENDING_MAX; i++) {
        const struct gelf_pending *pending = chunks->pending[i];
        if (pending != NULL && now_ns > pending->since_ns && now_ns - pending->since_ns > wait_ns) {
            forget(chunks, i);
            chunks->lost++;
        }
    }
}

static uint32_t free_place(struct gelf_chunks *chunks)
{
    uint32_t place = 0;
    while (place < GELF_PENDING_MAX && chunks->pending[place] != NULL) {
        place++;
    }
    if (place == GELF_PENDING_MAX) {
        place = oldest(chunks);
        drop_oldest(chunks);
    }
    return place;
}

/* The message that a chunk is of; GELF_PENDING_MAX: no memory for it. */
static uint32_t place_of(
    struct gelf_chunks *chunks, const uint8_t *head, struct yarder_text peer, uint64_t now_ns)
{
    uint8_t key[ID_BYTES + GELF_PEER_BYTES] = {0};
    memcpy(key, head + 2, ID_BYTES);
    memcpy(key + ID_BYTES, peer.at, peer.length < GELF_PEER_BYTES ? peer.length : GELF_PEER_BYTES);
    for (uint32_t i = 0; i < GELF_PENDING_MAX; i++) {
        if (chunks->pending[i] != NULL && memcmp(chunks->pending[i]->key, key, sizeof(key)) == 0) {
            return i;
        }
    }
    struct gelf_pending *pending = calloc(1, sizeof(*pending));
    if (pending == NULL) {
        return GELF_PENDING_MAX;
    }
    uint32_t place = free_place(chunks);
    memcpy(pending->key, key, sizeof(key));
    pending->count = head[HEAD_BYTES - 1];
    pending->since_ns = now_ns;
    chunks->pending[place] = pending;
    return place;
}

/* All parts are there: one after another into `whole`. */
static bool join(struct gelf_chunks *chunks, uint32_t place)
{
    const struct gelf_pending *pending = chunks->pending[place];
    bytes_clear(&chunks->whole);
    for (uint32_t i = 0; i < pending->count; i++) {
        bytes_put_text(&chunks->whole, pending->parts[i]);
    }
    forget(chunks, place);
    return !chunks->whole.lacks;
}

/* 1: `whole` is a message; 0: kept; -EBADMSG. */
static int take_chunk(struct gelf_chunks *chunks, const char *at, size_t length,
    struct yarder_text peer, uint64_t now_ns)
{
    uint8_t head[HEAD_BYTES];
    if (length <= HEAD_BYTES) {
        return -EBADMSG;
    }
    memcpy(head, at, HEAD_BYTES);
    uint32_t number = head[HEAD_BYTES - 2];
    uint32_t count = head[HEAD_BYTES - 1];
    if (count == 0 || count > GELF_CHUNKS_MAX || number >= count) {
        return -EBADMSG;
    }
    size_t cost = length + GELF_PART_BYTES;
    while (chunks->bytes + cost > GELF_PENDING_BYTES_MAX) {
        drop_oldest(chunks);
    }
    uint32_t place = place_of(chunks, head, peer, now_ns);
    if (place == GELF_PENDING_MAX || chunks->pending[place]->count != count) {
        return -EBADMSG;
    }
    struct gelf_pending *pending = chunks->pending[place];
    if (pending->parts[number].at != NULL) {
        return 0; /* it came twice */
    }
    char *part = malloc(length - HEAD_BYTES);
    if (part == NULL) {
        forget(chunks, place);
        return -EBADMSG;
    }
    memcpy(part, at + HEAD_BYTES, length - HEAD_BYTES);
    pending->parts[number] = (struct yarder_text){part, length - HEAD_BYTES};
    pending->bytes += cost;
    chunks->bytes += cost;
    if (++pending->have < count) {
        return 0;
    }
    return join(chunks, place) ? 1 : -EBADMSG;
}

static bool inflate_all(struct gelf_chunks *chunks, char *at, size_t length)
{
    z_stream *stream = &chunks->inflate;
    struct bytes *to = &chunks->inflated;
    int r = inflateReset(stream);
    stream->next_in = (unsigned char *)at;
    stream->avail_in = (unsigned)length;
    bytes_clear(to);
    while (r == Z_OK && to->length < GELF_MESSAGE_BYTES_MAX) {
        char *room = bytes_reserve(to, INFLATE_BYTES);
        if (room == NULL) {
            return false;
        }
        stream->next_out = (unsigned char *)room;
        stream->avail_out = INFLATE_BYTES;
        r = inflate(stream, Z_NO_FLUSH);
        to->length += INFLATE_BYTES - stream->avail_out;
        if (r == Z_OK && stream->avail_in == 0 && stream->avail_out > 0) {
            return false; /* it goes on where nothing is left */
        }
    }
    return r == Z_STREAM_END;
}

int gelf_chunks_take(struct gelf_chunks *chunks, char *at, size_t length, struct yarder_text peer,
    uint64_t now_ns, char **text, size_t *text_length)
{
    int r = 1;
    if (length >= 2 && at[0] == '\x1e' && at[1] == '\x0f') {
        r = take_chunk(chunks, at, length, peer, now_ns);
        at = chunks->whole.at;
        length = chunks->whole.length;
    }
    bool zlib = r == 1 && length >= 2 && at[0] == '\x78';
    bool gzip = r == 1 && length >= 2 && at[0] == '\x1f' && at[1] == '\x8b';
    if (zlib || gzip) {
        r = inflate_all(chunks, at, length) ? 1 : -EBADMSG;
        at = chunks->inflated.at;
        length = chunks->inflated.length;
    }
    chunks->lost += r == -EBADMSG;
    if (r == 1) {
        *text = at;
        *text_length = length;
    }
    return r;
}
