/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journald's native protocol: a record is a datagram, many of them go with one system call, and
 * what is too long for a datagram goes as a sealed memfd.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "journal_entry.h"

#define JOURNAL_PATH "/run/systemd/journal/socket"
enum { ENTRIES_AT_ONCE = 64, GROUP_BYTES = 1 << 20, BUFFER_BYTES = 8 << 20 };

struct journal {
    char *path;
    char *ident;
    struct journal_style style;
    bool by_line; /* uWSGI: an entry for each line of a message */

    struct yarder_host *host;
    int fd;
    struct bytes bytes;
};

static int journal_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct journal *self = self_;
    struct sockaddr_un address;
    self->path = text;
    if (text[0] != '\0' && (text[0] != '/' || strlen(text) >= sizeof(address.sun_path))) {
        (void)snprintf(why, why_bytes,
            "expected nothing (" JOURNAL_PATH "), or the path of a journal's socket");
        return -EINVAL;
    }
    return 0;
}

static int journal_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    struct journal *self = self_;
    if (argument != NULL && argument[0] != '\0') {
        (void)snprintf(why, why_bytes, "%s takes no argument", name);
        return -EINVAL;
    }
    static char uwsgi[] = "uwsgi";
    self->ident = uwsgi;
    self->style.bare = true;
    self->by_line = true;
    return 0;
}

static int journal_check(void *self_, char *why, size_t why_bytes)
{
    struct journal *self = self_;
    for (uint32_t i = 0; i < self->style.own_fields.count; i++) {
        if (!journal_field_is_legal(self->style.own_fields.at[i])) {
            (void)snprintf(why, why_bytes,
                "add-field: expected NAME=VALUE with a name of A-Z, 0-9 and _, at most 64, that "
                "begins with a letter, not '%s'",
                self->style.own_fields.at[i]);
            return -EINVAL;
        }
    }
    return 0;
}

static void disconnect(struct journal *self)
{
    if (self->fd >= 0) {
        (void)close(self->fd);
        self->fd = -1;
    }
}

static int connect_to_journal(struct journal *self)
{
    if (self->fd >= 0) {
        return 0;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = self->path == NULL || self->path[0] == '\0' ? JOURNAL_PATH : self->path;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    self->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->fd < 0) {
        return self->host->fail(self->host, -errno, "socket: %s", strerror(errno));
    }
    const int buffer_bytes = BUFFER_BYTES;
    if (setsockopt(self->fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer_bytes, sizeof(buffer_bytes)) < 0) {
        (void)setsockopt(self->fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
    }
    /* Connected, so that poll knows when the journal's queue has room. */
    if (connect(self->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = -errno;
        disconnect(self);
        return self->host->fail(self->host, error, "%s: %s%s", path, strerror(-error),
            error == -ENOENT || error == -ECONNREFUSED ? " (is systemd-journald running?)" : "");
    }
    return 0;
}

/* As sd_journal_send does it: the journal maps the file and takes it only sealed. */
static int send_as_file(struct journal *self, const char *at, size_t length)
{
    int file = memfd_create("journal-data", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) {
        return -errno;
    }
    int r = 0;
    for (size_t sent = 0; sent < length && r == 0;) {
        ssize_t wrote = write(file, at + sent, length - sent);
        sent += wrote > 0 ? (size_t)wrote : 0;
        r = wrote < 0 && errno != EINTR ? -errno : 0;
    }
    if (r == 0 &&
        fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        r = -errno;
    }
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control.room)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &file, sizeof(file));
    if (r == 0 && sendmsg(self->fd, &message, MSG_NOSIGNAL) < 0) {
        r = -errno;
    }
    (void)close(file);
    return r;
}

static int wait_for_room(struct journal *self, uint64_t deadline_ns)
{
    int r = self->host->wait(self->host, self->fd, POLLOUT, deadline_ns);
    if (r == 0 || (r > 0 && monotonic_ns() >= deadline_ns)) {
        return self->host->fail(
            self->host, -ETIMEDOUT, "the journal takes nothing: its queue is full");
    }
    return r < 0 ? r : 0;
}

/* What sendmmsg said of the entry that stands first: 0 when it may be tried again, or has gone. */
static int mend(
    struct journal *self, int error, const struct iovec *entry, bool *gone, uint64_t deadline_ns)
{
    if (error == -EMSGSIZE || error == -ENOBUFS) {
        error = send_as_file(self, entry->iov_base, entry->iov_len);
        *gone = error == 0;
    }
    if (error == 0 || error == -EINTR) {
        return 0;
    }
    if (error == -EAGAIN) {
        return wait_for_room(self, deadline_ns);
    }
    disconnect(self);
    return self->host->fail(self->host, error, "send: %s", strerror(-error));
}

/* The entries of one sendmmsg, and where the batch goes on behind them. */
struct group {
    uint32_t count;
    size_t ends[ENTRIES_AT_ONCE];
    struct yarder_item *completes[ENTRIES_AT_ONCE]; /* the item whose last entry it is, or NULL */
};
struct cursor {
    uint32_t item;
    size_t at; /* in its text, by_line */
};

/* The next line of the item that the cursor is at; false: it has no further one. */
static bool next_line(
    const struct yarder_item *item, struct cursor *cursor, struct yarder_text *line, bool *last)
{
    struct yarder_text text = item->text;
    while (cursor->at < text.length && text.at[cursor->at] == '\n') {
        cursor->at++;
    }
    const char *begin = text.at + cursor->at;
    size_t left = text.length - cursor->at;
    const char *end = left == 0 ? NULL : memchr(begin, '\n', left);
    *line = (struct yarder_text){begin, end == NULL ? left : (size_t)(end - begin)};
    cursor->at += line->length;
    while (cursor->at < text.length && text.at[cursor->at] == '\n') {
        cursor->at++;
    }
    *last = cursor->at == text.length;
    return left > 0;
}

static void gather(
    struct journal *self, struct yarder_batch *batch, struct cursor *cursor, struct group *group)
{
    bytes_clear(&self->bytes);
    group->count = 0;
    while (cursor->item < batch->count && group->count < ENTRIES_AT_ONCE &&
           self->bytes.length < GROUP_BYTES) {
        struct yarder_item *item = &batch->items[cursor->item];
        struct yarder_text text = item->text;
        bool last = true;
        if (self->by_line && !next_line(item, cursor, &text, &last)) {
            item->result = YARDER_DELIVERED; /* nothing but newlines */
        } else {
            journal_put_entry(&self->bytes, &self->style, item, text);
            group->completes[group->count] = last ? item : NULL;
            group->ends[group->count++] = self->bytes.length;
        }
        if (last) {
            *cursor = (struct cursor){.item = cursor->item + 1};
        }
    }
}

static int send_group(struct journal *self, const struct group *group, uint64_t deadline_ns)
{
    struct iovec entries[ENTRIES_AT_ONCE];
    struct mmsghdr messages[ENTRIES_AT_ONCE];
    for (uint32_t i = 0; i < group->count; i++) {
        size_t begin = i == 0 ? 0 : group->ends[i - 1];
        entries[i] = (struct iovec){self->bytes.at + begin, group->ends[i] - begin};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &entries[i], .msg_iovlen = 1}};
    }
    for (uint32_t sent = 0; sent < group->count;) {
        int r = sendmmsg(self->fd, messages + sent, group->count - sent, MSG_NOSIGNAL);
        uint32_t went = r > 0 ? (uint32_t)r : 0;
        if (r < 0) {
            bool gone = false;
            r = mend(self, -errno, &entries[sent], &gone, deadline_ns);
            if (r < 0) {
                return r;
            }
            went = gone;
        }
        for (uint32_t i = sent; i < sent + went; i++) {
            if (group->completes[i] != NULL) {
                group->completes[i]->result = YARDER_DELIVERED;
            }
        }
        sent += went;
    }
    return 0;
}

static int journal_open(void *self_, struct yarder_host *host)
{
    struct journal *self = self_;
    self->host = host;
    self->fd = -1;
    self->style.identifier = self->ident;
    return 0;
}

static int journal_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct journal *self = self_;
    struct cursor cursor = {0};
    struct group group;
    int r = connect_to_journal(self);
    while (r == 0 && cursor.item < batch->count) {
        gather(self, batch, &cursor, &group);
        r = self->bytes.lacks ? self->host->fail(self->host, -ENOMEM, "out of memory")
                              : send_group(self, &group, deadline_ns);
    }
    return r;
}

static void journal_reopen(void *self_)
{
    disconnect(self_);
}

static void journal_close(void *self_)
{
    struct journal *self = self_;
    disconnect(self);
    bytes_free(&self->bytes);
}

static const struct yarder_option journal_options[] = {
    {"ident", YARDER_OPTION_TEXT, offsetof(struct journal, ident), NULL, 0, 0, NULL, NULL, "NAME",
        "SYSLOG_IDENTIFIER of all entries; not given: the tag, or the logger"},
    {"add-field", YARDER_OPTION_TEXTS, offsetof(struct journal, style.own_fields), NULL, 0, 0, NULL,
        NULL, "NAME=VALUE", "a field of each entry; may repeat"},
    {.kind = YARDER_OPTION_END},
};
static const char *const uwsgi_names[] = {"systemd", NULL};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "journal",
    .help = "journal:[PATH]: the journal of systemd, with all that is known of a record",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct journal),
    .options = journal_options,
    .target = journal_target,
    .check = journal_check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = journal_uwsgi,
    .open = journal_open,
    .submit = journal_submit,
    .reopen = journal_reopen,
    .close = journal_close,
};
