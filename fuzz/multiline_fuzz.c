/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines by each rule: nothing goes on that did not begin, what is alone has nothing under way, and
 * a line that begins looks the same whatever was before it, save where it goes on.
 */
#include <stdlib.h>
#include <string.h>

#include "codec/multiline.h"

static void look_at(enum multiline_kind kind, multiline_state *state, struct yarder_text line)
{
    bool first = line.length > 0 && line.at[0] >= '0' && line.at[0] <= '9';
    multiline_state before = *state;
    enum multiline_verdict verdict = multiline_look(kind, state, line, first);
    YARDER_ASSERT((verdict == MULTILINE_ALONE) == (*state == 0));
    if (verdict >= MULTILINE_CONTINUES) {
        YARDER_ASSERT(before != 0);
        return;
    }
    multiline_state fresh = 0;
    YARDER_ASSERT(multiline_look(kind, &fresh, line, first) == verdict);
    YARDER_ASSERT(fresh == *state);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    char *text = malloc(bytes_count + (bytes_count == 0));
    YARDER_ASSERT(text != NULL);
    memcpy(text, bytes, bytes_count);
    for (int kind = MULTILINE_PYTHON; kind <= MULTILINE_REGEX; kind++) {
        multiline_state state = 0;
        look_at((enum multiline_kind)kind, &state, (struct yarder_text){text, bytes_count});
        for (size_t at = 0; at < bytes_count;) {
            const char *end = memchr(text + at, '\n', bytes_count - at);
            size_t length = end != NULL ? (size_t)(end - text) - at : bytes_count - at;
            /* A copy of its own, so that nobody reads behind its end. */
            char *line = malloc(length + (length == 0));
            YARDER_ASSERT(line != NULL);
            memcpy(line, text + at, length);
            look_at((enum multiline_kind)kind, &state, (struct yarder_text){line, length});
            free(line);
            at += length + 1;
        }
    }
    free(text);
    return 0;
}
