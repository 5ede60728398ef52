/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes written to a stream, as records: one for each line, whoever wrote its pieces. What has no
 * end yet goes into the ring at once, as a part of a record, so a kill does not lose it.
 */
#ifndef YARDER_PRELOAD_LINES_H
#define YARDER_PRELOAD_LINES_H

#include "client/client.h"

enum {
    LINES_BYTES_MAX = 64 << 10, /* a longer line goes on as another record */
    LINES_WAIT_MS = 1000,       /* a full ring holds a program up for so long, once */
};

/* What is under way in one stream of a process. Zeroed: nothing. */
struct line {
    uint64_t owner; /* of the rest: a word of the thread that has it; only ever tried */
    struct client_line parts;
    uint32_t bytes;     /* of the line so far */
    uint32_t under_way; /* not 0: its end has not come */
    uint32_t is_to_end; /* the rest of it took another road */
};

/*
 * How many of the bytes lie in the ring, from the first on, as lines of this message's level,
 * stream and logger. The others are to take the other road: there is no room or no daemon, or
 * another thread is in the middle of the line.
 */
size_t lines_put(
    struct line *line, const struct yarder_message *like, const char *bytes, size_t bytes_count);

/* A record of at most CLIENT_PIECE_BYTES_MAX, newlines and all. False: nothing of it is there. */
YARDER_MUST_USE bool lines_put_record(const struct yarder_message *message);

#endif
