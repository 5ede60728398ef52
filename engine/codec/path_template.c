/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "codec/encode_private.h"

enum { PART_BYTES_MAX = 64 };

struct path_template {
    size_t host_bytes;
    char host[ENCODE_HOST_BYTES_MAX + 1];
    struct template_list list;
};

int path_template_open(
    struct path_template **out, const char *format, const char *host, char *why, size_t why_bytes)
{
    struct path_template *path = calloc(1, sizeof(*path));
    if (path == NULL) {
        return -ENOMEM;
    }
    path->host_bytes = yarder_min(host == NULL ? 0 : strlen(host), ENCODE_HOST_BYTES_MAX);
    if (path->host_bytes > 0) {
        memcpy(path->host, host, path->host_bytes);
    }
    int result = template_open(&path->list, format, true, why, why_bytes);
    if (result == 0 && path->list.ops_count == 0) {
        (void)snprintf(why, why_bytes, "expected a path, found nothing");
        result = -EINVAL;
    }
    if (result < 0) {
        path_template_close(path);
        return result;
    }
    *out = path;
    return 0;
}

void path_template_close(struct path_template *path)
{
    if (path != NULL) {
        template_close(&path->list);
        free(path);
    }
}

bool path_template_is_constant(const struct path_template *path)
{
    return path->list.ops_count == path->list.kind_counts[TEMPLATE_LITERAL];
}

static bool is_safe(char byte)
{
    unsigned char value = (unsigned char)byte;
    return (value >= '0' && value <= '9') || (value >= 'a' && value <= 'z') ||
           (value >= 'A' && value <= 'Z') || value >= 0x80 ||
           (value != 0 && strchr("._-@+:", byte) != NULL);
}

/* One part of a path out of a record: it cannot be empty, be dots alone, or hold a slash. */
static size_t put_part(char *at, struct yarder_text part)
{
    size_t length = yarder_min(part.length, PART_BYTES_MAX);
    size_t dots = 0;
    while (length > 0 && length < part.length && ((unsigned char)part.at[length] & 0xC0) == 0x80) {
        length--; /* not through the middle of a character */
    }
    for (size_t i = 0; i < length; i++) {
        dots += part.at[i] == '.';
        at[i] = is_safe(part.at[i]) ? part.at[i] : '_';
    }
    if (dots == length) {
        at[0] = '_';
        return 1;
    }
    return length;
}

int path_template_run(
    struct path_template *path, const struct yarder_record *record, char *at, size_t room)
{
    char part[PART_BYTES_MAX + TEMPLATE_SHORT_BYTES_MAX + 2 * PUT_SLACK_BYTES];
    const struct yarder_text host = {path->host, path->host_bytes};
    size_t length = 0;
    for (uint32_t i = 0; i < path->list.ops_count; i++) {
        const struct template_op *op = &path->list.ops[i];
        struct yarder_text text;
        const char *piece = part;
        size_t piece_bytes = 0;
        if (op->kind == TEMPLATE_LITERAL) {
            piece = op->text;
            piece_bytes = op->text_bytes;
        } else if (template_find_text(op, record, host, &text)) {
            piece_bytes = put_part(part, text);
        } else if (op->kind == TEMPLATE_CLOCK) { /* its slashes are the configuration's */
            piece_bytes = (size_t)(template_put_short(&path->list, op, record, part) - part);
        } else {
            char *end = template_put_short(&path->list, op, record, part);
            piece_bytes = put_part(part, (struct yarder_text){part, (size_t)(end - part)});
        }
        if (piece_bytes >= room - length) {
            return -ENAMETOOLONG;
        }
        memcpy(at + length, piece, piece_bytes);
        length += piece_bytes;
    }
    if (length >= room) {
        return -ENAMETOOLONG;
    }
    at[length] = '\0';
    return (int)length;
}
