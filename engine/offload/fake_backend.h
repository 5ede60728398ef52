/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A destination of tests: it remembers every record that it was given, and does as it is told. Its
 * words are the lane's while a job is under way, the test's else.
 */
#ifndef YARDER_OFFLOAD_FAKE_BACKEND_H
#define YARDER_OFFLOAD_FAKE_BACKEND_H

#include "api/backend.h"
#include "base/base.h"

enum fake_mood {
    FAKE_TAKES,
    FAKE_FAILS,    /* every try: connection refused */
    FAKE_REFUSES,  /* every record */
    FAKE_MIXES,    /* each record at random: taken, refused, or left for later */
    FAKE_HANGS,    /* until it is wanted back, or the deadline */
    FAKE_GRUMBLES, /* takes every record, and says that something failed */
    FAKE_LIES      /* says that all is well, and answers for nothing */
};
enum { FAKE_RECORDS_MAX = 1 << 20 };

struct fake_sight {
    uint32_t taken, refused;
    uint64_t bytes; /* of the text when it was seen last */
    struct yarder_id id;
};

struct fake_backend {
    uint32_t mood; /* enum fake_mood */
    uint64_t seed;
    uint32_t opens, closes, reopens, submits, waits;
    uint32_t open_fails;     /* so many opens fail first */
    uint32_t surprises;      /* records seen again in a batch that was not said to be `again` */
    uint32_t changed_ids;    /* records seen again under another id */
    uint32_t disorder;       /* ids that did not grow within a batch */
    uint64_t records_most;   /* in a batch */
    struct fake_sight *seen; /* by the number that a record's text begins with */
};
extern struct fake_backend fake;
extern const struct yarder_backend fake_records; /* wants records */
extern const struct yarder_backend fake_texts;   /* wants texts */

/* Forgets everything, and takes what comes. */
void fake_reset(void);
void fake_be(enum fake_mood mood); /* also while a lane is with it */
void fake_forget(void);            /* for good */

#endif
