/* SPDX-License-Identifier: Apache-2.0 */
#ifndef YARDER_CLI_QUOTE_H
#define YARDER_CLI_QUOTE_H

#include "control/arena.h"

/*
 * The arguments as one shell command that runs exactly them, in the shell's place; nothing in it
 * means anything to the configuration's grammar either. In the arena; "" and `failed` of the arena:
 * no memory.
 */
char *quote_command(struct arena *arena, char *const *arguments);

#endif
