/* SPDX-License-Identifier: Apache-2.0 */
#include "control/children_private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include "os/memory.h"

/* What a program writes while the worker naps finds room; what is staged is a worker's intake. */
enum { SOURCE_BYTES = 1 << 20, STAGING_BYTES = 256 << 10, SETTLED_BYTES = 4096 };

static const struct pipe_ends no_pipe = {-1, -1};

static void pipe_close(struct pipe_ends *ends)
{
    yarder_fd_drop(&ends->read);
    yarder_fd_drop(&ends->write);
    *ends = no_pipe;
}

static int pipe_open(struct pipe_ends *ends, int bytes)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return -errno;
    }
    *ends = (struct pipe_ends){fds[0], fds[1]};
    YARDER_ASSERT(ends->read > 2);                    /* 0 to 2 are open, says children_open */
    if (fcntl(ends->read, F_SETPIPE_SZ, bytes) < 0) { /* refused to who has many: then smaller */
        (void)fcntl(ends->read, F_SETPIPE_SZ, STAGING_BYTES);
    }
    return 0;
}

uint64_t child_unread_bytes(const struct child *child)
{
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        const int fds[] = {child->source[i].read, child->staging[i].read};
        for (size_t k = 0; k < YARDER_COUNT_OF(fds); k++) {
            int bytes = 0;
            if (fds[k] >= 0 && ioctl(fds[k], FIONREAD, &bytes) == 0 && bytes > 0) {
                sum += (unsigned)bytes;
            }
        }
    }
    return sum;
}

uint64_t child_settled(const struct child *child)
{
    uint64_t number = 0;
    bool is_source = child->settled_fd >= 0;
    return is_source && pread(child->settled_fd, &number, sizeof(number), 0) == sizeof(number)
               ? number
               : 0;
}

void child_free(struct child *child)
{
    for (int i = 0; i < 2; i++) {
        pipe_close(&child->source[i]);
        pipe_close(&child->staging[i]);
    }
    for (size_t i = 0; child->arguments != NULL && child->arguments[i] != NULL; i++) {
        free(child->arguments[i]);
    }
    free(child->arguments);
    yarder_fd_drop(&child->settled_fd);
    free(child->name);
    free(child->command);
    free(child);
}

static void child_drop(struct child **child)
{
    if (*child != NULL) {
        child_free(*child);
    }
}

static int copy_arguments(struct child *child, char *const *arguments)
{
    size_t count = 0;
    while (arguments[count] != NULL) {
        count++;
    }
    child->arguments = calloc(count + 1, sizeof(char *));
    if (child->arguments == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        child->arguments[i] = strdup(arguments[i]);
        if (child->arguments[i] == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

static int open_pipes(struct child *child, const struct identity *identity)
{
    for (uint32_t i = 0; i < pipes_of_kind(child->kind); i++) {
        int opened = pipe_open(&child->staging[i], STAGING_BYTES);
        if (opened == 0 && child->kind != INPUT_STDIN) {
            opened = pipe_open(&child->source[i], SOURCE_BYTES);
        }
        if (opened < 0) {
            return opened;
        }
        if (identity->change && child->kind == INPUT_EXEC) {
            /* Without it the program could not open its own /dev/stderr. */
            (void)!fchown(child->source[i].write, identity->uid, identity->gid);
        }
    }
    return 0;
}

int child_new(struct child **out, const struct input_config *input, const struct identity *identity)
{
    __attribute__((cleanup(child_drop))) struct child *child = calloc(1, sizeof(*child));
    if (child == NULL) {
        return -ENOMEM;
    }
    child->kind = input->kind;
    child->inherits = input->program_stdin == INPUT_STDIN_INHERIT;
    child->exit_status = -1;
    child->settled_fd = -1;
    child->state = CHILD_WAITING;
    for (int i = 0; i < 2; i++) {
        child->source[i] = no_pipe;
        child->staging[i] = no_pipe;
    }
    child->name = strdup(input->name);
    child->command = strdup(input->target == NULL ? "" : input->target);
    if (child->name == NULL || child->command == NULL) {
        return -ENOMEM;
    }
    int result = 0;
    if (input->arguments != NULL) {
        YARDER_ASSERT(input->arguments[0] != NULL);
        result = copy_arguments(child, input->arguments);
    }
    if (result == 0) {
        result = open_pipes(child, identity);
    }
    if (result == 0 && child->kind == INPUT_SOURCE) {
        result = os_memfd_create(&child->settled_fd, "yarder-settled", SETTLED_BYTES);
    }
    if (result == 0) {
        *out = child;
        child = NULL;
    }
    return result;
}

static bool same_arguments(char *const *a, char *const *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    size_t i = 0;
    while (a[i] != NULL && b[i] != NULL && strcmp(a[i], b[i]) == 0) {
        i++;
    }
    return a[i] == NULL && b[i] == NULL;
}

/*
 * stdin is one and the same, whatever it is called. A source goes by its name: what lies in its
 * pipe is of the same form wherever it came from.
 */
bool child_is(const struct child *child, const struct input_config *input)
{
    if (child->kind == INPUT_SOURCE && input->kind == INPUT_SOURCE) {
        return strcmp(child->name, input->name) == 0;
    }
    return child->kind == input->kind &&
           (child->kind == INPUT_STDIN ||
               (child->inherits == (input->program_stdin == INPUT_STDIN_INHERIT) &&
                   strcmp(child->name, input->name) == 0 &&
                   strcmp(child->command, input->target == NULL ? "" : input->target) == 0 &&
                   same_arguments(child->arguments, input->arguments)));
}
