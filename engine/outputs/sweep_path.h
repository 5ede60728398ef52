/* SPDX-License-Identifier: Apache-2.0 */
/* What the sweeper does for one path. Private to room outputs. */
#ifndef YARDER_OUTPUTS_SWEEP_PATH_H
#define YARDER_OUTPUTS_SWEEP_PATH_H

#include <dirent.h>
#include <sys/stat.h>

#include "outputs/rotate.h"

enum sweep_result {
    SWEEP_DONE,
    SWEEP_AGAIN, /* some file is still written, or was renamed meanwhile */
    SWEEP_FAILED
};
enum sweep_result sweep_path(
    struct sweeper *sweeper, struct rotation *rotation, const char *path, const uint32_t *stop);

/* Counts a failure, and has the writer tell it. */
void sweeper_failed(struct sweeper *sweeper, struct rotation *rotation, const char *call, int error,
    const char *path);

/* A file put aside. */
struct sweep_file {
    char entry[NAME_MAX + 1];
    struct rotate_name name;
    struct stat status;
};

/* Newest first. */
void sweep_sort(const struct output_rotate *rotate, struct sweep_file *files, size_t count);
/* How many of them, from the first, stay. */
size_t sweep_kept(const struct output_rotate *rotate, const struct sweep_file *files, size_t count,
    int64_t now_s);

#endif
