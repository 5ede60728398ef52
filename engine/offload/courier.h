/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A courier carries packed records to a backend: unpacks some, renders their texts where the
 * backend wants them, submits, and does so until all of the load is settled or a try fails. One
 * thread owns it; courier_want alone is anybody's.
 *
 *     load      |rec rec rec rec rec rec rec rec|        what the queue gives: whole records
 *     batches   |11111111111|2222222|33333333333|        bounded in records and in bytes of texts
 *     results    D   D   R   D  LATER D  ...             settled: those before the first LATER
 *
 * A record is settled when it was delivered or refused (and its dead letter stands). What was
 * settled behind one that was not is remembered by its id, and left out when the load comes again,
 * in this process. Which records may have been sent before is told by ids, too: see
 * courier_load.again_until.
 */
#ifndef YARDER_OFFLOAD_COURIER_H
#define YARDER_OFFLOAD_COURIER_H

#include "api/backend.h"
#include "base/base.h"

enum { COURIER_BATCH_RECORDS = 1024, COURIER_BATCH_BYTES = 1 << 20 };

/* Texts outlive the courier. */
struct courier_options {
    const struct yarder_backend *backend;
    const void *settings; /* the backend's self as configured, copied at each open */
    const char *output_name;
    const char *hostname;
    const char *format;                /* NULL: the backend's own */
    int newlines;                      /* enum encode_newlines */
    bool bare;                         /* the message as it came, whatever the format */
    const struct yarder_texts *encode; /* steps for a text: of logs, and of requests */
    const struct yarder_texts *encode_requests;
    bool encode_uwsgi;
    uint64_t timeout_ns;
    uint64_t give_up_ns;     /* UINT64_MAX: never */
    const char *dead_letter; /* NULL: none */
};

/* Records to carry, and what became of them. */
struct courier_load {
    const char *bytes; /* packed records, one behind the other, all of them whole */
    size_t bytes_count;
    /*
     * Where they end: ends[-1] is the first, counted from `ends_from` before `bytes`, upwards. So a
     * damaged one is skipped alone. NULL: as their heads say, and a damaged one damages the rest.
     */
    const uint32_t *ends;
    uint32_t ends_count, ends_from;
    struct yarder_id again_until; /* these and older ones may have been sent by another process */
    /* the answer */
    size_t settled_bytes;     /* whole records, from the first on, that are settled */
    uint32_t settled;         /* how many records these are */
    uint32_t delivered;       /* of these; the others were refused, are damaged, or were given up */
    uint64_t delivered_bytes; /* of their texts */
    int error;        /* why not all are: negative errno. -ECANCELED: the thread is wanted back */
    const char *text; /* in words, with the error; until the next call */
    const char *refusal; /* why the last one was refused; NULL: none was. Likewise */
    const char *note;    /* what failed all the same, for all is settled; NULL: nothing. Likewise */
};

struct courier;

/* Allocates; calls nothing of the backend. 0, or -errno with `why`. */
YARDER_MUST_USE int courier_open(
    struct courier **out, const struct courier_options *options, char *why, size_t why_bytes);
void courier_close(struct courier *courier); /* stops it, too; NULL is none */

/* Opens the backend unless it is: 0, or -errno with *text as in a load. */
YARDER_MUST_USE int courier_start(struct courier *courier, const char **text);
/* One try, of timeout_ns for each batch. The backend is open. */
void courier_carry(struct courier *courier, struct courier_load *load);
void courier_reopen(struct courier *courier);
void courier_stop(struct courier *courier); /* closes the backend, if it is open */

/* Any thread: whether the thread is wanted back as soon as can be. Tries end with -ECANCELED. */
void courier_want(struct courier *courier, bool wanted);

/* Waits as a backend does: 0 when it is over, -ECANCELED. For pauses between tries. */
int courier_pause(struct courier *courier, uint64_t until_ns);

#endif
