/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An inherited descriptor. What does not close on exec was given to this process; all others are
 * the daemon's own, and writing into one of those would be a disaster. One whose other end is read
 * by the daemon would feed it its own records for ever.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"

enum { NUMBER_MAX = 1 << 20 };

struct fd_output {
    int number;

    struct yarder_host *host;
    struct lines lines; /* its fd: a copy of the descriptor, or -1 */
};

static int fd_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct fd_output *self = self_;
    char *end = text;
    unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || number > NUMBER_MAX) {
        (void)snprintf(why, why_bytes, "expected the number of a descriptor, as in fd:3");
        return -EINVAL;
    }
    if (number == STDIN_FILENO || number == STDERR_FILENO) {
        (void)snprintf(why, why_bytes, "%s",
            number == STDIN_FILENO ? "0 is standard input, nothing to write to"
                                   : "yarder's own words go to 2: stdio:stderr writes there");
        return -EINVAL;
    }
    self->number = (int)number;
    return 0;
}

static int fd_uwsgi(void *self, const char *name, char *argument, char *why, size_t why_bytes)
{
    static char nothing[] = "";
    (void)name;
    return fd_target(self, argument == NULL ? nothing : argument, why, why_bytes);
}

/* Whether we hold another descriptor of that pipe or socket, from which we could read. */
static int leads_back(int number, const struct stat *facts, int *which)
{
    *which = -1;
    if (!S_ISFIFO(facts->st_mode) && !S_ISSOCK(facts->st_mode)) {
        return 0;
    }
    DIR *folder = opendir("/proc/self/fd");
    if (folder == NULL) {
        return -errno;
    }
    const struct dirent *entry;
    while (*which < 0 && (entry = readdir(folder)) != NULL) {
        struct stat other;
        int fd = (int)strtol(entry->d_name, NULL, 10);
        if (entry->d_name[0] == '.' || fd == number || fd == STDOUT_FILENO || fd == STDERR_FILENO ||
            fstat(fd, &other) < 0) {
            continue;
        }
        int flags = fcntl(fd, F_GETFL);
        if (other.st_dev == facts->st_dev && other.st_ino == facts->st_ino && flags >= 0 &&
            (flags & O_ACCMODE) != O_WRONLY) {
            *which = fd;
        }
    }
    (void)closedir(folder);
    return 0;
}

static void let_go(struct fd_output *self)
{
    if (self->lines.fd >= 0) {
        (void)close(self->lines.fd);
        self->lines.fd = -1;
    }
}

static int take(struct fd_output *self)
{
    struct yarder_host *host = self->host;
    struct stat facts;
    int which = -1;
    int flags = fcntl(self->number, F_GETFD);
    if (flags < 0 || fstat(self->number, &facts) < 0) {
        return host->fail(host, -EBADF,
            "descriptor %d is not open: yarder has to be started with it (`%d>FILE`)", self->number,
            self->number);
    }
    if ((flags & FD_CLOEXEC) != 0) {
        return host->fail(host, -EBADF,
            "descriptor %d is one of yarder's own: it was not started with it", self->number);
    }
    int r = leads_back(self->number, &facts, &which);
    if (r < 0 || which >= 0) {
        return host->fail(host, r < 0 ? r : -ELOOP,
            "descriptor %d leads back into an input of this yarder (descriptor %d)", self->number,
            which);
    }
    int copy = fcntl(self->number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    r = copy < 0 ? -errno : lines_init(&self->lines, copy);
    if (r < 0) {
        self->lines.fd = copy;
        let_go(self);
        return host->fail(host, r, "descriptor %d: %s", self->number,
            r == -EBADF ? "it is open for reading only" : strerror(-r));
    }
    return 0;
}

static int fd_open(void *self_, struct yarder_host *host)
{
    struct fd_output *self = self_;
    self->host = host;
    self->lines.fd = -1;
    lines_block_sigpipe();
    return take(self);
}

static void refuse_first(struct fd_output *self, struct yarder_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (batch->items[i].result == YARDER_LATER) {
            self->host->refuse(self->host, &batch->items[i], "too long for a datagram: %zu bytes",
                batch->items[i].text.length);
            return;
        }
    }
}

static int fd_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct fd_output *self = self_;
    int r = self->lines.fd < 0 ? take(self) : 0;
    if (r < 0) {
        return r;
    }
    do {
        r = lines_write(&self->lines, self->host, batch, deadline_ns);
        if (r == -EMSGSIZE) {
            refuse_first(self, batch);
        }
    } while (r == -EMSGSIZE);
    if (r == 0 || r == -ECANCELED) {
        return r;
    }
    return self->host->fail(self->host, r, "descriptor %d: %s", self->number,
        r == -ETIMEDOUT ? "it takes nothing" : strerror(-r));
}

static void fd_close(void *self_)
{
    let_go(self_);
}

static const struct yarder_option fd_options[] = {{.kind = YARDER_OPTION_END}};
static const char *const uwsgi_names[] = {"fd", NULL};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "fd",
    .help = "fd:N: the descriptor N that yarder was started with",
    .means = YARDER_MEANS_STREAM,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct fd_output),
    .options = fd_options,
    .target = fd_target,
    .uwsgi_names = uwsgi_names,
    .uwsgi = fd_uwsgi,
    .open = fd_open,
    .submit = fd_submit,
    .close = fd_close,
};
