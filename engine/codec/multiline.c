/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/multiline.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"

enum { IDLE = 0, UNDER_WAY = 1 };
enum { PYTHON_FRAMES = 1, PYTHON_EXCEPTION, PYTHON_CHAIN, PYTHON_GROUP };

static const char *const names[] = {[MULTILINE_PYTHON - 1] = "python",
    [MULTILINE_JAVA - 1] = "java",
    [MULTILINE_GO - 1] = "go",
    [MULTILINE_INDENT - 1] = "indent"};

int multiline_kind_of(const char *text, enum multiline_kind *out, char *why, size_t why_bytes)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *out = (enum multiline_kind)(i + 1);
            return 0;
        }
    }
    const char *near = text_near(text, names, YARDER_COUNT_OF(names));
    if (text[0] == '\0' || near != NULL) {
        (void)snprintf(why, why_bytes, "expected python, java, go, indent or a REGEX%s%s%s",
            near != NULL ? "; did you mean " : "", near != NULL ? near : "",
            near != NULL ? "?" : "");
        return -EINVAL;
    }
    *out = MULTILINE_REGEX;
    return 0;
}

static bool is_indented(struct yarder_text line)
{
    return line.length > 0 && (line.at[0] == ' ' || line.at[0] == '\t');
}

static bool begins(struct yarder_text line, const char *with)
{
    size_t length = strlen(with);
    return line.length >= length && memcmp(line.at, with, length) == 0;
}

static bool has(struct yarder_text line, const char *what)
{
    return line.length > 0 && memmem(line.at, line.length, what, strlen(what)) != NULL;
}

static struct yarder_text without_indent(struct yarder_text line)
{
    while (is_indented(line)) {
        line = (struct yarder_text){line.at + 1, line.length - 1};
    }
    return line;
}

static bool is_word_byte(char byte)
{
    unsigned char lower = (unsigned char)(byte | 32);
    return (lower >= 'a' && lower <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' ||
           (unsigned char)byte >= 0x80;
}

/* "ValueError", "app.errors.Wrong: why": a name, dotted perhaps, alone or before a colon. */
static bool is_exception(struct yarder_text line)
{
    size_t at = 0;
    while (
        at < line.length && (is_word_byte(line.at[at]) || memchr(".<>", line.at[at], 3) != NULL)) {
        at++;
    }
    return at > 0 && (at == line.length || line.at[at] == ':');
}

static multiline_state python_begins(struct yarder_text line)
{
    if (begins(line, "Traceback (most recent call last):") || begins(line, "  File \"")) {
        return PYTHON_FRAMES;
    }
    return begins(line, "  + Exception Group Traceback (most") ? PYTHON_GROUP : IDLE;
}

static bool python_chains(struct yarder_text line)
{
    return begins(line, "During handling of the above exception, another") ||
           begins(line, "The above exception was the direct cause of the");
}

static enum multiline_verdict go_on(
    multiline_state *state, multiline_state next, enum multiline_verdict verdict)
{
    *state = next;
    return verdict;
}

/* Whether it begins something else, or is alone. */
static enum multiline_verdict begin(multiline_state *state, multiline_state begun)
{
    *state = begun;
    return begun == IDLE ? MULTILINE_ALONE : MULTILINE_BEGINS;
}

static enum multiline_verdict look_python(multiline_state *state, struct yarder_text line)
{
    bool frames = *state == PYTHON_FRAMES || *state == PYTHON_EXCEPTION || *state == PYTHON_GROUP;
    if (frames && is_indented(line) && !(*state == PYTHON_EXCEPTION && python_begins(line))) {
        return MULTILINE_CONTINUES;
    }
    if (*state == PYTHON_CHAIN && python_begins(line) != IDLE) {
        return go_on(state, python_begins(line), MULTILINE_CONTINUES_AFTER_GAP);
    }
    if (*state == PYTHON_FRAMES && python_begins(line) == IDLE && is_exception(line)) {
        return go_on(state, PYTHON_EXCEPTION, MULTILINE_CONTINUES);
    }
    if ((*state == PYTHON_EXCEPTION || *state == PYTHON_GROUP) && python_chains(line)) {
        return go_on(state, PYTHON_CHAIN, MULTILINE_CONTINUES_AFTER_GAP);
    }
    return begin(state, python_begins(line));
}

/* "java.lang.IllegalStateException: no", "Exception in thread ...", "x failed: FooError". */
static bool is_java_exception(struct yarder_text line)
{
    static const char *const ends[] = {"Exception", "Error", "Throwable"};
    for (size_t i = 0; i < YARDER_COUNT_OF(ends); i++) {
        size_t length = strlen(ends[i]);
        struct yarder_text rest = line;
        const char *found = NULL;
        while (rest.length > 0 && (found = memmem(rest.at, rest.length, ends[i], length)) != NULL) {
            const char *behind = found + length;
            const char *end = line.at + line.length;
            if (behind == end || *behind == ':') {
                return true;
            }
            rest = (struct yarder_text){behind, (size_t)(end - behind)};
        }
    }
    return begins(line, "Exception in thread ");
}

static enum multiline_verdict look_java(multiline_state *state, struct yarder_text line)
{
    struct yarder_text text = without_indent(line);
    bool goes_on = is_indented(line) || begins(text, "Caused by: ") ||
                   begins(text, "Suppressed: ") || begins(text, "... ") ||
                   begins(text, "nested exception is:") || begins(text, "--- End of ");
    if (*state != IDLE && goes_on) {
        return MULTILINE_CONTINUES;
    }
    return begin(state, is_java_exception(line) ? UNDER_WAY : IDLE);
}

static bool is_goroutine(struct yarder_text line)
{
    return begins(line, "goroutine ") && line.length > 12 && has(line, " [") &&
           line.at[line.length - 1] == ':';
}

/* "main.(*T).run(0xc000, 0x1)", "net/http.HandlerFunc.ServeHTTP(...)": no space before the (. */
static bool is_go_call(struct yarder_text line)
{
    if (line.length == 0 || line.at[line.length - 1] != ')') {
        return false;
    }
    const char *space = memchr(line.at, ' ', line.length);
    size_t head = space != NULL ? (size_t)(space - line.at) : line.length;
    return memchr(line.at, '(', head) != NULL && memchr(line.at, '.', head) != NULL;
}

/* "rax    0x0", of a dump by a signal. */
static bool is_go_register(struct yarder_text line)
{
    size_t at = 0;
    while (at < line.length && is_word_byte(line.at[at])) {
        at++;
    }
    size_t name = at;
    while (at < line.length && line.at[at] == ' ') {
        at++;
    }
    return name > 1 && name < 7 && at > name &&
           begins((struct yarder_text){line.at + at, line.length - at}, "0x");
}

static enum multiline_verdict look_go(multiline_state *state, struct yarder_text line)
{
    static const char *const further[] = {"created by ", "[signal ", "...additional frames elided",
        "[originating from ", "exit status ", "runtime stack:", "PC=", "panic during panic"};
    bool goes_on = is_indented(line) || is_go_call(line) || is_go_register(line);
    for (size_t i = 0; i < YARDER_COUNT_OF(further); i++) {
        goes_on = goes_on || begins(line, further[i]);
    }
    if (*state != IDLE && is_goroutine(line)) {
        return MULTILINE_CONTINUES_AFTER_GAP;
    }
    if (*state != IDLE && goes_on) {
        return MULTILINE_CONTINUES;
    }
    bool begun = begins(line, "panic: ") || begins(line, "fatal error: ") ||
                 begins(line, "runtime: ") || begins(line, "SIGQUIT: ") ||
                 begins(line, "unexpected fault address ") || is_goroutine(line) ||
                 has(line, "http: panic serving ");
    return begin(state, begun ? UNDER_WAY : IDLE);
}

static enum multiline_verdict look_line(
    enum multiline_kind kind, multiline_state *state, struct yarder_text line, bool is_first)
{
    switch (kind) {
    case MULTILINE_PYTHON:
        return look_python(state, line);
    case MULTILINE_JAVA:
        return look_java(state, line);
    case MULTILINE_GO:
        return look_go(state, line);
    case MULTILINE_INDENT:
        is_first = !is_indented(line);
        break;
    case MULTILINE_REGEX:
        break;
    case MULTILINE_NONE:
        YARDER_ASSERT(false);
    }
    bool goes_on = *state != IDLE && !is_first;
    return goes_on ? MULTILINE_CONTINUES : begin(state, UNDER_WAY);
}

enum multiline_verdict multiline_look(
    enum multiline_kind kind, multiline_state *state, struct yarder_text line, bool is_first)
{
    const char *end = line.length > 0 ? memchr(line.at, '\n', line.length) : NULL;
    if (YARDER_LIKELY(end == NULL)) {
        return look_line(kind, state, line, is_first);
    }
    /* Several at once, as datagrams may bring them: the first says what it is, all of them where
     * it ends. */
    struct yarder_text first = {line.at, (size_t)(end - line.at)};
    enum multiline_verdict verdict = look_line(kind, state, first, is_first);
    const char *limit = line.at + line.length;
    while (end != NULL && *state != IDLE) {
        const char *from = end + 1;
        end = from < limit ? memchr(from, '\n', (size_t)(limit - from)) : NULL;
        struct yarder_text next = {from, (size_t)((end != NULL ? end : limit) - from)};
        if (next.length > 0) {
            (void)look_line(kind, state, next, false);
        }
    }
    if (*state == IDLE && verdict >= MULTILINE_CONTINUES) {
        *state = UNDER_WAY; /* it goes on what was there, and whatever follows is seen anew */
    }
    return *state == IDLE ? MULTILINE_ALONE : verdict;
}
