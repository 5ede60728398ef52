/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting connections, and sockets that cannot go on for a while. */
#ifndef YARDER_WORKER_ACCEPT_H
#define YARDER_WORKER_ACCEPT_H

#include "worker/worker_private.h"

void accept_some(struct worker *worker, struct listener_input *listener);

/* A source that would fail again at once is paused; sources_again resumes what was paused. */
void source_later(struct worker *worker, struct io_source *source);
void sources_again(struct worker *worker);

/* Whether to say something that was last said at *said_ns (0: never): once a minute. */
bool worker_may_say(const struct worker *worker, uint64_t *said_ns);

#endif
