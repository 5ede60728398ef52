/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tap_link.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { ANSWER_BYTES = 64 << 10 };

/* Up to the end of the first line, with the descriptor that comes beside its first byte. */
static int receive(int fd, char *at, size_t room, int *tap_fd)
{
    size_t used = 0;
    while (used < room) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (poll(&ready, 1, ASK_ANSWER_MS) <= 0) {
            return -ETIMEDOUT;
        }
        struct iovec part = {.iov_base = at + used, .iov_len = room - used};
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr aligned;
        } control;
        struct msghdr message = {.msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = control.bytes,
            .msg_controllen = sizeof(control.bytes)};
        ssize_t r = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
        if (r <= 0) {
            return r == 0 ? -ECONNRESET : -errno;
        }
        const struct cmsghdr *beside = CMSG_FIRSTHDR(&message);
        if (beside != NULL && beside->cmsg_type == SCM_RIGHTS && *tap_fd < 0) {
            memcpy(tap_fd, CMSG_DATA(beside), sizeof(*tap_fd));
        }
        used += (size_t)r;
        if (at[used - 1] == '\n') {
            at[used - 1] = '\0';
            return 0;
        }
    }
    return -EBADMSG;
}

static int ask_for(
    struct tap_link *link, const char *run_dir, const char *line, char path[ASK_PATH_BYTES])
{
    YARDER_OWN_FD int tap_fd = -1;
    YARDER_OWN_HEAP char *text = malloc(ANSWER_BYTES);
    int r = text == NULL ? -ENOMEM : ask_connect(run_dir, path, &link->fd);
    if (r < 0) {
        return r;
    }
    size_t length = strlen(line);
    if (send(link->fd, line, length, MSG_NOSIGNAL) != (ssize_t)length) {
        return -ECONNRESET;
    }
    r = receive(link->fd, text, ANSWER_BYTES, &tap_fd);
    if (r < 0) {
        return r;
    }
    link->answer = cJSON_Parse(text);
    if (!cJSON_IsObject(link->answer)) {
        return -EBADMSG;
    }
    bool refused = ask_text(link->answer, "error")[0] != '\0';
    return refused ? 0 : tap_reader_open(&link->reader, tap_fd);
}

int tap_link_open(
    const struct cli *cli, struct tap_link *link, const char *run_dir, const char *line)
{
    static const struct timespec pause = {.tv_nsec = 20000000};
    char path[ASK_PATH_BYTES] = "";
    int r = 0;
    for (int left = ASK_ANSWER_MS / 20; left > 0; left--) {
        *link = (struct tap_link){.fd = -1};
        r = ask_for(link, run_dir, line, path);
        if (r != -ECONNRESET) { /* a worker that died with the question has a successor */
            break;
        }
        tap_link_close(link);
        (void)nanosleep(&pause, NULL);
    }
    const char *error = ask_text(link->answer, "error");
    if (r == 0 && error[0] == '\0') {
        return CLI_GO_ON;
    }
    if (r == 0) {
        cli_say(cli, "%s", error);
    }
    int status = r == 0 ? CLI_FAILED : ask_tell(cli, r, path);
    tap_link_close(link);
    return status;
}

void tap_link_close(struct tap_link *link)
{
    if (link->reader.header != NULL) {
        tap_reader_close(&link->reader);
    }
    cJSON_Delete(link->answer);
    yarder_fd_drop(&link->fd);
    *link = (struct tap_link){.fd = -1};
}

bool tap_link_wait(const struct tap_link *link, int wait_ms)
{
    struct pollfd ready = {.fd = link->fd, .events = POLLIN};
    return poll(&ready, 1, wait_ms) <= 0;
}

const char *tap_link_name(const struct tap_link *link, const char *list, uint32_t index)
{
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(link->answer, list);
    const cJSON *name = cJSON_GetArrayItem(names, (int)index);
    return cJSON_IsString(name) ? name->valuestring : "?";
}
