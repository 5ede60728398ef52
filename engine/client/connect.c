/* SPDX-License-Identifier: Apache-2.0 */
/* Where the daemon is, connecting to it, and descriptors that an application may close under us. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

/* As they were when we were loaded: afterwards the program may change them at any time. */
static char env_run_dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
static char env_runtime_dir[sizeof(env_run_dir)];

static void env_keep(char kept[sizeof(env_run_dir)], const char *name)
{
    const char *value = secure_getenv(name);
    if (value != NULL) { /* one that is too long stays so: no socket's name fits behind it */
        memcpy(kept, value, strnlen(value, sizeof(env_run_dir) - 1));
    }
}

__attribute__((constructor)) static void env_read(void)
{
    env_keep(env_run_dir, "YARDER_RUN_DIR");
    env_keep(env_runtime_dir, "XDG_RUNTIME_DIR");
}

int client_path(char *path, size_t room, const char *name, bool *guessable)
{
    const char *folder = client_settings.run_dir[0] != '\0' ? client_settings.run_dir : env_run_dir;
    size_t used = 0;
    bool fits;
    *guessable = false;
    if (folder[0] != '\0') {
        fits = add(path, room, &used, folder);
    } else if (getuid() == 0) {
        fits = add(path, room, &used, "/run/yarder");
    } else if (env_runtime_dir[0] != '\0') {
        fits = add(path, room, &used, env_runtime_dir) && add(path, room, &used, "/yarder");
    } else {
        char uid[24];
        uid[text_from_u64(uid, getuid())] = '\0';
        fits = add(path, room, &used, "/tmp/yarder-") && add(path, room, &used, uid);
        *guessable = true;
    }
    fits = fits && add(path, room, &used, "/") && add(path, room, &used, name);
    return fits ? 0 : -ENAMETOOLONG;
}

/*
 * Anybody may make a folder under /tmp: only in one of root's or our own it is certain who made the
 * socket, and nobody else can exchange such a folder. A datagram socket says nothing of its peer.
 */
static int check_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    size_t bytes = (size_t)(strrchr(path, '/') - path);
    struct stat facts;
    memcpy(folder, path, bytes);
    folder[bytes] = '\0';
    if (lstat(folder, &facts) < 0) {
        return -errno;
    }
    bool trusted = S_ISDIR(facts.st_mode) && (facts.st_uid == 0 || facts.st_uid == getuid()) &&
                   (facts.st_mode & (S_IWGRP | S_IWOTH)) == 0;
    return trusted ? 0 : -EACCES;
}

static int connect_to(int fd, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool guessable;
    int result = client_path(address.sun_path, sizeof(address.sun_path), name, &guessable);
    result = result == 0 && guessable ? check_folder(address.sun_path) : result;
    if (result == 0 &&
        connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0) {
        result = -errno;
    }
    return result;
}

int client_fd_move_up(int *fd)
{
    int moved = fcntl(*fd, F_DUPFD_CLOEXEC, CLIENT_FD_MIN);
    if (moved < 0 && *fd <= STDERR_FILENO) {
        moved = fcntl(*fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    }
    if (moved >= 0) {
        (void)close(*fd);
        *fd = moved;
    }
    return *fd <= STDERR_FILENO ? -errno : 0;
}

int client_reconnect(const struct client_fd *kept, const char *name)
{
    return client_fd_valid(kept) ? connect_to(kept->fd, name) : -EBADF;
}

int client_connect(struct client_fd *out, const char *name, int type)
{
    YARDER_OWN_FD int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int result = fd < 0 ? -errno : client_fd_move_up(&fd);
    struct os_file_id id;
    result = result < 0 ? result : connect_to(fd, name);
    result = result < 0 ? result : os_file_id(fd, &id);
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

bool client_datagram(struct client_page *page, const struct yarder_message *message)
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
    bool sent = sendmsg(page->fallback.fd, &datagram, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
    if (!sent && (errno == ECONNREFUSED || errno == ENOTCONN)) {
        client_fallback_lost(page);
    }
    return sent;
}
