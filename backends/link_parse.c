/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as they stand in a configuration. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "link_private.h"

enum { HOST_BYTES_MAX = 253, PORT_MAX = 65535 };

const char *const link_verify_choices[] = {"name", "chain", "none", NULL};

static const struct scheme {
    const char *name;
    enum link_kind kind;
    bool path;
} schemes[] = {
    {"udp", LINK_UDP, false}, {"tcp", LINK_TCP, false}, {"tls", LINK_TLS, false},
    {"unix-dgram", LINK_UNIX_DATAGRAM, true}, {"unix-stream", LINK_UNIX_STREAM, true},
    {"unix", LINK_UNIX_DATAGRAM, true}, /* the caller's unix_kind */
};
enum { SCHEMES_COUNT = sizeof(schemes) / sizeof(schemes[0]), SCHEME_UNIX = SCHEMES_COUNT - 1 };

static int expected(char *why, size_t why_bytes, const char *what)
{
    (void)snprintf(why, why_bytes, "expected %s", what);
    return -EINVAL;
}

/* "expected [tcp://|tls://]HOST[:PORT] or [unix:]PATH": of what the form takes. */
static int expected_form(char *why, size_t why_bytes, const struct link_form *form)
{
    char names[64] = "";
    size_t length = 0;
    for (size_t i = 0; i < SCHEMES_COUNT && !schemes[i].path; i++) {
        if ((form->kinds & LINK_BIT(schemes[i].kind)) != 0) {
            length += (size_t)snprintf(names + length, sizeof(names) - length, "%s%s://",
                length > 0 ? "|" : "", schemes[i].name);
        }
    }
    bool paths = (form->kinds & LINK_BIT(form->unix_kind)) != 0;
    (void)snprintf(why, why_bytes, "expected [%s]HOST%s%s", names,
        form->port != NULL ? "[:PORT]" : ":PORT", paths ? " or [unix:]PATH" : "");
    return -EINVAL;
}

/* Cuts the scheme off *text: its row; NULL: it has none. */
static const struct scheme *take_scheme(char **text)
{
    size_t length = strcspn(*text, ":");
    for (size_t i = 0; i < SCHEMES_COUNT; i++) {
        const struct scheme *scheme = &schemes[i];
        const char *behind = *text + length;
        bool marked = scheme->path ? *behind == ':' : strncmp(behind, "://", 3) == 0;
        if (marked && strlen(scheme->name) == length && strncmp(*text, scheme->name, length) == 0) {
            *text += length + (strncmp(behind, "://", 3) == 0 ? 3 : 1);
            return scheme;
        }
    }
    return NULL;
}

static int parse_path(char *text, struct link_address *out, char *why, size_t why_bytes)
{
    size_t length = strlen(text);
    if (length == 0 || (length == 1 && text[0] == '@')) {
        return expected(why, why_bytes, "the path of a unix socket, or @NAME");
    }
    if (length >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return expected(why, why_bytes, "a path of 107 bytes at most: unix sockets have no longer");
    }
    out->path = text;
    return 0;
}

static bool is_port(const char *text)
{
    uint32_t value = 0;
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(text[i] - '0');
    }
    return length > 0 && length <= 5 && value > 0 && value <= PORT_MAX;
}

static bool is_host(const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        if (byte <= ' ' || byte == 127 || strchr("/@[]\"'", byte) != NULL) {
            return false;
        }
    }
    return length > 0 && length <= HOST_BYTES_MAX;
}

/* Cuts "host", "host:port", "[v6]" or "[v6]:port" in two; *port stays NULL where there is none. */
static bool split_host(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':');
    *host = text;
    if (text[0] == '[') {
        char *end = strchr(text, ']');
        if (end == NULL || (end[1] != '\0' && end[1] != ':')) {
            return false;
        }
        *host = text + 1;
        colon = end[1] == ':' ? end + 1 : NULL;
        *end = '\0';
    } else if (colon != NULL && strchr(text, ':') != colon) {
        colon = NULL; /* an IPv6 address by itself */
    }
    if (colon != NULL) {
        *colon = '\0';
        *port = colon + 1;
    }
    return true;
}

static int parse_host(
    char *text, const struct link_form *form, struct link_address *out, char *why, size_t why_bytes)
{
    const char *shape = form->port == NULL ? "HOST:PORT" : "HOST or HOST:PORT";
    char *port = NULL;
    if (strstr(text, "://") != NULL) {
        return expected_form(why, why_bytes, form);
    }
    if (!split_host(text, &out->host, &port) || !is_host(out->host)) {
        (void)snprintf(why, why_bytes, "expected %s, an IPv6 address as [ADDRESS]:PORT", shape);
        return -EINVAL;
    }
    struct in6_addr six;
    if (strchr(out->host, ':') != NULL && strchr(out->host, '%') == NULL &&
        inet_pton(AF_INET6, out->host, &six) != 1) {
        return expected(why, why_bytes, "one port, or an IPv6 address as [ADDRESS]:PORT");
    }
    if (port != NULL && !is_port(port)) {
        return expected(why, why_bytes, "a port of 1 to 65535 behind the colon");
    }
    if (port == NULL && form->port == NULL) {
        return expected(why, why_bytes, "HOST:PORT, the port is missing");
    }
    union { /* a constant is only read, as all that an address points to */
        const char *constant;
        char *text;
    } standard = {.constant = form->port};
    out->port = port != NULL ? port : standard.text;
    return 0;
}

int link_parse(
    char *text, const struct link_form *form, struct link_address *out, char *why, size_t why_bytes)
{
    struct link_address address = {.kind = form->kind};
    const struct scheme *scheme = take_scheme(&text);
    bool plain = form->kind == LINK_UNIX_DATAGRAM || form->kind == LINK_UNIX_STREAM;
    bool path = scheme != NULL ? scheme->path : plain || text[0] == '/' || text[0] == '@';
    if (scheme != NULL && scheme != &schemes[SCHEME_UNIX]) {
        address.kind = scheme->kind;
    } else if (path) {
        address.kind = form->unix_kind;
    }
    if ((form->kinds & LINK_BIT(address.kind)) == 0) {
        return expected_form(why, why_bytes, form);
    }
    int r = path ? parse_path(text, &address, why, why_bytes)
                 : parse_host(text, form, &address, why, why_bytes);
    if (r == 0) {
        *out = address;
    }
    return r;
}

int link_check_tls(
    const struct link_address *address, const struct link_tls *tls, char *why, size_t why_bytes)
{
    const char *given = tls->cert != NULL         ? "cert"
                        : tls->key != NULL        ? "key"
                        : tls->ca != NULL         ? "ca"
                        : tls->servername != NULL ? "servername"
                        : tls->verify != 0        ? "verify"
                                                  : NULL;
    const char *wrong = NULL;
    if (address->kind == LINK_TLS && !link_has_tls) {
        wrong = "tls:// is not there: this yarder was built without OpenSSL (libssl-dev)";
    } else if (address->kind != LINK_TLS && given != NULL) {
        (void)snprintf(why, why_bytes, "%s= is for targets with tls://", given);
        return -EINVAL;
    } else if (tls->key != NULL && tls->cert == NULL) {
        wrong = "key= needs cert=, the certificate that it belongs to";
    }
    if (wrong != NULL) {
        (void)snprintf(why, why_bytes, "%s", wrong);
        return -EINVAL;
    }
    return 0;
}

const char *link_show(const struct link_address *address, char *at, size_t room)
{
    if (address->path != NULL) {
        (void)snprintf(at, room, "%s", address->path);
        return at;
    }
    bool six = strchr(address->host, ':') != NULL;
    const char *name = address->kind == LINK_UDP   ? "udp"
                       : address->kind == LINK_TLS ? "tls"
                                                   : "tcp";
    (void)snprintf(at, room, "%s://%s%s%s:%s", name, six ? "[" : "", address->host, six ? "]" : "",
        address->port);
    return at;
}
