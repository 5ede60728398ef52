/* SPDX-License-Identifier: Apache-2.0 */
/* Help and the manual, made from the option tables; so what they name exists. */
#ifndef YARDER_CONTROL_HELP_H
#define YARDER_CONTROL_HELP_H

#include "api/backend.h"
#include "base/base.h"

/*
 * `yarder inputs [NAME]`, `yarder outputs [NAME]`: all kinds in a line each (name NULL), or one
 * with its options; of outputs NAME may be the path of a plugin. 0; -ENOENT: there is no such kind;
 * -ENOEXEC: its module cannot be loaded; both with `why`.
 */
enum { HELP_WHY_BYTES = 640 };
YARDER_MUST_USE int help_inputs(const char *name, FILE *to, char why[HELP_WHY_BYTES]);
YARDER_MUST_USE int help_outputs(const char *name, FILE *to, char why[HELP_WHY_BYTES]);

/* When a record counts as delivered: the rest of the sentence "a record is delivered when". */
const char *help_means(enum yarder_means means);

/* The keys of a configuration as options of the command line, for --help. */
void help_keys(FILE *to);

/* yarder.conf(5), in man's format. */
void help_manual(FILE *to);

#endif
