/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/quote.h"

#include <string.h>

/* Each byte becomes at most five, each argument three more. */
static size_t room_for(char *const *arguments)
{
    size_t room = sizeof("exec");
    for (size_t i = 0; arguments[i] != NULL; i++) {
        room += strlen(arguments[i]) * 5 + 3;
    }
    return room;
}

static char *put(char *at, const char *text)
{
    size_t length = strlen(text);
    memcpy(at, text, length);
    return at + length;
}

char *quote_command(struct arena *arena, char *const *arguments)
{
    char *command = arena_take(arena, room_for(arguments));
    if (command == NULL) {
        return arena_text(arena, "", 0);
    }
    char *at = put(command, "exec");
    for (size_t i = 0; arguments[i] != NULL; i++) {
        at = put(at, " '");
        for (const char *from = arguments[i]; *from != '\0'; from++) {
            if (*from == '\'') {
                at = put(at, "'\\''");
            } else if (from[0] == '$' && from[1] == '{') {
                at = put(at, "$''"); /* else ${env:NAME} would be the configuration's */
            } else {
                *at++ = *from;
            }
        }
        at = put(at, "'");
    }
    *at = '\0';
    return command;
}
