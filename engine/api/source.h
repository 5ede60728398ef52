/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A source: what takes records from one kind of peer by a library or with a state of its own. It is
 * the receiving end of a backend, a second symbol of that module, `yarder_source`, and it is loaded
 * only when an input of its kind is configured.
 *
 *   peer --> source, a process --put, flush--> pipe (the supervisor's) --> worker: a record like
 * any
 *
 * Each input of the kind has a process of its own, with the worker's rights, which the supervisor
 * starts, restarts with growing pauses, and stops. So nothing that a library does reaches the
 * worker; and what a source has put and flushed survives its own death and the worker's. With no
 * room in the pipe a put waits: the peer feels it, nothing is dropped.
 *
 *   configuration:  options into self -> target -> check               (no network, no files)
 *   process:        open -> run, again after a pause when it failed, ... -> close
 */
#ifndef YARDER_API_SOURCE_H
#define YARDER_API_SOURCE_H

#include "backend.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { YARDER_SOURCE_ABI = 1 };

/* The engine's side, for the source's only thread. */
struct yarder_source_host {
    /*
     * wait and fail as a backend has them, output_name is the input's; there is nothing to refuse.
     * wait flushes first. It gives -ECANCELED when the daemon stops or wants another process here:
     * run puts what it has and returns.
     */
    struct yarder_host host;
    int socket_fd; /* bound to what `listens` said, nonblocking; -1: none, or it could not be had */
    uint64_t record_bytes_max; /* of a text; put cuts what is longer, flagged */

    /*
     * Takes a copy of the record; its input is filled in, so are times that are 0. One newline at
     * the end of the text is left out. Waits while the worker takes nothing.
     */
    void (*put)(struct yarder_source_host *host, const struct yarder_record *record);
    /* Everything that was put is on its way: from here on no death loses it but the supervisor's.
     */
    void (*flush)(struct yarder_source_host *host);
    /* Number of the record that was put last; numbers grow, also from process to process. */
    uint64_t (*last)(const struct yarder_source_host *host);
    /* All records up to this number stand in a commit: their outputs have them. */
    uint64_t (*settled)(const struct yarder_source_host *host);
    /* Flushes, and waits for settled to reach the last one, also when cancelled: whether it has. */
    bool (*settle)(struct yarder_source_host *host, uint64_t deadline_ns);
    /* So many messages were no records: they count as received and refused (corrupt). */
    void (*refuse)(struct yarder_source_host *host, uint64_t count);
    /* What the kernel has dropped for socket_fd since it was bound, as SO_RXQ_OVFL says. */
    void (*drops)(struct yarder_source_host *host, uint32_t since_bound);
};

struct yarder_source {
    uint32_t abi;          /* YARDER_SOURCE_ABI */
    uint32_t struct_bytes; /* sizeof(struct yarder_source) */
    const char *name;      /* of the kind: "redis" */
    const char *help;      /* "redis:HOST:PORT[/DB]: messages of a redis server" */

    /* As a backend has them. No option is of the kind SPECIAL, nor named as one of all inputs. */
    size_t self_bytes;
    const struct yarder_option *options;
    int (*target)(void *self, char *text, char *why, size_t why_bytes);
    void (*shown)(const void *self, char *at, size_t room);
    int (*check)(void *self, char *why, size_t why_bytes);
    /*
     * ADDRESS:PORT of the socket that the supervisor binds, once options are set; *stream: TCP,
     * else UDP. NULL: this source needs none.
     */
    const char *(*listens)(const void *self, bool *stream);

    /* The last place that may prepare at leisure. 0, or a negative errno (by host.fail). */
    int (*open)(void *self, struct yarder_source_host *host);
    /*
     * Takes records until host.wait says -ECANCELED, which it returns; or until something fails, a
     * negative errno (by host.fail): it is called again after a pause, which grows while nothing is
     * put. Connects when it must.
     */
    int (*run)(void *self);
    void (*close)(void *self); /* after open, whatever it returned */
};

#ifdef __cplusplus
}
#endif

#endif
