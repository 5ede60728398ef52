/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/asker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "worker/tap.h"

void asker_open(struct asker *asker, int fd, uint64_t now_ms)
{
    YARDER_ASSERT(asker->fd < 0 && asker->answer == NULL);
    asker->fd = fd;
    asker->since_ms = now_ms;
    asker->ended = false;
    asker->tap = NULL;
    asker->said_bytes = asker->sent_bytes = 0;
}

void asker_close(struct asker *asker)
{
    yarder_fd_drop(&asker->fd);
    asker->fd = -1;
    free(asker->answer);
    asker->answer = NULL;
}

static bool passes(int error)
{
    return error == EAGAIN || error == EINTR;
}

bool asker_receive(struct asker *asker)
{
    size_t room = sizeof(asker->said) - asker->said_bytes;
    YARDER_ASSERT(room > 0);
    ssize_t r = recv(asker->fd, asker->said + asker->said_bytes, room, MSG_DONTWAIT);
    if (r < 0) {
        return passes(errno);
    }
    asker->ended = r == 0;
    asker->said_bytes += (size_t)r;
    return true;
}

size_t asker_request(const struct asker *asker)
{
    const char *end = memchr(asker->said, '\n', asker->said_bytes);
    return end == NULL ? 0 : (size_t)(end + 1 - asker->said);
}

bool asker_answer(struct asker *asker, char *text, uint64_t now_ms)
{
    size_t request_bytes = asker_request(asker);
    YARDER_ASSERT(request_bytes > 0 && asker->answer == NULL);
    asker->said_bytes -= request_bytes;
    memmove(asker->said, asker->said + request_bytes, asker->said_bytes);
    asker->since_ms = now_ms;
    asker->sent_bytes = 0;
    asker->answer = text;
    if (text == NULL) {
        return false;
    }
    asker->answer_bytes = strlen(text) + 1;
    text[asker->answer_bytes - 1] = '\n'; /* where the text's end was */
    return true;
}

/* A descriptor stands beside the first byte of the answer. */
static ssize_t send_some(const struct asker *asker)
{
    struct iovec part = {.iov_base = asker->answer + asker->sent_bytes,
        .iov_len = asker->answer_bytes - asker->sent_bytes};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr aligned;
    } control = {0};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (asker->tap != NULL && asker->sent_bytes == 0) {
        control.aligned.cmsg_level = SOL_SOCKET;
        control.aligned.cmsg_type = SCM_RIGHTS;
        control.aligned.cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(&control.aligned), &asker->tap->fd, sizeof(int));
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof(control.bytes);
    }
    return sendmsg(asker->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool asker_send(struct asker *asker, uint64_t now_ms)
{
    ssize_t r = send_some(asker);
    if (r < 0) {
        return passes(errno);
    }
    asker->sent_bytes += (size_t)r;
    if (asker->sent_bytes == asker->answer_bytes) {
        free(asker->answer);
        asker->answer = NULL;
        asker->since_ms = now_ms;
    }
    return true;
}

bool asker_is_through(const struct asker *asker)
{
    bool full = asker->said_bytes == sizeof(asker->said);
    return (asker->ended || full) && asker->answer == NULL && asker_request(asker) == 0;
}
