/* SPDX-License-Identifier: Apache-2.0 */
/* How `yarder exec --preload` speaks to what it preloads; inherited by the program's children. */
#ifndef YARDER_PRELOAD_VARIABLES_H
#define YARDER_PRELOAD_VARIABLES_H

/*
 * "DEVICE:INODE:DEVICE:INODE:LEVEL:PID": the pipes of stdout and stderr, the level of their lines,
 * and the parent of the program itself.
 */
#define PRELOAD_PIPES   "YARDER_PRELOAD"
#define PRELOAD_RUN_DIR "YARDER_PRELOAD_RUN_DIR" /* of the daemon; not there: as libyarder does */
#define PRELOAD_TAG     "YARDER_PRELOAD_TAG"

#define PRELOAD_LIBRARY "libyarder-preload.so"

#endif
