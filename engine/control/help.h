/* SPDX-License-Identifier: Apache-2.0 */
/* Help and the manual, made from the option tables; so what they name exists. */
#ifndef YARDER_CONTROL_HELP_H
#define YARDER_CONTROL_HELP_H

#include "base/base.h"

/*
 * `yarder inputs [NAME]`, `yarder outputs [NAME]`: all kinds in a line each (name NULL), or one
 * with its options. 0; -ENOENT: no such kind, and *near is the nearest name or NULL.
 */
YARDER_MUST_USE int help_inputs(const char *name, FILE *to, const char **near);
YARDER_MUST_USE int help_outputs(const char *name, FILE *to, const char **near);

/* The keys of a configuration as options of the command line, for --help. */
void help_keys(FILE *to);

/* yarder.conf(5), in man's format. */
void help_manual(FILE *to);

#endif
