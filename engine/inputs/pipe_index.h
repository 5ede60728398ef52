/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule that numbers pipes: counted over the inputs in the order of the configuration, stdin and
 * sources have one pipe, exec two, stdout before stderr, every other kind none. Supervisor and
 * worker derive the same numbers from the same configuration, so a number is all that passes
 * between them.
 *
 *   inputs:  ring   stdin   udp   exec            exec
 *   pipes:          0             1 out, 2 err    3 out, 4 err
 */
#ifndef YARDER_INPUTS_PIPE_INDEX_H
#define YARDER_INPUTS_PIPE_INDEX_H

#include "inputs/input.h"

enum { YARDER_PIPES_MAX = 2 * YARDER_INPUTS_MAX };

struct pipe_place {
    uint32_t input;
    enum yarder_stream stream; /* STDOUT or STDERR of exec, else NONE */
};

/* Pipes that one input has. */
static inline uint32_t pipes_of_kind(enum input_kind kind)
{
    return kind == INPUT_EXEC ? 2 : kind == INPUT_STDIN || kind == INPUT_SOURCE ? 1 : 0;
}

static inline uint32_t pipes_count(const struct input_config *inputs, uint32_t inputs_count)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < inputs_count; i++) {
        count += pipes_of_kind(inputs[i].kind);
    }
    return count;
}

/* The pipe of an input that has one; the stream of a stdin input is YARDER_STREAM_NONE. */
static inline uint32_t pipe_of(
    const struct input_config *inputs, uint32_t input, enum yarder_stream stream)
{
    YARDER_ASSERT(pipes_of_kind(inputs[input].kind) > 0);
    return pipes_count(inputs, input) + (stream == YARDER_STREAM_STDERR ? 1 : 0);
}

/* Where a pipe belongs; `pipe` comes from a message and may be anything: -EINVAL when no such. */
YARDER_MUST_USE static inline int pipe_place(
    const struct input_config *inputs, uint32_t inputs_count, uint32_t pipe, struct pipe_place *out)
{
    uint32_t first = 0;
    for (uint32_t i = 0; i < inputs_count; i++) {
        uint32_t count = pipes_of_kind(inputs[i].kind);
        if (pipe - first < count) {
            enum yarder_stream stream = count == 1      ? YARDER_STREAM_NONE
                                        : pipe == first ? YARDER_STREAM_STDOUT
                                                        : YARDER_STREAM_STDERR;
            *out = (struct pipe_place){.input = i, .stream = stream};
            return 0;
        }
        first += count;
    }
    return -22; /* -EINVAL */
}

#endif
