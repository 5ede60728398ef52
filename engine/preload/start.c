/* SPDX-License-Identifier: Apache-2.0 */
/* What `yarder exec --preload` says of the log, when the library is loaded. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "preload/preload.h"
#include "preload/variables.h"

bool preload_ready;
uint8_t preload_level;

enum { DEVICE_OUT, INODE_OUT, DEVICE_ERR, INODE_ERR, LEVEL, PARENT, NUMBERS };

/* Decimal, with colons between. */
static bool parse(const char *text, uint64_t numbers[NUMBERS])
{
    for (unsigned i = 0; i < NUMBERS; i++) {
        char *end;
        numbers[i] = strtoull(text, &end, 10);
        if (end == text || *end != (i + 1 < NUMBERS ? ':' : '\0')) {
            return false;
        }
        text = end + 1;
    }
    return numbers[LEVEL] <= YARDER_LEVEL_MAX;
}

__attribute__((constructor)) static void begin(void)
{
    uint64_t numbers[NUMBERS];
    int error = errno;
    (void)real(); /* always: dlsym must not come first in a signal handler or a child of fork */
    const char *pipes_text = secure_getenv(PRELOAD_PIPES);
    if (pipes_text != NULL && parse(pipes_text, numbers)) {
        const struct preload_pipes pipes = {
            {numbers[DEVICE_OUT], numbers[DEVICE_ERR]}, {numbers[INODE_OUT], numbers[INODE_ERR]}};
        const struct yarder_options options = {.options_bytes = sizeof(options),
            .block_ms = LINES_WAIT_MS,
            .run_dir = secure_getenv(PRELOAD_RUN_DIR),
            .program = secure_getenv(PRELOAD_TAG)};
        preload_level = (uint8_t)numbers[LEVEL];
        preload_ready = yarder_configure(&options) == 0 && owned_begin(&pipes);
        if (preload_ready) {
            *owned_writes() = numbers[PARENT] == (uint64_t)getppid() ? WRITES_OF_A_CHILD : 0;
            stdio_begin();
        }
    }
    errno = error;
}
