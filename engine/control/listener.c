/* SPDX-License-Identifier: Apache-2.0 */
#include "control/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/holder.h"

static const char *kind_word(const struct listener_wanted *wanted)
{
    return wanted->kind == INPUT_UNIX ? "unix socket" : input_kind_names[wanted->kind];
}

static void explain_in_use(const struct listener_wanted *wanted,
    const struct socket_address *address, char *out, size_t out_bytes)
{
    struct holder holder;
    bool known = wanted->kind == INPUT_UNIX ? holder_of_path(wanted->address, &holder)
                                            : holder_of_port(wanted->kind == INPUT_TCP,
                                                  socket_address_port(address), &holder);
    if (known && holder.pid == getpid()) {
        (void)snprintf(out, out_bytes,
            "this yarder holds it itself, for another input or as configured before: "
            "change the address, or restart in place of reload");
    } else if (known) {
        (void)snprintf(out, out_bytes, "address in use by pid %d (%s): stop that or choose another",
            (int)holder.pid, holder.name);
    } else {
        (void)snprintf(out, out_bytes,
            "address in use by another program, which %s: stop that or choose another",
            geteuid() == 0 ? "runs in another container" : "only root can see");
    }
}

/* The cause in words and the cure. */
static void explain(const struct listener_wanted *wanted, const struct socket_address *address,
    int error, char *out, size_t out_bytes)
{
    bool path = wanted->kind == INPUT_UNIX;
    const char *text = NULL;
    switch (-error) {
    case EADDRINUSE:
        explain_in_use(wanted, address, out, out_bytes);
        return;
    case EACCES:
        if (!path) {
            (void)snprintf(out, out_bytes, "port %u needs root or CAP_NET_BIND_SERVICE",
                socket_address_port(address));
            return;
        }
        text = "this user may not make a socket there: choose another path or run as root";
        break;
    case EPERM:
        text =
            "only root may give a socket another owner: leave owner= and group= out or run as root";
        break;
    case ENOENT:
        text = "its folder does not exist: create it";
        break;
    case ESTALE:
        text = "somebody else replaced it right away: choose a folder that only you may change";
        break;
    case EADDRNOTAVAIL:
        text = "no interface of this machine has that address: see `ip address`, or leave the host "
               "empty for all of them";
        break;
    case EAFNOSUPPORT:
        text = "this machine has no addresses of that family (IPv6 is switched off?)";
        break;
    case EEXIST:
        text = "what is there is no socket: remove it or choose another path";
        break;
    case ENAMETOOLONG:
        text = "longer than the 107 bytes a socket's path may have";
        break;
    case EINVAL:
        text = path ? "expected a path, or @NAME" : "expected HOST:PORT, [IPv6]:PORT or :PORT";
        break;
    default:
        text = strerror(-error);
        break;
    }
    (void)snprintf(out, out_bytes, "%s", text);
}

static void listener_drop(struct listener **listener)
{
    if (*listener != NULL) {
        listener_free(*listener);
    }
}

static int bind_path(
    struct listener *listener, const struct listener_wanted *wanted, const char *path)
{
    int bound =
        socket_listen_unix(path, wanted->type, &wanted->owner, &listener->file, &listener->fd);
    if (bound < 0 || path[0] == '@') {
        return bound;
    }
    listener->path = strdup(path);
    return listener->path == NULL ? -ENOMEM : 0;
}

static int bind_port(struct listener *listener, const struct listener_wanted *wanted,
    const struct socket_address *address)
{
    const struct socket_options options = {.receive_bytes = wanted->receive_bytes};
    struct socket_bound bound;
    int result = wanted->kind == INPUT_TCP ? socket_bind_tcp(address, &options, &bound)
                                           : socket_bind_udp(address, &options, &bound);
    if (result == 0) {
        listener->fd = bound.fd;
        listener->receive_bytes_got = bound.receive_bytes;
    }
    return result;
}

static int listener_new(struct listener **out, const struct listener_wanted *wanted)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    char *address = strdup(wanted->address);
    if (listener == NULL || address == NULL) {
        free(listener);
        free(address);
        return -ENOMEM;
    }
    *listener = (struct listener){.fd = -1,
        .kind = wanted->kind,
        .type = wanted->type,
        .address = address,
        .owner = wanted->owner,
        .receive_bytes = wanted->receive_bytes};
    *out = listener;
    return 0;
}

int listener_bind(struct listener **out, const struct listener_wanted *wanted, const char *path,
    char why[static LISTENER_WHY_BYTES])
{
    __attribute__((cleanup(listener_drop))) struct listener *listener = NULL;
    struct socket_address address = {0};
    int result = listener_new(&listener, wanted);
    if (result == 0 && wanted->kind == INPUT_UNIX) {
        result = bind_path(listener, wanted, path == NULL ? wanted->address : path);
    } else if (result == 0) {
        result = socket_address_parse(wanted->address, &address);
        result = result == 0 ? bind_port(listener, wanted, &address) : result;
    }
    if (result == 0) {
        *out = listener;
        listener = NULL;
        return 0;
    }
    char cause[LISTENER_WHY_BYTES / 2];
    explain(wanted, &address, result, cause, sizeof(cause));
    (void)snprintf(why, LISTENER_WHY_BYTES, "%s%s%s: cannot listen on %s %.200s: %s",
        wanted->where == NULL ? "" : wanted->where, wanted->where == NULL ? "" : ": ", wanted->what,
        kind_word(wanted), wanted->address, cause);
    return result;
}

bool listener_in_place(const struct listener *listener)
{
    struct stat status;
    return listener->path == NULL ||
           (lstat(listener->path, &status) == 0 &&
               os_file_id_equal(listener->file, (struct os_file_id){status.st_dev, status.st_ino}));
}

void listener_free(struct listener *listener)
{
    if (listener->path != NULL && listener_in_place(listener)) {
        (void)unlink(listener->path);
    }
    yarder_fd_drop(&listener->fd);
    free(listener->path);
    free(listener->address);
    free(listener);
}

int listener_move(struct listener *listener, const char *path)
{
    YARDER_ASSERT(listener->path != NULL);
    char *copy = strdup(path);
    if (copy == NULL) {
        return -ENOMEM;
    }
    if (rename(listener->path, path) < 0) {
        int error = -errno;
        free(copy);
        return error;
    }
    free(listener->path);
    listener->path = copy;
    return 0;
}

int listener_change(struct listener *listener, const struct listener_wanted *wanted)
{
    if (listener->kind == INPUT_UDP && wanted->receive_bytes != listener->receive_bytes) {
        int raised =
            socket_raise_receive(listener->fd, wanted->receive_bytes, &listener->receive_bytes_got);
        if (raised < 0) {
            return raised;
        }
        listener->receive_bytes = wanted->receive_bytes;
    }
    if (listener->path == NULL) {
        return 0;
    }
    bool same = wanted->owner.owner == listener->owner.owner &&
                wanted->owner.group == listener->owner.group &&
                wanted->owner.mode == listener->owner.mode;
    int r = same ? 0 : socket_path_change(listener->path, &listener->file, &wanted->owner);
    if (r == 0) {
        listener->owner = wanted->owner;
    }
    return r;
}

static bool same_unix(
    const struct sockaddr_storage *local, socklen_t local_bytes, const char *address)
{
    struct sockaddr_un bound = {0};
    memcpy(&bound, local, yarder_min(local_bytes, sizeof(bound)));
    size_t length = strlen(address);
    size_t bytes = offsetof(struct sockaddr_un, sun_path) + length;
    if (address[0] == '@') {
        return local_bytes == bytes && bound.sun_path[0] == '\0' &&
               memcmp(bound.sun_path + 1, address + 1, length - 1) == 0;
    }
    return length < sizeof(bound.sun_path) &&
           strncmp(bound.sun_path, address, sizeof(bound.sun_path)) == 0;
}

static bool same_port(const struct sockaddr_storage *local, socklen_t local_bytes,
    const struct listener_wanted *wanted)
{
    struct socket_address address;
    if (socket_address_parse(wanted->address, &address) < 0) {
        return false;
    }
    const struct sockaddr_in every = {.sin_family = AF_INET, .sin_port = address.in6.sin6_port};
    bool same = address.bytes == local_bytes && memcmp(&address.generic, local, local_bytes) == 0;
    return same || (address.any && local_bytes == sizeof(every) &&
                       memcmp(&every, local, sizeof(every)) == 0);
}

bool listener_fits(int fd, const struct listener_wanted *wanted)
{
    struct sockaddr_storage local = {0};
    socklen_t local_bytes = sizeof(local);
    int type = 0;
    int listening = 0;
    socklen_t size = sizeof(int);
    if (getsockname(fd, (struct sockaddr *)&local, &local_bytes) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) < 0) {
        return false;
    }
    if (type != wanted->type || (listening != 0) != (type != SOCK_DGRAM)) {
        return false;
    }
    if (local.ss_family == AF_UNIX) {
        return wanted->kind == INPUT_UNIX && same_unix(&local, local_bytes, wanted->address);
    }
    return wanted->kind != INPUT_UNIX && same_port(&local, local_bytes, wanted);
}
