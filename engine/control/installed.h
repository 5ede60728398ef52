/* SPDX-License-Identifier: Apache-2.0 */
/* Where files lie that come with this program. */
#ifndef YARDER_CONTROL_INSTALLED_H
#define YARDER_CONTROL_INSTALLED_H

#include "control/arena.h"

/*
 * The readable one: `in_build` beside the program, as in a build folder; else `in_library` in
 * LIBDIR/yarder, from the program on (what is installed may be moved as a whole), else from the
 * prefix. NULL: none. The text is the arena's.
 */
const char *installed_find(struct arena *arena, const char *in_build, const char *in_library);
/* "PREFIX/LIBDIR/yarder": for messages. */
const char *installed_folder(void);

#endif
