/* SPDX-License-Identifier: Apache-2.0 */
/* format TPL and json TPL: literals and ${...}. */
#include <errno.h>

#include "codec/chain_private.h"

static const char *const variable_names[] = {
    "msg", "msgnl", "unix", "millis", "micros", "strftime:FMT"};
static const enum chain_what variable_whats[] = {
    CHAIN_MSG, CHAIN_MSGNL, CHAIN_UNIX, CHAIN_MILLIS, CHAIN_MICROS};

static int add_variable(struct chain_build *build, struct yarder_text name, enum chain_form form)
{
    static const char strftime_prefix[] = "strftime:";
    enum { PREFIX_BYTES = sizeof(strftime_prefix) - 1 };
    for (size_t i = 0; i < YARDER_COUNT_OF(variable_whats); i++) {
        if (text_is(name, variable_names[i])) {
            return chain_add(build, variable_whats[i], form);
        }
    }
    if (name.length >= PREFIX_BYTES && memcmp(name.at, strftime_prefix, PREFIX_BYTES) == 0) {
        const struct yarder_text format = {name.at + PREFIX_BYTES, name.length - PREFIX_BYTES};
        return chain_add_clock(build, format, form);
    }
    return chain_unknown(build, "variable", name, variable_names, YARDER_COUNT_OF(variable_names));
}

int chain_template(struct chain_build *build, const char *text, enum chain_form form)
{
    int r = 0;
    for (const char *at = text; *at != '\0' && r == 0;) {
        if (at[0] != '$' || at[1] != '{') {
            /* A '$' takes the next byte along, whatever it is. */
            size_t length = at[0] != '$' ? strcspn(at, "$") : at[1] == '\0' ? 1 : 2;
            r = chain_add_literal(build, at, length);
            at += length;
            continue;
        }
        const char *end = strchr(at, '}');
        if (end == NULL) {
            return chain_refuse(
                build, "column %zu: \"${\" without its \"}\"", (size_t)(at - text) + 1);
        }
        r = add_variable(build, (struct yarder_text){at + 2, (size_t)(end - at) - 2}, form);
        at = end + 1;
    }
    return r;
}
