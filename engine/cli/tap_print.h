/* SPDX-License-Identifier: Apache-2.0 */
/* A record for people's eyes, and what no terminal may be given. */
#ifndef YARDER_CLI_TAP_PRINT_H
#define YARDER_CLI_TAP_PRINT_H

#include "api/record.h"
#include "base/base.h"

/* "12:00:01.123 warning app.db[7] text key=value", control bytes escaped, coloured by its level. */
void tap_print_record(const struct yarder_record *record, bool colours, FILE *to);

/*
 * Writes what a terminal may be given: control bytes but newline and tab, C1 and bytes that are no
 * UTF-8 as \xHH, marks that turn the direction of a text as \u{HHHH}.
 */
void tap_print_safe(struct yarder_text text, FILE *to);

#endif
