/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as they are, to a socket: a datagram each (UDP, multicast, unix), or one after the other
 * with a mark between them (TCP, TLS, unix streams).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "frames.h"

enum socket_framing { FRAMING_AUTO, FRAMING_LF, FRAMING_NUL, FRAMING_OCTET, FRAMING_NONE };
enum socket_newline { NEWLINE_STRIP, NEWLINE_KEEP };
enum { COUNT_BYTES_MAX = 24, TTL_MAX = 255 };

static const char *const framing_choices[] = {"auto", "lf", "nul", "octet", "none", NULL};
static const char *const newline_choices[] = {"strip", "keep", NULL};
static const char *const uwsgi_names[] = {"socket", NULL};

struct socket_backend {
    struct link_tls tls;
    struct link_multicast multicast;
    char *prefix;
    int framing; /* enum socket_framing */
    int newline; /* enum socket_newline */

    struct link_address address;
    struct yarder_host *host;
    struct link *link;
    struct frames frames;
    size_t prefix_bytes;
};

static const struct yarder_option options[] = {
    {"prefix", YARDER_OPTION_TEXT, offsetof(struct socket_backend, prefix), NULL, 0, 0, NULL, NULL,
        "TEXT", "put before each record, as it is"},
    {"framing", YARDER_OPTION_CHOICE, offsetof(struct socket_backend, framing), "auto", 0, 0,
        framing_choices, NULL, "auto|lf|nul|octet|none",
        "what parts the records of a stream: a newline, a NUL, their length before them, or "
        "nothing; auto is lf for streams and none for datagrams"},
    {"newline", YARDER_OPTION_CHOICE, offsetof(struct socket_backend, newline), "strip", 0, 0,
        newline_choices, NULL, "strip|keep", "whether a record's own newline goes with it"},
    {"interface", YARDER_OPTION_TEXT, offsetof(struct socket_backend, multicast.interface), NULL, 0,
        0, NULL, NULL, "NAME", "multicast: the interface it leaves by; not given: as routed"},
    {"ttl", YARDER_OPTION_COUNT, offsetof(struct socket_backend, multicast.ttl), "1", 0, TTL_MAX,
        NULL, NULL, "N", "multicast: how many routers it may pass, 0: none leaves the machine"},
    {"loop", YARDER_OPTION_BOOL, offsetof(struct socket_backend, multicast.loop), "yes", 0, 0, NULL,
        NULL, "yes|no", "multicast: listeners on this machine get it, too"},
    LINK_TLS_OPTIONS(struct socket_backend, tls),
    {.kind = YARDER_OPTION_END},
};

static int set_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct socket_backend *self = self_;
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, NULL};
    return link_parse(text, &form, &self->address, why, why_bytes);
}

/* ADDRESS[,PREFIX]: with a colon UDP, else a unix datagram socket; the newline goes with it. */
static int set_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    struct socket_backend *self = self_;
    if (argument == NULL || argument[0] == '\0') {
        (void)snprintf(why, why_bytes, "expected %s:HOST:PORT or %s:PATH, and ,PREFIX", name, name);
        return -EINVAL;
    }
    char *comma = strchr(argument, ',');
    if (comma != NULL) {
        *comma = '\0';
        self->prefix = comma + 1;
    }
    self->newline = NEWLINE_KEEP;
    if (strncmp(argument, "\\0", 2) == 0) {
        *++argument = '@';
    }
    enum link_kind kind = strchr(argument, ':') != NULL ? LINK_UDP : LINK_UNIX_DATAGRAM;
    const struct link_form form = {kind, LINK_UNIX_DATAGRAM, LINK_ALL, NULL};
    return link_parse(argument, &form, &self->address, why, why_bytes);
}

static int check(void *self_, char *why, size_t why_bytes)
{
    struct socket_backend *self = self_;
    if (self->multicast.interface != NULL && self->address.kind != LINK_UDP) {
        (void)snprintf(why, why_bytes, "interface= is for targets with udp://");
        return -EINVAL;
    }
    if (self->framing == FRAMING_AUTO) {
        bool datagrams = self->address.kind == LINK_UDP || self->address.kind == LINK_UNIX_DATAGRAM;
        self->framing = datagrams ? FRAMING_NONE : FRAMING_LF;
    }
    return link_check_tls(&self->address, &self->tls, why, why_bytes);
}

static int open_socket(void *self_, struct yarder_host *host)
{
    struct socket_backend *self = self_;
    self->host = host;
    self->prefix_bytes = self->prefix != NULL ? strlen(self->prefix) : 0;
    int r = link_open(&self->link, host, &self->address, &self->tls);
    if (r == 0) {
        link_set_multicast(self->link, &self->multicast);
    }
    return r;
}

static void close_socket(void *self_)
{
    struct socket_backend *self = self_;
    link_close(self->link);
    frames_close(&self->frames);
    self->link = NULL;
}

static int add(struct socket_backend *self, const struct yarder_item *item, uint32_t index)
{
    size_t length = item->text.length;
    bool newline = item->newline && self->newline == NEWLINE_KEEP && self->framing != FRAMING_LF;
    char *start = frames_take(
        &self->frames, COUNT_BYTES_MAX + self->prefix_bytes + length + 2 /* newline, mark */);
    if (start == NULL) {
        return self->host->fail(self->host, -ENOMEM, "no memory for %zu bytes", length);
    }
    char *at = start;
    if (self->framing == FRAMING_OCTET) {
        at += snprintf(
            at, COUNT_BYTES_MAX, "%zu ", self->prefix_bytes + length + (newline ? 1u : 0u));
    }
    if (self->prefix_bytes > 0) {
        memcpy(at, self->prefix, self->prefix_bytes);
        at += self->prefix_bytes;
    }
    if (length > 0) {
        memcpy(at, item->text.at, length);
        at += length;
    }
    if (newline || self->framing == FRAMING_LF) {
        *at++ = '\n';
    }
    if (self->framing == FRAMING_NUL) {
        *at++ = '\0';
    }
    frames_add(&self->frames, (size_t)(at - start), index, true);
    return 0;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct socket_backend *self = self_;
    int r = frames_connect(&self->frames, self->link, deadline_ns);
    frames_clear(&self->frames);
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        if (!frames_was_paid(&self->frames, &batch->items[i])) {
            r = add(self, &batch->items[i], i);
        }
    }
    return r < 0 ? r : frames_send(&self->frames, self->host, batch, deadline_ns);
}

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "socket",
    .help =
        "socket:udp://HOST:PORT, tcp://, tls://, unix:PATH, unix-stream:PATH: records as they are",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct socket_backend),
    .options = options,
    .target = set_target,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = set_uwsgi,
    .open = open_socket,
    .submit = submit,
    .close = close_socket,
};
