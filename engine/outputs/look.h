/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What another thread may see of an output at work: how it fares, for status. The writer tells it
 * in words of its own (tell.c) and never waits for whoever looks.
 */
#ifndef YARDER_OUTPUTS_LOOK_H
#define YARDER_OUTPUTS_LOOK_H

#include "base/base.h"

enum { OUTPUT_FAILURE_BYTES = 160 }; /* a multiple of 8 */

/* A failed call on an output's files, or of its backend. */
struct output_failure {
    uint64_t at_ns;   /* realtime; 0: there was none */
    const char *call; /* "open", "write", ...: a text that lives for ever */
    int error;        /* negative errno */
    uint32_t queue;   /* of the file; HOLD_NONE: of none */
    _Alignas(
        uint64_t) char text[OUTPUT_FAILURE_BYTES]; /* in the backend's words; "": it has none */
};

/* The writer's side: all is written by the writer alone, and read by anybody. */
struct output_told {
    uint32_t turn; /* odd while `failure` is written; see tell.c */
    struct output_failure failure;
};

/* What output_look_at answers. */
struct output_look {
    const char *call;              /* that its lane is in; NULL: none */
    uint64_t call_ns;              /* for so long */
    uint64_t blocked_ns;           /* its queue has been full, and nothing has moved, for so long */
    uint64_t stalled_ns;           /* what waits for a file could have been written so long ago */
    struct output_failure failure; /* the last one */
};

#endif
