/* SPDX-License-Identifier: Apache-2.0 */
/* A asker of the control socket: what it has said and not been answered, what it is being told. */
#ifndef YARDER_WORKER_ASKER_H
#define YARDER_WORKER_ASKER_H

#include "base/base.h"

enum { REQUEST_BYTES_MAX = 4096 };

struct tap;

struct asker {
    int fd;            /* -1: a free place */
    uint64_t since_ms; /* accepted, or answered last */
    bool ended;        /* says no more; what it has said is answered */
    size_t said_bytes;
    char said[REQUEST_BYTES_MAX];
    char *answer; /* NULL: none under way */
    size_t answer_bytes, sent_bytes;
    struct tap *tap; /* goes with the first answer; the asker then stays, and is asked nothing */
};

void asker_open(struct asker *asker, int fd, uint64_t now_ms);
void asker_close(struct asker *asker); /* the place is free */

/* Takes in what has come. false: the connection is broken. */
YARDER_MUST_USE bool asker_receive(struct asker *asker);
/* Bytes of the first request in `said`, with its newline; 0: none is whole. */
size_t asker_request(const struct asker *asker);
/* Answers that request with `text`, which is the asker's now. false: there is none (no memory). */
YARDER_MUST_USE bool asker_answer(struct asker *asker, char *text, uint64_t now_ms);
/* Sends as much of the answer as goes. false: the connection is broken. */
YARDER_MUST_USE bool asker_send(struct asker *asker, uint64_t now_ms);

/* Nothing is under way and nothing can come: it has ended, or its request is too long. */
bool asker_is_through(const struct asker *asker);

#endif
