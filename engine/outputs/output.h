/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outputs: where records go. This header holds what the configuration says of one; each kind lives
 * in a file of its own.
 */
#ifndef YARDER_OUTPUTS_OUTPUT_H
#define YARDER_OUTPUTS_OUTPUT_H

#include "api/backend.h"
#include "api/option.h"
#include "base/base.h"
#include "base/limits.h"
#include "codec/encode.h"
#include "route/route.h"

enum {
    OUTPUT_OPEN_MAX = 1000,  /* the most that max-open= may ask for */
    OUTPUT_PERIODS_OPEN = 6, /* files of one path that are rotated by time: the current one, those
                                before that still get late records or are being closed */
};

enum output_kind { OUTPUT_FILE, OUTPUT_STDIO, OUTPUT_NULL, OUTPUT_OFFLOAD, OUTPUT_KINDS };

/*
 * AUTO, the default: a single output blocks; one of several waits as long as that costs nobody a
 * record, block_ns of a minute at most.
 */
enum output_full {
    OUTPUT_FULL_AUTO,
    OUTPUT_FULL_BLOCK,
    OUTPUT_FULL_DROP_NEWEST,
    OUTPUT_FULL_DROP_OLDEST
};
struct output_on_full {
    enum output_full policy;
    uint64_t block_ns; /* AUTO, BLOCK: then drop-newest; UINT64_MAX: for ever */
};

/* memory:SIZE; disk:SIZE has a small one in memory before it. */
struct output_queue {
    uint64_t memory_bytes; /* in the hold */
    uint64_t disk_bytes;   /* 0: none */
};

/* Pauses between tries: a random part of base, 2 base, 4 base ... up to limit. */
struct output_retry {
    uint64_t base_ns;
    uint64_t limit_ns;
};

enum output_sync { OUTPUT_SYNC_NONE, OUTPUT_SYNC_INTERVAL, OUTPUT_SYNC_BATCH };
struct output_fsync {
    enum output_sync policy;
    uint64_t interval_ns;
};

enum output_file_io { OUTPUT_FILE_IO_AUTO, OUTPUT_FILE_IO_URING, OUTPUT_FILE_IO_WRITE };

enum rotate_unit {
    ROTATE_NEVER,
    ROTATE_SECOND,
    ROTATE_MINUTE,
    ROTATE_HOUR,
    ROTATE_DAY,
    ROTATE_MIDNIGHT,
    ROTATE_WEEK
};
struct rotate_when {
    enum rotate_unit unit;
    uint32_t weekday; /* WEEK: its last day, 0 is Monday */
};
struct rotate_at { /* of a day, local or UTC */
    bool given;
    uint32_t second;
};
enum rotate_names { ROTATE_AUTO, ROTATE_NUMBERS, ROTATE_DATES, ROTATE_SECONDS, ROTATE_FIXED };
enum rotate_compress { ROTATE_RAW, ROTATE_GZIP, ROTATE_ZSTD, ROTATE_COMPRESSIONS };

/* When a file is put aside for a new one, what it is called then, and what stays of such files. */
struct output_rotate {
    uint64_t size_bytes; /* no file is longer, but for a record that is; 0: any */
    struct rotate_when when;
    uint64_t interval; /* of `when`'s units; 0: one */
    struct rotate_at at;
    bool utc;
    uint64_t grace_ns; /* so long the file of a period takes late records when it is over */
    int names;         /* enum rotate_names; FIXED is never said, `to` is */
    char *to;          /* NULL: the names begin with the file's own */
    struct yarder_texts touch, reopen_touch;
    uint64_t keep, keep_days, keep_bytes; /* 0: all of them */
    int compress;                         /* enum rotate_compress */
};

/* One output as configured. Texts belong to the configuration's arena. */
struct output_config {
    enum output_kind kind;
    char *name; /* given, or made of kind and target; unique */
    bool named; /* the line gave a name (uWSGI's sense for logger lines) */
    char
        *logger_name; /* of a named logger as its line gave it: two may have one; routes go by it */
    char *target;     /* file: path template; stdio: "stdout" or "stderr" ("" is stdout); null: "";
                         OFFLOAD: what may be shown of it */
    const char *where; /* "file:line" */
    enum route_reach reach;
    struct route_selectors selectors;

    char *format; /* preset or template */
    int newlines; /* enum encode_newlines */
    bool bare;    /* uWSGI loggers: the message as it is, newline kept or not as that plugin does */
    struct yarder_texts encode; /* the encoder chain of codec/chain.h; none: the text as it is */
    struct yarder_texts
        encode_requests; /* of records of kind request: differs in uWSGI's loggers */
    bool encode_uwsgi;   /* has steps of uWSGI's lines, hence that dialect */
    bool unlined; /* what a chain makes ends with no newline, so the file's end is never mended */
    uint64_t flush_ns;
    struct output_queue queue;
    struct output_on_full on_full;

    const struct yarder_backend *backend; /* OFFLOAD only, as all of these */
    char *uwsgi;                          /* KIND:ARGUMENT of the line of uWSGI's; NULL: none */
    void *settings;                       /* its self, as configured: copied for its thread */
    struct output_retry retry;
    uint64_t give_up_ns; /* a record that was tried for so long is refused; UINT64_MAX: never */
    uint64_t timeout_ns; /* of one try of a batch */
    char *dead_letter;   /* file of refused records; NULL: they are counted only */
    bool direct;         /* a queue on disk is written with O_DIRECT */

    struct output_fsync fsync;
    int file_io;   /* enum output_file_io */
    uint32_t mode; /* of new files */
    char *owner;
    char *group;
    bool mkdir;        /* make missing folders of the path (0755) */
    bool truncate;     /* uWSGI's log-truncate: empty the file at the daemon's start */
    uint64_t open_max; /* files open at a time, for a path with variables */
    uint64_t idle_close_ns;
    struct output_rotate rotate;
};

struct output_option {
    struct yarder_option option;
    uint32_t kinds; /* bit per enum output_kind */
};
extern const struct output_option output_options[];       /* ends with YARDER_OPTION_END */
extern const char *const output_kind_names[OUTPUT_KINDS]; /* OFFLOAD: see output_kind_name */
extern const char *const output_kind_helps[OUTPUT_KINDS];

/* "file", or the backend's name. */
const char *output_kind_name(const struct output_config *output);

#endif
