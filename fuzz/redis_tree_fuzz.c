/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server answers to a reader of lists, streams and channels: whatever it is, a message and
 * an entry that are found in it lie in it, and an entry has an id and no more fields than fit.
 */
#include <string.h>

#include "../backends/redis_tree.h"
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum { ELEMENTS_DIGITS_MAX = 4, DEPTH_MAX = 4, SPREAD = 8 };

/* hiredis takes memory for as many elements as are announced: not for millions, here. */
static bool is_modest(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t digits = 0;
        while (bytes[i] == '*' && i + 1 + digits < count && bytes[i + 1 + digits] != '\r') {
            digits++;
        }
        if (digits > ELEMENTS_DIGITS_MAX) {
            return false;
        }
    }
    return true;
}

static void touch(struct yarder_text text)
{
    volatile char sum = 0;
    for (size_t i = 0; i < text.length; i++) {
        sum = (char)(sum ^ text.at[i]);
    }
}

static void look(const redisReply *reply)
{
    struct yarder_text channel, text;
    struct redis_entry entry;
    if (redis_tree_message(reply, &channel, &text) == 1) {
        touch(channel);
        touch(text);
    }
    if (redis_tree_entry(reply, "msg", &entry) == 0) {
        YARDER_ASSERT(entry.id_text.length >= strlen("0-0"));
        YARDER_ASSERT(entry.fields_count <= YARDER_FIELDS_MAX);
        YARDER_ASSERT(!entry.gone || entry.fields_count == 0);
        touch(entry.text);
        for (uint32_t i = 0; i < entry.fields_count; i++) {
            touch(entry.fields[i].key);
            touch(entry.fields[i].value);
        }
    }
}

/* Down the first elements of each level, as the readers of replies go. */
static void look_into(const redisReply *reply)
{
    const redisReply *level[DEPTH_MAX] = {reply};
    for (int depth = 0; depth < DEPTH_MAX && level[depth] != NULL; depth++) {
        look(level[depth]);
        for (size_t i = 0; i < SPREAD; i++) {
            const redisReply *below = redis_tree_at(level[depth], i);
            touch(redis_tree_text(below));
            look(below);
            if (below != NULL && depth + 1 < DEPTH_MAX) {
                level[depth + 1] = below;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    const char *text = (const char *)bytes;
    if (!is_modest(text, bytes_count)) {
        return 0;
    }
    redisReader *reader = redisReaderCreate();
    YARDER_ASSERT(reader != NULL);
    if (redisReaderFeed(reader, text, bytes_count) == 0) {
        void *object = NULL;
        while (redisReaderGetReply(reader, &object) == 0 && object != NULL) {
            look_into(object);
            freeReplyObject(object);
        }
    }
    redisReaderFree(reader);
    return 0;
}
