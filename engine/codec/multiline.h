/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lines are one record: by rules that know how a language prints what went wrong, by
 * indentation, or by a pattern of first lines (which the caller matches).
 *
 *   python   Traceback ... (or File "...", of a syntax error), indented lines, the exception; after
 *            the sentence of a chained exception the next traceback; groups of exceptions
 *   java     a line with an exception's class, then what is indented, Caused by:, Suppressed:
 *   go       panic:, fatal error: or a goroutine, then goroutines with their calls and files
 *   indent   any line, then what is indented
 *   REGEX    a line that matches, then what does not
 *
 * With the first three a line that begins nothing is alone, at once. What began is over with the
 * first line that does not go on; nothing says that it is over before that.
 */
#ifndef YARDER_CODEC_MULTILINE_H
#define YARDER_CODEC_MULTILINE_H

#include "api/record.h"
#include "base/base.h"

enum multiline_kind {
    MULTILINE_NONE,
    MULTILINE_PYTHON,
    MULTILINE_JAVA,
    MULTILINE_GO,
    MULTILINE_INDENT,
    MULTILINE_REGEX
};

/* What is under way for a source; 0: nothing. Kept by the caller between two lines. */
typedef uint32_t multiline_state;

enum multiline_verdict {
    MULTILINE_ALONE,              /* a record of its own, and what was under way is over */
    MULTILINE_BEGINS,             /* may go on; what was under way is over */
    MULTILINE_CONTINUES,          /* belongs to what is under way */
    MULTILINE_CONTINUES_AFTER_GAP /* the same; where it was printed an empty line is before it */
};

/* -EINVAL: no rule's name, and no pattern either, but the name of one that is near. */
YARDER_MUST_USE int multiline_kind_of(
    const char *text, enum multiline_kind *out, char *why, size_t why_bytes);

/*
 * Looks at the next line of a source, or at several in one record. `is_first` is asked of
 * MULTILINE_REGEX alone. *state becomes what is under way with it; 0 after ALONE.
 */
enum multiline_verdict multiline_look(
    enum multiline_kind kind, multiline_state *state, struct yarder_text line, bool is_first);

#endif
