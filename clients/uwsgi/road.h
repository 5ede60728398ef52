/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the processes that uWSGI's master forks write to its log's pipe, which is behind descriptors
 * 1 and 2 of all of them: straight to the ring, each by a region of its own. What the ring does not
 * take (no daemon, no room for a second) goes by uWSGI's pipe, as it would without us; there its
 * master hands it to the logger, which is this plugin again.
 *
 *     write(1 or 2) -> is it the pipe? -> ring   (else the real write)
 *     uwsgi.logit -> writev -> with a request's fields -> ring
 *
 * As in the pipe, a write that ends its line is one message, whatever newlines are in it. One that
 * does not is the beginning of a line, as by lines.h.
 */
#ifndef YARDER_CLIENTS_UWSGI_ROAD_H
#define YARDER_CLIENTS_UWSGI_ROAD_H

#include "preload/lines.h"

struct road_options {
    bool in_master; /* whose own lines stay in the pipe, behind those from before we were there */
    int log_fd;     /* the pipe; -1: lines are not ours */
    struct yarder_message line;    /* level and logger of lines, */
    struct yarder_message request; /* of requests */
};

/* Once in a process and for its children. False: this machine or libc has no slots to turn. */
YARDER_MUST_USE bool road_open(const struct road_options *options);

/* Objects that were loaded since; not for signal handlers. */
void road_look_again(void);

/* While this thread writes the line of a request, which it does by one writev(fd). */
struct road_request {
    int fd;
    const struct yarder_field *fields;
    uint32_t fields_count;
};
void road_request_begin(const struct road_request *request);
void road_request_end(void);

#endif
