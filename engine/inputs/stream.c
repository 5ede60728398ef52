/* SPDX-License-Identifier: Apache-2.0 */
#include "inputs/stream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/text.h"
#include "os/memory.h"
#include "os/socket.h"

enum { SPANS_AT_ONCE = 64 };

int stream_accept(int listener_fd, int *fd)
{
    int accepted = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (accepted < 0) {
        return errno == EINTR || errno == ECONNABORTED ? -EAGAIN : -errno;
    }
    *fd = accepted;
    return 0;
}

/*
 * A peer that is gone without a word (its machine lost its power, a firewall forgot it) is noticed
 * after two minutes. TCP_USER_TIMEOUT is about bytes that we sent: there are none.
 */
static void keep_alive(int fd)
{
    static const int on = 1;
    static const int idle_s = 60;
    static const int every_s = 10;
    static const int times = 6;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof(every_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &times, sizeof(times));
}

struct stream_input *stream_open(struct input *input, int fd)
{
    struct stream_input *stream = calloc(1, sizeof(*stream));
    if (stream == NULL) {
        return NULL;
    }
    static uint32_t count;
    stream->input = input;
    stream->number = STREAM_NUMBER_BIT | ++count;
    stream->heard_ns = (uint64_t)os_monotonic_ns();
    stream->source = (struct io_source){.fd = fd, .kind = IO_STREAM, .owner = stream};
    stream->origin.network = input->config->kind == INPUT_TCP;
    if (stream->origin.network) {
        keep_alive(fd);
        struct sockaddr_storage peer;
        socklen_t peer_bytes = sizeof(peer);
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0) {
            (void)socket_peer_text(&peer, peer_bytes, stream->peer);
        }
        stream->origin.peer = text_of(stream->peer);
    } else {
        struct ucred identity;
        socklen_t identity_bytes = sizeof(identity);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &identity, &identity_bytes) == 0) {
            stream->origin.pid = (uint32_t)identity.pid;
        }
    }
    framer_init(&stream->framer, (enum frame_kind)input->config->framing, input->record_bytes_max);
    return stream;
}

void stream_close(struct stream_input *stream)
{
    framer_deinit(&stream->framer);
    yarder_fd_drop(&stream->source.fd);
    free(stream);
}

void stream_frame(
    struct stream_input *stream, const struct io_chunk *chunk, uint32_t *at, struct batch *batch)
{
    struct frame_span spans[SPANS_AT_ONCE];
    /* Only one span may lie in the carry: one call of the framer for each batch. */
    uint32_t most = (uint32_t)yarder_min(batch_room(batch), SPANS_AT_ONCE);
    size_t used = 0;
    int count = framer_take(
        &stream->framer, chunk->bytes + *at, chunk->bytes_count - *at, spans, most, &used);
    *at += (uint32_t)used;
    for (int i = 0; i < count; i++) {
        batch_add(batch, stream->input, &spans[i], &stream->origin);
    }
}

void stream_finish(struct stream_input *stream, bool in_order, struct batch *batch)
{
    struct frame_span span;
    if (framer_finish(&stream->framer, in_order, &span) == 1) {
        batch_add(batch, stream->input, &span, &stream->origin);
    }
}

/* One newline, or NUL, at the end belongs to the sender's habit and not to the text. */
static struct yarder_text trimmed(const char *at, uint32_t bytes)
{
    if (bytes > 0 && at[bytes - 1] == '\0') {
        bytes--;
    }
    if (bytes > 0 && at[bytes - 1] == '\n') {
        bytes--;
    }
    if (bytes > 0 && at[bytes - 1] == '\r') {
        bytes--;
    }
    return (struct yarder_text){at, bytes};
}

void datagram_frame(struct datagram_input *datagram, const struct io_chunk *chunk, uint32_t *at,
    struct batch *batch)
{
    bool network = datagram->input->config->kind == INPUT_UDP;
    struct batch_origin origin = {.network = network};
    if (*at == 0) {
        if (chunk->kernel_drops_known) {
            input_count_drops(datagram->input->counts, chunk->kernel_drops);
        }
        if (network) {
            (void)socket_peer_text(&chunk->peer, chunk->peer_bytes, datagram->peer);
        }
    }
    origin.peer = network ? text_of(datagram->peer) : (struct yarder_text){0};
    uint32_t each = chunk->segment_bytes == 0 ? chunk->bytes_count : chunk->segment_bytes;
    while (*at < chunk->bytes_count && batch_room(batch) > 0) {
        uint32_t bytes = (uint32_t)yarder_min(each, chunk->bytes_count - *at);
        struct frame_span span = {.text = trimmed(chunk->bytes + *at, bytes),
            .flags =
                (chunk->flags & IO_CHUNK_TRUNCATED) != 0 ? (uint32_t)YARDER_FLAG_TRUNCATED : 0u};
        if (span.text.length > datagram->input->record_bytes_max) {
            span.text.length = datagram->input->record_bytes_max;
            span.flags |= YARDER_FLAG_TRUNCATED;
        }
        *at += bytes;
        if (span.text.length > 0) {
            batch_add(batch, datagram->input, &span, &origin);
        }
    }
}
