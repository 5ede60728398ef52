/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as events of Windows, for what collects those: into a file, by syslog, or to a URL. No
 * Windows machine's own log is written; nothing but Windows can do that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frames.h"
#include "lines.h"
#include "winevent_event.h"
#include "winevent_web.h"

enum { GROUP_ITEMS = 128, GROUP_BYTES = 1 << 20, COUNT_BYTES = 24, FILE_MODE = 0640 };
enum winevent_place { PLACE_FILE, PLACE_SYSLOG, PLACE_WEB };
enum winevent_shape { SHAPE_XML, SHAPE_SNARE, SHAPE_JSON };
enum winevent_framing { FRAMING_AUTO, FRAMING_OCTET, FRAMING_LF };
static const char *const shapes[] = {"xml", "snare", "json", NULL};
static const char *const framings[] = {"auto", "octet", "lf", NULL};

struct winevent {
    char *source;
    char *channel;
    char *computer;
    uint64_t event_id;
    bool extended_levels;
    bool named_data;
    int shape;
    int framing;
    char *user;
    char *password;
    char *secret_header;
    struct link_tls tls;
    enum winevent_place place;
    char *target; /* a path or a URL */
    struct link_address address;

    struct yarder_host *host;
    struct winevent_style style;
    struct bytes bytes;
    struct lines lines; /* PLACE_FILE; its fd is -1 when the file is not open */
    struct link *link;  /* PLACE_SYSLOG */
    struct frames frames;
    struct winevent_web *web; /* PLACE_WEB */
};

static int winevent_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct winevent *self = self_;
    bool tls = strncmp(text, "tls://", 6) == 0;
    self->target = text;
    if (strncmp(text, "file:/", 6) == 0) {
        self->target = text + 5;
        self->place = PLACE_FILE;
        return 0;
    }
    if (tls || strncmp(text, "tcp://", 6) == 0 || strncmp(text, "udp://", 6) == 0) {
        self->place = PLACE_SYSLOG;
        const struct link_form form = {
            LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, tls ? "6514" : "514"};
        return link_parse(text, &form, &self->address, why, why_bytes);
    }
    if (strncmp(text, "http", 4) == 0) {
        self->place = PLACE_WEB;
        return winevent_web_check(text, why, why_bytes);
    }
    (void)snprintf(why, why_bytes,
        "expected file:/PATH, udp://HOST, tcp://HOST or tls://HOST (syslog), or https://URL");
    return -EINVAL;
}

static void winevent_shown(const void *self_, char *at, size_t room)
{
    const struct winevent *self = self_;
    if (self->place == PLACE_SYSLOG) {
        (void)link_show(&self->address, at, room);
        return;
    }
    size_t length = strcspn(self->target, "?");
    (void)snprintf(
        at, room, "%s%.*s", self->place == PLACE_FILE ? "file:" : "", (int)length, self->target);
}

static int winevent_check(void *self_, char *why, size_t why_bytes)
{
    struct winevent *self = self_;
    const char *wrong = NULL;
    if (self->place != PLACE_WEB &&
        (self->user != NULL || self->password != NULL || self->secret_header != NULL)) {
        wrong = "user=, password= and secret-header= are for https://";
    } else if (self->password != NULL && self->user == NULL) {
        wrong = "password: expected user= beside it";
    } else if (self->place != PLACE_SYSLOG && self->framing != FRAMING_AUTO) {
        wrong = "framing= is for tcp:// and tls://";
    } else if (self->channel[0] == '\0') {
        wrong = "channel: expected a name, as in Application";
    }
    if (wrong != NULL) {
        (void)snprintf(why, why_bytes, "%s", wrong);
        return -EINVAL;
    }
    return self->place == PLACE_WEB ? 0
                                    : link_check_tls(&self->address, &self->tls, why, why_bytes);
}

static int winevent_open(void *self_, struct yarder_host *host)
{
    static const char *const types[] = {"application/xml", "text/plain", "application/x-ndjson"};
    struct winevent *self = self_;
    self->host = host;
    self->lines.fd = -1;
    self->style = (struct winevent_style){.source = self->source,
        .channel = self->channel,
        .computer = self->computer,
        .hostname = host->hostname,
        .event_id = self->event_id,
        .extended_levels = self->extended_levels,
        .named_data = self->named_data};
    lines_block_sigpipe();
    if (self->place == PLACE_SYSLOG) {
        return link_open(&self->link, host, &self->address, &self->tls);
    }
    if (self->place == PLACE_FILE) {
        return 0;
    }
    const struct winevent_web_options options = {.url = self->target,
        .user = self->user,
        .password = self->password,
        .secret_header = self->secret_header,
        .tls = &self->tls,
        .content_type = types[self->shape]};
    return winevent_web_open(&self->web, host, &options);
}

static void put_event(struct winevent *self, const struct yarder_item *item)
{
    bool syslog = self->place == PLACE_SYSLOG;
    if (syslog) {
        winevent_put_header(&self->bytes, &self->style, item, self->shape != SHAPE_SNARE);
    }
    switch ((enum winevent_shape)self->shape) {
    case SHAPE_XML:
        winevent_put_xml(&self->bytes, &self->style, item);
        break;
    case SHAPE_SNARE:
        winevent_put_snare(&self->bytes, &self->style, item);
        break;
    case SHAPE_JSON:
        winevent_put_json(&self->bytes, &self->style, item);
        break;
    }
}

static int frame_event(struct winevent *self, const struct yarder_item *item, uint32_t which)
{
    char count[COUNT_BYTES] = "";
    bool datagram = self->address.kind == LINK_UDP;
    bool octet = self->framing == FRAMING_OCTET ||
                 (self->framing == FRAMING_AUTO && self->address.kind == LINK_TLS);
    bytes_clear(&self->bytes);
    put_event(self, item);
    int count_bytes = 0;
    if (!datagram && octet) {
        count_bytes = snprintf(count, sizeof(count), "%zu ", self->bytes.length);
    } else if (!datagram) {
        bytes_put_char(&self->bytes, '\n');
    }
    size_t head = (size_t)count_bytes;
    char *at = self->bytes.lacks ? NULL : frames_take(&self->frames, head + self->bytes.length);
    if (at == NULL) {
        return self->host->fail(self->host, -ENOMEM, "out of memory");
    }
    memcpy(at, count, head);
    memcpy(at + head, self->bytes.at, self->bytes.length);
    frames_add(&self->frames, head + self->bytes.length, which, true);
    return 0;
}

static int submit_syslog(struct winevent *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    int r = frames_connect(&self->frames, self->link, deadline_ns);
    frames_clear(&self->frames);
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        if (!frames_was_paid(&self->frames, &batch->items[i])) {
            r = frame_event(self, &batch->items[i], i);
        }
    }
    return r < 0 ? r : frames_send(&self->frames, self->host, batch, deadline_ns);
}

/* Half an event, of a worker that died in the middle of a write, ends where it stands. */
static int end_half_line(const char *path, int fd)
{
    struct stat facts;
    char last = '\n';
    if (fstat(fd, &facts) < 0 || !S_ISREG(facts.st_mode) || facts.st_size == 0) {
        return 0;
    }
    int read_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (read_fd >= 0) {
        (void)!pread(read_fd, &last, 1, facts.st_size - 1);
        (void)close(read_fd);
    }
    return last == '\n' || write(fd, "\n", 1) == 1 ? 0 : -errno;
}

static int open_file(struct winevent *self)
{
    if (self->lines.fd >= 0) {
        return 0;
    }
    int fd = open(
        self->target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, FILE_MODE);
    int r = fd < 0 ? -errno : end_half_line(self->target, fd);
    r = r < 0 ? r : lines_init(&self->lines, fd);
    if (r < 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        self->lines.fd = -1;
        return self->host->fail(self->host, r, "%s: %s", self->target, strerror(-r));
    }
    return 0;
}

static int write_file(struct winevent *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    int r = open_file(self);
    if (r < 0) {
        return r;
    }
    r = lines_write(&self->lines, self->host, batch, deadline_ns);
    return r == 0 || r == -ECANCELED
               ? r
               : self->host->fail(self->host, r, "%s: %s", self->target, strerror(-r));
}

/* Some items with their events as texts, each with its newline behind it. */
static int submit_group(
    struct winevent *self, struct yarder_batch *batch, uint32_t *next, uint64_t deadline_ns)
{
    struct yarder_item items[GROUP_ITEMS];
    size_t ends[GROUP_ITEMS];
    uint32_t first = *next;
    uint32_t count = 0;
    bytes_clear(&self->bytes);
    for (; first + count < batch->count && count < GROUP_ITEMS && self->bytes.length < GROUP_BYTES;
         count++) {
        put_event(self, &batch->items[first + count]);
        bytes_put_char(&self->bytes, '\n');
        ends[count] = self->bytes.length;
    }
    if (self->bytes.lacks) {
        return self->host->fail(self->host, -ENOMEM, "out of memory");
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t begin = i == 0 ? 0 : ends[i - 1];
        items[i] = batch->items[first + i];
        items[i].text = (struct yarder_text){self->bytes.at + begin, ends[i] - begin - 1};
        items[i].newline = true;
    }
    struct yarder_batch group = {.items = items,
        .count = count,
        .again = batch->again,
        .text_bytes = self->bytes.length - count};
    int r = self->place == PLACE_FILE ? write_file(self, &group, deadline_ns)
                                      : winevent_web_submit(self->web, &group, deadline_ns);
    for (uint32_t i = 0; i < count; i++) {
        batch->items[first + i].result = items[i].result;
    }
    *next += count;
    return r;
}

static int winevent_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct winevent *self = self_;
    if (self->place == PLACE_SYSLOG) {
        return submit_syslog(self, batch, deadline_ns);
    }
    int r = 0;
    for (uint32_t next = 0; next < batch->count && r == 0;) {
        r = submit_group(self, batch, &next, deadline_ns);
    }
    return r;
}

static void winevent_reopen(void *self_)
{
    struct winevent *self = self_;
    if (self->lines.fd >= 0) {
        (void)close(self->lines.fd);
        self->lines.fd = -1;
    }
}

static void winevent_close(void *self_)
{
    struct winevent *self = self_;
    winevent_reopen(self);
    frames_close(&self->frames);
    link_close(self->link);
    winevent_web_close(self->web);
    bytes_free(&self->bytes);
}

#define FIELD(member) offsetof(struct winevent, member)
static const struct yarder_option winevent_options[] = {
    {"shape", YARDER_OPTION_CHOICE, FIELD(shape), "xml", 0, 0, shapes, NULL, "xml|snare|json",
        "the event log's XML, the Snare agent's line, or Winlogbeat's JSON"},
    {"source", YARDER_OPTION_TEXT, FIELD(source), NULL, 0, 0, NULL, NULL, "NAME",
        "the provider; not given: the tag, or the logger"},
    {"channel", YARDER_OPTION_TEXT, FIELD(channel), "Application", 0, 0, NULL, NULL, "NAME",
        "the log that the events are of"},
    {"event-id", YARDER_OPTION_COUNT, FIELD(event_id), "1", 0, 65535, NULL, NULL, "NUMBER",
        "of records that have no field winevent_id"},
    {"computer", YARDER_OPTION_TEXT, FIELD(computer), NULL, 0, 0, NULL, NULL, "NAME",
        "not given: the record's host, or this machine"},
    {"extended-levels", YARDER_OPTION_BOOL, FIELD(extended_levels), "no", 0, 0, NULL, NULL,
        "yes|no", "critical and debug as levels of their own; no: as Python's handler has them"},
    {"named-data", YARDER_OPTION_BOOL, FIELD(named_data), "no", 0, 0, NULL, NULL, "yes|no",
        "the record's fields as named data beside the text (xml, json)"},
    {"framing", YARDER_OPTION_CHOICE, FIELD(framing), "auto", 0, 0, framings, NULL, "auto|octet|lf",
        "what parts events of a stream; auto: a newline, and for tls:// their length"},
    {"user", YARDER_OPTION_TEXT, FIELD(user), NULL, 0, 0, NULL, NULL, "NAME",
        "https: who we are, by basic authentication"},
    {"password", YARDER_OPTION_SECRET, FIELD(password), NULL, 0, 0, NULL, NULL,
        "file:PATH|env:NAME|TEXT", "https: the password of user"},
    {"secret-header", YARDER_OPTION_SECRET, FIELD(secret_header), NULL, 0, 0, NULL, NULL,
        "file:PATH|env:NAME|TEXT", "https: a header NAME: VALUE that is never shown"},
    LINK_TLS_OPTIONS(struct winevent, tls),
    {.kind = YARDER_OPTION_END},
};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "winevent",
    .help = "winevent:file:/PATH, winevent:tcp://HOST, winevent:https://URL: events as Windows has "
            "them",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct winevent),
    .options = winevent_options,
    .target = winevent_target,
    .shown = winevent_shown,
    .check = winevent_check,
    .open = winevent_open,
    .submit = winevent_submit,
    .reopen = winevent_reopen,
    .close = winevent_close,
};
