/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "sink.h"

int sink_pull(const char *port, const char *tally)
{
    (void)fprintf(stderr, "built without libzmq: no %s, no %s\n", port, tally);
    return 1;
}
