/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process of a source: what `yarder source` is. It makes every call of api/source.h, packs what
 * is put, and writes whole frames (inputs/packed.h) into the pipe that the supervisor owns. What is
 * written survives this process; a write is made only where the pipe has room for all of it, so a
 * kill leaves no half of a frame there, but of one larger than the pipe.
 */
#ifndef YARDER_OFFLOAD_SOURCE_H
#define YARDER_OFFLOAD_SOURCE_H

#include "api/source.h"
#include "base/base.h"

struct source_options {
    const struct yarder_source *source;
    void *self; /* as configured */
    const char *input_name;
    const char *hostname;
    uint64_t record_bytes_max;
    int pipe_fd, settled_fd, socket_fd; /* socket_fd -1: none */
};

/* Until the daemon wants it to end (TERM) or is gone. Exit status. */
int source_run(const struct source_options *options);

#endif
