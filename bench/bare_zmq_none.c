/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "bare.h"

int bare_push(int port, uint64_t count, struct bare_record record)
{
    (void)fprintf(stderr, "built without libzmq: %d, %llu, %zu\n", port, (unsigned long long)count,
        record.bytes);
    return 1;
}
