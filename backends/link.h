/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of a backend: TCP, TLS, UDP or a unix socket, behind the same few calls. Linked into
 * each module that needs it. Every call keeps to its deadline by host->wait.
 *
 *   link_open -> (link_connect -> link_send, link_receive, ... -> link_drop)* -> link_close
 *
 * What goes wrong is told by host->fail, in words, where it is found: whoever gets a negative
 * result passes it on. Not told, because they may be no faults: -ECANCELED (the daemon wants its
 * thread back), -EMSGSIZE (too long for a datagram), and -EAGAIN of link_receive.
 *
 * Names are resolved anew at each connect, by a thread of their own that is left behind where it
 * hangs; all their addresses are tried. A datagram socket that is connected to a name looks every
 * minute whether that name still means the same.
 */
#ifndef YARDER_BACKENDS_LINK_H
#define YARDER_BACKENDS_LINK_H

#include <sys/types.h>
#include <sys/uio.h>

#include "api/backend.h"

enum link_kind { LINK_UDP, LINK_TCP, LINK_TLS, LINK_UNIX_DATAGRAM, LINK_UNIX_STREAM };

/* Texts are the configuration's. */
struct link_address {
    enum link_kind kind;
    char *host; /* name, IPv4 or IPv6 (without its brackets); NULL: a path */
    char *port;
    char *path;  /* "@name": abstract */
    bool either; /* of a path: the other of its two kinds will do, if that is what listens */
};
static inline bool link_is_datagram(const struct link_address *address)
{
    return address->kind == LINK_UDP || address->kind == LINK_UNIX_DATAGRAM;
}

enum link_verify { LINK_VERIFY_NAME, LINK_VERIFY_CHAIN, LINK_VERIFY_NONE };

/* The same names for every kind: put LINK_TLS_OPTIONS(struct x, tls) into the option table. */
struct link_tls {
    char *cert;       /* PEM files */
    char *key;        /* of cert; NULL: in the same file */
    char *ca;         /* whom to trust: a file, or a folder of hashed names; NULL: the system's */
    int verify;       /* enum link_verify: name, chain, none */
    char *servername; /* SNI and the name that is checked; NULL: the host of the target */
};
extern const char *const link_verify_choices[];
#define LINK_TLS_OPTIONS(type, member)                                                             \
    {"cert", YARDER_OPTION_PATH, offsetof(type, member.cert), NULL, 0, 0, NULL, NULL, "PATH",      \
        "TLS: our certificate, PEM"},                                                              \
        {"key", YARDER_OPTION_PATH, offsetof(type, member.key), NULL, 0, 0, NULL, NULL, "PATH",    \
            "TLS: the certificate's key, PEM; not given: in the same file"},                       \
        {"ca", YARDER_OPTION_PATH, offsetof(type, member.ca), NULL, 0, 0, NULL, NULL, "PATH",      \
            "TLS: the authorities to trust, PEM; not given: the system's"},                        \
        {"verify", YARDER_OPTION_CHOICE, offsetof(type, member.verify), "name", 0, 0,              \
            link_verify_choices, NULL, "name|chain|none", "TLS: what is checked of the peer"},     \
    {                                                                                              \
        "servername", YARDER_OPTION_TEXT, offsetof(type, member.servername), NULL, 0, 0, NULL,     \
            NULL, "NAME", "TLS: the peer's name, where it is not that of the target"               \
    }

/* Which addresses a backend takes, and what they mean where they do not say it. */
struct link_form {
    enum link_kind kind;      /* of one without a scheme; one of unix: everything is a path */
    enum link_kind unix_kind; /* of a path, an @name and `unix:` */
    unsigned kinds;           /* LINK_BIT of each that is taken */
    const char *port;         /* NULL: it must be given */
};
#define LINK_BIT(kind) (1u << (kind))
enum { LINK_ALL = (1u << (LINK_UNIX_STREAM + 1)) - 1 };
/*
 * "[SCHEME://]HOST[:PORT]" (schemes udp tcp tls), "[SCHEME:]PATH" (unix, unix-dgram, unix-stream,
 * also with "//"). IPv6 in brackets where a port follows. Cuts the text in place. 0, or -EINVAL
 * with what was expected in `why`.
 */
int link_parse(char *text, const struct link_form *form, struct link_address *out, char *why,
    size_t why_bytes);
/* For a backend's `check`: whether the options of TLS go together, and with the address. */
int link_check_tls(
    const struct link_address *address, const struct link_tls *tls, char *why, size_t why_bytes);
/* "tcp://host:port", "/path": for messages. Returns `at`. */
const char *link_show(const struct link_address *address, char *at, size_t room);

struct link;
/* What the pointers lead to outlives it; tls may be NULL. 0 or -errno (files not to be loaded). */
int link_open(struct link **out, struct yarder_host *host, const struct link_address *address,
    const struct link_tls *tls);
void link_close(struct link *link); /* NULL is none */

/* How datagrams go to a group; before link_connect. interface: its name; NULL: as routed. */
struct link_multicast {
    char *interface;
    uint64_t ttl; /* routers it may pass; 0: this machine only */
    bool loop;    /* listeners on this machine get it, too */
};
void link_set_multicast(struct link *link, const struct link_multicast *multicast);

int link_connect(struct link *link, uint64_t deadline_ns); /* 0, also when it is; -errno */
bool link_is_connected(const struct link *link);
void link_drop(struct link *link); /* closes the connection */
int link_fd(const struct link *link);
/* Whether each send is a datagram; of an address with `either` known once it is connected. */
bool link_sends_datagrams(const struct link *link);

/*
 * All of it, in order (a datagram: as one; 64 parts at most). 0, or -errno, and *sent says how much
 * went. -ETIMEDOUT, -ECANCELED: a plain stream may go on from there; after any other error, and
 * always with TLS, the connection is dropped, and what was in the middle begins anew.
 */
int link_send(struct link *link, const struct iovec *parts, int parts_count, uint64_t deadline_ns,
    size_t *sent);
/*
 * Each a datagram of its own, many with one call of the system. *sent: how many went; on -EMSGSIZE
 * datagrams[*sent] is the one that is too long. A peer that refused an earlier one is told about,
 * and no error.
 */
int link_send_many(struct link *link, const struct iovec *datagrams, size_t count,
    uint64_t deadline_ns, size_t *sent);
/* What is there: > 0; 0: the peer has ended; -EAGAIN: nothing came by the deadline; -errno. */
ssize_t link_receive(struct link *link, void *at, size_t room, uint64_t deadline_ns);
/* Whether a stream's peer has closed it (looks without waiting, takes nothing); told then. */
bool link_is_dead(struct link *link);
/* The same for whoever never receives: what the peer says is taken, and forgotten. */
bool link_is_dead_unheard(struct link *link);

#endif
