/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's side of a backend: where it waits, what it says of a failure, why it refuses. All of
 * it belongs to the backend's thread, but host_want.
 */
#ifndef YARDER_OFFLOAD_HOST_H
#define YARDER_OFFLOAD_HOST_H

#include <stdarg.h>

#include "api/backend.h"
#include "base/base.h"

enum { HOST_TEXT_BYTES = 160, HOST_REASONS_BYTES = 16 << 10 };

struct host {
    struct yarder_host face; /* what the backend is given; its owner is this */
    int want_fd;             /* eventfd, readable while the thread is wanted back */
    uint32_t wanted;         /* relaxed: it only makes a wait end, want_fd wakes who waits */
    int error;               /* of the last fail; 0: none since host_begin */
    char text[HOST_TEXT_BYTES];
    /* Of the batch that is with the backend. */
    const struct yarder_item *items;
    uint32_t items_count;
    uint32_t *reasons; /* of each item: where its reason begins in `words`; 0: none was given */
    uint32_t words_bytes, last_reason;
    char words[HOST_REASONS_BYTES]; /* terminated texts; the first one is for who gave none */
};

/* `reasons` has room for as many items as a batch may have. Texts outlive it. 0 or -errno. */
YARDER_MUST_USE int host_open(
    struct host *host, const char *output_name, const char *hostname, uint32_t *reasons);
void host_close(struct host *host);

/* A batch goes to the backend; what was said before is forgotten. */
void host_begin(struct host *host, const struct yarder_item *items, uint32_t items_count);
const char *host_reason(const struct host *host, uint32_t item);

/*
 * Any thread: every wait of the backend ends with -ECANCELED now, as long as it is wanted. Nothing
 * else can end what a backend does; a library's call that does not come back is a lane that hangs.
 */
void host_want(struct host *host, bool wanted);
bool host_is_wanted(const struct host *host);

/* A text for people: bounded, control bytes escaped. As snprintf, but what was cut is just cut. */
void host_print(char *at, size_t room, const char *format, va_list arguments) YARDER_PRINTF(3, 0);

#endif
