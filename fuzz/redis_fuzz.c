/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte even: what a server answers. In two pieces, cut anywhere, it is the same replies, and
 * a place that a cluster names is one. Odd: a configured command. If it compiles, then what it
 * makes of a record is a command of redis, within its bound, that ends with prefix and text.
 */
#include <stdlib.h>
#include <string.h>

#include "../backends/redis_command.h"
#include "../backends/redis_reply.h"
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum { REPLIES_MAX = 64 };

static void check_place(const struct redis_reply *reply)
{
    struct redis_place place;
    enum redis_verdict verdict = redis_judge(reply, &place);
    YARDER_ASSERT(reply->text_count < sizeof(reply->text));
    YARDER_ASSERT(strlen(reply->text) <= reply->text_count);
    YARDER_ASSERT(reply->is_error || verdict == REDIS_DONE);
    if (verdict == REDIS_MOVED || verdict == REDIS_ASK) {
        YARDER_ASSERT(place.slot < 16384);
        YARDER_ASSERT(memchr(place.host, '\0', sizeof(place.host)) != NULL);
        YARDER_ASSERT(strspn(place.port, "0123456789") == strlen(place.port));
        YARDER_ASSERT(place.port[0] != '\0');
    }
}

/* Takes what is there; returns false once it is no redis. */
static bool take(struct redis_replies *replies, struct redis_reply *out, size_t *count)
{
    struct redis_reply reply;
    int r = redis_replies_next(replies, &reply);
    while (r == 1) {
        check_place(&reply);
        if (*count < REPLIES_MAX) {
            out[(*count)++] = reply;
        }
        r = redis_replies_next(replies, &reply);
    }
    return r == 0;
}

static size_t read_replies(const char *bytes, size_t count, size_t cut, struct redis_reply *out)
{
    struct redis_replies *replies = NULL;
    size_t replies_count = 0;
    if (redis_replies_open(&replies) < 0) {
        return 0;
    }
    bool good = redis_replies_feed(replies, bytes, cut) == 0 && take(replies, out, &replies_count);
    if (good && redis_replies_feed(replies, bytes + cut, count - cut) == 0) {
        (void)take(replies, out, &replies_count);
    }
    redis_replies_close(replies);
    return replies_count;
}

static void fuzz_replies(const char *bytes, size_t count, uint8_t cut)
{
    static struct redis_reply whole[REPLIES_MAX], parts[REPLIES_MAX];
    size_t at = count == 0 ? 0 : cut % count;
    size_t whole_count = read_replies(bytes, count, 0, whole);
    size_t parts_count = read_replies(bytes, count, at, parts);
    YARDER_ASSERT(whole_count == parts_count);
    for (size_t i = 0; i < whole_count; i++) {
        YARDER_ASSERT(whole[i].is_error == parts[i].is_error);
        YARDER_ASSERT(whole[i].is_empty == parts[i].is_empty);
        YARDER_ASSERT(strcmp(whole[i].text, parts[i].text) == 0);
    }
}

/* One "*3" or "$3": its number; *at goes behind it. */
static size_t read_count(const char **at, const char *end, char kind)
{
    YARDER_ASSERT(*at < end && **at == kind);
    char *behind = NULL;
    unsigned long count = strtoul(*at + 1, &behind, 10);
    YARDER_ASSERT(behind > *at + 1 && end - behind >= 2 && memcmp(behind, "\r\n", 2) == 0);
    *at = behind + 2;
    return count;
}

static void check_command(const char *at, const char *end, size_t words, const char *last)
{
    size_t count = read_count(&at, end, '*');
    YARDER_ASSERT(words == 0 || count == words);
    for (size_t i = 0; i < count; i++) {
        size_t length = read_count(&at, end, '$');
        YARDER_ASSERT((size_t)(end - at) >= length + 2);
        YARDER_ASSERT(memcmp(at + length, "\r\n", 2) == 0);
        if (i + 1 == count && last != NULL) {
            YARDER_ASSERT(length == strlen(last) && memcmp(at, last, length) == 0);
        }
        at += length + 2;
    }
    YARDER_ASSERT(at == end);
}

static void fuzz_command(char *words, uint8_t literal)
{
    static struct redis_command command;
    char why[128];
    if (redis_command_compile(&command, words, literal % 2 == 0, why, sizeof(why)) < 0) {
        YARDER_ASSERT(why[0] != '\0');
        return;
    }
    struct yarder_record record = {
        .time_ns = (int64_t)(0x8000000000000000u + literal * 0x0101010101010101u),
        .logger = {"a.logger", 8},
        .tag = {"}{", 2},
        .level = literal};
    struct yarder_item item = {.record = &record,
        .text = {"the text", 8},
        .id = {.epoch_ns = UINT64_MAX, .number = UINT64_MAX}};
    struct redis_texts texts = {.host = {"vm", 2}, .prefix = {"pre ", 4}};
    size_t bound = redis_command_bound(&command, &item, &texts);
    YARDER_OWN_HEAP char *at = malloc(bound + 1);
    YARDER_ASSERT(at != NULL);
    size_t count = 2;
    for (const char *byte = words; *byte != '\0'; byte++) {
        count += *byte == ' ';
    }
    char *end = redis_command_put(&command, &item, &texts, at);
    YARDER_ASSERT((size_t)(end - at) <= bound);
    *end = '\0';
    check_command(at, end, count, "pre the text");
    if (command.has_key) {
        YARDER_ASSERT(redis_command_slot(&command, &item, &texts, at) < 16384);
        end = redis_command_put_look(&command, &item, &texts, at);
        YARDER_ASSERT((size_t)(end - at) <= bound);
        *end = '\0';
        check_command(at, end, 4, "18446744073709-18446744073709551615");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count < 2) {
        return 0;
    }
    YARDER_OWN_HEAP char *text = malloc(bytes_count - 1);
    YARDER_ASSERT(text != NULL);
    memcpy(text, bytes + 2, bytes_count - 2);
    text[bytes_count - 2] = '\0';
    if (bytes[0] % 2 == 0) {
        fuzz_replies(text, bytes_count - 2, bytes[1]);
    } else {
        fuzz_command(text, bytes[1]);
    }
    return 0;
}
