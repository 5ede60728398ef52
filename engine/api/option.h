/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One option table feeds everything that speaks of options: the parser, its errors, --help, the
 * man page, `yarder outputs NAME`. A table describes the fields of one struct; option_set (room
 * control) checks a value's text and writes it into that struct.
 */
#ifndef YARDER_API_OPTION_H
#define YARDER_API_OPTION_H

#include <stddef.h>
#include <stdint.h>

enum yarder_option_kind {
    YARDER_OPTION_END = 0,
    YARDER_OPTION_BOOL,     /* bool: yes/no, on/off, true/false, 1/0; alone means yes */
    YARDER_OPTION_COUNT,    /* uint64_t: a plain number */
    YARDER_OPTION_BYTES,    /* uint64_t: number with K M G (1024) */
    YARDER_OPTION_DURATION, /* uint64_t ns: number with ms s m h d; a bare number is an error, 0 is
                               not */
    YARDER_OPTION_TEXT,     /* char *: any text, owned by the configuration's arena */
    YARDER_OPTION_CHOICE,   /* int: index into `choices` */
    YARDER_OPTION_MODE,     /* uint32_t: octal file mode */
    YARDER_OPTION_LEVELS,   /* struct {uint8_t lowest, highest;}: warning, warning..error, ..info */
    YARDER_OPTION_TEXTS,    /* struct yarder_texts: may repeat, each one appended */
    YARDER_OPTION_PATH,     /* char *: of a file that is read; a relative one starts where the
                               configuration's paths do */
    YARDER_OPTION_SECRET, /* char *: file:PATH (its first line), env:NAME, or the text itself; never
                             shown */
    YARDER_OPTION_SPECIAL /* `parse` of the table's owner takes it (word[:argument] forms) */
};

struct yarder_levels {
    uint8_t lowest;
    uint8_t highest;
};

struct yarder_texts {
    char **at;
    uint32_t count;
};

struct yarder_option {
    const char *name;
    enum yarder_option_kind kind;
    size_t offset;            /* of the field in the struct that the table describes */
    const char *default_text; /* as the user would write it; NULL: none */
    uint64_t min;             /* numbers only */
    uint64_t max;
    const char *const *choices; /* CHOICE only; NULL-terminated */
    /* SPECIAL only: 0, or -EINVAL with `why` filled ("expected none, interval:TIME or batch"). */
    int (*parse)(void *target, const char *text, char *why, size_t why_bytes);
    const char *argument; /* how help shows the value: SIZE, TIME, none|interval:TIME|batch */
    const char *help;     /* one sentence, no full stop */
};

#endif
