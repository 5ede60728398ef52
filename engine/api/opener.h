/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver's end of a backend that seals what it sends. It is a second symbol of the backend's
 * module, `yarder_opener`, which `yarder serve-udp --decrypt` loads: both ends are one code, and
 * neither the command nor the daemon is linked with a library of ciphers.
 */
#ifndef YARDER_API_OPENER_H
#define YARDER_API_OPENER_H

#include <stdint.h>

#include "api/option.h"
#include "api/record.h"

enum { YARDER_OPENER_ABI = 1, YARDER_OPENER_SLACK_BYTES = 64 };

/* From the least that can be told of a packet to the most: of several keys the largest is right. */
enum yarder_opened {
    YARDER_OPENED_UNKNOWN,  /* not of this form, or of another key */
    YARDER_OPENED_FORGED,   /* says that it is of this key, and is not, or was changed */
    YARDER_OPENED_REPLAYED, /* was here before, or may have been */
    YARDER_OPENED_EXPIRED,  /* sent longer ago than allowed, or as long in the future */
    YARDER_OPENED_GOOD
};

struct yarder_opener {
    uint32_t abi;          /* YARDER_OPENER_ABI */
    uint32_t struct_bytes; /* sizeof(struct yarder_opener) */

    size_t self_bytes;                   /* zeroed; of one key: holds the fields of `options` */
    const struct yarder_option *options; /* ends with YARDER_OPTION_END */

    /* 0, or -EINVAL with what was expected in `why`. */
    int (*open)(void *self, char *why, size_t why_bytes);
    /*
     * `at` has room for the packet and YARDER_OPENER_SLACK_BYTES; *text, which lies there, is
     * written for YARDER_OPENED_GOOD alone. now_ns: realtime.
     */
    enum yarder_opened (*take)(
        void *self, struct yarder_text packet, int64_t now_ns, char *at, struct yarder_text *text);
    void (*close)(void *self); /* after open, whatever it returned */
};

#endif
