/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config_source.h"

#include <string.h>

#define DIGEST_SEED  UINT64_C(0xcbf29ce484222325) /* FNV-1a */
#define DIGEST_PRIME UINT64_C(0x100000001b3)

const struct yarder_source *config_source(const char *kind, char why[MODULE_WHY_BYTES])
{
    const struct yarder_source *source = NULL;
    const struct module_kind *module = module_kind_of_source(kind);
    return module != NULL && module_load_source(module, &source, why) == 0 ? source : NULL;
}

void config_source_start(
    struct config_builder *builder, struct config_item *item, const struct yarder_source *source)
{
    char why[OPTION_WHY_BYTES];
    struct input_config *input = item->target;
    item->kind = input->kind = INPUT_SOURCE;
    input->source = source;
    input->where = item->where;
    input->listens = INPUT_SOURCE;
    input->settings = arena_take(builder->arena, yarder_max(source->self_bytes, 1));
    config_item_defaults(builder, item);
    for (const struct yarder_option *row = source->options;
         row->kind != YARDER_OPTION_END && input->settings != NULL; row++) {
        if (row->default_text != NULL &&
            option_set(row, input->settings, row->default_text, builder->arena, why) < 0) {
            item->broken = true;
            report_error(builder->report, item->where,
                "the module of %s is wrong: the default of its option %s: %s", source->name,
                row->name, why);
        }
    }
    item->broken |= input->settings == NULL; /* the arena's failure ends it all */
}

static void refuse(struct config_builder *builder, struct config_item *item, const char *why)
{
    item->broken = true;
    report_error(builder->report, item->where, "input %s: %s", config_item_kind(item),
        why[0] != '\0' ? why : "its target is wrong");
}

static uint64_t digest_text(uint64_t digest, const char *text)
{
    const char *at = text != NULL ? text : "";
    size_t length = strlen(at) + 1; /* with its NUL: no two lists of texts are alike */
    for (size_t i = 0; i < length; i++) {
        digest = (digest ^ (unsigned char)at[i]) * DIGEST_PRIME;
    }
    return digest;
}

static uint64_t digest_row(uint64_t digest, const struct yarder_option *row, const void *settings)
{
    const char *field = (const char *)settings + row->offset;
    uint64_t number = 0;
    int choice = 0;
    const struct yarder_texts *texts = NULL;
    switch (row->kind) {
    case YARDER_OPTION_TEXT:
    case YARDER_OPTION_PATH:
    case YARDER_OPTION_SECRET:
        return digest_text(digest, *(char *const *)(const void *)field);
    case YARDER_OPTION_TEXTS:
        texts = (const struct yarder_texts *)(const void *)field;
        for (uint32_t i = 0; i < texts->count; i++) {
            digest = digest_text(digest, texts->at[i]);
        }
        return digest_text(digest, "");
    case YARDER_OPTION_BOOL:
        number = *(const bool *)field;
        break;
    case YARDER_OPTION_CHOICE:
        memcpy(&choice, field, sizeof(choice));
        number = (uint64_t)choice;
        break;
    case YARDER_OPTION_COUNT:
    case YARDER_OPTION_BYTES:
    case YARDER_OPTION_DURATION:
        memcpy(&number, field, sizeof(number));
        break;
    case YARDER_OPTION_MODE:
        memcpy(&number, field, sizeof(uint32_t));
        break;
    case YARDER_OPTION_END:
    case YARDER_OPTION_LEVELS:
    case YARDER_OPTION_SPECIAL:
        break;
    }
    return (digest ^ number) * DIGEST_PRIME;
}

/* Of the target as given, with what `shown` leaves out, and of the source's own options. */
static void set_digest(struct input_config *input, uint64_t record_bytes_max)
{
    uint64_t digest = digest_text(input->digest, input->source->name);
    digest = (digest ^ record_bytes_max) * DIGEST_PRIME;
    for (const struct yarder_option *row = input->source->options; row->kind != YARDER_OPTION_END;
         row++) {
        digest = digest_row(digest, row, input->settings);
    }
    input->digest = digest;
}

void config_source_target(
    struct config_builder *builder, struct config_item *item, const char *target)
{
    struct input_config *input = item->target;
    char why[OPTION_WHY_BYTES] = "";
    char *text = arena_text(builder->arena, target, strlen(target));
    input->target = arena_text(builder->arena, target, strlen(target));
    input->digest = digest_text(DIGEST_SEED, target);
    if (input->source->target(input->settings, text, why, sizeof(why)) < 0) {
        refuse(builder, item, why);
    }
}

static void show(struct config_builder *builder, struct config_item *item)
{
    enum { SHOWN_BYTES = 256 };
    struct input_config *input = item->target;
    char shown[SHOWN_BYTES] = "";
    input->source->shown(input->settings, shown, sizeof(shown));
    shown[sizeof(shown) - 1] = '\0';
    if (strchr(input->target, '@') != NULL && strchr(shown, '@') == NULL) {
        config_note_secret(builder, item->where); /* a password before the @ */
    }
    input->target = arena_text(builder->arena, shown, strlen(shown));
}

void config_source_settle(struct config_builder *builder, struct config_item *item)
{
    struct input_config *input = item->target;
    char why[OPTION_WHY_BYTES] = "";
    if (input->kind != INPUT_SOURCE) {
        return;
    }
    const struct yarder_source *source = input->source;
    if (source->check != NULL && !item->refused &&
        source->check(input->settings, why, sizeof(why)) < 0) {
        refuse(builder, item, why);
        return;
    }
    bool stream = false;
    const char *address =
        source->listens != NULL ? source->listens(input->settings, &stream) : NULL;
    if (address != NULL) {
        input->listens = stream ? INPUT_TCP : INPUT_UDP;
        input->listen_address = config_address(builder, item, address);
    }
    set_digest(input,
        input->record_bytes_max != 0 ? input->record_bytes_max : builder->config->record_bytes_max);
    if (source->shown != NULL) {
        show(builder, item);
    }
}
