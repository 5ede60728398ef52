/* SPDX-License-Identifier: Apache-2.0 */
#ifndef YARDER_OUTPUTS_LANE_PATH_H
#define YARDER_OUTPUTS_LANE_PATH_H

#include "outputs/lane_private.h"

/*
 * Opens or creates job->path for appending, locks it if it is a regular file, and puts fd, dev,
 * ino, size and regular into the job: true. Or false, with the failed answer set and fd unchanged.
 */
YARDER_MUST_USE bool lane_path_open(struct lane_files *files, struct lane_job *job, bool truncate);

#endif
