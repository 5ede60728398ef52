/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inputs: where records come from. This header holds what the configuration says of one; each kind
 * lives in a file of its own, and turns what arrives into batches of records.
 */
#ifndef YARDER_INPUTS_INPUT_H
#define YARDER_INPUTS_INPUT_H

#include "api/option.h"
#include "api/record.h"
#include "api/source.h"
#include "base/base.h"
#include "base/limits.h"
#include "codec/frame.h"

enum input_kind {
    INPUT_RING,
    INPUT_STDIN,
    INPUT_EXEC,
    INPUT_UNIX,
    INPUT_UDP,
    INPUT_TCP,
    INPUT_SOURCE, /* of a module: its name is the source's */
    INPUT_KINDS
};

enum input_parse { INPUT_PARSE_RAW, INPUT_PARSE_SYSLOG };

/* What becomes of an exec child that has ended. */
enum input_restart { INPUT_RESTART_ALWAYS, INPUT_RESTART_ON_FAILURE, INPUT_RESTART_NEVER };

/* What an exec child reads: nothing, or what the daemon was given. */
enum input_stdin { INPUT_STDIN_NULL, INPUT_STDIN_INHERIT };

enum input_socket_type { INPUT_SOCKET_DATAGRAM, INPUT_SOCKET_STREAM };

/* One input as configured. Texts belong to the configuration's arena. */
struct input_config {
    enum input_kind kind;
    char *name;   /* given, or made of kind and target; unique */
    char *target; /* the part after "kind:": path, host:port, command; "" where the kind has none */
    const char *where; /* "file:line" */

    int parse;       /* enum input_parse */
    int framing;     /* enum frame_kind; streams and pipes */
    int record_kind; /* enum yarder_record_kind of what comes in */
    char *requests;  /* lines that are requests: see codec/request.h; NULL: none */
    char *multiline; /* rule or REGEX by which lines are joined; NULL: none are */
    uint64_t multiline_wait_ns;
    uint64_t multiline_bytes_max; /* 0: as long as a record may be */
    char *tag;                    /* default for records that state none; NULL: none */
    uint64_t record_bytes_max;    /* 0: the daemon's record-max */

    int socket_type; /* enum input_socket_type; unix only (socket=dgram|stream) */
    uint32_t mode;   /* unix socket's; ring's socket too */
    char *owner;     /* user name or number; NULL: unchanged */
    char *group;
    uint64_t receive_bytes;   /* rcvbuf=; udp */
    uint64_t connections_max; /* tcp, unix stream */
    uint64_t idle_timeout_ns; /* tcp, unix stream; 0: none */

    int restart; /* enum input_restart; exec */
    uint64_t restart_delay_ns;
    int program_stdin; /* enum input_stdin; exec */

    const struct yarder_source *source; /* its own options are in `settings` */
    void *settings;
    enum input_kind listens; /* source: INPUT_UDP, INPUT_TCP; INPUT_SOURCE: needs no socket */
    char *listen_address;
    uint64_t digest; /* source: of all that a process of it is made of */

    uint64_t ring_bytes; /* ring: memory of each producer process; 0: the daemon's ring-memory */

    char *
        *arguments; /* exec: run this argv (ends with NULL) in place of sh -c target; NULL: none */
};

/* The option table of struct input_config; `kinds` of a row says which kinds know it. */
struct input_option {
    struct yarder_option option;
    uint32_t kinds; /* bit per enum input_kind */
};
extern const struct input_option input_options[]; /* ends with YARDER_OPTION_END */
/* The kind as a user writes it. */
const char *input_kind_name(const struct input_config *input);
extern const char *const input_kind_names[INPUT_KINDS]; /* "ring", "stdin", "exec", ... */
extern const char
    *const input_kind_helps[INPUT_KINDS]; /* a sentence each, with the target's form */

#endif
