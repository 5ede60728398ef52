/* SPDX-License-Identifier: Apache-2.0 */
#include "redis_tree.h"

#include <errno.h>
#include <string.h>

enum { DIGITS_MAX = 20 };

struct yarder_text redis_tree_text(const redisReply *reply)
{
    bool is_text =
        reply != NULL && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
                             reply->type == REDIS_REPLY_ERROR);
    return is_text ? (struct yarder_text){reply->str, reply->len} : (struct yarder_text){"", 0};
}

const redisReply *redis_tree_at(const redisReply *reply, size_t index)
{
    return reply != NULL && reply->type == REDIS_REPLY_ARRAY && index < reply->elements
               ? reply->element[index]
               : NULL;
}

static bool is_word(struct yarder_text text, const char *word)
{
    return text.length == strlen(word) && memcmp(text.at, word, text.length) == 0;
}

int redis_tree_message(
    const redisReply *reply, struct yarder_text *channel, struct yarder_text *text)
{
    struct yarder_text kind = redis_tree_text(redis_tree_at(reply, 0));
    size_t from = is_word(kind, "message") ? 1 : is_word(kind, "pmessage") ? 2 : 0;
    const redisReply *last = redis_tree_at(reply, from + 1);
    if (from == 0 || last == NULL || last->type != REDIS_REPLY_STRING) {
        return 0;
    }
    *channel = redis_tree_text(redis_tree_at(reply, from));
    *text = redis_tree_text(last);
    return 1;
}

static bool read_number(const char **at, const char *end, uint64_t *out)
{
    const char *from = *at;
    uint64_t number = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        if (__builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(**at - '0'), &number)) {
            return false;
        }
    }
    *out = number;
    return *at > from && *at - from <= DIGITS_MAX;
}

static bool read_id(struct yarder_text text, struct redis_entry_id *out)
{
    const char *at = text.at;
    const char *end = text.at + text.length;
    return read_number(&at, end, &out->ms) && at < end && *at++ == '-' &&
           read_number(&at, end, &out->sequence) && at == end;
}

static void put_field(struct redis_entry *entry, struct yarder_text key, struct yarder_text value)
{
    if (entry->fields_count == YARDER_FIELDS_MAX) {
        entry->cut = true;
        return;
    }
    entry->fields[entry->fields_count++] =
        (struct yarder_field){.key = key, .value = value, .type = YARDER_FIELD_TEXT};
}

int redis_tree_entry(const redisReply *reply, const char *field, struct redis_entry *out)
{
    *out = (struct redis_entry){.id_text = redis_tree_text(redis_tree_at(reply, 0))};
    const redisReply *pairs = redis_tree_at(reply, 1);
    if (pairs == NULL || !read_id(out->id_text, &out->id)) {
        return -EBADMSG;
    }
    out->gone = pairs->type == REDIS_REPLY_NIL;
    if (out->gone) {
        return 0;
    }
    if (pairs->type != REDIS_REPLY_ARRAY || pairs->elements % 2 != 0) {
        return -EBADMSG;
    }
    bool found = false;
    for (size_t i = 0; i < pairs->elements; i += 2) {
        struct yarder_text key = redis_tree_text(pairs->element[i]);
        struct yarder_text value = redis_tree_text(pairs->element[i + 1]);
        if (!found && (is_word(key, field) || pairs->elements == 2)) {
            out->text = value;
            found = true;
        } else {
            put_field(out, key, value);
        }
    }
    return 0;
}
