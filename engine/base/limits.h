/* SPDX-License-Identifier: Apache-2.0 */
/* Every bound that the daemon holds, by name. What is full has a designed answer and a test. */
#ifndef YARDER_BASE_LIMITS_H
#define YARDER_BASE_LIMITS_H

enum {
    YARDER_INPUTS_MAX = 64,
    YARDER_OUTPUTS_MAX = 64, /* one bit each in the router's mask of a record */
    YARDER_ROUTES_MAX = 4096,
    YARDER_NAME_BYTES_MAX =
        64, /* of an input, output or logger in the configuration, with its NUL */
    YARDER_PATH_BYTES_MAX = 1024,

    YARDER_RECORD_BYTES_DEFAULT = 64 << 10,
    YARDER_RECORD_BYTES_MAX = 1 << 20, /* limit of `record-max` */
    YARDER_BATCH_RECORDS = 256,        /* records that travel together through a pass */

    YARDER_REGIONS_MAX = 4096, /* ring clients: of the supervisor, and places in the hold */
    YARDER_FDS_PER_MESSAGE_MAX = 64,
    YARDER_CONNECTIONS_MAX_DEFAULT = 2000,
};

#endif
