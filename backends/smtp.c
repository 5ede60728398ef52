/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mail, a record each or a batch each. What the server says to a mail decides: 250 delivered, 5xx
 * refused, 4xx later; what it says before a mail is begun (its greeting, EHLO, STARTTLS, AUTH) is
 * about us and not about a record, and always later.
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "curl_common.h"
#include "smtp_mail.h"

enum { REPLY_BYTES = 256, URL_BYTES = 800 };
static const long reply_s = 600; /* the deadline is before */
static const long goodbye_s = 1;
static char smtp_port[] = "25";
static char smtps_port[] = "465";

struct smtp {
    struct link_address address;
    char *from;
    struct yarder_texts to;
    char *subject;
    char *user;
    char *password;
    bool starttls;
    bool batch;
    uint64_t mail_bytes;
    struct link_tls tls;

    struct yarder_host *host;
    struct curl_client client;
    struct mail_style style;
    struct curl_slist *recipients;
    struct curl_slist *connect_to;
    struct bytes mail;
    size_t read_bytes;      /* of mail, by curl */
    struct yarder_id tried; /* the first record of the last mail, and how many it has */
    uint32_t tried_count;
    bool began;   /* the server was given the mail's text */
    bool not_now; /* it said 4xx to something, perhaps to one of the recipients */
    char reply[REPLY_BYTES];
};

static int expected(char *why, size_t why_bytes, const char *what)
{
    (void)snprintf(why, why_bytes, "expected %s", what);
    return -EINVAL;
}

static int smtp_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct smtp *self = self_;
    const struct link_form form = {
        LINK_TCP, LINK_UNIX_STREAM, LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS), smtp_port};
    int r = link_parse(text, &form, &self->address, why, why_bytes);
    if (r == 0 && self->address.kind == LINK_TLS && self->address.port == smtp_port) {
        self->address.port = smtps_port;
    }
    return r;
}

static void smtp_shown(const void *self_, char *at, size_t room)
{
    const struct smtp *self = self_;
    (void)link_show(&self->address, at, room);
}

static int check_addresses(const struct smtp *self, char *why, size_t why_bytes)
{
    if (self->from == NULL || !mail_address_is_legal(self->from)) {
        return expected(why, why_bytes, "from=ADDRESS, as in from=yarder@example.com");
    }
    if (self->to.count == 0) {
        return expected(why, why_bytes, "to-address=ADDRESS, who gets the mail; may repeat");
    }
    for (uint32_t i = 0; i < self->to.count; i++) {
        if (!mail_address_is_legal(self->to.at[i])) {
            return expected(why, why_bytes, "to-address=NAME@DOMAIN, one address for each");
        }
    }
    return 0;
}

static int smtp_check(void *self_, char *why, size_t why_bytes)
{
    struct smtp *self = self_;
    int r = check_addresses(self, why, why_bytes);
    if (r == 0 && self->starttls && self->address.kind == LINK_TLS) {
        r = expected(why, why_bytes, "starttls=yes or tls://, not both");
    }
    if (r == 0 && self->password != NULL && self->user == NULL) {
        r = expected(why, why_bytes, "user= beside password=");
    }
    if (r == 0 && !self->starttls) {
        r = link_check_tls(&self->address, &self->tls, why, why_bytes);
    }
    return r < 0 ? r : mail_check_subject(self->subject, why, why_bytes);
}

static size_t give_mail(char *at, size_t one, size_t count, void *self_)
{
    struct smtp *self = self_;
    size_t left = self->mail.length - self->read_bytes;
    size_t length = one * count < left ? one * count : left;
    memcpy(at, self->mail.at + self->read_bytes, length);
    self->read_bytes += length;
    self->began = true;
    return length;
}

/*
 * Of the server's lines the last one that says no. Behind such a one curl says goodbye, and waits
 * for that to be answered; so it must not wait long.
 */
static size_t take_reply(char *from, size_t one, size_t count, void *self_)
{
    struct smtp *self = self_;
    size_t length = one * count;
    struct yarder_text line = {from, length};
    while (line.length > 0 && (uint8_t)line.at[line.length - 1] <= ' ') {
        line.length--;
    }
    bool says_no = line.length > 0 && (line.at[0] == '4' || line.at[0] == '5');
    self->not_now = self->not_now || (says_no && line.at[0] == '4');
    if (says_no) {
        (void)curl_client_show(line, self->reply, sizeof(self->reply));
        curl_client_hide(self->reply, self->password);
    }
    (void)curl_easy_setopt(
        self->client.easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, says_no ? goodbye_s : reply_s);
    return length;
}

static bool append(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    *list = longer == NULL ? *list : longer;
    return longer != NULL;
}

/* Whom we greet as; where a name is given for TLS, the URL has that and curl connects elsewhere. */
static bool set_url(struct smtp *self, CURL *easy)
{
    char text[URL_BYTES];
    const char *host = self->address.host;
    const char *open = strchr(host, ':') != NULL ? "[" : "";
    const char *close = open[0] != '\0' ? "]" : "";
    if (self->tls.servername != NULL) {
        (void)snprintf(text, sizeof(text), "::%s%s%s:%s", open, host, close, self->address.port);
        if (!append(&self->connect_to, text)) {
            return false;
        }
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, self->connect_to);
        host = self->tls.servername;
        open = close = "";
    }
    (void)snprintf(text, sizeof(text), "%s://%s%s%s:%s/%s",
        self->address.kind == LINK_TLS ? "smtps" : "smtp", open, host, close, self->address.port,
        self->host->hostname);
    return curl_easy_setopt(easy, CURLOPT_URL, text) == CURLE_OK;
}

static int smtp_open(void *self_, struct yarder_host *host)
{
    struct smtp *self = self_;
    self->host = host;
    int r = curl_client_open(&self->client, host, "smtp,smtps");
    if (r < 0) {
        return r;
    }
    CURL *easy = self->client.easy;
    bool good = set_url(self, easy);
    char from[512];
    (void)snprintf(from, sizeof(from), "<%s>", self->from);
    for (uint32_t i = 0; i < self->to.count; i++) {
        good = good && append(&self->recipients, self->to.at[i]);
    }
    curl_client_set_tls(&self->client, &self->tls);
    (void)curl_easy_setopt(
        easy, CURLOPT_USE_SSL, self->starttls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE);
    (void)curl_easy_setopt(easy, CURLOPT_MAIL_FROM, from);
    (void)curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, self->recipients);
    (void)curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, give_mail);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, self);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_reply);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, self);
    if (self->user != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, self->user);
        (void)curl_easy_setopt(
            easy, CURLOPT_PASSWORD, self->password == NULL ? "" : self->password);
    }
    self->style = (struct mail_style){.from = self->from,
        .to = self->to,
        .subject = self->subject,
        .hostname = host->hostname,
        .output = host->output_name};
    return good ? 0 : host->fail(host, -ENOMEM, "out of memory");
}

/*
 * How many items, from `first` on, go in one mail. One that was not answered for is made again of
 * the same records, whatever waits behind them by now, so that its Message-ID is the same.
 */
static uint32_t share_of(const struct smtp *self, const struct yarder_batch *batch, uint32_t first)
{
    uint32_t count = 1;
    size_t bytes = batch->items[first].text.length;
    const struct yarder_id id = batch->items[first].id;
    bool same = id.number == self->tried.number && id.epoch_ns == self->tried.epoch_ns;
    uint32_t most = same && self->tried_count > 0 ? self->tried_count : UINT32_MAX;
    while (self->batch && first + count < batch->count && count < most) {
        bytes += batch->items[first + count].text.length;
        if (bytes > self->mail_bytes) {
            break;
        }
        count++;
    }
    return count;
}

static int send_mail(
    struct smtp *self, struct yarder_item *items, uint32_t count, uint64_t deadline_ns)
{
    struct yarder_host *host = self->host;
    CURLcode result = CURLE_OK;
    char shown[URL_BYTES];
    long code = 0;
    bytes_clear(&self->mail);
    mail_put(&self->mail, &self->style, items, count, (int64_t)time(NULL));
    if (self->mail.lacks) {
        return host->fail(host, -ENOMEM, "a mail: out of memory");
    }
    self->read_bytes = 0;
    self->began = false;
    self->not_now = false;
    self->reply[0] = '\0';
    int r = curl_client_run(&self->client, deadline_ns, &result);
    if (r == -ECANCELED) {
        return r;
    }
    smtp_shown(self, shown, sizeof(shown));
    if (r < 0) {
        return host->fail(
            host, r, "%s: %s", shown, r == -ETIMEDOUT ? "no answer in time" : strerror(-r));
    }
    (void)curl_easy_getinfo(self->client.easy, CURLINFO_RESPONSE_CODE, &code);
    bool about_mail =
        result == CURLE_SEND_ERROR ||
        (self->began && (result == CURLE_WEIRD_SERVER_REPLY || result == CURLE_RECV_ERROR));
    bool about_us = code == 530 || code == 534 || code == 535 || code == 538; /* AUTH, STARTTLS */
    bool refused = result != CURLE_OK && about_mail && code >= 500 && code < 600 && !about_us &&
                   !self->not_now;
    if (result != CURLE_OK && !refused) {
        return host->fail(host, -EIO, "%s: %s%s%s", shown, curl_client_error(&self->client, result),
            self->reply[0] == '\0' ? "" : ": ", self->reply);
    }
    if (!refused && self->reply[0] != '\0') {
        (void)host->fail(
            host, -EADDRNOTAVAIL, "%s: one of to-address gets no mail: %s", shown, self->reply);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (refused) {
            host->refuse(host, &items[i], "the server answers %s", self->reply);
        } else {
            items[i].result = YARDER_DELIVERED;
        }
    }
    return 0;
}

static int smtp_submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct smtp *self = self_;
    int r = 0;
    for (uint32_t at = 0, count; at < batch->count && r == 0; at += count) {
        count = share_of(self, batch, at);
        self->tried = batch->items[at].id;
        self->tried_count = count;
        r = send_mail(self, &batch->items[at], count, deadline_ns);
    }
    return r;
}

static void smtp_close(void *self_)
{
    struct smtp *self = self_;
    curl_client_close(&self->client);
    curl_slist_free_all(self->recipients);
    curl_slist_free_all(self->connect_to);
    bytes_free(&self->mail);
}

static const struct yarder_option smtp_options[] = {
    {"from", YARDER_OPTION_TEXT, offsetof(struct smtp, from), NULL, 0, 0, NULL, NULL, "ADDRESS",
        "who the mail is from; must be given"},
    {"to-address", YARDER_OPTION_TEXTS, offsetof(struct smtp, to), NULL, 0, 0, NULL, NULL,
        "ADDRESS", "who gets it; must be given, may repeat"},
    {"subject", YARDER_OPTION_TEXT, offsetof(struct smtp, subject), "${level} at ${host}: ${msg}",
        0, 0, NULL, NULL, "TEXT",
        "may have ${level} ${host} ${logger} ${tag} ${msg} (of the first record) ${count} "
        "${output}"},
    {"batch", YARDER_OPTION_BOOL, offsetof(struct smtp, batch), "no", 0, 0, NULL, NULL, "yes|no",
        "one mail for all records that wait, instead of one for each"},
    {"mail-size", YARDER_OPTION_BYTES, offsetof(struct smtp, mail_bytes), "1M", 1, 1ull << 30, NULL,
        NULL, "SIZE", "with batch=yes: the most text in one mail"},
    {"user", YARDER_OPTION_TEXT, offsetof(struct smtp, user), NULL, 0, 0, NULL, NULL, "NAME",
        "who we are, for AUTH"},
    {"password", YARDER_OPTION_SECRET, offsetof(struct smtp, password), NULL, 0, 0, NULL, NULL,
        "file:PATH|env:NAME|TEXT", "the password of user"},
    {"starttls", YARDER_OPTION_BOOL, offsetof(struct smtp, starttls), "no", 0, 0, NULL, NULL,
        "yes|no", "TLS begins after EHLO; a server that has none gets no mail"},
    LINK_TLS_OPTIONS(struct smtp, tls),
    {.kind = YARDER_OPTION_END},
};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "smtp",
    .help = "smtp:[tls://]HOST[:PORT]: mail by SMTP",
    .means = YARDER_MEANS_ACKNOWLEDGED,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct smtp),
    .options = smtp_options,
    .target = smtp_target,
    .shown = smtp_shown,
    .check = smtp_check,
    .open = smtp_open,
    .submit = smtp_submit,
    .close = smtp_close,
};
