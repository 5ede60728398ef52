/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msgpack SPEC: constants are packed when the specification is compiled, in the forms that uWSGI
 * chooses: no str8, no unsigned integers, 0 in two bytes, floats of four bytes from -126 to 127.
 */
#include <errno.h>
#include <math.h>

#include "codec/chain_private.h"

enum { DEPTH_MAX = 32, CONTAINER_MAX = 65536, NUMBER_TEXT_BYTES = 64 };

static char *put_big(char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = bytes; i > 0; i--) {
        *at++ = (char)(value >> 8 * (i - 1) & 255);
    }
    return at;
}

static char *put_head(char *at, unsigned kind, uint64_t value, unsigned bytes)
{
    *at = (char)kind;
    return put_big(at + 1, value, bytes);
}

char *chain_put_str_head(char *at, size_t length)
{
    if (length <= 31) {
        return put_head(at, 0xA0 | (unsigned)length, 0, 0);
    }
    return length <= UINT16_MAX ? put_head(at, 0xDA, length, 2) : put_head(at, 0xDB, length, 4);
}

char *chain_put_bin_head(char *at, size_t length)
{
    if (length <= UINT8_MAX) {
        return put_head(at, 0xC4, length, 1);
    }
    return length <= UINT16_MAX ? put_head(at, 0xC5, length, 2) : put_head(at, 0xC6, length, 4);
}

char *chain_put_int(char *at, int64_t value)
{
    if ((value > 0 && value <= 127) || (value < 0 && value > -32)) {
        *at = (char)(value & 255);
        return at + 1;
    }
    if (value >= INT8_MIN && value <= INT8_MAX) {
        return put_head(at, 0xD0, (uint64_t)value, 1);
    }
    if (value >= INT16_MIN && value <= INT16_MAX) {
        return put_head(at, 0xD1, (uint64_t)value, 2);
    }
    bool short_one = value >= INT32_MIN && value <= INT32_MAX;
    return put_head(at, short_one ? 0xD2 : 0xD3, (uint64_t)value, short_one ? 4 : 8);
}

static char *put_float(char *at, double value)
{
    union {
        double number;
        uint64_t bits;
    } wide = {.number = value};
    union {
        float number;
        uint32_t bits;
    } narrow = {.number = (float)value};
    bool short_one = value >= -126 && value <= 127;
    return short_one ? put_head(at, 0xCA, narrow.bits, 4) : put_head(at, 0xCB, wide.bits, 8);
}

/* How many values the open containers still lack, the outermost first. */
struct counts {
    uint32_t left[DEPTH_MAX];
    uint32_t depth;
    bool closed; /* a container was filled: nothing comes behind it */
};

/* A value has come; with `holds` values in it when it is a container. */
static int count_value(struct chain_build *build, struct counts *counts, bool is_container,
    uint32_t holds, struct yarder_text item)
{
    if (counts->closed) {
        return chain_refuse(build,
            "\"%.*s\" is one value too many: what stands before it has all "
            "that its map or array takes",
            (int)item.length, item.at);
    }
    if (counts->depth > 0) {
        counts->left[counts->depth - 1]--;
    }
    if (is_container && counts->depth == DEPTH_MAX) {
        return chain_refuse(build, "maps and arrays in each other %d deep at most", DEPTH_MAX);
    }
    if (is_container) {
        counts->left[counts->depth++] = holds;
    }
    bool inside = counts->depth > 0;
    while (counts->depth > 0 && counts->left[counts->depth - 1] == 0) {
        counts->depth--;
    }
    counts->closed = inside && counts->depth == 0;
    return 0;
}

static int add_number(
    struct chain_build *build, struct yarder_text item, struct yarder_text value, bool is_float)
{
    char text[NUMBER_TEXT_BYTES] = "";
    char packed[1 + sizeof(double)];
    char *end = text;
    if (value.length > 0 && value.length < sizeof(text)) {
        memcpy(text, value.at, value.length);
    }
    errno = 0;
    double wide = is_float ? strtod(text, &end) : 0;
    int64_t whole = is_float ? 0 : strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(wide)) {
        return chain_refuse(build, "\"%.*s\": expected %s", (int)item.length, item.at,
            is_float ? "a number" : "a whole number of at most 64 bits");
    }
    end = is_float ? put_float(packed, wide) : chain_put_int(packed, whole);
    return chain_add_literal(build, packed, (size_t)(end - packed));
}

static int add_container(struct chain_build *build, struct counts *counts, bool is_map,
    struct yarder_text item, struct yarder_text value)
{
    uint64_t holds = 0;
    char head[CHAIN_HEAD_BYTES_MAX];
    if (text_to_u64(value, &holds) < 0 || holds > CONTAINER_MAX) {
        return chain_refuse(build, "\"%.*s\": expected how many %s, at most %d", (int)item.length,
            item.at, is_map ? "pairs" : "values", CONTAINER_MAX);
    }
    char *end = head;
    if (holds <= 15) {
        end = put_head(head, (is_map ? 0x80U : 0x90U) | (unsigned)holds, 0, 0);
    } else if (holds <= UINT16_MAX) {
        end = put_head(head, is_map ? 0xDE : 0xDC, holds, 2);
    } else {
        end = put_head(head, is_map ? 0xDF : 0xDD, holds, 4);
    }
    int r = count_value(build, counts, true, (uint32_t)holds * (is_map ? 2 : 1), item);
    return r < 0 ? r : chain_add_literal(build, head, (size_t)(end - head));
}

static int add_bytes(struct chain_build *build, struct yarder_text value, bool is_bin)
{
    char head[CHAIN_HEAD_BYTES_MAX];
    char *end =
        is_bin ? chain_put_bin_head(head, value.length) : chain_put_str_head(head, value.length);
    int r = chain_add_literal(build, head, (size_t)(end - head));
    return r < 0 ? r : chain_add_literal(build, value.at, value.length);
}

enum item_kind {
    ITEM_MAP,
    ITEM_ARRAY,
    ITEM_STR,
    ITEM_BIN,
    ITEM_INT,
    ITEM_FLOAT,
    ITEM_NIL,
    ITEM_TRUE,
    ITEM_FALSE,
    ITEM_MSG,
    ITEM_MSGNL,
    ITEM_MSGBIN,
    ITEM_MSGBINNL,
    ITEM_UNIX,
    ITEM_MICROS,
    ITEM_STRFTIME,
    ITEM_KINDS
};
static const char *const item_names[ITEM_KINDS] = {"map", "array", "str", "bin", "int", "float",
    "nil", "true", "false", "msg", "msgnl", "msgbin", "msgbinnl", "unix", "micros", "strftime"};

static int add_value(struct chain_build *build, enum item_kind kind, struct yarder_text item,
    struct yarder_text value)
{
    switch (kind) {
    case ITEM_STR:
    case ITEM_BIN:
        return add_bytes(build, value, kind == ITEM_BIN);
    case ITEM_INT:
    case ITEM_FLOAT:
        return add_number(build, item, value, kind == ITEM_FLOAT);
    case ITEM_NIL:
        return chain_add_literal(build, "\xC0", 1);
    case ITEM_TRUE:
        return chain_add_literal(build, "\xC3", 1);
    case ITEM_FALSE:
        return chain_add_literal(build, "\xC2", 1);
    case ITEM_MSG:
    case ITEM_MSGBIN:
        return chain_add(build, CHAIN_MSG, kind == ITEM_MSG ? CHAIN_PACKED : CHAIN_PACKED_BIN);
    case ITEM_MSGNL:
    case ITEM_MSGBINNL:
        return chain_add(build, CHAIN_MSGNL, kind == ITEM_MSGNL ? CHAIN_PACKED : CHAIN_PACKED_BIN);
    case ITEM_UNIX:
    case ITEM_MICROS:
        return chain_add(build, kind == ITEM_UNIX ? CHAIN_UNIX : CHAIN_MICROS, CHAIN_PACKED);
    case ITEM_STRFTIME:
        return chain_add_clock(build, value, CHAIN_PACKED);
    case ITEM_MAP:
    case ITEM_ARRAY:
    case ITEM_KINDS:
        break;
    }
    YARDER_ASSERT(false);
    return -EINVAL;
}

/* One item: `kind` or `kind:value`. */
static int add_item(struct chain_build *build, struct counts *counts, struct yarder_text item)
{
    const char *colon = memchr(item.at, ':', item.length);
    struct yarder_text name = {item.at, colon == NULL ? item.length : (size_t)(colon - item.at)};
    struct yarder_text value = {item.at + item.length, 0};
    if (colon != NULL) {
        value = (struct yarder_text){colon + 1, item.length - name.length - 1};
    }
    unsigned kind = 0;
    while (kind < ITEM_KINDS && !text_is(name, item_names[kind])) {
        kind++;
    }
    if (kind == ITEM_KINDS) {
        return chain_unknown(build, "item", name, item_names, ITEM_KINDS);
    }
    if (kind == ITEM_MAP || kind == ITEM_ARRAY) {
        return add_container(build, counts, kind == ITEM_MAP, item, value);
    }
    int r = count_value(build, counts, false, 0, item);
    return r < 0 ? r : add_value(build, (enum item_kind)kind, item, value);
}

int chain_msgpack(struct chain_build *build, const char *spec)
{
    struct counts counts = {.depth = 0};
    int r = 0;
    for (const char *at = spec; *at != '\0' && r == 0;) {
        size_t length = strcspn(at, "|");
        if (length > 0) {
            r = add_item(build, &counts, (struct yarder_text){at, length});
        }
        at += length + (at[length] == '|');
    }
    if (r == 0 && counts.depth > 0) {
        r = chain_refuse(build, "a map or an array lacks %u of its values (a pair is two)",
            counts.left[counts.depth - 1]);
    }
    return r;
}
