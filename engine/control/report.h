/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reading a configuration found: errors (it cannot run), warnings (it runs, perhaps not as
 * meant) and notes. All of them are collected; nothing stops at the first.
 */
#ifndef YARDER_CONTROL_REPORT_H
#define YARDER_CONTROL_REPORT_H

#include "base/base.h"

enum report_severity { REPORT_ERROR, REPORT_WARNING, REPORT_NOTE, REPORT_SEVERITIES };

enum {
    REPORT_ENTRIES_MAX = 1000, /* kept and shown; the counts go on */
};

struct report_entry {
    enum report_severity severity;
    char *where;    /* "file:line", "command line", or "" */
    char *what;     /* one line, printable */
    uint64_t place; /* report_sort's */
};

struct config_report {
    struct report_entry *entries;
    uint32_t entries_count;
    uint32_t entries_room;
    uint32_t counts[REPORT_SEVERITIES];
    bool no_memory; /* an entry could not be kept: the counts still hold */
};

void report_init(struct config_report *report);
void report_deinit(struct config_report *report);

/* `where` may be NULL. Control characters become '?'; a very long message is cut. */
void report_add(struct config_report *report, enum report_severity severity, const char *where,
    const char *format, ...) YARDER_PRINTF(4, 5);

#define report_error(report, where, ...)   report_add(report, REPORT_ERROR, where, __VA_ARGS__)
#define report_warning(report, where, ...) report_add(report, REPORT_WARNING, where, __VA_ARGS__)
#define report_note(report, where, ...)    report_add(report, REPORT_NOTE, where, __VA_ARGS__)

/* The entries of a file in the order of its lines, files in the order of their first one. */
void report_sort(struct config_report *report);

/* "file:line: what", "file:line: warning: what": errors first. */
void report_print(const struct config_report *report, bool notes, FILE *to);

#endif
