/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon is, connecting to it, and descriptors that an application may close under us. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/text.h"
#include "client/client.h"
#include "ring/hello.h"

struct client_settings client_settings;

const char *client_program(void)
{
    return client_settings.program[0] != '\0' ? client_settings.program
                                              : program_invocation_short_name;
}

static bool add(char *path, size_t room, size_t *used, const char *text)
{
    size_t bytes = strlen(text);
    if (bytes >= room - *used) {
        return false;
    }
    memcpy(path + *used, text, bytes + 1);
    *used += bytes;
    return true;
}

int client_path(char *path, size_t room, const char *name, bool *guessable)
{
    const char *runtime = secure_getenv("XDG_RUNTIME_DIR");
    const char *own = secure_getenv("YARDER_RUN_DIR");
    const char *folder = client_settings.run_dir[0] != '\0' ? client_settings.run_dir : own;
    size_t used = 0;
    bool fits;
    *guessable = false;
    if (folder != NULL && folder[0] != '\0') {
        fits = add(path, room, &used, folder);
    } else if (getuid() == 0) {
        fits = add(path, room, &used, "/run/yarder");
    } else if (runtime != NULL && runtime[0] != '\0') {
        fits = add(path, room, &used, runtime) && add(path, room, &used, "/yarder");
    } else {
        char uid[24];
        uid[text_from_u64(uid, getuid())] = '\0';
        fits = add(path, room, &used, "/tmp/yarder-") && add(path, room, &used, uid);
        *guessable = true;
    }
    fits = fits && add(path, room, &used, "/") && add(path, room, &used, name);
    return fits ? 0 : -ENAMETOOLONG;
}

/* Anybody may make a folder under /tmp: believe only root or ourselves there. */
static bool peer_is_trusted(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
           (peer.uid == 0 || peer.uid == getuid());
}

int client_connect(struct client_fd *out, const char *name, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool guessable;
    int result = client_path(address.sun_path, sizeof(address.sun_path), name, &guessable);
    if (result < 0) {
        return result;
    }
    YARDER_OWN_FD int low_fd = -1;
    YARDER_OWN_FD int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && fd <= STDERR_FILENO) {
        /* 0 to 2 belong to the application even while they are closed. */
        low_fd = yarder_fd_take(&fd);
        fd = fcntl(low_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    if (fd < 0 ||
        connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0) {
        return -errno;
    }
    if (guessable && !peer_is_trusted(fd)) {
        return -EACCES;
    }
    struct os_file_id id;
    result = os_file_id(fd, &id);
    if (result < 0) {
        return result;
    }
    *out = (struct client_fd){yarder_fd_take(&fd), true, id};
    return 0;
}

bool client_fd_valid(const struct client_fd *kept)
{
    struct os_file_id id;
    return kept->open && os_file_id(kept->fd, &id) == 0 && os_file_id_equal(id, kept->id);
}

void client_fd_close(struct client_fd *kept)
{
    if (client_fd_valid(kept)) {
        (void)close(kept->fd);
    }
    *kept = (struct client_fd){.fd = -1};
}

bool client_send(struct client_page *page, const struct yarder_message *message)
{
    enum { TEXT_BYTES_MAX = 60000, FACILITY_USER = 1, HEAD_BYTES = 4 + 64 + 32 };
    /* acquire: pairs with fall_back */
    if (__atomic_load_n(&page->fallback_ready, __ATOMIC_ACQUIRE) == 0 ||
        !client_fd_valid(&page->fallback)) {
        return false;
    }
    char head[HEAD_BYTES] = "<";
    const char *program = client_program();
    size_t program_bytes = strnlen(program, 63);
    size_t used = 1;
    used += text_from_u64(head + used, FACILITY_USER << 3 | level_to_severity(message->level));
    head[used++] = '>';
    memcpy(head + used, program, program_bytes);
    used += program_bytes;
    head[used++] = '[';
    used += text_from_u64(head + used, (uint64_t)getpid());
    memcpy(head + used, "]: ", 3);
    used += 3;
    struct iovec parts[2] = {{head, used}, {NULL, yarder_min(message->text_bytes, TEXT_BYTES_MAX)}};
    memcpy(&parts[1].iov_base, &message->text, sizeof(message->text)); /* only read from */
    struct msghdr datagram = {.msg_iov = parts, .msg_iovlen = 2};
    return sendmsg(page->fallback.fd, &datagram, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}
