/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uwsgi:
 *   key: value
 *   key: [value, value]
 *
 * Events of libyaml: a key and its value, or its values, at the depth below the wanted section;
 * what lies deeper says nothing to uWSGI, and nothing here.
 */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "control/settings_private.h"

enum { EVENTS_MAX = 1 << 20, DEPTH_MAX = 64 }; /* libyaml takes quadratic time for depth */

struct yaml_walk {
    const struct settings_pairs *pairs;
    unsigned depth;    /* mappings and sequences that are open; 1: the document's own */
    bool at_value;     /* of the document's mapping: the next is no key */
    bool wanted;       /* the last key of the document names the section */
    bool inside;       /* the section is open, at depth 2 */
    bool found;        /* it was there */
    bool in_list;      /* a sequence below a key of the section, at depth 3 */
    bool value_is_due; /* of the section's mapping */
    char *key;         /* of the section */
    size_t key_bytes;
    uint32_t line; /* of that key */
};

static void take_key(struct yaml_walk *walk, const yaml_event_t *event)
{
    free(walk->key);
    walk->key_bytes = event->data.scalar.length;
    walk->key = strndup((const char *)event->data.scalar.value, walk->key_bytes);
    walk->line = (uint32_t)event->start_mark.line + 1;
    walk->value_is_due = true;
}

static void take_scalar(struct yaml_walk *walk, const yaml_event_t *event)
{
    struct yarder_text text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    if (walk->depth == 1) {
        walk->wanted = !walk->at_value && text_is(text, walk->pairs->section);
        walk->at_value = !walk->at_value;
    } else if (walk->inside && walk->depth == 2 && !walk->value_is_due) {
        take_key(walk, event);
    } else if (walk->inside && walk->key != NULL &&
               (walk->depth == 2 || (walk->in_list && walk->depth == 3))) {
        uint32_t line = walk->in_list ? (uint32_t)event->start_mark.line + 1 : walk->line;
        walk->value_is_due = walk->in_list;
        walk->pairs->take(
            walk->pairs->context, line, (struct yarder_text){walk->key, strlen(walk->key)}, text);
    }
}

static void enter(struct yaml_walk *walk, bool mapping)
{
    walk->depth++;
    if (walk->depth == 2 && mapping && walk->wanted && walk->at_value) {
        walk->inside = true;
        walk->found = true;
        walk->value_is_due = false;
    }
    if (walk->depth == 3) {
        walk->in_list = walk->inside && !mapping && walk->value_is_due;
    }
}

static void leave(struct yaml_walk *walk)
{
    walk->depth -= walk->depth > 0 ? 1 : 0;
    if (walk->depth == 2) {
        walk->in_list = false;
        walk->value_is_due = false;
    } else if (walk->depth == 1) {
        walk->inside = false;
        walk->wanted = false;
        walk->at_value = false;
    }
}

static void take_event(struct yaml_walk *walk, const yaml_event_t *event)
{
    switch ((int)event->type) {
    case YAML_SCALAR_EVENT:
        take_scalar(walk, event);
        break;
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        enter(walk, event->type == YAML_MAPPING_START_EVENT);
        break;
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        leave(walk);
        break;
    default:
        break;
    }
}

/* Event by event: nothing that aliases could multiply is ever built. */
static int walk_all(struct yaml_walk *walk, yaml_parser_t *parser, uint32_t *line, char *why)
{
    for (unsigned i = 0; i < EVENTS_MAX; i++) {
        yaml_event_t event;
        if (yaml_parser_parse(parser, &event) == 0) {
            *line = (uint32_t)parser->problem_mark.line + 1;
            (void)snprintf(why, SETTINGS_WHY_BYTES, "no YAML: %s",
                parser->problem != NULL ? parser->problem : "it cannot be read");
            return -EINVAL;
        }
        bool ended = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_ALIAS_EVENT) {
            *line = (uint32_t)event.start_mark.line + 1;
            (void)snprintf(why, SETTINGS_WHY_BYTES, "an alias, which uWSGI does not follow either");
            yaml_event_delete(&event);
            return -EINVAL;
        }
        const uint32_t at = (uint32_t)event.start_mark.line + 1;
        take_event(walk, &event);
        yaml_event_delete(&event);
        if (walk->depth > DEPTH_MAX) {
            *line = at;
            (void)snprintf(why, SETTINGS_WHY_BYTES, "deeper than %d lists and mappings", DEPTH_MAX);
            return -EINVAL;
        }
        if (ended) {
            return walk->found ? 0 : SETTINGS_NO_SECTION;
        }
    }
    (void)snprintf(why, SETTINGS_WHY_BYTES, "too much YAML");
    return -EINVAL;
}

int settings_read_yaml(const struct settings_pairs *pairs, const char *bytes, size_t bytes_count,
    uint32_t *line, char why[SETTINGS_WHY_BYTES])
{
    yaml_parser_t parser;
    struct yaml_walk walk = {.pairs = pairs};
    if (yaml_parser_initialize(&parser) == 0) {
        return -ENOMEM;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, bytes_count);
    int r = walk_all(&walk, &parser, line, why);
    yaml_parser_delete(&parser);
    free(walk.key);
    return r;
}
