/* SPDX-License-Identifier: Apache-2.0 */
/* What a child is started as: a command, or a source, which is our own program. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "control/children_private.h"
#include "control/spawn.h"

static int spawn_source(struct child *child, const struct children_options *options,
    const struct children_sources *sources)
{
    enum { NUMBER_BYTES = 12 };
    char number[NUMBER_BYTES];
    char *const arguments[] = {(char[]){"yarder"}, (char[]){"source"}, number, NULL};
    const struct spawn_own own = {.program_fd = sources->program_fd,
        .fds = {sources->settings_fd, child->settled_fd,
            sources->socket(sources->context, child->input)}};
    YARDER_OWN_FD int stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (stderr_fd < 0) {
        return -errno;
    }
    (void)snprintf(number, sizeof(number), "%u", child->input);
    const struct spawn_request request = {.arguments = arguments,
        .environment = options->environment,
        .identity = &options->identity,
        .files = options->files,
        .stdin_fd = -1,
        .stdout_fd = child->source[0].write,
        .stderr_fd = stderr_fd,
        .own = &own};
    return spawn(&child->pid, &request);
}

static int spawn_command(struct child *child, const struct children_options *options)
{
    YARDER_OWN_HEAP char **preloaded = NULL;
    int r = 0;
    if (options->preload != NULL && child->inherits) {
        r = preload_environment(&preloaded, options->environment, options->preload,
            child->source[0].write, child->source[1].write);
    }
    const struct spawn_request request = {
        .command = child->command,
        .arguments = child->arguments,
        .environment = preloaded != NULL ? preloaded : options->environment,
        .identity = &options->identity,
        .files = options->files,
        .in_our_place = child->inherits,
        .stdin_fd = child->inherits ? options->stdin_fd : -1,
        .stdout_fd = child->source[0].write,
        .stderr_fd = child->source[1].write,
    };
    return r < 0 ? r : spawn(&child->pid, &request);
}

int child_spawn(struct child *child, const struct children_options *options,
    const struct children_sources *sources)
{
    return child->kind == INPUT_SOURCE ? spawn_source(child, options, sources)
                                       : spawn_command(child, options);
}
