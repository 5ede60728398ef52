/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend: what carries records to one kind of destination. It is a module, loaded only when an
 * output of its kind is configured; yarder's own are made from this header alone, as anybody's.
 *
 *   writer --packed--> queue (memory or disk) --batch--> offload thread --submit--> backend
 *
 * Each output of the kind has an instance (`self`) and a thread of its own, which makes every call
 * below but those of the configuration; so a backend may wait, but never past the deadline that it
 * is given, and nothing it does reaches another output. It never exits, prints, or changes what the
 * process has once (signals, locale, working directory).
 *
 *   configuration:  options into self -> target or uwsgi -> check      (no network, no files)
 *   thread:         open -> submit, submit, ... -> close               (a copy of self)
 *
 * A module exports one symbol, `yarder_backend`, of type struct yarder_backend.
 */
#ifndef YARDER_API_BACKEND_H
#define YARDER_API_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "option.h"
#include "record.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { YARDER_BACKEND_ABI = 1 };
/* What each struct yarder_backend begins with. */
#define YARDER_BACKEND_HEAD .abi = YARDER_BACKEND_ABI, .struct_bytes = sizeof(struct yarder_backend)

/* What "delivered" means here: `yarder outputs KIND` says so, and the promise depends on it. */
enum yarder_means {
    YARDER_MEANS_ACKNOWLEDGED, /* the destination has answered for it */
    YARDER_MEANS_STREAM,       /* our kernel took it for a stream; what lay in the two kernels'
                                  buffers when a peer dies is lost */
    YARDER_MEANS_SENT          /* sent, nothing more: datagrams, PUBLISH */
};

/*
 * One name of a record for ever, however often it is sent: where a destination can tell doubles
 * apart, it is what they are told apart by. Both numbers grow, for one output, from record to
 * record.
 */
struct yarder_id {
    uint64_t epoch_ns; /* realtime, when this yarder started to count */
    uint64_t number;
};

enum yarder_item_result {
    YARDER_LATER = 0, /* not delivered, to be tried again; what every item starts with */
    YARDER_DELIVERED,
    YARDER_REFUSED /* never will be: by host->refuse, which takes the reason */
};

struct yarder_item {
    const struct yarder_record *record;
    /*
     * As format= renders it; empty unless the backend wants it. `newline`: one '\n' stands right
     * behind, at text.at[text.length], and belongs to it for whoever writes lines.
     */
    struct yarder_text text;
    struct yarder_id id;
    bool newline;
    uint8_t result; /* enum yarder_item_result */
};

/* All that it points to is valid until submit returns. */
struct yarder_batch {
    struct yarder_item *items;
    uint32_t count;    /* at least 1 */
    bool again;        /* some of it may have been sent before: a try failed, or a worker died */
    size_t text_bytes; /* of all texts */
};

/* The engine's side, for the backend's thread. All times are CLOCK_MONOTONIC, in ns. */
struct yarder_host {
    uint32_t struct_bytes;
    const char *output_name;
    const char *hostname; /* of this machine, for records that state none */
    const char *version;  /* yarder's */
    void *owner;          /* the engine's */

    /*
     * Waits until fd has one of `events` (of poll), or the deadline: what poll found (> 0), 0 at
     * the deadline, -ECANCELED when the daemon wants its thread back now: return from submit
     * soon. fd -1 only waits. The one right way for a backend to wait.
     */
    int (*wait)(struct yarder_host *host, int fd, short events, uint64_t deadline_ns);
    /*
     * Why something cannot be done, for status and the operator (once a minute): "connect to
     * 10.0.0.1:6379: Connection refused". No secrets. Returns `error`, a negative errno. It is told
     * even if submit then answers 0: datagrams that nobody took are sent all the same.
     */
    int (*fail)(struct yarder_host *host, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
    /* The item can never be delivered; the reason goes with it to the dead letters. */
    void (*refuse)(struct yarder_host *host, struct yarder_item *item, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
};

enum yarder_backend_flag {
    YARDER_BACKEND_TEXT = 1 << 0,  /* wants the rendered text */
    YARDER_BACKEND_WHOLE = 1 << 1, /* the target is all of a line: a command, with its commas */
    /* A record is a message of its own there, whatever bytes it has: newlines=auto keeps them. */
    YARDER_BACKEND_FRAMED = 1 << 2,
};

struct yarder_backend {
    uint32_t abi;          /* YARDER_BACKEND_ABI */
    uint32_t struct_bytes; /* sizeof(struct yarder_backend) */
    const char *name;      /* of the kind: "redis" */
    const char *help;      /* "redis:HOST:PORT[/DB]: commands to a redis server" */
    enum yarder_means means;
    uint32_t flags;             /* enum yarder_backend_flag */
    const char *default_format; /* with YARDER_BACKEND_TEXT; NULL: "text" */

    size_t self_bytes; /* zeroed; holds the fields that options name */
    /* Of this kind alone, none named as one that all kinds with a backend have; ends with
     * YARDER_OPTION_END. */
    const struct yarder_option *options;

    /*
     * What stands behind "KIND:" or in `to`; never NULL. The text is the configuration's: it may be
     * cut in place and kept. 0, or -EINVAL with what was expected in `why`.
     */
    int (*target)(void *self, char *text, char *why, size_t why_bytes);
    /* What may be shown of it, without secrets; NULL: all of it may. Writes a terminated text. */
    void (*shown)(const void *self, char *at, size_t room);
    /* After all options: whether they go together; NULL: always. As target. */
    int (*check)(void *self, char *why, size_t why_bytes);

    /*
     * uWSGI's loggers that this kind stands for ("redislog"), ends with NULL; NULL: none. `uwsgi`
     * takes such a line's argument (NULL: there was none) in place of target, and sets what that
     * plugin does otherwise than we do; NULL: target takes it. An option named "logto" is given the
     * path of a `logto` line.
     */
    const char *const *uwsgi_names;
    int (*uwsgi)(void *self, const char *name, char *argument, char *why, size_t why_bytes);

    /*
     * The last place that may prepare at leisure; connects to nothing. 0, or a negative errno (by
     * host->fail): tried again later.
     */
    int (*open)(void *self, struct yarder_host *host);
    /*
     * Gives each item its result; connects when it must. Called once for each batch. 0: no item is
     * left LATER. A negative errno (by host->fail): those that are LATER are given again after a
     * pause. Items may be answered out of order. Returns by deadline_ns.
     */
    int (*submit)(void *self, struct yarder_batch *batch, uint64_t deadline_ns);
    void (*reopen)(void *self); /* files are opened anew (USR1, HUP); NULL: has none */
    void (*close)(void *self);  /* after open, whatever it returned */
};

#ifdef __cplusplus
}
#endif

#endif
