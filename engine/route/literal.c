/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From pieces of a pattern to what must occur. For each branch it is known which strings may stand
 * right before the place that was reached (`run`); each piece of few texts makes them longer, any
 * other ends them. An ended run is something that must occur.
 */
#include "route/literal.h"

#include <errno.h>
#include <string.h>

#include "route/syntax.h"

enum {
    DEPTH_MAX = 16,  /* groups in groups */
    REPEAT_MAX = 8,  /* x{9} is x{8,} */
    SET_BITS_MIN = 9 /* likelier sets are not worth a search */
};

/* What a piece, a group or a pattern consumes. */
struct atom {
    bool exact; /* one of `strings`; else not known */
    struct literal_set strings;
    struct literal_sets found; /* when not exact: what must occur in it */
};

/* A group that is open. */
struct frame {
    bool look;
    /* the branch */
    bool exact; /* it consumes `run` and nothing else */
    struct literal_set run;
    struct literal_sets found;
    /* the branches before it */
    uint32_t branches;
    bool all_exact;
    bool all_found;
    struct literal_set exacts;
    struct literal_set founds;
};

struct finder {
    struct syntax syntax;
    uint32_t depth;
    struct frame frames[DEPTH_MAX];
    struct atom atom;
    struct literal_set scratch;
};

uint32_t literal_byte_bits(char byte)
{
    if (byte == ' ') {
        return 3;
    }
    if ((byte >= '0' && byte <= '9') || (byte != '\0' && strchr("etaoinsrlcd./:-_=", byte))) {
        return 4;
    }
    if (byte >= 'a' && byte <= 'z') {
        return 5;
    }
    return byte > ' ' && byte <= '~' ? 6 : 8;
}

uint32_t literal_bits(const struct literal *literal)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < literal->length; i++) {
        bits += literal_byte_bits(literal->bytes[i]);
    }
    return (uint32_t)yarder_min(bits, LITERAL_BITS_MAX);
}

/* How often one of them is to be expected, in units of the rarest one. */
static uint32_t frequency(const struct literal_set *set)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        bool usable = set->at[i].length >= LITERAL_BYTES_MIN;
        sum += UINT32_C(1) << (usable ? LITERAL_BITS_MAX - literal_bits(&set->at[i])
                                      : LITERAL_BITS_MAX);
    }
    return sum;
}

/* Keeps a set of which one must occur, in place of a worse one if need be. */
static void note(struct literal_sets *sets, const struct literal_set *set)
{
    uint32_t mine = frequency(set);
    if (mine > UINT32_C(1) << (LITERAL_BITS_MAX - SET_BITS_MIN)) {
        return;
    }
    if (sets->count < LITERAL_SETS_MAX) {
        sets->at[sets->count++] = *set;
        return;
    }
    uint32_t worst = 0;
    for (uint32_t i = 1; i < sets->count; i++) {
        worst = frequency(&sets->at[i]) > frequency(&sets->at[worst]) ? i : worst;
    }
    if (mine < frequency(&sets->at[worst])) {
        sets->at[worst] = *set;
    }
}

static void note_all(struct literal_sets *sets, const struct literal_sets *more)
{
    for (uint32_t i = 0; i < more->count; i++) {
        note(sets, &more->at[i]);
    }
}

static const struct literal_set *best(const struct literal_sets *sets)
{
    const struct literal_set *best = NULL;
    for (uint32_t i = 0; i < sets->count; i++) {
        if (best == NULL || frequency(&sets->at[i]) < frequency(best)) {
            best = &sets->at[i];
        }
    }
    return best;
}

static bool is_in(const struct literal_set *set, const struct literal *literal)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct literal *other = &set->at[i];
        if (other->length == literal->length && other->fold == literal->fold &&
            memcmp(other->bytes, literal->bytes, literal->length) == 0) {
            return true;
        }
    }
    return false;
}

static bool insert(struct literal_set *set, const struct literal *literal)
{
    if (is_in(set, literal)) {
        return true;
    }
    if (set->count == LITERAL_STRINGS_MAX) {
        return false;
    }
    set->at[set->count++] = *literal;
    return true;
}

static bool insert_all(struct literal_set *set, const struct literal_set *more)
{
    for (uint32_t i = 0; i < more->count; i++) {
        if (!insert(set, &more->at[i])) {
            return false;
        }
    }
    return true;
}

/* The set of the empty string. */
static void clear(struct literal_set *set)
{
    set->count = 1;
    set->at[0].length = 0;
    set->at[0].fold = false;
}

static void begin_branch(struct frame *frame)
{
    frame->exact = true;
    clear(&frame->run);
    frame->found.count = 0;
}

static void cut(struct frame *frame)
{
    note(&frame->found, &frame->run);
    clear(&frame->run);
    frame->exact = false;
}

static bool join(struct literal_set *out, const struct literal *left, const struct literal *right)
{
    struct literal both = *left;
    if (left->length + right->length > LITERAL_BYTES_MAX) {
        return false;
    }
    memcpy(both.bytes + left->length, right->bytes, right->length);
    both.length = (uint8_t)(left->length + right->length);
    both.fold |= right->fold;
    return insert(out, &both);
}

/* Every run with every string behind it; too many or too long: the run ends here. */
static void append(
    struct frame *frame, const struct literal_set *strings, struct literal_set *scratch)
{
    scratch->count = 0;
    bool fits = true;
    for (uint32_t i = 0; i < frame->run.count && fits; i++) {
        for (uint32_t k = 0; k < strings->count && fits; k++) {
            fits = join(scratch, &frame->run.at[i], &strings->at[k]);
        }
    }
    if (!fits) {
        cut(frame);
        *scratch = *strings;
    }
    frame->run = *scratch;
}

static void put(struct finder *finder, const struct syntax_piece *piece)
{
    struct frame *frame = &finder->frames[finder->depth];
    struct atom *atom = &finder->atom;
    static const struct literal empty = {.length = 0};
    if (piece->most == 0) {
        return;
    }
    bool optional = piece->least == 0;
    if (!atom->exact || (optional && (piece->most > 1 || !insert(&atom->strings, &empty)))) {
        cut(frame);
        if (!optional && !atom->exact) {
            note_all(&frame->found, &atom->found);
        }
        return;
    }
    uint32_t times = optional ? 1 : (uint32_t)yarder_min(piece->least, REPEAT_MAX);
    for (uint32_t i = 0; i < times; i++) {
        append(frame, &atom->strings, &finder->scratch);
    }
    if (piece->most > times) { /* others may stand between the first and the last of them */
        cut(frame);
        frame->run = atom->strings;
    }
}

static void put_byte(struct finder *finder, const struct syntax_piece *piece)
{
    struct literal_set *strings = &finder->atom.strings;
    finder->atom.exact = true;
    strings->count = piece->bytes_count;
    for (uint32_t i = 0; i < piece->bytes_count; i++) {
        char byte = piece->bytes[i];
        bool letter = byte >= 'a' && byte <= 'z';
        strings->at[i].length = 1;
        strings->at[i].bytes[0] = byte;
        strings->at[i].fold = finder->syntax.fold && letter;
    }
    put(finder, piece);
}

static void put_any(struct finder *finder, const struct syntax_piece *piece)
{
    finder->atom.exact = false;
    finder->atom.found.count = 0;
    put(finder, piece);
}

static void end_branch(struct frame *frame)
{
    note(&frame->found, &frame->run);
    const struct literal_set *found = best(&frame->found);
    frame->all_found = frame->all_found && found != NULL && insert_all(&frame->founds, found);
    frame->all_exact = frame->all_exact && frame->exact && insert_all(&frame->exacts, &frame->run);
    frame->branches++;
}

static void open_group(struct finder *finder, bool look)
{
    struct frame *frame = &finder->frames[finder->depth];
    frame->look = look;
    frame->branches = 0;
    frame->all_exact = true;
    frame->all_found = true;
    frame->exacts.count = 0;
    frame->founds.count = 0;
    begin_branch(frame);
}

/* What the innermost group consumes becomes the atom. */
static void close_group(struct finder *finder)
{
    struct frame *frame = &finder->frames[finder->depth];
    struct atom *atom = &finder->atom;
    end_branch(frame);
    atom->found.count = 0;
    atom->exact = frame->look || frame->all_exact;
    if (frame->look) {
        clear(&atom->strings);
    } else if (atom->exact) {
        atom->strings = frame->exacts;
    } else if (frame->branches == 1) {
        atom->found = frame->found;
    } else if (frame->all_found) {
        note(&atom->found, &frame->founds);
    }
}

/* false: not understood. */
static bool take(struct finder *finder, const struct syntax_piece *piece)
{
    switch (piece->kind) {
    case SYNTAX_OPEN:
    case SYNTAX_OPEN_LOOK:
        if (finder->depth + 1 == DEPTH_MAX) {
            return false;
        }
        finder->depth++;
        open_group(finder, piece->kind == SYNTAX_OPEN_LOOK);
        return true;
    case SYNTAX_CLOSE:
        if (finder->depth == 0) {
            return false;
        }
        close_group(finder);
        finder->depth--;
        put(finder, piece);
        return true;
    case SYNTAX_OR:
        end_branch(&finder->frames[finder->depth]);
        begin_branch(&finder->frames[finder->depth]);
        return true;
    case SYNTAX_BYTE:
        put_byte(finder, piece);
        return true;
    case SYNTAX_ANY:
        put_any(finder, piece);
        return true;
    case SYNTAX_NONE:
        return true;
    case SYNTAX_END:
    case SYNTAX_UNKNOWN:
        break;
    }
    return false;
}

int literal_find(const char *pattern, struct literal_sets *out)
{
    out->count = 0;
    YARDER_OWN_HEAP struct finder *finder = calloc(1, sizeof(*finder));
    if (finder == NULL) {
        return -ENOMEM;
    }
    finder->syntax.at = pattern;
    open_group(finder, false);
    struct syntax_piece piece = syntax_next(&finder->syntax);
    while (take(finder, &piece)) {
        piece = syntax_next(&finder->syntax);
    }
    if (piece.kind != SYNTAX_END || finder->depth > 0) {
        return 0;
    }
    struct frame *frame = &finder->frames[0];
    end_branch(frame);
    if (frame->branches == 1) {
        *out = frame->found;
    } else if (frame->all_found) {
        note(out, &frame->founds);
    }
    return 0;
}
