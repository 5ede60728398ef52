/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan and what it rests on, from "pattern LF text": whatever a pattern is, its answer through a
 * scan is the answer without one. What must occur is also compared with the text by hand, so that a
 * scan that gives up hides nothing.
 */
#include <string.h>

#include "route/pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum { PATTERN_BYTES = 200, TEXT_BYTES = 2048, PLAINS = 5 };

static char pattern[PATTERN_BYTES + 1];

static bool split(const uint8_t *bytes, size_t bytes_count, struct yarder_text *text)
{
    const uint8_t *end = bytes_count == 0 ? NULL : memchr(bytes, '\n', bytes_count);
    if (end == NULL || end - bytes > PATTERN_BYTES ||
        memchr(bytes, '\0', (size_t)(end - bytes)) != NULL) {
        return false;
    }
    size_t pattern_bytes = (size_t)(end - bytes);
    memcpy(pattern, bytes, pattern_bytes);
    pattern[pattern_bytes] = '\0';
    text->at = (const char *)end + 1;
    text->length = yarder_min(bytes_count - pattern_bytes - 1, TEXT_BYTES);
    return true;
}

static bool stands_at(const char *at, const struct literal *literal)
{
    unsigned char fold = literal->fold ? 0x20 : 0;
    for (uint32_t i = 0; i < literal->length; i++) {
        if ((at[i] | fold) != (literal->bytes[i] | fold)) {
            return false;
        }
    }
    return true;
}

static bool occurs(const struct literal_set *set, struct yarder_text text)
{
    for (uint32_t i = 0; i < set->count; i++) {
        for (size_t at = 0; at + set->at[i].length <= text.length; at++) {
            if (stands_at(text.at + at, &set->at[i])) {
                return true;
            }
        }
    }
    return false;
}

static void check_literals(struct yarder_text text, enum pattern_answer alone)
{
    static struct literal_sets sets;
    YARDER_ASSERT(literal_find(pattern, &sets) == 0);
    YARDER_ASSERT(sets.count <= LITERAL_SETS_MAX);
    for (uint32_t i = 0; i < sets.count; i++) {
        YARDER_ASSERT(sets.at[i].count > 0 && sets.at[i].count <= LITERAL_STRINGS_MAX);
        YARDER_ASSERT(alone != PATTERN_YES || occurs(&sets.at[i], text));
    }
}

/* Long plain patterns make a scan worth its while, whatever the other one has. */
static int fill(struct pattern_set *set, uint32_t *index)
{
    static const char *const plains[PLAINS] = {"plain pattern one", "plain pattern two",
        "plain pattern three", "(?i)Plain pattern|simple|easy|light", "plain pattern four"};
    char why[128] = "";
    for (uint32_t i = 0; i < PLAINS; i++) {
        YARDER_ASSERT(pattern_add(set, plains[i], false, "f:1", index, why, sizeof(why)) == 0);
    }
    int r = pattern_add(set, pattern, false, "fuzz:1", index, why, sizeof(why));
    YARDER_ASSERT(pattern_set_seal(set) == 0);
    YARDER_ASSERT(set->scan != NULL);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    struct yarder_text text = {NULL, 0};
    if (!split(bytes, bytes_count, &text)) {
        return 0;
    }
    struct pattern_set set;
    uint32_t index = 0;
    YARDER_ASSERT(pattern_set_open(&set) == 0);
    if (fill(&set, &index) == 0) {
        for (uint32_t i = 0; i < 2 * set.count; i++) {
            set.scan->wide &= i < set.count; /* then the other way, if there are two */
            pattern_begin(&set, text);
            enum pattern_answer scanned = pattern_answer(&set, i % set.count);
            enum pattern_answer alone = pattern_match(&set, i % set.count, text);
            /* Without its literal a pattern is decided, where a match would run into a limit. */
            YARDER_ASSERT(scanned == alone || alone == PATTERN_UNDECIDED);
            if (i == index) {
                check_literals(text, alone);
            }
        }
    }
    pattern_set_close(&set);
    return 0;
}
