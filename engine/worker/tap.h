/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tap: what passes the router, shown to somebody who looks (`yarder tap`). A memfd that a control
 * thread makes for one looker, the writer fills, and the looker maps for reading:
 *
 *   writer --packed records--> ring --copies--> looker, who filters and prints
 *
 * Nobody waits for a looker: old entries are overwritten, and the looker finds that out.
 *
 *   0          header: `begin`, `head`, counts          the writer never reads it
 *   4096       data, TAP_BYTES, a ring                  positions only grow; place = position %
 * size
 *
 *      begin <= position of any entry that may be read < head
 *
 *   entry:     struct tap_entry, then the packed record (codec/pack.h), to a multiple of 8
 *
 * The writer stores `begin` before it overwrites, `head` after it has written; a looker copies an
 * entry and believes the copy only if `begin` has not passed it since.
 */
#ifndef YARDER_WORKER_TAP_H
#define YARDER_WORKER_TAP_H

#include "api/record.h"
#include "base/base.h"
#include "route/route.h"

enum {
    TAP_MAGIC = 0x79647470, /* "ptdy" */
    TAP_VERSION = 1,
    TAPS_MAX = 4,
    TAP_HEADER_BYTES = 4096,
    TAP_BYTES = 4 << 20,
    TAP_ENTRY_BYTES_MAX = TAP_BYTES / 2, /* a record cannot be that long */
};

struct tap_header {
    uint32_t magic, version;
    _Alignas(YARDER_CACHE_LINE) uint64_t begin; /* see above */
    uint64_t head;
    uint64_t passed; /* records that the wishes let through */
    uint64_t spared; /* of these not shown: over the rate, or between samples */
};

struct tap_entry {
    uint32_t bytes; /* of all of it, this struct too */
    uint32_t unused;
    uint64_t number;  /* of those that were shown: a gap was overwritten */
    uint64_t outputs; /* bit for each that takes it */
};

/* What a looker wants; all of it integers, for the writer asks this of each record. */
struct tap_wishes {
    uint64_t inputs, outputs; /* bits; outputs UINT64_MAX: also what none takes */
    uint8_t lowest, highest;  /* levels */
    uint64_t sample;          /* every n-th; 0 and 1: each */
    uint64_t rate;            /* a second at most; 0: any */
};

struct tap {
    struct tap_wishes wishes;
    struct tap_header *header;
    uint8_t *data; /* mapped twice in a row */
    int fd;        /* for the looker, who may only read it */
    /* the writer's */
    uint64_t head, number, passed, spared;
    uint64_t second_ns, second_taken; /* of the rate */
};

/* 0 or -errno. Allocates. */
YARDER_MUST_USE int tap_open(struct tap **out, const struct tap_wishes *wishes);
void tap_close(struct tap *tap);

/* Records that were placed, with the outputs that took them. */
void tap_put(struct tap *tap, const struct yarder_record *records,
    const struct route_verdict *verdicts, uint32_t count, uint64_t now_ns);

/*
 * The places of taps, between the control thread and the writer, who looks at them when `changes`
 * is another than before, and says so by `seen`: what was withdrawn with a change is nobody's once
 * the writer has seen it.
 */
struct tap_place {
    struct tap *offered; /* the control thread's; release there, acquire in taps_look */
    struct tap *taken;   /* the writer's alone */
    struct tap *leaving; /* the control thread's alone: withdrawn, to be freed */
    uint32_t left_with;  /* the change that withdrew it */
};
struct taps {
    struct tap_place places[TAPS_MAX];
    uint32_t changes; /* the control thread's; release there, acquire in taps_look */
    uint32_t seen;    /* the writer's; release there, acquire in taps_sweep */
    uint32_t count;   /* the writer's alone: taken */
};

/* The writer's, once a pass. */
void taps_look(struct taps *taps);
void taps_put(struct taps *taps, const struct yarder_record *records,
    const struct route_verdict *verdicts, uint32_t count, uint64_t now_ns);

/* The control thread's. -EBUSY: all places are taken. */
YARDER_MUST_USE int taps_offer(
    struct taps *taps, const struct tap_wishes *wishes, struct tap **out);
void taps_withdraw(struct taps *taps, const struct tap *tap);
/* Frees what the writer has let go of. */
void taps_sweep(struct taps *taps);

/* A looker's view. */
struct tap_reader {
    const struct tap_header *header;
    const uint8_t *data;
    uint64_t position, number;
    uint64_t missed; /* entries that were overwritten before they were read */
    uint8_t *copy;   /* TAP_ENTRY_BYTES_MAX */
};
/* 0; -EBADMSG: that is no tap; -errno. The descriptor stays the caller's. */
YARDER_MUST_USE int tap_reader_open(struct tap_reader *reader, int fd);
void tap_reader_close(struct tap_reader *reader);
/*
 * The next entry, in memory of the reader's own, with `bytes` of packed record behind it; NULL:
 * nothing new.
 */
const struct tap_entry *tap_reader_next(struct tap_reader *reader, size_t *bytes);

#endif
