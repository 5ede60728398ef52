/* SPDX-License-Identifier: Apache-2.0 */
/* The one setter behind every option table: a value's text, checked, into the table's struct. */
#ifndef YARDER_CONTROL_OPTION_SET_H
#define YARDER_CONTROL_OPTION_SET_H

#include "api/option.h"
#include "base/base.h"
#include "control/arena.h"

enum { OPTION_WHY_BYTES = 320, OPTION_REFUSAL_BYTES = OPTION_WHY_BYTES + 128 };

/*
 * Writes `text` (NULL: the key stood alone) to the option's field of `target`. Texts are copied to
 * the arena. 0, or -EINVAL with what was expected in `why`; the field is then unchanged.
 */
YARDER_MUST_USE int option_set(const struct yarder_option *option, void *target, const char *text,
    struct arena *arena, char why[OPTION_WHY_BYTES]);

/*
 * What a secret's text comes to: of file:PATH the file's first line, of env:NAME the variable, else
 * the text itself. 0, or -EINVAL with what was expected in `why`.
 */
enum { OPTION_SECRET_BYTES = 4096 };
YARDER_MUST_USE int option_secret(
    const char *text, char at[OPTION_SECRET_BYTES], char why[OPTION_WHY_BYTES]);

/*
 * What option_set said of a value, with the value and what it was probably meant to be: "expected
 * raw or syslog, not 'sylog'; did you mean syslog?". In `at`.
 */
const char *option_refusal(const struct yarder_option *option, const char *why, const char *text,
    char at[OPTION_REFUSAL_BYTES]);

/* Whether each further value is appended instead of replacing the one before. */
static inline bool option_repeats(const struct yarder_option *option)
{
    return option->kind == YARDER_OPTION_TEXTS;
}

/* The field's value as a user would write it, in `at` or elsewhere; "" for none. */
const char *option_show(
    const struct yarder_option *option, const void *target, char at[OPTION_WHY_BYTES]);

#endif
