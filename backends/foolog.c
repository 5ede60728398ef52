/* SPDX-License-Identifier: Apache-2.0 */
/* An example: each message behind "[foo] ", to the file of logto, or output = foolog:/PATH */
/* cc -shared -fPIC $(pkg-config --cflags yarder) foolog.c -o foolog.so; plugin = /path/foolog.so */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <yarder/backend.h>

struct foolog {
    char *logto;
    struct yarder_host *host;
    int fd;
};

static int foolog_target(void *self, char *text, char *why, size_t why_bytes)
{
    (void)why, (void)why_bytes; /* any text is a path */
    ((struct foolog *)self)->logto = text[0] == '\0' ? (char *)"/dev/stdout" : text;
    return 0;
}

static int foolog_open(void *self_, struct yarder_host *host)
{
    struct foolog *self = self_;
    self->host = host;
    self->fd = open(self->logto, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    return self->fd >= 0 ? 0 : host->fail(host, -errno, "%s: %s", self->logto, strerror(errno));
}

static int foolog_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct foolog *self = self_;
    for (struct yarder_item *item = batch->items; item < batch->items + batch->count; item++) {
        size_t length = item->text.length + item->newline;
        struct iovec parts[2] = {{(char *)"[foo] ", 6}, {(char *)item->text.at, length}};
        if (writev(self->fd, parts, 2) < 0) {
            return self->host->fail(self->host, -errno, "write: %s", strerror(errno));
        }
        item->result = YARDER_DELIVERED;
    }
    return (void)deadline_ns, 0; /* a file's write ends by itself */
}

static void foolog_close(void *self)
{
    (void)close(((struct foolog *)self)->fd);
}

static const struct yarder_option options[] = {
    {"logto", YARDER_OPTION_PATH, offsetof(struct foolog, logto), .argument = "PATH",
        .help = "file"},
    {.kind = YARDER_OPTION_END}};
const struct yarder_backend yarder_backend = {YARDER_BACKEND_HEAD, .name = "foolog",
    .help = "foolog:[/PATH]: each message behind [foo]", .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT, .self_bytes = sizeof(struct foolog), .options = options,
    .target = foolog_target, .uwsgi_names = (const char *const[]){"foolog", NULL},
    .open = foolog_open, .submit = foolog_submit, .close = foolog_close};
