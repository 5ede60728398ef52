/* SPDX-License-Identifier: Apache-2.0 */
/* A fuzzer's bytes, taken from the front: zeros and empty texts when they are used up. */
#ifndef YARDER_FUZZ_INPUT_H
#define YARDER_FUZZ_INPUT_H

#include "base/base.h"

struct input {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t take_byte(struct input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->at++;
}

/* Its length stands before it, in a byte; in two from 250 on. */
static inline struct yarder_text take_text(struct input *input)
{
    size_t length = take_byte(input);
    length = length < 250 ? length : (length - 250) * 256 + take_byte(input);
    length = yarder_min(length, input->left);
    struct yarder_text text = {(const char *)input->at, length};
    input->at += length;
    input->left -= length;
    return text;
}

#endif
