/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend that tests configure: one option of each sort, a target with a secret in it, names of
 * uWSGI's. It writes each text as a line to its file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/backend.h"

struct sample {
    char *path;
    char *user; /* before the '@' of the target; NULL: none */
    bool loud;
    uint64_t count, size_bytes, wait_ns;
    char *text;
    int choice;
    struct yarder_texts texts;
    char *password;
    uint32_t even;
    char *prefix;
    int fd;
};

static int parse_even(void *target, const char *text, char *why, size_t why_bytes)
{
    if (strcmp(text, "two") != 0 && strcmp(text, "four") != 0) {
        (void)snprintf(why, why_bytes, "expected two or four");
        return -EINVAL;
    }
    *(uint32_t *)target = text[0] == 't' ? 2 : 4;
    return 0;
}

#define FIELD(member) offsetof(struct sample, member)
static const char *const choices[] = {"red", "green", NULL};
static const struct yarder_option options[] = {
    {"loud", YARDER_OPTION_BOOL, FIELD(loud), "no", 0, 0, NULL, NULL, "yes|no", "a bool"},
    {"count", YARDER_OPTION_COUNT, FIELD(count), "7", 1, 9, NULL, NULL, "N", "a number"},
    {"size", YARDER_OPTION_BYTES, FIELD(size_bytes), "64K", 1, 1 << 20, NULL, NULL, "SIZE",
        "a size"},
    {"wait", YARDER_OPTION_DURATION, FIELD(wait_ns), "2s", 0, UINT64_MAX, NULL, NULL, "TIME",
        "a time"},
    {"word", YARDER_OPTION_TEXT, FIELD(text), NULL, 0, 0, NULL, NULL, "TEXT", "a text"},
    {"colour", YARDER_OPTION_CHOICE, FIELD(choice), "red", 0, 0, choices, NULL, "red|green",
        "a choice"},
    {"item", YARDER_OPTION_TEXTS, FIELD(texts), NULL, 0, 0, NULL, NULL, "TEXT", "a text of many"},
    {"password", YARDER_OPTION_SECRET, FIELD(password), NULL, 0, 0, NULL, NULL, "SECRET",
        "a secret"},
    {"even", YARDER_OPTION_SPECIAL, FIELD(even), "two", 0, 0, NULL, parse_even, "two|four",
        "a form of its own"},
    {"packet-size", YARDER_OPTION_BYTES, FIELD(size_bytes), NULL, 1, 1 << 20, NULL, NULL, "SIZE",
        "what rsyslog-packet-size says"},
    {"split", YARDER_OPTION_BOOL, FIELD(loud), NULL, 0, 0, NULL, NULL, "yes|no",
        "what rsyslog-split-messages says"},
    {.kind = YARDER_OPTION_END},
};

static int sample_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct sample *self = self_;
    char *at = strchr(text, '@');
    if (at != NULL) {
        *at = '\0';
        self->user = text;
    }
    self->path = at != NULL ? at + 1 : text;
    if (self->path[0] != '/') {
        (void)snprintf(why, why_bytes, "expected [USER@]/PATH");
        return -EINVAL;
    }
    return 0;
}

static void sample_shown(const void *self_, char *at, size_t room)
{
    const struct sample *self = self_;
    (void)snprintf(at, room, "%s", self->path);
}

static int sample_check(void *self_, char *why, size_t why_bytes)
{
    struct sample *self = self_;
    if (self->password != NULL && self->user == NULL) {
        (void)snprintf(why, why_bytes, "password needs a user: expected USER@/PATH");
        return -EINVAL;
    }
    return 0;
}

static int sample_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    struct sample *self = self_;
    if (argument == NULL) {
        (void)snprintf(why, why_bytes, "expected /PATH[,PREFIX] behind %s:", name);
        return -EINVAL;
    }
    self->prefix = strchr(argument, ',');
    if (self->prefix != NULL) {
        *self->prefix++ = '\0';
    }
    return sample_target(self, argument, why, why_bytes);
}

static int sample_open(void *self_, struct yarder_host *host)
{
    struct sample *self = self_;
    self->fd = open(self->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    return self->fd >= 0 ? 0 : host->fail(host, -errno, "%s: %s", self->path, strerror(errno));
}

static int sample_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct sample *self = self_;
    (void)deadline_ns;
    char *prefix = self->prefix != NULL ? self->prefix : self->password;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct yarder_text text = batch->items[i].text;
        char line[4096];
        int length = snprintf(line, sizeof(line), "%s%.*s\n", prefix != NULL ? prefix : "",
            (int)text.length, text.at);
        size_t bytes = (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1;
        if (write(self->fd, line, bytes) != (ssize_t)bytes) {
            return -EIO;
        }
        batch->items[i].result = YARDER_DELIVERED;
    }
    return 0;
}

static void sample_close(void *self_)
{
    struct sample *self = self_;
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
}

static const char *const uwsgi_names[] = {"samplelog", "rsyslog", "socket", NULL};

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "sample",
    .help = "sample:[USER@]/PATH: lines to a file, for tests",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct sample),
    .options = options,
    .target = sample_target,
    .shown = sample_shown,
    .check = sample_check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = sample_uwsgi,
    .open = sample_open,
    .submit = sample_submit,
    .close = sample_close,
};
