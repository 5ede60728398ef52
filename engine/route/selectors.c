/* SPDX-License-Identifier: Apache-2.0 */
/* Compiling and asking selectors. What they say about themselves stands in describe.c. */
#include "route/selectors.h"

#include <errno.h>

#include "base/text.h"
#include "codec/put.h"

enum { WHERE_BYTES = 256 };

static int compile_names(
    struct selector_names *out, const struct yarder_texts *from, struct memory **memory)
{
    out->at = memory_take(memory, from->count, sizeof(*out->at));
    if (out->at == NULL) {
        return -ENOMEM;
    }
    for (; out->count < from->count; out->count++) {
        const char *copy = memory_copy(memory, from->at[out->count]);
        if (copy == NULL) {
            return -ENOMEM;
        }
        size_t length = strlen(copy);
        bool prefix = length > 0 && copy[length - 1] == '*';
        out->at[out->count] = (struct selector_name){copy, length - prefix, prefix};
    }
    return 0;
}

static int add_pattern(const struct selector_build *build, const char *key, const char *text,
    bool anchored, uint32_t *index)
{
    char where[WHERE_BYTES];
    (void)snprintf(where, sizeof(where), "output %s, %s", build->output, key);
    return pattern_add(build->patterns, text, anchored, where, index, build->why, build->why_bytes);
}

int selector_patterns_take(
    struct selector_patterns *patterns, struct memory **memory, uint32_t room)
{
    patterns->at = memory_take(memory, room, sizeof(*patterns->at));
    patterns->runs.at = memory_take(memory, room, sizeof(*patterns->runs.at));
    return patterns->at == NULL || patterns->runs.at == NULL ? -ENOMEM : 0;
}

static int compile_patterns(struct selector_patterns *out, const struct yarder_texts *from,
    const char *key, const struct selector_build *build)
{
    int r = selector_patterns_take(out, build->memory, from->count);
    for (; out->count < from->count && r == 0; out->count++) {
        r = add_pattern(build, key, from->at[out->count], false, &out->at[out->count]);
        pattern_runs_add(&out->runs, out->at[out->count]);
    }
    return r;
}

static int compile_fields(
    struct selector *out, const struct yarder_texts *from, const struct selector_build *build)
{
    out->field = memory_take(build->memory, from->count, sizeof(*out->field));
    if (out->field == NULL) {
        return -ENOMEM;
    }
    for (; out->field_count < from->count; out->field_count++) {
        char *name = memory_copy(build->memory, from->at[out->field_count]);
        if (name == NULL) {
            return -ENOMEM;
        }
        char *equals = strchr(name, '=');
        if (equals == NULL || equals == name) {
            (void)snprintf(build->why, build->why_bytes,
                "output %s, field: '%s' is no condition, expected NAME=REGEX or NAME=LOW..HIGH",
                build->output, name);
            return -EINVAL;
        }
        *equals = '\0';
        struct selector_field *field = &out->field[out->field_count];
        field->name = name;
        int r = range_parse(equals + 1, &field->range);
        field->is_range = r == 1;
        if (r < 0) {
            (void)snprintf(build->why, build->why_bytes, "output %s, field: no number lies in %s",
                build->output, equals + 1);
        }
        r = r == 0 ? add_pattern(build, "field", equals + 1, true, &field->pattern) : r;
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

/* Inputs of one name share its meaning; a name that no input has could never match. */
static int compile_inputs(
    struct selector *out, const struct yarder_texts *from, const struct selector_build *build)
{
    const struct route_spec *spec = build->spec;
    out->inputs = from->count == 0 ? UINT64_MAX : 0;
    for (uint32_t i = 0; i < from->count; i++) {
        uint64_t found = 0;
        for (uint32_t input = 0; input < spec->inputs_count; input++) {
            if (strcmp(spec->input_names[input], from->at[i]) == 0) {
                found |= UINT64_C(1) << input;
            }
        }
        if (found == 0) {
            const char *near = text_near(from->at[i], spec->input_names, spec->inputs_count);
            (void)snprintf(build->why, build->why_bytes,
                "output %s, input: there is no input '%s'%s%s%s", build->output, from->at[i],
                near == NULL ? "" : ", did you mean '", near == NULL ? "" : near,
                near == NULL ? "" : "'?");
            return -EINVAL;
        }
        out->inputs |= found;
    }
    return compile_names(&out->input, from, build->memory);
}

int selector_compile(
    struct selector *out, const struct route_selectors *from, const struct selector_build *build)
{
    YARDER_ASSERT(build->spec->inputs_count <= YARDER_INPUTS_MAX);
    const struct yarder_levels levels = from->levels;
    *out = (struct selector){
        .facilities = from->facilities,
        .lowest = levels.lowest,
        .highest = levels.highest == 0 ? UINT8_MAX : levels.highest,
        .kinds = from->kinds,
        .streams = from->streams,
    };
    out->any = levels.lowest == 0 && out->highest == UINT8_MAX && from->facilities == 0 &&
               from->kinds == 0 && from->streams == 0 && from->logger.count == 0 &&
               from->tag.count == 0 && from->host.count == 0 && from->input.count == 0 &&
               from->match.count == 0 && from->not_match.count == 0 && from->field.count == 0;
    int r = compile_inputs(out, &from->input, build);
    r = r != 0 ? r : compile_names(&out->logger, &from->logger, build->memory);
    r = r != 0 ? r : compile_names(&out->tag, &from->tag, build->memory);
    r = r != 0 ? r : compile_names(&out->host, &from->host, build->memory);
    r = r != 0 ? r : compile_patterns(&out->match, &from->match, "match", build);
    r = r != 0 ? r : compile_patterns(&out->not_match, &from->not_match, "not-match", build);
    return r != 0 ? r : compile_fields(out, &from->field, build);
}

static bool begins_with(struct yarder_text text, const struct selector_name *name)
{
    return text.length >= name->length &&
           (name->length == 0 || memcmp(text.at, name->at, name->length) == 0);
}

static bool name_holds(const struct selector_names *names, struct yarder_text text)
{
    for (uint32_t i = 0; i < names->count; i++) {
        const struct selector_name *name = &names->at[i];
        if (begins_with(text, name) && (name->prefix || text.length == name->length)) {
            return true;
        }
    }
    return names->count == 0;
}

/* "a.b" is a.b and all below it; "" is the root, so everything, as in Python. */
static bool logger_holds(const struct selector_names *names, struct yarder_text text)
{
    for (uint32_t i = 0; i < names->count; i++) {
        const struct selector_name *name = &names->at[i];
        if (begins_with(text, name) && (name->prefix || text.length == name->length ||
                                           name->length == 0 || text.at[name->length] == '.')) {
            return true;
        }
    }
    return names->count == 0;
}

enum pattern_answer selector_patterns_ask(
    const struct selector_patterns *patterns, struct pattern_set *set)
{
    enum pattern_answer said = PATTERN_NO;
    for (uint32_t i = 0; i < patterns->runs.count; i++) {
        const struct pattern_run *run = &patterns->runs.at[i];
        for (uint64_t left = pattern_open(set, run); left != 0; left &= left - 1) {
            enum pattern_answer answer = pattern_answer(set, pattern_run_index(run, left));
            if (answer == PATTERN_YES) {
                return PATTERN_YES;
            }
            said = answer == PATTERN_UNDECIDED ? PATTERN_UNDECIDED : said;
        }
    }
    return said;
}

/* A value's text: itself, or that of a number. Bytes of the wrong size stay bytes. */
static struct yarder_text field_text(const struct yarder_field *field, char *room)
{
    size_t length = (size_t)(put_number(room, field) - room);
    return length == 0 ? field->value : (struct yarder_text){room, length};
}

static bool field_holds(const struct selector_field *wanted, struct pattern_set *set,
    const struct yarder_record *record)
{
    for (uint32_t i = 0; i < record->fields_count; i++) {
        char room[PUT_NUMBER_BYTES_MAX];
        const struct yarder_field *field = &record->fields[i];
        if (!text_is(field->key, wanted->name)) {
            continue;
        }
        if (wanted->is_range
                ? range_holds(&wanted->range, field)
                : pattern_match(set, wanted->pattern, field_text(field, room)) == PATTERN_YES) {
            return true;
        }
    }
    return false;
}

enum selector_refusal selector_ask(
    const struct selector *selector, struct pattern_set *set, const struct yarder_record *record)
{
    enum selector_refusal refusal = selector_admits(selector, record);
    if (refusal != SELECTOR_PASSED) {
        return refusal;
    }
    if (!logger_holds(&selector->logger, record->logger)) {
        return SELECTOR_LOGGER;
    }
    if (!name_holds(&selector->tag, record->tag)) {
        return SELECTOR_TAG;
    }
    if (!name_holds(&selector->host, record->host)) {
        return SELECTOR_HOST;
    }
    if (selector->match.count > 0 && selector_patterns_ask(&selector->match, set) != PATTERN_YES) {
        return SELECTOR_MATCH;
    }
    if (selector_patterns_ask(&selector->not_match, set) == PATTERN_YES) {
        return SELECTOR_NOT_MATCH;
    }
    for (uint32_t i = 0; i < selector->field_count; i++) {
        if (!field_holds(&selector->field[i], set, record)) {
            return SELECTOR_FIELD;
        }
    }
    return SELECTOR_PASSED;
}
