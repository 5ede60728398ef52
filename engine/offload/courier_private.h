/* SPDX-License-Identifier: Apache-2.0 */
/* A batch on its way, and what is known of records from tries before. Private to room offload. */
#ifndef YARDER_OFFLOAD_COURIER_PRIVATE_H
#define YARDER_OFFLOAD_COURIER_PRIVATE_H

#include "codec/chain.h"
#include "codec/encode.h"
#include "offload/courier.h"
#include "offload/dead_letter.h"
#include "offload/host.h"

#define COURIER_NONE UINT32_MAX /* no item */
enum { COURIER_FIELDS = 4096 };

/* A record of the batch. */
struct courier_entry {
    size_t end;       /* in the load */
    uint32_t item;    /* COURIER_NONE: not with the backend; damaged, or settled before */
    uint32_t payload; /* bytes of its text, for the count */
    struct yarder_id id;
    uint8_t fate;     /* enum yarder_item_result */
    const char *flaw; /* why it can be nobody's; NULL: it has none */
};

/* One that was settled behind one that was not. */
struct courier_kept {
    struct yarder_id id;
    uint32_t payload;
    uint8_t fate;
};
struct courier_keepsakes {
    struct courier_kept *at;
    uint32_t count, room;
};

struct courier {
    struct courier_options options;
    struct host host;
    struct encoder *encoder; /* NULL: the backend wants no texts */
    struct chain *chains[2]; /* of logs and of requests; NULL: none */
    void *self;
    bool is_open;
    struct dead_letters letters;
    /* Of tries that failed. */
    struct courier_keepsakes kept; /* in the order of the queue */
    uint32_t kept_at;              /* those before it lie behind us */
    struct courier_keepsakes next; /* what is kept after this try */
    struct yarder_id sent_until;   /* up to it records were with the backend */
    struct yarder_id tried_until;  /* the records up to it have been tried ... */
    uint64_t tried_since_ns;       /* ... since then; 0: there are none */
    uint64_t fails_since_ns; /* since then nothing has been settled; 0: the last try was good */
    uint64_t failed_ns;      /* the last try of those */
    /* The load and its batch. */
    uint32_t ends_at; /* ends before it lie behind us */
    uint32_t entries_count, items_count, fields_count;
    size_t texts_bytes, texts_room;
    char *texts;
    struct courier_entry entries[COURIER_BATCH_RECORDS];
    struct yarder_record records[COURIER_BATCH_RECORDS];
    struct yarder_item items[COURIER_BATCH_RECORDS];
    uint32_t reasons[COURIER_BATCH_RECORDS];
    struct yarder_field fields[COURIER_FIELDS];
    char text[HOST_TEXT_BYTES];
    char refusal[HOST_TEXT_BYTES];
    char note[HOST_TEXT_BYTES];
    bool starved; /* no memory of ours: that is nobody's failure to deliver */
};

static inline bool id_is_before(struct yarder_id a, struct yarder_id b)
{
    return a.epoch_ns != b.epoch_ns ? a.epoch_ns < b.epoch_ns : a.number < b.number;
}

/*
 * Fills the batch with the records from `from` of the load on, as many as may go together: one at
 * least. 0 or -ENOMEM.
 */
YARDER_MUST_USE int courier_fill(
    struct courier *courier, const struct courier_load *load, size_t from);

#endif
