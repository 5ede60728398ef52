/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a pattern piece by piece. */
#include "route/syntax.h"

#include <string.h>

enum { BYTE_VALUES = 256, DIGITS_MAX = 5 };

/* The members of a class; all of them when it is not worth telling them apart. */
struct class
{
    bool member[BYTE_VALUES];
    bool any;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_small(char c)
{
    return c >= 'a' && c <= 'z';
}
static bool is_capital(char c)
{
    return c >= 'A' && c <= 'Z';
}
static bool is_ascii(char c)
{
    return (unsigned char)c < 128;
}
static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

static int hex_value(char c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    char small = (char)(c | 0x20);
    return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

static struct syntax_piece piece(enum syntax_kind kind)
{
    return (struct syntax_piece){.kind = kind, .least = 1, .most = 1};
}

/* Bytes above ASCII have no case in the tables PCRE2 is built with, but others can be built in. */
static struct syntax_piece byte_piece(const struct syntax *syntax, char c)
{
    struct syntax_piece out = piece(syntax->fold && !is_ascii(c) ? SYNTAX_ANY : SYNTAX_BYTE);
    out.bytes[0] = syntax->fold && is_capital(c) ? (char)(c | 0x20) : c;
    out.bytes_count = 1;
    return out;
}

/* The byte that the escape at `at` (behind its backslash) stands for, here or in a class. */
static bool escaped_byte(const char **at, char *byte)
{
    static const char names[] = "nrtfae";
    static const char values[] = "\n\r\t\f\a\033";
    char c = **at;
    if (is_one_of(c, names)) {
        *byte = values[strchr(names, c) - names];
    } else if (c == 'x' && hex_value((*at)[1]) >= 0 && hex_value((*at)[2]) >= 0) {
        *byte = (char)(hex_value((*at)[1]) * 16 + hex_value((*at)[2]));
        *at += 2;
    } else if (is_ascii(c) && c >= ' ' && !is_digit(c) && !is_small((char)(c | 0x20))) {
        *byte = c; /* punctuation */
    } else {
        return false;
    }
    *at += 1;
    return true;
}

static struct syntax_piece escape(struct syntax *syntax)
{
    char byte = '\0';
    if (escaped_byte(&syntax->at, &byte)) {
        return byte_piece(syntax, byte);
    }
    char c = *syntax->at;
    if (is_one_of(c, "bBAzZGK")) {
        syntax->at++;
        return piece(SYNTAX_NONE);
    }
    if (is_one_of(c, "dDwWsShHvVRXN") && syntax->at[1] != '{') { /* \N{U+..} is something else */
        syntax->at++;
        return piece(SYNTAX_ANY);
    }
    return piece(SYNTAX_UNKNOWN);
}

/* [:name:] or [:^name:], with `at` behind the first bracket. */
static bool skip_posix_name(const char **at)
{
    const char *end = *at + 1;
    end += *end == '^';
    while (is_small(*end)) {
        end++;
    }
    if (end[0] != ':' || end[1] != ']') {
        return false;
    }
    *at = end + 2;
    return true;
}

/* One byte, or one name of many; false: not understood. */
static bool class_item(const char **at, struct class *class, char *byte, bool *one)
{
    char c = *(*at)++;
    *one = true;
    *byte = c;
    if (c == '[' && is_one_of(**at, ":.=")) {
        *one = false;
        class->any = true;
        return **at == ':' && skip_posix_name(at);
    }
    if (c != '\\') {
        return c != '\0';
    }
    if (is_one_of(**at, "dDwWsShHvV")) {
        *one = false;
        class->any = true;
        *at += 1;
        return true;
    }
    return escaped_byte(at, byte);
}

static bool class_range(const char **at, struct class *class, char first)
{
    if ((*at)[0] != '-' || (*at)[1] == ']') {
        class->member[(unsigned char)first] = true;
        return true;
    }
    char last = (*at)[1];
    if (is_one_of(last, "\\[") || last == '\0') {
        return false;
    }
    *at += 2;
    for (int c = (unsigned char)first; c <= (unsigned char)last; c++) {
        class->member[c] = true;
    }
    return true;
}

static struct syntax_piece class_piece(const struct syntax *syntax, struct class *class)
{
    struct syntax_piece out = piece(SYNTAX_BYTE);
    for (int c = 0; c < BYTE_VALUES && syntax->fold; c++) {
        if (class->member[c]) {
            class->any |= !is_ascii((char)c);
            class->member[c] = !is_capital((char)c);
            class->member[is_capital((char)c) ? c | 0x20 : c] = true;
        }
    }
    for (int c = 0; c < BYTE_VALUES && !class->any; c++) {
        if (class->member[c]) {
            class->any = out.bytes_count == SYNTAX_BYTES_MAX;
            out.bytes[class->any ? 0 : out.bytes_count++] = (char)c;
        }
    }
    return class->any ? piece(SYNTAX_ANY) : out;
}

/* `at` is behind the opening bracket. A first ] is a member. */
static struct syntax_piece bracket(struct syntax *syntax)
{
    struct class class = {.any = *syntax->at == '^'};
    syntax->at += class.any;
    bool first = true;
    while (first || *syntax->at != ']') {
        char byte = '\0';
        bool one = false;
        if (!class_item(&syntax->at, &class, &byte, &one) ||
            (one && !class_range(&syntax->at, &class, byte))) {
            return piece(SYNTAX_UNKNOWN);
        }
        first = false;
    }
    syntax->at++;
    return class_piece(syntax, &class);
}

/* (?i) (?s-m:  and the like; behind the question mark. */
static struct syntax_piece options(struct syntax *syntax)
{
    bool on = true;
    for (; is_one_of(*syntax->at, "imsU-"); syntax->at++) {
        on &= *syntax->at != '-';
        syntax->fold |= on && *syntax->at == 'i';
    }
    char end = *syntax->at;
    if (end != ')' && end != ':') {
        return piece(SYNTAX_UNKNOWN);
    }
    syntax->at++;
    return piece(end == ')' ? SYNTAX_NONE : SYNTAX_OPEN);
}

/* Behind (? and the letters before it: the name of a group. */
static struct syntax_piece name(struct syntax *syntax, char end)
{
    const char *close = strchr(syntax->at, end);
    if (close == NULL) {
        return piece(SYNTAX_UNKNOWN);
    }
    syntax->at = close + 1;
    return piece(SYNTAX_OPEN);
}

static struct syntax_piece parenthesis(struct syntax *syntax)
{
    static const struct {
        const char *text;
        enum syntax_kind kind;
        char name_end;
    } forms[] = {
        {"?:", SYNTAX_OPEN, '\0'},
        {"?>", SYNTAX_OPEN, '\0'},
        {"?|", SYNTAX_OPEN, '\0'},
        {"?=", SYNTAX_OPEN_LOOK, '\0'},
        {"?!", SYNTAX_OPEN_LOOK, '\0'},
        {"?<=", SYNTAX_OPEN_LOOK, '\0'},
        {"?<!", SYNTAX_OPEN_LOOK, '\0'},
        {"?<*", SYNTAX_UNKNOWN, '\0'},
        {"?P<", SYNTAX_OPEN, '>'},
        {"?<", SYNTAX_OPEN, '>'},
        {"?'", SYNTAX_OPEN, '\''},
    };
    if (*syntax->at != '?') {
        return piece(*syntax->at == '*' ? SYNTAX_UNKNOWN : SYNTAX_OPEN);
    }
    for (size_t i = 0; i < YARDER_COUNT_OF(forms); i++) {
        size_t length = strlen(forms[i].text);
        if (strncmp(syntax->at, forms[i].text, length) == 0) {
            syntax->at += length;
            return forms[i].name_end != '\0' ? name(syntax, forms[i].name_end)
                                             : piece(forms[i].kind);
        }
    }
    syntax->at++;
    return options(syntax);
}

static bool number(const char **at, uint32_t *value)
{
    const char *begin = *at;
    for (*value = 0; is_digit(**at); *at += 1) {
        *value = *value * 10 + (uint32_t)(**at - '0');
        if (*at - begin >= DIGITS_MAX) {
            return false;
        }
    }
    return *at > begin;
}

/*
 * {n} {n,} {n,m}, behind the brace. Where a quantifier may stand, PCRE2's versions differ in what
 * else they take for one; what no version does was read as a byte before.
 */
static bool braces(const char **at, struct syntax_piece *out)
{
    if (!number(at, &out->least)) {
        return false;
    }
    out->most = out->least;
    if (**at == ',') {
        *at += 1;
        out->most = SYNTAX_NO_LIMIT;
        if (is_digit(**at) && !number(at, &out->most)) {
            return false;
        }
    }
    *at += 1;
    return (*at)[-1] == '}';
}

static bool opens_quantifier(const char *at)
{
    return *at == '{' && (is_digit(at[1]) || is_one_of(at[1], ", \t"));
}

static void quantifier(struct syntax *syntax, struct syntax_piece *out)
{
    if (opens_quantifier(syntax->at)) {
        syntax->at++;
        if (!braces(&syntax->at, out)) {
            out->kind = SYNTAX_UNKNOWN;
            return;
        }
    } else if (is_one_of(*syntax->at, "*+?")) {
        out->least = *syntax->at == '+';
        out->most = *syntax->at == '?' ? 1 : SYNTAX_NO_LIMIT;
        syntax->at++;
    } else {
        return;
    }
    syntax->at += is_one_of(*syntax->at, "?+"); /* lazy, possessive: the same texts at most */
}

/*
 * The bytes of \Q...\E one by one. Only the last can have a quantifier; an \E with nothing before
 * it is left to be not understood, since one behind it would belong to an earlier piece.
 */
static struct syntax_piece quote(struct syntax *syntax)
{
    char c = *syntax->at;
    if (c == '\0' || strncmp(syntax->at, "\\E", 2) == 0) {
        return piece(SYNTAX_UNKNOWN);
    }
    struct syntax_piece out = byte_piece(syntax, c);
    syntax->at++;
    syntax->quoted = strncmp(syntax->at, "\\E", 2) != 0;
    if (!syntax->quoted) {
        syntax->at += 2;
        quantifier(syntax, &out);
    } else if (*syntax->at == '\0') {
        syntax->quoted = false;
    }
    return out;
}

static struct syntax_piece plain(struct syntax *syntax)
{
    char c = *syntax->at++;
    switch (c) {
    case '\\':
        return escape(syntax);
    case '[':
        return bracket(syntax);
    case '(':
        return parenthesis(syntax);
    case ')':
        return piece(SYNTAX_CLOSE);
    case '.':
        return piece(SYNTAX_ANY);
    case '^':
    case '$':
        return piece(SYNTAX_NONE);
    case '*':
    case '+':
    case '?': /* behind something that was taken for a whole piece, and is not */
        return piece(SYNTAX_UNKNOWN);
    default:
        return byte_piece(syntax, c);
    }
}

struct syntax_piece syntax_next(struct syntax *syntax)
{
    if (syntax->quoted) {
        return quote(syntax);
    }
    if (strncmp(syntax->at, "\\Q", 2) == 0) {
        syntax->at += 2;
        return quote(syntax);
    }
    if (*syntax->at == '\0') {
        return piece(SYNTAX_END);
    }
    if (*syntax->at == '|') {
        syntax->at++;
        return piece(SYNTAX_OR);
    }
    if (opens_quantifier(syntax->at)) {
        return piece(SYNTAX_UNKNOWN);
    }
    struct syntax_piece out = plain(syntax);
    if (out.kind != SYNTAX_UNKNOWN && out.kind != SYNTAX_OPEN && out.kind != SYNTAX_OPEN_LOOK) {
        quantifier(syntax, &out);
    }
    return out;
}
