/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record: one message and what is known about it. Inputs make records, the router chooses
 * outputs for them, encoders turn them into bytes. A record never owns memory: each text points
 * into the buffer it was framed from and is valid until that batch is done.
 */
#ifndef YARDER_API_RECORD_H
#define YARDER_API_RECORD_H

#include <stddef.h>
#include <stdint.h>

/* Bytes with a length; not terminated, may hold any byte. `at` may be NULL when length is 0. */
struct yarder_text {
    const char *at;
    size_t length;
};

/* Python's numbers with syslog's names between them; 0 is "not stated". Custom numbers are kept. */
enum yarder_level {
    YARDER_LEVEL_NOTSET = 0,
    YARDER_LEVEL_DEBUG = 10,
    YARDER_LEVEL_INFO = 20,
    YARDER_LEVEL_NOTICE = 25,
    YARDER_LEVEL_WARNING = 30,
    YARDER_LEVEL_ERROR = 40,
    YARDER_LEVEL_CRITICAL = 50,
    YARDER_LEVEL_ALERT = 60,
    YARDER_LEVEL_EMERG = 70,
    YARDER_LEVEL_MAX = 255
};

enum yarder_record_kind { YARDER_KIND_LOG = 0, YARDER_KIND_REQUEST = 1 };
enum yarder_stream { YARDER_STREAM_NONE = 0, YARDER_STREAM_STDOUT = 1, YARDER_STREAM_STDERR = 2 };

enum yarder_record_flag {
    YARDER_FLAG_TRUNCATED = 1 << 0, /* cut at record-max, or by a datagram's limit */
    YARDER_FLAG_PARTIAL = 1 << 1,   /* its end never came: the writer died or the stream closed */
    YARDER_FLAG_UNPARSED = 1 << 2, /* did not parse: the text is the whole input, kept as it came */
    YARDER_FLAG_NETWORK = 1 << 3,  /* from a network peer, or syslog: newlines escaped by default */
    YARDER_FLAG_GAP = 1 << 4       /* `lost_before` records of this source are missing before it */
};

/* A typed field. A value's bytes are always its text form (decimal number, true/false, base text).
 */
enum yarder_field_type {
    YARDER_FIELD_TEXT = 1,
    YARDER_FIELD_INT = 2,   /* i64, 8 bytes, host order */
    YARDER_FIELD_UINT = 3,  /* u64, 8 bytes, host order */
    YARDER_FIELD_FLOAT = 4, /* double, 8 bytes, host order */
    YARDER_FIELD_BOOL = 5   /* 1 byte, 0 or 1 */
};

struct yarder_field {
    struct yarder_text key;
    struct yarder_text value; /* bytes as `type` says: raw host-order numbers, not their text */
    enum yarder_field_type type;
};

enum { YARDER_FIELDS_MAX = 64, YARDER_FACILITY_NONE = 255 };

struct yarder_record {
    int64_t time_ns;     /* as stated by the sender, else as received; since 1970, UTC */
    int64_t received_ns; /* when the daemon took it */
    struct yarder_text text;
    struct yarder_text host;   /* as stated; empty: this machine */
    struct yarder_text peer;   /* network address it came from; empty: local */
    struct yarder_text tag;    /* syslog's tag or APP-NAME */
    struct yarder_text logger; /* name of the logger, dotted */
    const struct yarder_field *fields;
    uint32_t fields_count; /* at most YARDER_FIELDS_MAX */
    uint32_t flags;        /* enum yarder_record_flag */
    uint32_t pid;          /* 0: not known */
    uint32_t tid;
    uint32_t lost_before; /* records lost just before this one; with YARDER_FLAG_GAP */
    uint16_t input;       /* index of the input in the configuration */
    uint8_t level;        /* enum yarder_level */
    uint8_t kind;         /* enum yarder_record_kind */
    uint8_t stream;       /* enum yarder_stream */
    uint8_t facility;     /* 0 to 23, or YARDER_FACILITY_NONE */
};

#endif
