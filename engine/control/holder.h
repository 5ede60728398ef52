/* SPDX-License-Identifier: Apache-2.0 */
/* Who has an address that cannot be bound, as far as /proc tells us. For error messages only. */
#ifndef YARDER_CONTROL_HOLDER_H
#define YARDER_CONTROL_HOLDER_H

#include <sys/types.h>

#include "base/base.h"

struct holder {
    pid_t pid;
    char name[32]; /* printable */
};

/* A listening TCP socket or any UDP socket on that port. False: nobody that we may see. */
bool holder_of_port(bool tcp, uint16_t port, struct holder *out);
/* A unix socket by its path, or "@name". */
bool holder_of_path(const char *path, struct holder *out);

#endif
