/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs "NUMBER: %m" by yarder_logf, COUNT of them, each NUMBER-th of a list with an error that
 * kills a daemon with killer.c loaded into it:
 *
 *     errors COUNT NUMBER ...
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yarder.h>

int main(int count, char **words)
{
    struct yarder_options options;
    memset(&options, 0, sizeof(options));
    options.options_bytes = sizeof(options);
    options.block_ms = 30000;
    if (count < 2 || yarder_configure(&options) < 0) {
        return 2;
    }
    for (int tries = 0; tries < 1000 && yarder_attach() < 0; tries++) {
    }
    int refused = 0;
    for (int number = 0; number < (int)strtol(words[1], NULL, 10); number++) {
        int error = ENOENT;
        for (int i = 2; i < count; i++) {
            error = strtol(words[i], NULL, 10) == number ? EUCLEAN : error;
        }
        errno = error;
        refused += yarder_logf(0, YARDER_LEVEL_WARNING, "%d: %m", number) != YARDER_APPENDED;
    }
    return refused == 0 && yarder_flush(30000) == 0 ? 0 : 1;
}
