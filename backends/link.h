/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of a backend: TCP, TLS, UDP or a unix socket, behind the same few calls. Compiled
 * into each module that needs it. Every call keeps to its deadline by host->wait, and answers
 * -ECANCELED when the daemon wants its thread back.
 *
 *   link_open -> (link_connect -> link_send, link_receive, ... -> link_drop)* -> link_close
 *
 * Names are resolved anew at each connect, without blocking past the deadline; all their addresses
 * are tried, IPv6 and IPv4.
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
    char *path; /* "@name": abstract */
};

enum link_verify { LINK_VERIFY_NAME, LINK_VERIFY_CHAIN, LINK_VERIFY_NONE };

/* The same names for every kind: put LINK_TLS_OPTIONS(struct x, tls) into the option table. */
struct link_tls {
    char *cert;       /* PEM files */
    char *key;        /* of cert; NULL: in the same file */
    char *ca;         /* whom to trust; NULL: the system's */
    int verify;       /* enum link_verify: name, chain, none */
    char *servername; /* SNI and the name that is checked; NULL: the host of the target */
};
extern const char *const link_verify_choices[];
#define LINK_TLS_OPTIONS(type, member)                                                             \
    {"cert", YARDER_OPTION_TEXT, offsetof(type, member.cert), NULL, 0, 0, NULL, NULL, "PATH",      \
        "TLS: our certificate, PEM"},                                                              \
        {"key", YARDER_OPTION_TEXT, offsetof(type, member.key), NULL, 0, 0, NULL, NULL, "PATH",    \
            "TLS: the certificate's key, PEM"},                                                    \
        {"ca", YARDER_OPTION_TEXT, offsetof(type, member.ca), NULL, 0, 0, NULL, NULL, "PATH",      \
            "TLS: the authorities to trust, PEM; not given: the system's"},                        \
        {"verify", YARDER_OPTION_CHOICE, offsetof(type, member.verify), "name", 0, 0,              \
            link_verify_choices, NULL, "name|chain|none", "TLS: what is checked of the peer"},     \
    {                                                                                              \
        "servername", YARDER_OPTION_TEXT, offsetof(type, member.servername), NULL, 0, 0, NULL,     \
            NULL, "NAME", "TLS: the peer's name, where it is not that of the target"               \
    }

/*
 * "[SCHEME://]HOST[:PORT]", "[SCHEME://]PATH" or "unix:PATH"; schemes udp tcp tls unix unix-dgram;
 * without one `kind` (of an absolute path or @name: unix_kind). Cuts the text in place. 0, or
 * -EINVAL with what was expected in `why`.
 */
int link_parse(char *text, enum link_kind kind, enum link_kind unix_kind, const char *default_port,
    struct link_address *out, char *why, size_t why_bytes);
/* "tcp://host:port", "/path": for messages. */
const char *link_show(const struct link_address *address, char *at, size_t room);

struct link;
/* What both pointers lead to outlives it. 0 or -errno (TLS: files that cannot be loaded). */
int link_open(struct link **out, struct yarder_host *host, const struct link_address *address,
    const struct link_tls *tls);
void link_close(struct link *link); /* NULL is none */

int link_connect(struct link *link, uint64_t deadline_ns); /* 0, also when it is; -errno */
bool link_is_connected(const struct link *link);
void link_drop(struct link *link); /* closes the connection */
int link_fd(const struct link *link);

/* All of it, in order (a datagram: as one): 0, or -errno, and then *sent says how much went. */
int link_send(struct link *link, const struct iovec *parts, int parts_count, uint64_t deadline_ns,
    size_t *sent);
/* What is there: > 0; 0: the peer has ended; -EAGAIN: nothing came by the deadline; -errno. */
ssize_t link_receive(struct link *link, void *at, size_t room, uint64_t deadline_ns);
/* Whether a stream's peer has closed it (looks without waiting, takes nothing). */
bool link_is_dead(struct link *link);

#endif
