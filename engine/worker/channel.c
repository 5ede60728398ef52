/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels is the struct up to its descriptors, which go beside it; a message of any other size
 * or of no known kind is not ours. Descriptors are filled from the front, so their number says it
 * all.
 */
#include "worker/channel.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "os/memory.h"

enum { WIRE_BYTES = offsetof(struct channel_message, fds) };
static_assert(WIRE_BYTES == 24 + CHANNEL_TEXT_BYTES, "no padding travels");

struct channel_message channel_message_of(enum channel_kind kind, uint32_t index, uint64_t number)
{
    return (struct channel_message){
        .kind = kind, .index = index, .number = number, .fds = {-1, -1, -1}};
}

void channel_message_drop(struct channel_message *message)
{
    for (int i = 0; i < CHANNEL_FDS_MAX; i++) {
        yarder_fd_drop(&message->fds[i]);
        message->fds[i] = -1;
    }
}

/* Until there is room or the other side has gone: the next send tells which. -ETIMEDOUT, -errno. */
static int wait_for_room(int socket_fd, int64_t deadline_ns)
{
    int64_t left_ns = deadline_ns - os_monotonic_ns();
    if (left_ns <= 0) {
        return -ETIMEDOUT;
    }
    struct pollfd room = {.fd = socket_fd, .events = POLLOUT};
    int polled = poll(&room, 1, (int)((left_ns + 999999) / 1000000));
    return polled < 0 && errno != EINTR ? -errno : 0;
}

int channel_send(int socket_fd, const struct channel_message *message, int wait_ms)
{
    YARDER_ASSERT(message->kind > 0 && message->kind <= CHANNEL_ALIVE);
    YARDER_ASSERT(memchr(message->text, '\0', CHANNEL_TEXT_BYTES) != NULL);
    uint32_t fds_count = 0;
    while (fds_count < CHANNEL_FDS_MAX && message->fds[fds_count] >= 0) {
        fds_count++;
    }
    for (uint32_t i = fds_count; i < CHANNEL_FDS_MAX; i++) {
        YARDER_ASSERT(message->fds[i] < 0);
    }
    int64_t deadline_ns = os_monotonic_ns() + (int64_t)wait_ms * 1000000;
    for (;;) {
        int sent = os_send_fds(socket_fd, message, WIRE_BYTES, message->fds, fds_count);
        if (sent == -ECONNRESET || sent == -ENOTCONN) {
            return -EPIPE;
        }
        if (sent != -EAGAIN && sent != -EINTR) {
            return sent;
        }
        int waited = wait_for_room(socket_fd, deadline_ns);
        if (waited < 0) {
            return waited;
        }
    }
}

int channel_receive(int socket_fd, struct channel_message *message)
{
    struct channel_message taken = channel_message_of(CHANNEL_SETTINGS, 0, 0);
    size_t bytes_count = 0;
    uint32_t fds_count = 0;
    int received;
    do {
        received = os_receive_fds(
            socket_fd, &taken, WIRE_BYTES, &bytes_count, taken.fds, CHANNEL_FDS_MAX, &fds_count);
    } while (received == -EINTR);
    if (received < 0 && received != -EMFILE) {
        return received == -EAGAIN       ? 0
               : received == -ECONNRESET ? -EPIPE
               : received == -EMSGSIZE   ? -EBADMSG
                                         : received;
    }
    for (uint32_t i = fds_count; i < CHANNEL_FDS_MAX; i++) {
        taken.fds[i] = -1;
    }
    bool ours = bytes_count == WIRE_BYTES && taken.kind > 0 && taken.kind <= CHANNEL_ALIVE &&
                memchr(taken.text, '\0', CHANNEL_TEXT_BYTES) != NULL;
    if (!ours) {
        channel_message_drop(&taken);
        return bytes_count == 0 ? -EPIPE : -EBADMSG;
    }
    *message = taken;
    return 1;
}
