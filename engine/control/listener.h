/* SPDX-License-Identifier: Apache-2.0 */
/* One listening or datagram socket as an object: binding it, and saying why it could not be. */
#ifndef YARDER_CONTROL_LISTENER_H
#define YARDER_CONTROL_LISTENER_H

#include "inputs/input.h"
#include "os/socket.h"

enum { LISTENER_WHY_BYTES = 600 };

/* What the configuration asks for. Texts are borrowed. */
struct listener_wanted {
    const char *what;     /* "input NAME", "control socket" */
    const char *where;    /* "file:line"; NULL: nowhere */
    enum input_kind kind; /* UNIX, UDP, TCP */
    int type;             /* SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET */
    const char *address;  /* path, @name or numbers (socket_address_parse) */
    struct socket_path_owner owner;
    uint32_t receive_bytes;
};

struct listener {
    struct listener *next; /* in the list of all */
    int fd;
    bool activated; /* came from the service manager: its path is not ours to remove */
    bool current;
    bool next_one;
    enum input_kind kind;
    int type;
    char *address; /* NULL: activated and not asked for yet */
    char *path;    /* what bind has made in the file system and is still called; NULL: nothing */
    struct os_file_id file;         /* what bind has made there */
    struct socket_path_owner owner; /* as it is now */
    uint32_t receive_bytes;         /* as asked for */
    uint32_t receive_bytes_got;
};

/*
 * Binds it, at `path` in place of the address where not NULL. 0 with *out, or the negative errno
 * and one line in why.
 */
YARDER_MUST_USE int listener_bind(struct listener **out, const struct listener_wanted *wanted,
    const char *path, char why[static LISTENER_WHY_BYTES]);

/* Closes it; removes its path if that still names this socket. */
void listener_free(struct listener *listener);

/* Whether the path in the file system still is this socket; true where there is none. */
bool listener_in_place(const struct listener *listener);

/* Renames its path over `path`, where its address says it should be. 0 or -errno. */
YARDER_MUST_USE int listener_move(struct listener *listener, const char *path);

/* Makes mode, owner and buffer what is asked for now. 0 or -errno. */
YARDER_MUST_USE int listener_change(
    struct listener *listener, const struct listener_wanted *wanted);

/* Whether a socket of unknown origin is what is wanted: family, type and bound address. */
bool listener_fits(int fd, const struct listener_wanted *wanted);

#endif
