/* SPDX-License-Identifier: Apache-2.0 */
/* The forms of `cpus` and `nice`: from text, as an option's parse, and on the way back. */
#ifndef YARDER_CONTROL_OPTION_SHARE_H
#define YARDER_CONTROL_OPTION_SHARE_H

#include <stddef.h>

#include "base/base.h"

/* `target` is a struct config_cpus, or a struct config_nice, of worker/config.h. */
YARDER_MUST_USE int option_parse_cpus(void *target, const char *text, char *why, size_t why_bytes);
YARDER_MUST_USE int option_parse_nice(void *target, const char *text, char *why, size_t why_bytes);

const char *option_show_cpus(const void *field, char *at);
const char *option_show_nice(const void *field, char *at);

#endif
