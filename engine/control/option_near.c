/* SPDX-License-Identifier: Apache-2.0 */
/* What a wrong value was probably meant to be: the nearest of the words that its option knows. */
#include <ctype.h>
#include <string.h>

#include "base/text.h"
#include "control/option_set.h"
#include "outputs/output_private.h"

enum { WORDS_MAX = 32, WORD_BYTES = 32 };

struct words {
    char at[WORDS_MAX][WORD_BYTES];
    size_t count;
};

static void add(struct words *words, const char *at, size_t length)
{
    if (length > 0 && length < WORD_BYTES && words->count < WORDS_MAX) {
        memcpy(words->at[words->count], at, length);
        words->at[words->count++][length] = '\0';
    }
}

/* Help shows the words of a value as word|word:ARGUMENT; what stands in capitals is none. */
static void add_shown(struct words *words, const char *shown)
{
    while (*shown != '\0') {
        size_t length = strcspn(shown, "|");
        size_t word = 0;
        while (word < length && (islower((unsigned char)shown[word]) ||
                                    isdigit((unsigned char)shown[word]) || shown[word] == '-')) {
            word++;
        }
        add(words, shown, word);
        shown += length + (shown[length] == '|');
    }
}

static void collect(struct words *words, const struct yarder_option *option)
{
    static const char *const levels[] = {
        "debug", "info", "notice", "warning", "error", "critical", "alert", "emerg"};
    words->count = 0;
    if (option->kind == YARDER_OPTION_LEVELS) {
        for (size_t i = 0; i < YARDER_COUNT_OF(levels); i++) {
            add(words, levels[i], strlen(levels[i]));
        }
    } else if (option->parse == option_parse_facilities) {
        for (uint8_t i = 0; i < 24; i++) {
            add(words, facility_name(i), strlen(facility_name(i)));
        }
    } else if (option->kind == YARDER_OPTION_CHOICE || option->kind == YARDER_OPTION_SPECIAL) {
        add_shown(words, option->argument);
    }
}

/* The first part of "a+b", "a..b" or "a:b" that is no word, and has one near it. */
static const char *find_near(const struct words *words, const char *text, char near[WORD_BYTES])
{
    const char *candidates[WORDS_MAX];
    for (size_t i = 0; i < words->count; i++) {
        candidates[i] = words->at[i];
    }
    for (const char *at = text; *at != '\0';) {
        char part[WORD_BYTES];
        size_t length = strcspn(at, "+.:");
        (void)snprintf(part, sizeof(part), "%.*s", (int)yarder_min(length, WORD_BYTES), at);
        const char *found = text_near(part, candidates, words->count);
        if (found != NULL && strcmp(found, part) != 0) {
            (void)snprintf(near, WORD_BYTES, "%s", found);
            return near;
        }
        at += length;
        at += strspn(at, "+.:");
    }
    return NULL;
}

const char *option_refusal(const struct yarder_option *option, const char *why, const char *text,
    char at[OPTION_REFUSAL_BYTES])
{
    struct words words;
    char room[WORD_BYTES];
    if (text == NULL || option->kind == YARDER_OPTION_SECRET) {
        (void)snprintf(at, OPTION_REFUSAL_BYTES, "%s", why);
        return at;
    }
    collect(&words, option);
    const char *near = find_near(&words, text, room);
    (void)snprintf(at, OPTION_REFUSAL_BYTES, "%s, not '%.64s'%s%s%s", why, text,
        near != NULL ? "; did you mean " : "", near != NULL ? near : "", near != NULL ? "?" : "");
    return at;
}
