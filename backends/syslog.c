/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syslog, to this machine (/dev/log, by datagrams of our own and not by libc's one openlog for the
 * whole process) or to another by UDP, TCP (RFC 6587) and TLS (RFC 5425). The header is made here,
 * from the record; the text behind it is what format= makes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "syslog_line.h"

enum syslog_framing { FRAMING_AUTO, FRAMING_OCTET, FRAMING_LF, FRAMING_NUL };
enum {
    COUNT_BYTES_MAX = 24,
    PACKET_BYTES_MAX = 65507,
    TAG_BYTES = 300,
    UWSGI_PACKET_BYTES = 1024,
    UWSGI_HEAD_BYTES = 30, /* what uWSGI leaves for a header, whatever it has */
    UWSGI_PRIORITY = 29,   /* daemon.notice */
    UWSGI_LOCAL_SEVERITY = 6,
    PIECE_BYTES_LEAST = 64, /* of text, however long the header is */
    ESCAPE_FACTOR = 2
};

static const char *const header_choices[] = {"auto", "rfc5424", "rfc3164", "local", "none", NULL};
static const char *const framing_choices[] = {"auto", "octet", "lf", "nul", NULL};
static const char *const uwsgi_names[] = {"syslog", "rsyslog", NULL};

struct syslog_backend {
    struct link_tls tls;
    struct syslog_style style;
    char *ident;
    char *facility;
    char *severity;
    char *sd_id;
    int framing; /* enum syslog_framing */
    uint64_t packet_bytes;
    bool split;

    struct link_address address;
    char *tag;                /* uWSGI's, in place of host and APP; NULL: none */
    char made_tag[TAG_BYTES]; /* "HOST uwsgi", where the line gave none */
    bool remote;              /* uWSGI's rsyslog */
    bool local;               /* uWSGI's syslog: the newline goes with the text */
    uint8_t fixed_priority;
    struct yarder_host *host;
    struct link *link;
    struct frames frames;
};

#define FIELD(member) offsetof(struct syslog_backend, member)
static const struct yarder_option options[] = {
    {"header", YARDER_OPTION_CHOICE, FIELD(style.header), "auto", 0, 0, header_choices, NULL,
        "auto|rfc5424|rfc3164|local|none",
        "what stands before the text; auto: rfc5424, and local for a path; none: format= makes "
        "the whole line"},
    {"ident", YARDER_OPTION_TEXT, FIELD(ident), NULL, 0, 0, NULL, NULL, "NAME",
        "the program's name, for records with neither a tag nor a logger"},
    {"default-facility", YARDER_OPTION_TEXT, FIELD(facility), "user", 0, 0, NULL, NULL,
        "NAME|0..23", "of records that state none"},
    {"default-severity", YARDER_OPTION_TEXT, FIELD(severity), "info", 0, 0, NULL, NULL, "NAME|0..7",
        "of records that state no level"},
    {"sd-id", YARDER_OPTION_TEXT, FIELD(sd_id), SYSLOG_OWN_ID, 0, 0, NULL, NULL, "NAME@NUMBER",
        "rfc5424: the element of fields that do not name theirs"},
    {"framing", YARDER_OPTION_CHOICE, FIELD(framing), "auto", 0, 0, framing_choices, NULL,
        "auto|octet|lf|nul",
        "what parts the lines of a stream: their length before them, a newline or a NUL; auto: "
        "octet, and nul for a path"},
    {"packet-size", YARDER_OPTION_BYTES, FIELD(packet_bytes), "8K", 128, PACKET_BYTES_MAX, NULL,
        NULL, "SIZE", "the longest datagram"},
    {"split", YARDER_OPTION_BOOL, FIELD(split), "yes", 0, 0, NULL, NULL, "yes|no",
        "a longer line takes several datagrams, each with its header; no: it is cut"},
    LINK_TLS_OPTIONS(struct syslog_backend, tls),
    {.kind = YARDER_OPTION_END},
};

static char default_path[] = "/dev/log";
static char no_text[] = "";

static int set_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct syslog_backend *self = self_;
    if (text[0] == '\0') {
        self->address =
            (struct link_address){.kind = LINK_UNIX_DATAGRAM, .path = default_path, .either = true};
        return 0;
    }
    bool tls = strncmp(text, "tls://", 6) == 0;
    bool one = strncmp(text, "unix-", 5) == 0;
    const struct link_form form = {LINK_UDP, LINK_UNIX_DATAGRAM, LINK_ALL, tls ? "6514" : "514"};
    int r = link_parse(text, &form, &self->address, why, why_bytes);
    self->address.either = self->address.path != NULL && !one;
    return r;
}

/* Cuts what stands behind the first comma off; NULL when there is none. */
static char *cut_at_comma(char *text)
{
    char *comma = text != NULL ? strchr(text, ',') : NULL;
    if (comma != NULL) {
        *comma = '\0';
    }
    return comma != NULL ? comma + 1 : NULL;
}

static int fix_priority(struct syslog_backend *self, const char *facility, const char *severity,
    int standard, char *why, size_t why_bytes)
{
    int f = facility != NULL && facility[0] != '\0' ? syslog_facility_of(facility) : standard / 8;
    int s = severity != NULL && severity[0] != '\0' ? syslog_severity_of(severity) : standard % 8;
    if (f < 0 || s < 0) {
        (void)snprintf(why, why_bytes, "'%s' is no %s", f < 0 ? facility : severity,
            f < 0 ? "facility; expected kern, user, daemon, auth, local0 ..."
                  : "severity; expected emerg, alert, crit, err, warning, notice, info, debug");
        return -EINVAL;
    }
    self->style.fixed = true;
    self->fixed_priority = (uint8_t)(f * 8 + s);
    return 0;
}

/* syslog:[IDENT][,FACILITY] */
static int set_uwsgi_local(struct syslog_backend *self, char *argument, char *why, size_t why_bytes)
{
    static char standard[] = "uwsgi";
    char *facility = cut_at_comma(argument);
    self->tag = argument != NULL && argument[0] != '\0' ? argument : standard;
    self->local = true;
    self->style.header = SYSLOG_LOCAL;
    (void)set_target(self, no_text, why, why_bytes);
    return fix_priority(self, facility, NULL, 3 * 8 + UWSGI_LOCAL_SEVERITY, why, why_bytes);
}

/* "134", "local0.info", "local0"; empty or NULL: uWSGI's own. */
static int take_priority(struct syslog_backend *self, char *text, char *why, size_t why_bytes)
{
    char *end = text;
    long number = text != NULL ? strtol(text, &end, 10) : 0;
    char *severity = text != NULL ? strchr(text, '.') : NULL;
    if (end == text || *end != '\0') {
        if (severity != NULL) {
            *severity++ = '\0';
        }
        return fix_priority(self, text, severity, UWSGI_PRIORITY, why, why_bytes);
    }
    if (number < 0 || number > SYSLOG_PRIORITY_MAX) {
        (void)snprintf(why, why_bytes, "expected a priority of 0 to 191 or FACILITY.SEVERITY");
        return -EINVAL;
    }
    self->style.fixed = true;
    self->fixed_priority = (uint8_t)number;
    return 0;
}

/* rsyslog:HOST[:PORT][,TAG[,PRIORITY]], HOST may be a path. */
static int set_uwsgi_remote(
    struct syslog_backend *self, char *argument, char *why, size_t why_bytes)
{
    if (argument == NULL || argument[0] == '\0') {
        (void)snprintf(why, why_bytes, "expected rsyslog:HOST[:PORT][,TAG[,PRIORITY]]");
        return -EINVAL;
    }
    char *tag = cut_at_comma(argument);
    char *priority = cut_at_comma(tag);
    self->tag = tag != NULL && tag[0] != '\0' ? tag : NULL;
    self->remote = true;
    self->style.header = SYSLOG_RFC3164;
    self->packet_bytes = UWSGI_PACKET_BYTES;
    self->split = false;
    int r = set_target(self, argument, why, why_bytes);
    return r == 0 ? take_priority(self, priority, why, why_bytes) : r;
}

static int set_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    return name[0] == 's' ? set_uwsgi_local(self_, argument, why, why_bytes)
                          : set_uwsgi_remote(self_, argument, why, why_bytes);
}

static bool is_sd_id(const char *id)
{
    size_t length = strlen(id);
    for (size_t i = 0; i < length; i++) {
        if (id[i] <= ' ' || id[i] >= 127 || strchr("=]\"", id[i]) != NULL) {
            return false;
        }
    }
    return length > 0 && length <= 32;
}

static int check(void *self_, char *why, size_t why_bytes)
{
    struct syslog_backend *self = self_;
    struct syslog_style *style = &self->style;
    int facility = syslog_facility_of(self->facility);
    int severity = syslog_severity_of(self->severity);
    const char *wrong = NULL;
    if (facility < 0) {
        wrong = "default-facility: expected kern, user, daemon, auth, local0 ... or 0 to 23";
    } else if (severity < 0) {
        wrong = "default-severity: expected emerg, alert, crit, err, warning, notice, info, debug "
                "or 0 to 7";
    } else if (!is_sd_id(self->sd_id)) {
        wrong = "sd-id: expected NAME@NUMBER, 32 characters at most, without blanks, = ] \"";
    } else if (self->framing != FRAMING_AUTO && link_is_datagram(&self->address) &&
               !self->address.either) {
        wrong = "framing is for tcp://, tls:// and unix-stream:, a datagram has its own";
    }
    if (wrong != NULL) {
        (void)snprintf(why, why_bytes, "%s", wrong);
        return -EINVAL;
    }
    bool path = self->address.path != NULL;
    if (style->header == SYSLOG_HEADER_AUTO) {
        style->header = path ? SYSLOG_LOCAL : SYSLOG_RFC5424;
    }
    if (self->framing == FRAMING_AUTO) {
        self->framing = path ? FRAMING_NUL : FRAMING_OCTET;
    }
    style->facility = style->fixed ? self->fixed_priority / 8 : (uint8_t)facility;
    style->severity = style->fixed ? self->fixed_priority % 8 : (uint8_t)severity;
    style->ident = self->ident;
    style->whole = self->tag;
    style->sd_id = self->sd_id;
    return link_check_tls(&self->address, &self->tls, why, why_bytes);
}

static int open_syslog(void *self_, struct yarder_host *host)
{
    struct syslog_backend *self = self_;
    self->host = host;
    self->style.hostname = host->hostname;
    if (self->remote && self->tag == NULL) {
        (void)snprintf(self->made_tag, sizeof(self->made_tag), "%s uwsgi", host->hostname);
        self->style.whole = self->made_tag;
    }
    return link_open(&self->link, host, &self->address, &self->tls);
}

static void close_syslog(void *self_)
{
    struct syslog_backend *self = self_;
    link_close(self->link);
    frames_close(&self->frames);
    bytes_free(&self->style.number);
    self->link = NULL;
}

/* What parts lines cannot stand in one: "\n" for it, "\0" for a NUL. */
static char *put_text(char *at, const char *from, size_t length, char mark)
{
    const char *end = length > 0 ? from + length : from;
    while (from < end) {
        const char *found = memchr(from, mark, (size_t)(end - from));
        size_t plain = (size_t)((found != NULL ? found : end) - from);
        memcpy(at, from, plain);
        at += plain;
        from += plain;
        if (found != NULL) {
            *at++ = '\\';
            *at++ = mark == '\n' ? 'n' : '0';
            from++;
        }
    }
    return at;
}

/* A line of a stream. The count is written where the head has left room, and the head moved to it.
 */
static int add_line(struct syslog_backend *self, const struct yarder_item *item, uint32_t index)
{
    size_t length = item->text.length;
    size_t bound = COUNT_BYTES_MAX + syslog_head_bound(&self->style, item->record) +
                   ESCAPE_FACTOR * length + 2;
    char *start = frames_take(&self->frames, bound);
    if (start == NULL) {
        return self->host->fail(self->host, -ENOMEM, "no memory for %zu bytes", bound);
    }
    bool octet = self->framing == FRAMING_OCTET;
    bool newline = self->local && item->newline && self->framing != FRAMING_LF;
    char *head = octet ? start + COUNT_BYTES_MAX : start;
    char *at = syslog_head(&self->style, item->record, head);
    if (octet) {
        size_t head_bytes = (size_t)(at - head);
        int count_bytes =
            snprintf(start, COUNT_BYTES_MAX, "%zu ", head_bytes + length + (newline ? 1u : 0u));
        at = start + count_bytes;
        memmove(at, head, head_bytes);
        at += head_bytes;
        memcpy(at, length > 0 ? item->text.at : "", length);
        at += length;
    } else {
        at = put_text(at, item->text.at, length, self->framing == FRAMING_LF ? '\n' : '\0');
    }
    if (newline) {
        *at++ = '\n';
    }
    if (!octet) {
        *at++ = self->framing == FRAMING_LF ? '\n' : '\0';
    }
    frames_add(&self->frames, (size_t)(at - start), index, true);
    return 0;
}

/* How much text a packet takes beside its header. uWSGI leaves 30 bytes, and one at the end. */
static size_t piece_bytes(const struct syslog_backend *self, size_t head_bytes)
{
    size_t packet = (size_t)self->packet_bytes;
    size_t used = head_bytes;
    if (self->remote) {
        used = head_bytes + 1 > UWSGI_HEAD_BYTES ? head_bytes + 1 : UWSGI_HEAD_BYTES;
    }
    return packet > used + PIECE_BYTES_LEAST ? packet - used : PIECE_BYTES_LEAST;
}

/* A datagram, or several with the same header. */
static int add_packets(struct syslog_backend *self, const struct yarder_item *item, uint32_t index)
{
    size_t head_bytes = 0;
    size_t head_bound = syslog_head_bound(&self->style, item->record);
    size_t left = item->text.length;
    size_t first = self->frames.used;
    do {
        size_t room = (head_bytes == 0 ? head_bound : head_bytes) + left + 1;
        char *at = frames_take(&self->frames, room);
        if (at == NULL) {
            return self->host->fail(self->host, -ENOMEM, "no memory for %zu bytes", room);
        }
        const char *start = at;
        if (head_bytes == 0) {
            at = syslog_head(&self->style, item->record, at);
            head_bytes = (size_t)(at - start);
        } else {
            memcpy(at, self->frames.at + first, head_bytes);
            at += head_bytes;
        }
        if (left > 0) {
            const char *text = item->text.at + (item->text.length - left);
            size_t piece = syslog_cut(text, left, piece_bytes(self, head_bytes));
            memcpy(at, text, piece);
            at += piece;
            left = self->split ? left - piece : 0;
        }
        if (left == 0 && self->local && item->newline) {
            *at++ = '\n';
        }
        frames_add(&self->frames, (size_t)(at - start), index, left == 0);
    } while (left > 0);
    return 0;
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct syslog_backend *self = self_;
    int r = frames_connect(&self->frames, self->link, deadline_ns);
    bool datagrams = link_sends_datagrams(self->link);
    frames_clear(&self->frames);
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        if (!frames_was_paid(&self->frames, &batch->items[i])) {
            r = datagrams ? add_packets(self, &batch->items[i], i)
                          : add_line(self, &batch->items[i], i);
        }
    }
    return r < 0 ? r : frames_send(&self->frames, self->host, batch, deadline_ns);
}

YARDER_EXPORT extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "syslog",
    .help = "syslog:[PATH], udp://HOST[:PORT], tcp://, tls://: RFC 5424, RFC 3164, /dev/log",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct syslog_backend),
    .options = options,
    .target = set_target,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = set_uwsgi,
    .open = open_syslog,
    .submit = submit,
    .close = close_syslog,
};
