/* SPDX-License-Identifier: Apache-2.0 */
#include "control/preload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/variables.h"

enum { ADDED = 4, PIPES_BYTES = 128 };

static const char *const names[ADDED] = {"LD_PRELOAD", PRELOAD_PIPES, PRELOAD_RUN_DIR, PRELOAD_TAG};

static bool is_name(const char *setting, const char *name)
{
    size_t bytes = strlen(name);
    return strncmp(setting, name, bytes) == 0 && setting[bytes] == '=';
}

/* Which of our names this is, or ADDED. */
static size_t name_of(const char *setting)
{
    size_t i = 0;
    while (i < ADDED && !is_name(setting, names[i])) {
        i++;
    }
    return i;
}

static int name_pipes(
    char text[PIPES_BYTES], const struct preload *preload, int stdout_fd, int stderr_fd)
{
    struct stat out;
    struct stat err;
    if (fstat(stdout_fd, &out) < 0 || fstat(stderr_fd, &err) < 0) {
        return -errno;
    }
    (void)snprintf(text, PIPES_BYTES, "%s=%llu:%llu:%llu:%llu:%u:%d", PRELOAD_PIPES,
        (unsigned long long)out.st_dev, (unsigned long long)out.st_ino,
        (unsigned long long)err.st_dev, (unsigned long long)err.st_ino, (unsigned)preload->level,
        (int)getpid());
    return 0;
}

/* What is preloaded besides us: "" or ":" and the list. */
static const char *others_of(const char *list, const char *library)
{
    size_t bytes = strlen(library);
    if (strncmp(list, library, bytes) == 0 && (list[bytes] == '\0' || list[bytes] == ':')) {
        list += bytes;
        list += *list == ':' ? 1 : 0;
    }
    return list;
}

int preload_environment(char ***out, char *const *environment, const struct preload *preload,
    int stdout_fd, int stderr_fd)
{
    char pipes[PIPES_BYTES];
    const char *others = "";
    size_t count = 0;
    for (; environment[count] != NULL; count++) {
        if (is_name(environment[count], names[0])) {
            others = others_of(strchr(environment[count], '=') + 1, preload->library);
        }
    }
    int r = name_pipes(pipes, preload, stdout_fd, stderr_fd);
    if (r < 0) {
        return r;
    }
    enum { NAMES_BYTES = 80 };
    const char *run_dir = preload->run_dir == NULL ? "" : preload->run_dir;
    size_t room = strlen(preload->library) + strlen(others) + strlen(run_dir) +
                  strlen(preload->tag) + PIPES_BYTES + NAMES_BYTES;
    char **made = calloc(1, (count + ADDED + 1) * sizeof(char *) + room);
    if (made == NULL) {
        return -ENOMEM;
    }
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (name_of(environment[i]) == ADDED) {
            made[at++] = environment[i];
        }
    }
    char *text = (char *)(made + count + ADDED + 1);
    const char *const values[][3] = {{preload->library, others[0] == '\0' ? "" : ":", others},
        {strchr(pipes, '=') + 1, "", ""}, {run_dir, "", ""}, {preload->tag, "", ""}};
    for (size_t i = 0; i < ADDED; i++) {
        if (i == 2 && preload->run_dir == NULL) {
            continue;
        }
        made[at++] = text;
        int bytes =
            snprintf(text, room, "%s=%s%s%s", names[i], values[i][0], values[i][1], values[i][2]);
        YARDER_ASSERT(bytes > 0 && (size_t)bytes < room);
        text += bytes + 1;
        room -= (size_t)bytes + 1;
    }
    *out = made;
    return 0;
}
