/* SPDX-License-Identifier: Apache-2.0 */
/* The environment of a program whose log goes to the ring: what engine/preload is told by. */
#ifndef YARDER_CONTROL_PRELOAD_H
#define YARDER_CONTROL_PRELOAD_H

#include "base/base.h"

struct preload {
    const char *library; /* its path, without a colon or a space */
    const char *run_dir; /* of the daemon; NULL: as libyarder finds it */
    const char *tag;
    uint8_t level; /* of its lines */
};

/*
 * The environment with our library before what it preloads already, and the two pipes named, which
 * become the program's stdout and stderr. One block, freed by the caller. 0; -ENOMEM; -errno.
 */
YARDER_MUST_USE int preload_environment(char ***out, char *const *environment,
    const struct preload *preload, int stdout_fd, int stderr_fd);

#endif
