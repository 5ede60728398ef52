/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files being read. A file that includes others lies below them on a stack of bounded depth;
 * the top one yields its next line, unless a list of files that it includes waits: then the next of
 * those is put on.
 */
#ifndef YARDER_CONTROL_SETTINGS_STACK_H
#define YARDER_CONTROL_SETTINGS_STACK_H

#include <glob.h>

#include "api/record.h"
#include "control/settings.h"

struct settings_file {
    const char *name;    /* as shown; of the settings' arena */
    const char *section; /* uWSGI's: the one that is read, and nothing else; NULL: all */
    uint64_t dev, ino;   /* 0: it is a text, not a file */
    char *bytes;
    size_t bytes_count;
    size_t at;
    uint32_t line; /* number of the line last given */
    bool includes_open;
    glob_t includes;
    size_t includes_at;         /* the next to put on */
    const char *includes_where; /* of the include line */
};

/* Zeroed but for the first two. What is wrong is reported; no memory is `failed` of the arena. */
struct settings_stack {
    struct settings *settings;
    struct config_report *report;
    struct settings_file files[SETTINGS_DEPTH_MAX + 1];
    unsigned depth;
    bool fresh; /* the top is another file than the one that gave the last line */
};

/* Opens a file and puts it on; `where` is the include line, or NULL; section: as in the file. */
void settings_stack_file(
    struct settings_stack *stack, const char *path, const char *section, const char *where);
/* Puts bytes on, which it takes over and frees. */
void settings_stack_bytes(
    struct settings_stack *stack, const char *name, char *bytes, size_t bytes_count);
/* Finds the files of an include line of the top file; they come next. */
void settings_stack_include(struct settings_stack *stack, const char *pattern, const char *where);
void settings_stack_clear(struct settings_stack *stack);

/*
 * The next line, without its end; it lives until the next call. *fresh: it is of another file than
 * the line before. False: there is none, and the stack is empty.
 */
bool settings_stack_line(struct settings_stack *stack, struct yarder_text *line, bool *fresh);
/* The file that gave the last line. */
const struct settings_file *settings_stack_top(const struct settings_stack *stack);

#endif
