/* SPDX-License-Identifier: Apache-2.0 */
/* A level's word without a search: all named levels are multiples of five. */
#ifndef YARDER_CODEC_LEVEL_WORD_H
#define YARDER_CODEC_LEVEL_WORD_H

#include "api/record.h"
#include "base/base.h"

struct level_word {
    char lower[12];
    char upper[12];
    uint8_t length;
    uint8_t level;    /* the exact number; others are between this one and the next */
    uint8_t severity; /* syslog's */
};

static inline const struct level_word *level_word_of(uint8_t level)
{
    static const struct level_word words[] = {
        {"notset", "NOTSET", 6, YARDER_LEVEL_NOTSET, 7},
        {"debug", "DEBUG", 5, YARDER_LEVEL_DEBUG, 7},
        {"info", "INFO", 4, YARDER_LEVEL_INFO, 6},
        {"notice", "NOTICE", 6, YARDER_LEVEL_NOTICE, 5},
        {"warning", "WARNING", 7, YARDER_LEVEL_WARNING, 4},
        {"error", "ERROR", 5, YARDER_LEVEL_ERROR, 3},
        {"critical", "CRITICAL", 8, YARDER_LEVEL_CRITICAL, 2},
        {"alert", "ALERT", 5, YARDER_LEVEL_ALERT, 1},
        {"emerg", "EMERG", 5, YARDER_LEVEL_EMERG, 0},
    };
    static const uint8_t by_five[] = {0, 0, 1, 1, 2, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8};
    uint8_t five = level / 5;
    return &words[five < sizeof(by_five) ? by_five[five] : 8];
}

/* NOTSET counts as info, as in level_to_severity; other levels below debug as debug. */
static inline uint8_t level_word_severity(uint8_t level)
{
    return level == YARDER_LEVEL_NOTSET ? 6 : level_word_of(level)->severity;
}

#endif
