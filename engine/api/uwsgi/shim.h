/* SPDX-License-Identifier: Apache-2.0 */
/* The other half of uwsgi.h, which includes it: a logger of uWSGI's as a backend. */
#ifndef YARDER_API_UWSGI_SHIM_H
#define YARDER_API_UWSGI_SHIM_H

#pragma GCC system_header

UWSGI_SHIM int uwsgi_shim_target(void *self, char *text, char *why, size_t why_bytes)
{
    (void)why;
    (void)why_bytes;
    ((struct uwsgi_shim_self *)self)->logger.arg = text != NULL && text[0] != '\0' ? text : NULL;
    return 0;
}

UWSGI_SHIM int uwsgi_shim_uwsgi(
    void *self, const char *name, char *argument, char *why, size_t why_bytes)
{
    (void)name;
    return uwsgi_shim_target(self, argument, why, why_bytes);
}

UWSGI_SHIM int uwsgi_shim_open_log(struct uwsgi_shim_self *self)
{
    if (self->logto != NULL) {
        self->log_fd = open(self->logto, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    }
    return self->logto == NULL || self->log_fd >= 0
               ? 0
               : self->host->fail(self->host, -errno, "%s: %s", self->logto, strerror(errno));
}

UWSGI_SHIM int uwsgi_shim_open(void *self_, struct yarder_host *host)
{
    struct uwsgi_shim_self *self = (struct uwsgi_shim_self *)self_;
    self->host = host;
    self->log_fd = self->logger.fd = -1;
    return uwsgi_shim_open_log(self);
}

UWSGI_SHIM void uwsgi_shim_close_log(struct uwsgi_shim_self *self)
{
    if (self->log_fd >= 0) {
        (void)close(self->log_fd);
        self->log_fd = -1;
    }
}

UWSGI_SHIM void uwsgi_shim_reopen(void *self_)
{
    uwsgi_shim_close_log((struct uwsgi_shim_self *)self_); /* submit opens it */
}

UWSGI_SHIM void uwsgi_shim_close(void *self_)
{
    struct uwsgi_shim_self *self = (struct uwsgi_shim_self *)self_;
    uwsgi_shim_close_log(self);
    free(self->message);
    self->message = NULL;
    self->message_room = 0;
}

UWSGI_SHIM ssize_t uwsgi_shim_call(struct uwsgi_shim_self *self, size_t length)
{
    if (setjmp(uwsgi_shim_state.out) != 0) {
        return -1;
    }
    return uwsgi_shim_state.func(&self->logger, self->message, length);
}

/* The logger may write into its message; the record's text stays what it is. */
UWSGI_SHIM int uwsgi_shim_put(struct uwsgi_shim_self *self, const struct yarder_item *item)
{
    size_t length = item->text.length + (item->newline ? 1 : 0);
    if (length >= self->message_room) {
        char *grown = (char *)realloc(self->message, length + 1);
        if (grown == NULL) {
            return self->host->fail(self->host, -ENOMEM, "no memory for a message");
        }
        self->message = grown;
        self->message_room = length + 1;
    }
    memcpy(self->message, item->text.at, length);
    self->message[length] = '\0';
    (void)pthread_mutex_lock(&uwsgi_shim_state.lock);
    uwsgi.original_log_fd = self->log_fd >= 0 ? self->log_fd : STDOUT_FILENO;
    uwsgi_shim_state.host = self->host;
    uwsgi_shim_state.said = false;
    errno = 0;
    ssize_t r = uwsgi_shim_call(self, length);
    int error = errno != 0 ? errno : EIO;
    bool said = uwsgi_shim_state.said;
    uwsgi_shim_state.host = NULL;
    (void)pthread_mutex_unlock(&uwsgi_shim_state.lock);
    if (r < 0 && !said) {
        (void)self->host->fail(self->host, -error, "the logger failed: %s", strerror(error));
    }
    return r < 0 ? -error : 0;
}

UWSGI_SHIM int uwsgi_shim_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct uwsgi_shim_self *self = (struct uwsgi_shim_self *)self_;
    int r = self->log_fd < 0 ? uwsgi_shim_open_log(self) : 0;
    (void)deadline_ns;
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        r = uwsgi_shim_put(self, &batch->items[i]);
        batch->items[i].result = r == 0 ? YARDER_DELIVERED : YARDER_LATER;
    }
    return r;
}

static const struct yarder_option uwsgi_shim_options[] = {
    {"logto", YARDER_OPTION_TEXT, offsetof(struct uwsgi_shim_self, logto), NULL, 0, 0, NULL, NULL,
        "PATH", "the file behind uwsgi.original_log_fd; else the daemon's standard output"},
    {.kind = YARDER_OPTION_END},
};

UWSGI_EXPORT struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .help = "a logger of uWSGI's: what follows is its argument",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct uwsgi_shim_self),
    .options = uwsgi_shim_options,
    .target = uwsgi_shim_target,
    .uwsgi = uwsgi_shim_uwsgi,
    .open = uwsgi_shim_open,
    .submit = uwsgi_shim_submit,
    .reopen = uwsgi_shim_reopen,
    .close = uwsgi_shim_close,
};

/* The loader's: lets the plugin register its logger. 0; -EINVAL: it has none, or more than one. */
UWSGI_EXPORT int yarder_uwsgi_load(const struct uwsgi_plugin *plugin)
{
    if (uwsgi_shim_state.registered == 0 && plugin->on_load != NULL) {
        plugin->on_load();
    }
    yarder_backend.name = uwsgi_shim_state.names[0];
    yarder_backend.uwsgi_names = uwsgi_shim_state.names;
    return uwsgi_shim_state.registered == 1 ? 0 : -EINVAL;
}

#endif
