/* SPDX-License-Identifier: Apache-2.0 */
#include "control/settings_stack.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static void pop(struct settings_stack *stack)
{
    struct settings_file *file = &stack->files[--stack->depth];
    free(file->bytes);
    if (file->includes_open) {
        globfree(&file->includes);
    }
    stack->fresh = true;
}

void settings_stack_clear(struct settings_stack *stack)
{
    while (stack->depth > 0) {
        pop(stack);
    }
}

const struct settings_file *settings_stack_top(const struct settings_stack *stack)
{
    YARDER_ASSERT(stack->depth > 0);
    return &stack->files[stack->depth - 1];
}

void settings_stack_bytes(
    struct settings_stack *stack, const char *name, char *bytes, size_t bytes_count)
{
    YARDER_ASSERT(stack->depth <= SETTINGS_DEPTH_MAX);
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    bool marked = bytes_count >= 3 && memcmp(bytes, byte_order_mark, 3) == 0;
    stack->files[stack->depth++] =
        (struct settings_file){.name = arena_text(&stack->settings->arena, name, strlen(name)),
            .bytes = bytes,
            .bytes_count = bytes_count,
            .at = marked ? 3 : 0};
    stack->settings->files_count++;
    stack->fresh = true;
}

/* All of a descriptor up to the limit; grows, for a pipe does not say how much comes. */
static int read_all(int fd, char **out, size_t *out_count)
{
    size_t room = 4096;
    size_t count = 0;
    YARDER_OWN_HEAP char *bytes = malloc(room);
    while (bytes != NULL) {
        ssize_t got = read(fd, bytes + count, room - count);
        if (got < 0 && errno != EINTR) {
            return -errno;
        }
        if (got == 0) {
            *out = yarder_heap_take(&bytes);
            *out_count = count;
            return 0;
        }
        count += got > 0 ? (size_t)got : 0;
        if (count > SETTINGS_FILE_BYTES_MAX) {
            return -EFBIG;
        }
        if (count == room) {
            room *= 2;
            char *grown = realloc(bytes, room);
            if (grown == NULL) {
                return -ENOMEM;
            }
            bytes = grown;
        }
    }
    return -ENOMEM;
}

/* NULL is no section's name. */
static bool is_same(const char *one, const char *two)
{
    return one == two || (one != NULL && two != NULL && strcmp(one, two) == 0);
}

void settings_stack_file(
    struct settings_stack *stack, const char *path, const char *section, const char *where)
{
    YARDER_OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | (stack->depth > 0 ? O_NONBLOCK : 0));
    struct stat status = {0};
    if (fd < 0 || fstat(fd, &status) < 0) {
        report_error(stack->report, where, "cannot read %s: %s", path, strerror(errno));
        return;
    }
    if (stack->depth > 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        report_error(stack->report, where, "%s is no file that could be included", path);
        return;
    }
    for (unsigned i = 0; i < stack->depth; i++) {
        if (stack->files[i].ino == status.st_ino && stack->files[i].dev == status.st_dev &&
            is_same(stack->files[i].section, section)) {
            report_error(stack->report, where, "%s includes itself", path);
            return;
        }
    }
    if (stack->depth > SETTINGS_DEPTH_MAX || stack->settings->files_count >= SETTINGS_FILES_MAX) {
        report_error(stack->report, where,
            "%s is not read: files include each other more than %d "
            "deep, or there are more than %d",
            path, SETTINGS_DEPTH_MAX, SETTINGS_FILES_MAX);
        return;
    }
    char *bytes = NULL;
    size_t bytes_count = 0;
    int r = S_ISDIR(status.st_mode) ? -EISDIR : read_all(fd, &bytes, &bytes_count);
    if (r == -EISDIR) {
        report_error(stack->report, where, "%s is a folder, expected a file", path);
    } else if (r == -EFBIG) {
        report_error(
            stack->report, where, "%s is longer than %dM", path, SETTINGS_FILE_BYTES_MAX >> 20);
    } else if (r < 0) {
        report_error(stack->report, where, "cannot read %s: %s", path, strerror(-r));
    } else {
        settings_stack_bytes(stack, path, bytes, bytes_count);
        stack->files[stack->depth - 1].section = section;
        stack->files[stack->depth - 1].dev = status.st_dev;
        stack->files[stack->depth - 1].ino = status.st_ino;
    }
}

/* A path as a pattern that matches it alone. */
static const char *literal(struct arena *arena, struct yarder_text path)
{
    char *pattern = arena_take(arena, 2 * path.length + 1);
    size_t length = 0;
    for (size_t i = 0; i < path.length && pattern != NULL; i++) {
        if (strchr("*?[]\\", path.at[i]) != NULL) {
            pattern[length++] = '\\';
        }
        pattern[length++] = path.at[i];
    }
    return pattern != NULL ? pattern : "";
}

void settings_stack_include(struct settings_stack *stack, const char *pattern, const char *where)
{
    YARDER_ASSERT(stack->depth > 0);
    struct settings_file *file = &stack->files[stack->depth - 1];
    struct config_report *report = stack->report;
    if (pattern[0] == '\0') {
        report_error(report, where, "include: expected a path, which may hold * ? []");
        return;
    }
    struct arena *arena = &stack->settings->arena;
    const char *slash = strrchr(file->name, '/');
    size_t dir_length = pattern[0] != '/' && slash != NULL ? (size_t)(slash - file->name) + 1 : 0;
    const char *path = arena_format(arena, "%.*s%s", (int)dir_length, file->name, pattern);
    if (pattern[strcspn(pattern, "*?[")] == '\0') { /* one file, which must be there */
        settings_stack_file(stack, path, NULL, where);
        return;
    }
    const char *folder = literal(arena, (struct yarder_text){file->name, dir_length});
    int r = glob(arena_format(arena, "%s%s", folder, pattern), 0, NULL, &file->includes);
    file->includes_open = r == 0;
    file->includes_where = where;
    file->includes_at = 0;
    stack->fresh = true;
    if (r == GLOB_NOSPACE) {
        stack->settings->arena.failed = true;
    } else if (r == GLOB_NOMATCH) {
        report_note(report, where, "include: nothing matches %s", path);
    } else if (r != 0) {
        report_error(report, where, "include: cannot look for %s", path);
    }
}

static void put_next_include(struct settings_stack *stack, struct settings_file *file)
{
    if (file->includes_at < file->includes.gl_pathc) {
        const char *path = file->includes.gl_pathv[file->includes_at++];
        settings_stack_file(stack, path, NULL, file->includes_where);
    } else {
        globfree(&file->includes);
        file->includes_open = false;
    }
}

static void give_line(struct settings_file *file, struct yarder_text *line)
{
    const char *start = file->bytes + file->at;
    size_t left = file->bytes_count - file->at;
    const char *newline = memchr(start, '\n', left);
    size_t length = newline != NULL ? (size_t)(newline - start) : left;
    *line = (struct yarder_text){start, length};
    file->at += length + (newline != NULL);
    file->line++;
}

bool settings_stack_line(struct settings_stack *stack, struct yarder_text *line, bool *fresh)
{
    while (stack->depth > 0) {
        struct settings_file *file = &stack->files[stack->depth - 1];
        if (file->includes_open) {
            put_next_include(stack, file);
        } else if (file->at < file->bytes_count) {
            give_line(file, line);
            *fresh = stack->fresh;
            stack->fresh = false;
            return true;
        } else {
            pop(stack);
        }
    }
    return false;
}
