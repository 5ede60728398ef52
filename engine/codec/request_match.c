/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a line by a program: the clean way, else from both ends. */
#include <string.h>

#include "base/text.h"
#include "codec/put.h"
#include "codec/request_private.h"

enum { DIGITS_MAX = 19 }; /* all of them fit 64 bits */

static const char *const units[] = {"msecs", "micros"};
static const char *const ways[] = {" via sendfile()", " via route()", " via offload()"};

static bool is_digit(char byte)
{
    return (unsigned char)(byte - '0') <= 9;
}

static bool stands_at(const char *at, const char *end, const char *word, size_t length)
{
    return (size_t)(end - at) >= length && memcmp(at, word, length) == 0;
}

/* Digits at `at`: their end, or `at`. */
static const char *read_digits(const char *at, const char *end, uint64_t *value)
{
    const char *limit = end - at > DIGITS_MAX ? at + DIGITS_MAX : end;
    uint64_t sum = 0;
    while (at < limit && is_digit(*at)) {
        sum = sum * 10 + (uint64_t)(*at++ - '0');
    }
    *value = sum;
    return at;
}

struct number {
    bool given;
    bool negative;
    uint64_t value;
};

static const char *read_number(const char *at, const char *end, struct number *number)
{
    *number = (struct number){.given = true};
    if (at < end && *at == '-') {
        number->negative = ++at < end && is_digit(*at);
        number->given = number->negative;
    }
    if (!number->given) {
        return at;
    }
    const char *from = at;
    at = read_digits(at, end, &number->value);
    return at == from || (at < end && is_digit(*at)) ? NULL : at;
}

static const char *read_decimal(const char *at, const char *end, double *value, bool *given)
{
    static const double units_of[] = {
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12};
    uint64_t whole = 0;
    uint64_t part = 0;
    *given = !(at < end && *at == '-');
    if (!*given) {
        return at + 1;
    }
    const char *point = read_digits(at, end, &whole);
    if (point == at || point == end || *point != '.') {
        return NULL;
    }
    const char *last = read_digits(point + 1, end, &part);
    size_t digits = (size_t)(last - point) - 1;
    if (digits == 0 || digits >= YARDER_COUNT_OF(units_of) || (last < end && is_digit(*last))) {
        return NULL;
    }
    *value = (double)whole + (double)part / units_of[digits];
    return last;
}

static void add_field(struct request_work *work, struct yarder_text key, struct yarder_text value,
    enum yarder_field_type type)
{
    if (work->fields_count < YARDER_FIELDS_MAX) {
        work->fields[work->fields_count++] =
            (struct yarder_field){.key = key, .value = value, .type = type};
    }
}

static void add_raw(
    struct request_work *work, struct yarder_text key, const void *raw, enum yarder_field_type type)
{
    if (work->fields_count < YARDER_FIELDS_MAX) {
        memcpy(work->scratch, raw, 8);
        add_field(work, key, (struct yarder_text){work->scratch, 8}, type);
        work->scratch += 8;
    }
}

static void set_time(struct request_work *work, enum request_clock clock, int64_t time_ns)
{
    if (clock > work->clock) {
        work->clock = (uint8_t)clock;
        work->time_ns = time_ns;
    }
}

static void take_number(
    struct request_work *work, const struct request_piece *piece, const struct number *number)
{
    static const int64_t unit_ns[] = {[REQUEST_CLOCK_S] = CALENDAR_SECOND_NS,
        [REQUEST_CLOCK_MS] = 1000000,
        [REQUEST_CLOCK_US] = 1000};
    if (!number->given) {
        return;
    }
    int64_t below = -(int64_t)yarder_min(number->value, INT64_MAX);
    add_raw(work, piece->text, number->negative ? (const void *)&below : &number->value,
        number->negative ? YARDER_FIELD_INT : YARDER_FIELD_UINT);
    if (piece->clock != REQUEST_CLOCK_NONE && !number->negative &&
        number->value <= (uint64_t)(INT64_MAX / unit_ns[piece->clock])) {
        set_time(
            work, (enum request_clock)piece->clock, (int64_t)number->value * unit_ns[piece->clock]);
    }
    if (piece->is_pid && !number->negative && number->value <= UINT32_MAX) {
        work->pid = (uint32_t)number->value;
    }
}

static const char *match_number(
    struct request_work *work, const struct request_piece *piece, const char *at, const char *end)
{
    struct number number;
    at = read_number(at, end, &number);
    at = at != NULL && number.negative && piece->is_unsigned ? NULL : at;
    if (at != NULL && work != NULL) {
        take_number(work, piece, &number);
    }
    return at;
}

static const char *match_decimal(
    struct request_work *work, const struct request_piece *piece, const char *at, const char *end)
{
    double value = 0;
    bool given = false;
    at = read_decimal(at, end, &value, &given);
    if (at != NULL && given && work != NULL) {
        add_raw(work, piece->text, &value, YARDER_FIELD_FLOAT);
    }
    return at;
}

/* A time that there is becomes the record's; one that there is not is kept as a text. */
static const char *match_time(
    struct request_work *work, const struct request_piece *piece, const char *at, const char *end)
{
    bool ctime = piece->kind == REQUEST_CTIME;
    const char *behind = ctime ? request_ctime_shape(at, end) : request_ltime_shape(at, end);
    int64_t time_ns = 0;
    if (behind == NULL || work == NULL) {
        return behind;
    }
    if (ctime ? request_ctime_read(work->memo, at, &time_ns)
              : request_ltime_read(work->memo, at, &time_ns)) {
        set_time(work, (enum request_clock)piece->clock, time_ns);
    } else {
        add_field(
            work, piece->text, (struct yarder_text){at, (size_t)(behind - at)}, YARDER_FIELD_TEXT);
    }
    return behind;
}

/* The number before it gets its name. */
static const char *match_unit(struct request_work *work, const char *at, const char *end)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(units); i++) {
        struct yarder_text unit = text_of(units[i]);
        if (!stands_at(at, end, unit.at, unit.length)) {
            continue;
        }
        if (work != NULL && work->fields_count > 0 &&
            text_is(work->fields[work->fields_count - 1].key, "took")) {
            work->fields[work->fields_count - 1].key = unit;
        }
        return at + unit.length;
    }
    return NULL;
}

static const char *match_via(
    struct request_work *work, const struct request_piece *piece, const char *at, const char *end)
{
    for (size_t i = 0; i < YARDER_COUNT_OF(ways); i++) {
        struct yarder_text way = text_of(ways[i]);
        if (!stands_at(at, end, way.at, way.length)) {
            continue;
        }
        if (work != NULL) {
            add_field(
                work, piece->text, (struct yarder_text){at + 5, way.length - 7}, YARDER_FIELD_TEXT);
        }
        return at + way.length;
    }
    return at;
}

/* Whether the pieces of an anchor stand at `at`: their end or NULL. work: their fields, else NULL.
 */
static const char *match_anchor(const struct request_program *program, uint32_t index,
    const char *at, const char *end, struct request_work *work)
{
    const struct request_anchor *anchor = &program->anchors[index];
    for (uint32_t i = 0; i < anchor->count && at != NULL; i++) {
        const struct request_piece *piece = &program->pieces[anchor->first + i];
        switch ((enum request_piece_kind)piece->kind) {
        case REQUEST_LITERAL:
            at = stands_at(at, end, piece->text.at, piece->text.length) ? at + piece->text.length
                                                                        : NULL;
            break;
        case REQUEST_NUMBER:
            at = match_number(work, piece, at, end);
            break;
        case REQUEST_DECIMAL:
            at = match_decimal(work, piece, at, end);
            break;
        case REQUEST_CTIME:
        case REQUEST_LTIME:
            at = match_time(work, piece, at, end);
            break;
        case REQUEST_UNIT:
            at = match_unit(work, at, end);
            break;
        case REQUEST_VIA:
            at = match_via(work, piece, at, end);
            break;
        case REQUEST_FREE:
            YARDER_ASSERT(false);
        }
    }
    return at;
}

static void take_value(struct request_work *work, uint32_t index, const char *from, const char *to)
{
    const struct request_piece *piece = &work->program->pieces[work->program->values[index]];
    struct yarder_text value = {from, (size_t)(to - from)};
    int64_t time_ns = 0;
    if (value.length == 0 || (value.length == 1 && *from == '-')) {
        return;
    }
    if (piece->clock != REQUEST_CLOCK_NONE && request_ltime_shape(from, to) == to &&
        request_ltime_read(work->memo, from, &time_ns)) {
        set_time(work, (enum request_clock)piece->clock, time_ns);
        return;
    }
    add_field(work, piece->text, value, YARDER_FIELD_TEXT);
}

/* The first byte of an anchor that has pieces; one between two values begins with a literal. */
static char first_byte(const struct request_program *program, uint32_t anchor)
{
    return program->pieces[program->anchors[anchor].first].text.at[0];
}

/*
 * Where a clean value ends, or NULL: it could begin later, or has no end. The first one cannot
 * begin later: the anchor before it stands at the line's beginning.
 */
static const char *clean_end(
    const struct request_program *program, uint32_t value, const char *at, const char *end)
{
    bool last = program->anchors[value + 1].count == 0;
    char behind = last ? 0 : first_byte(program, value + 1);
    const char *to = last ? end : memchr(at, behind, (size_t)(end - at));
    if (to == NULL || value == 0) {
        return to;
    }
    char before = first_byte(program, value);
    bool excluded = !last && before == behind;
    return !excluded && memchr(at, before, (size_t)(to - at)) != NULL ? NULL : to;
}

bool request_match_clean(struct request_work *work)
{
    const struct request_program *program = work->program;
    const char *at = match_anchor(program, 0, work->record->text.at, work->end, work);
    for (uint32_t i = 0; i < program->values_count && at != NULL; i++) {
        const char *to = clean_end(program, i, at, work->end);
        if (to == NULL) {
            return false;
        }
        take_value(work, i, at, to);
        at = match_anchor(program, i + 1, to, work->end, work);
    }
    return at == work->end;
}

/* Whether the last anchor stands at `at` and ends with the line, any other wherever it ends. */
static const char *ends_well(
    const struct request_program *program, uint32_t anchor, const char *at, const char *end)
{
    const char *behind = match_anchor(program, anchor, at, end, NULL);
    bool last = anchor == program->values_count;
    return last && behind != end ? NULL : behind;
}

/* From `at` on. */
static const char *find_first(const struct request_program *program, uint32_t anchor,
    const char *at, const char *end, const char **behind)
{
    if (program->anchors[anchor].count == 0) {
        *behind = end;
        return end;
    }
    while (at < end && (at = memchr(at, first_byte(program, anchor), (size_t)(end - at))) != NULL) {
        *behind = ends_well(program, anchor, at, end);
        if (*behind != NULL) {
            return at;
        }
        at++;
    }
    return NULL;
}

/* The last place in a line at which an anchor stands and ends at `limit` or before. */
static const char *find_last(const struct request_program *program, uint32_t anchor,
    const char *from, const char *limit, const char **behind)
{
    if (program->anchors[anchor].count == 0) {
        *behind = limit;
        return limit;
    }
    const char *at = limit;
    while ((at = memrchr(from, first_byte(program, anchor), (size_t)(at - from))) != NULL) {
        *behind = ends_well(program, anchor, at, limit);
        if (*behind != NULL) {
            return at;
        }
    }
    return NULL;
}

bool request_from_left(
    const struct request_program *program, struct yarder_text line, struct request_places *out)
{
    const char *end = line.at + line.length;
    out->at[0] = line.at;
    out->end[0] = match_anchor(program, 0, line.at, end, NULL);
    if (out->end[0] == NULL || (program->values_count == 0 && out->end[0] != end)) {
        return false;
    }
    for (uint32_t i = 1; i <= program->values_count; i++) {
        out->at[i] = find_first(program, i, out->end[i - 1], end, &out->end[i]);
        if (out->at[i] == NULL) {
            return false;
        }
    }
    return true;
}

bool request_from_right(
    const struct request_program *program, struct yarder_text line, struct request_places *out)
{
    const char *limit = line.at + line.length;
    out->at[0] = line.at;
    out->end[0] = match_anchor(program, 0, line.at, limit, NULL);
    if (out->end[0] == NULL || (program->values_count == 0 && out->end[0] != limit)) {
        return false;
    }
    for (uint32_t i = program->values_count; i > 0; i--) {
        out->at[i] = find_last(program, i, out->end[0], limit, &out->end[i]);
        if (out->at[i] == NULL) {
            return false;
        }
        limit = out->at[i];
    }
    return true;
}

static bool looks_right(
    const struct request_program *program, uint32_t value, const char *from, const char *to)
{
    static const char *const strange[] = {[REQUEST_ANY] = "",
        [REQUEST_WORD] = " \"",
        [REQUEST_NAME] = "({[\"",
        [REQUEST_URI] = "\"{}<>"};
    const struct request_piece *piece = &program->pieces[program->values[value]];
    for (const char *byte = strange[piece->shape]; *byte != '\0'; byte++) {
        if (memchr(from, *byte, (size_t)(to - from)) != NULL) {
            return false;
        }
    }
    return true;
}

/*
 * Of the readings whose first anchors, up to some number, stand as found from the left and whose
 * others as from the right: the least and the greatest such number of those in which every value
 * looks right; of all, when none does.
 */
static void honest_readings(const struct request_program *program,
    const struct request_places *left, const struct request_places *right, uint32_t *least,
    uint32_t *greatest)
{
    uint32_t count = program->values_count;
    bool rest_right[YARDER_FIELDS_MAX + 1]; /* values from this one on, as found from the right */
    rest_right[count] = true;
    for (uint32_t i = count; i > 0; i--) {
        rest_right[i - 1] =
            rest_right[i] && looks_right(program, i - 1, right->end[i - 1], right->at[i]);
    }
    *least = count;
    *greatest = 0;
    bool found = false;
    for (uint32_t i = 0; i < count; i++) {
        if (rest_right[i + 1] && looks_right(program, i, left->end[i], right->at[i + 1])) {
            *least = found ? *least : i;
            *greatest = i;
            found = true;
        }
        if (!looks_right(program, i, left->end[i], left->at[i + 1])) {
            break;
        }
    }
    if (!found) {
        *least = 0;
        *greatest = count;
    }
}

/* Fields of what all the readings from `least` to `greatest` have at the same places. */
static void take_agreed(struct request_work *work, const struct request_places *left,
    const struct request_places *right, uint32_t least, uint32_t greatest)
{
    const struct request_program *program = work->program;
    bool before = true;
    const char *from = NULL;
    for (uint32_t i = 0; i <= program->values_count; i++) {
        const struct request_places *places = i <= least ? left : right;
        bool agreed = i <= least || i > greatest || left->at[i] == right->at[i];
        if (i > 0 && before && agreed) {
            take_value(work, i - 1, from, places->at[i]);
        }
        if (agreed) {
            (void)match_anchor(program, i, places->at[i], places->end[i], work);
        } else {
            work->record->flags |= YARDER_FLAG_UNPARSED;
        }
        before = agreed;
        from = places->end[i];
    }
}

static bool match_from_both(struct request_work *work)
{
    struct request_places left;
    struct request_places right;
    uint32_t least = 0;
    uint32_t greatest = 0;
    if (!request_from_left(work->program, work->record->text, &left) ||
        !request_from_right(work->program, work->record->text, &right)) {
        return false;
    }
    honest_readings(work->program, &left, &right, &least, &greatest);
    take_agreed(work, &left, &right, least, greatest);
    return true;
}

bool request_match(struct request_work *work)
{
    const struct request_work before = *work;
    const struct request_program *program = work->program;
    const struct request_piece *last = &program->pieces[program->pieces_count - 1];
    size_t length = work->record->text.length;
    /* Most lines that are none are told by their end. */
    if (last->kind == REQUEST_LITERAL &&
        (length < last->text.length ||
            memcmp(work->end - last->text.length, last->text.at, last->text.length) != 0)) {
        return false;
    }
    if (request_match_clean(work)) {
        return true;
    }
    *work = before;
    return match_from_both(work);
}
