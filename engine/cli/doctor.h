/* SPDX-License-Identifier: Apache-2.0 */
/* What `yarder doctor` looks at: each check is a function that fills one finding. */
#ifndef YARDER_CLI_DOCTOR_H
#define YARDER_CLI_DOCTOR_H

#include "base/base.h"

enum doctor_state {
    DOCTOR_GOOD,
    DOCTOR_LIMITS, /* it works, but this machine could do more */
    DOCTOR_BROKEN, /* something does not work until this is cured */
    DOCTOR_NONE,   /* there is no such thing here to look at */
};

struct doctor_finding {
    enum doctor_state state;
    char what[520]; /* a sentence: what is there, and what it does to yarder */
    char cure[200]; /* a line to paste, or ""  */
};

struct doctor_place {
    const char *run_dir, *state_dir;
};

struct doctor_check {
    const char *name;
    void (*look)(const struct doctor_place *place, struct doctor_finding *out);
};
/* Ends with a name of NULL. */
extern const struct doctor_check doctor_checks[];

#endif
