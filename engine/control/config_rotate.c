/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation: uWSGI's lines about the file of logto, and what only the whole tells of an output's. */
#include <string.h>

#include "base/text.h"
#include "control/config_keys.h"
#include "control/config_private.h"
#include "outputs/rotate.h"

/* uWSGI takes bytes and nothing else; 0 is never. */
static bool take_bytes(struct config_builder *builder, const struct setting *setting,
    const char *value, size_t length, uint64_t *out)
{
    bool good = length > 0 && text_to_u64((struct yarder_text){value, length}, out) == 0;
    if (!good) {
        report_error(builder->report, setting->where, "%s: expected a number of bytes, not '%.*s'",
            setting->key, (int)yarder_min(length, 64), value);
    }
    return good;
}

static void take_mode(
    struct config_builder *builder, const struct setting *setting, const char *value)
{
    char why[OPTION_WHY_BYTES];
    const struct yarder_option option = {.kind = YARDER_OPTION_MODE, .max = 0777};
    if (strlen(value) != 3 ||
        option_set(&option, &builder->logto_mode, value, builder->arena, why) < 0) {
        report_error(builder->report, setting->where,
            "%s: expected three octal digits, such as 640, not '%.64s'", setting->key, value);
    }
}

/* Twice in one source: the last one holds, as in uWSGI; what may repeat does. */
void config_take_rotation(
    struct config_builder *builder, const struct config_key *key, const struct setting *setting)
{
    struct output_rotate *rotate = &builder->logto_rotate;
    const char *value = setting->value != NULL ? setting->value : "";
    if (value[0] == '\0') {
        report_error(
            builder->report, setting->where, "%s: expected %s", setting->key, key->option.argument);
        return;
    }
    builder->rotation_where = setting->where;
    builder->rotation_key = setting->key;
    if (key->line == CONFIG_LOG_MAXSIZE) {
        (void)take_bytes(builder, setting, value, strlen(value), &rotate->size_bytes);
    } else if (key->line == CONFIG_LOG_BACKUPNAME) {
        rotate->to = config_absolute(builder, value);
    } else if (key->line == CONFIG_TOUCH_LOGROTATE) {
        arena_append(builder->arena, &rotate->touch, config_absolute(builder, value));
    } else if (key->line == CONFIG_TOUCH_LOGREOPEN) {
        arena_append(builder->arena, &rotate->reopen_touch, config_absolute(builder, value));
    } else {
        take_mode(builder, setting, value);
    }
}

void config_rotate_logto(struct config_builder *builder, struct output_config *output)
{
    if (output->kind != OUTPUT_FILE) {
        return;
    }
    const uint64_t grace_ns = output->rotate.grace_ns;
    output->rotate = builder->logto_rotate;
    output->rotate.grace_ns = grace_ns;
    output->rotate.names = ROTATE_SECONDS;
    output->mode = builder->logto_mode != 0 ? builder->logto_mode : output->mode;
    builder->rotation_used = true;
}

bool config_file_rotates(struct config_builder *builder, const struct setting *setting,
    const char *pair, size_t length, struct output_rotate *rotate)
{
    static const char size[] = "maxsize=";
    static const char name[] = "backupname=";
    if (strncmp(pair, size, sizeof(size) - 1) == 0) {
        const struct setting shown = {.key = "maxsize", .where = setting->where};
        (void)take_bytes(builder, &shown, pair + sizeof(size) - 1, length - (sizeof(size) - 1),
            &rotate->size_bytes);
        return true;
    }
    if (strncmp(pair, name, sizeof(name) - 1) == 0 && length > sizeof(name) - 1) {
        const char *path =
            arena_text(builder->arena, pair + sizeof(name) - 1, length - (sizeof(name) - 1));
        rotate->to = config_absolute(builder, path);
        return true;
    }
    return false;
}

static void make_absolute(struct config_builder *builder, struct yarder_texts *paths)
{
    for (uint32_t i = 0; i < paths->count; i++) {
        paths->at[i] = config_absolute(builder, paths->at[i]);
    }
}

void config_rotate_settle(struct config_builder *builder, struct output_config *output)
{
    make_absolute(builder, &output->rotate.touch);
    make_absolute(builder, &output->rotate.reopen_touch);
}

/*
 * Whether a record can say a name that is another file's put aside: of ${tag} that is tag.1, which
 * keep= would remove as one of tag's. A literal end that none of these has tells them apart.
 */
static bool may_be_put_aside(const char *path)
{
    static const char ends[] = "0123456789.-_gzst"; /* of what rotate.h puts behind a name */
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    bool said = false;
    for (const char *at = strstr(name, "${"); at != NULL; at = strstr(at + 2, "${")) {
        said |= strncmp(at, "${time", sizeof("${time") - 1) != 0;
    }
    const char *behind = strrchr(name, '}');
    return said && behind != NULL && behind[1 + strspn(behind + 1, ends)] == '\0';
}

static void check_one(struct config_builder *builder, const struct config_item *item)
{
    const struct output_config *output = item->target;
    const struct output_rotate *rotate = &output->rotate;
    const char *missing = rotate_cannot((enum rotate_compress)rotate->compress);
    bool days = rotate->when.unit >= ROTATE_DAY;
    if (missing != NULL) {
        report_error(builder->report, config_item_where(item, "compress"),
            "compress: this yarder was built without it; it needs %s", missing);
    }
    if (rotate->at.given && !days) {
        report_error(builder->report, config_item_where(item, "rotate-at"),
            "rotate-at: stands beside rotate-when=D, midnight or W0 to W6");
    }
    static const char *const of_periods[] = {"rotate-interval", "rotate-grace"};
    for (size_t i = 0; i < YARDER_COUNT_OF(of_periods); i++) {
        if (config_item_gave(item, of_periods[i]) && !rotate_by_time(rotate)) {
            report_error(builder->report, config_item_where(item, of_periods[i]),
                "%s: stands beside rotate-when", of_periods[i]);
        }
    }
    if (rotate->to != NULL && strchr(output->target, '$') != NULL) {
        report_error(builder->report, config_item_where(item, "rotate-to"),
            "rotate-to: one name is not enough for a path with variables; see rotate-names");
    } else if (rotate->to != NULL && strcmp(rotate->to, output->target) == 0) {
        report_error(builder->report, config_item_where(item, "rotate-to"),
            "rotate-to: expected another path than the file's own");
    } else if (may_be_put_aside(output->target)) {
        report_error(builder->report, item->where,
            "path %.128s: a record could name a file that was put aside, as NAME.1; expected an "
            "end such as .log behind the last variable",
            output->target);
    } else if (strlen(output->target) + ROTATE_SUFFIX_BYTES >= YARDER_PATH_BYTES_MAX) {
        report_error(
            builder->report, item->where, "path %.128s...: too long to be rotated", output->target);
    }
}

/* Whether a file of that path would be taken for one that was put aside. */
static bool takes_for_its_own(const struct output_config *output, const char *path)
{
    struct rotate_name name;
    const char *base = output->rotate.to != NULL ? output->rotate.to : output->target;
    const char *slash = strrchr(base, '/');
    size_t folder = slash == NULL ? 0 : (size_t)(slash - base) + 1;
    return strncmp(path, base, folder) == 0 && strchr(path + folder, '/') == NULL &&
           rotate_name_parse(&output->rotate, base + folder, path + folder, &name);
}

static bool rotates(const struct output_config *output)
{
    const struct output_rotate *rotate = &output->rotate;
    return output->kind == OUTPUT_FILE &&
           (rotate_by_time(rotate) || rotate->size_bytes != 0 || rotate->touch.count != 0 ||
               rotate->keep != 0 || rotate->keep_days != 0 || rotate->keep_bytes != 0 ||
               rotate->compress != ROTATE_RAW || rotate->to != NULL);
}

void config_rotate_check(struct config_builder *builder)
{
    if (builder->rotation_where != NULL && !builder->rotation_used) {
        report_warning(builder->report, builder->rotation_where,
            "%s does nothing: it is about the file of logto, and there is none",
            builder->rotation_key);
    }
    for (uint32_t i = 0; i < builder->items_count; i++) {
        const struct config_item *item = &builder->items[i];
        const struct output_config *output = item->target;
        if (item->table != &config_output_table || item->broken || !rotates(output)) {
            continue;
        }
        check_one(builder, item);
        for (uint32_t k = 0; k < builder->items_count; k++) {
            const struct config_item *other = &builder->items[k];
            const struct output_config *file = other->target;
            if (k != i && other->table == &config_output_table && !other->broken &&
                file->kind == OUTPUT_FILE && takes_for_its_own(output, file->target)) {
                report_error(builder->report, other->where,
                    "file:%.128s is a name that %.64s at %s gives to files that it has put aside",
                    file->target, item->name, item->where);
            }
        }
    }
}
