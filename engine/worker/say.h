/* SPDX-License-Identifier: Apache-2.0 */
/* Lines for the operator on standard error, by a thread that may be held up there. */
#ifndef YARDER_WORKER_SAY_H
#define YARDER_WORKER_SAY_H

#include <stdarg.h>

#include "base/base.h"

struct say;

/* NULL when a thread cannot be had: then, as before it is there, a line is written at once. */
struct say *say_open(void);

/* Hands a line over and never waits; NULL writes it at once. One thread calls. */
void say_words(struct say *say, const char *format, va_list arguments) YARDER_PRINTF(2, 0);

/* Waits a moment for what is still to be said. NULL is fine. */
void say_close(struct say *say);

#endif
