/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis: a command to a redis server for each record, as uWSGI's redislog; pipelined, and each
 * reply is looked at. What is configured is here, the rest is told of in redis_private.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

enum { DATABASE_MAX = 1000000, WORD_BYTES_MAX = 64 };

static const char *const cluster_choices[] = {"auto", "no", NULL};

static const struct yarder_option options[] = {
    {"command", YARDER_OPTION_TEXT, offsetof(struct redis, command), NULL, 0, 0, NULL, NULL,
        "WORDS",
        "the command, without its last argument: rpush KEY, xadd KEY ${id} msg, "
        "publish CHANNEL; words may hold ${id} ${host} ${level} ${logger} ${tag} ..."},
    {"prefix", YARDER_OPTION_TEXT, offsetof(struct redis, prefix), NULL, 0, 0, NULL, NULL, "TEXT",
        "stands before each text in the last argument"},
    {"user", YARDER_OPTION_TEXT, offsetof(struct redis, user), NULL, 0, 0, NULL, NULL, "NAME",
        "ACL user to be, with the password"},
    {"password", YARDER_OPTION_SECRET, offsetof(struct redis, password), NULL, 0, 0, NULL, NULL,
        "TEXT|file:PATH|env:NAME", "sent on each connection"},
    {"db", YARDER_OPTION_COUNT, offsetof(struct redis, database), "0", 0, DATABASE_MAX, NULL, NULL,
        "NUMBER", "database to select"},
    {"cluster", YARDER_OPTION_CHOICE, offsetof(struct redis, cluster), "auto", 0, 0,
        cluster_choices, NULL, "auto|no", "whether to go where a cluster's node sends us"},
    LINK_TLS_OPTIONS(struct redis, tls),
    {NULL, YARDER_OPTION_END, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int read_database(struct redis *self, const char *text, char *why, size_t why_bytes)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number = digits > 0 && digits < 8 && text[digits] == '\0' ? strtoull(text, NULL, 10)
                                                                       : DATABASE_MAX + 1;
    if (number > DATABASE_MAX) {
        (void)snprintf(why, why_bytes, "expected HOST:PORT/DB with a number for DB");
        return -EINVAL;
    }
    self->target_database = number;
    return 0;
}

/*
 * "[SCHEME://][PASSWORD@]ADDRESS" becomes PASSWORD, a NUL, SCHEME and ADDRESS, in place: the two
 * pieces at the front change places. Returns where the scheme begins.
 */
static char *take_password(struct redis *self, char *text)
{
    char *colon = strstr(text, "://");
    char *rest = colon == NULL ? text : colon + 3;
    char *at = strstr(rest, "@/");
    if (at == NULL) {
        at = strrchr(rest, '@');
    }
    if (*rest == '/' || *rest == '@' || at == NULL || strncmp(text, "unix:", 5) == 0) {
        return text;
    }
    char scheme[WORD_BYTES_MAX];
    size_t scheme_bytes = (size_t)(rest - text);
    if (scheme_bytes > sizeof(scheme)) {
        return text;
    }
    size_t password_bytes = (size_t)(at - rest);
    memcpy(scheme, text, scheme_bytes);
    memmove(text, rest, password_bytes);
    text[password_bytes] = '\0';
    memcpy(text + password_bytes + 1, scheme, scheme_bytes);
    self->target_password = text;
    return text + password_bytes + 1;
}

static int take_target(void *self_, char *text, char *why, size_t why_bytes)
{
    struct redis *self = self_;
    text = take_password(self, text);
    char *colon = strstr(text, "://");
    char *rest = colon == NULL ? text : colon + 3;
    bool is_path = *rest == '/' || *rest == '@' || strncmp(text, "unix:", 5) == 0;
    char *slash = is_path ? NULL : strchr(rest, '/');
    if (slash != NULL) {
        *slash = '\0';
        if (read_database(self, slash + 1, why, why_bytes) < 0) {
            return -EINVAL;
        }
    }
    const struct link_form form = {LINK_TCP, LINK_UNIX_STREAM,
        LINK_BIT(LINK_TCP) | LINK_BIT(LINK_TLS) | LINK_BIT(LINK_UNIX_STREAM), "6379"};
    return link_parse(text, &form, &self->address, why, why_bytes);
}

static void show(const void *self_, char *at, size_t room)
{
    const struct redis *self = self_;
    (void)link_show(&self->address, at, room);
    size_t used = strlen(at);
    if (self->database != 0 && self->address.host != NULL) {
        (void)snprintf(at + used, room - used, "/%llu", (unsigned long long)self->database);
    }
}

static bool fits(const char *text)
{
    return text == NULL || strlen(text) <= REDIS_SECRET_BYTES_MAX;
}

static int check(void *self_, char *why, size_t why_bytes)
{
    static char push[] = "rpush yarder";
    struct redis *self = self_;
    if (self->command == NULL) {
        self->literal = self->uwsgi_command != NULL;
        self->command = self->literal ? self->uwsgi_command : push;
    }
    if (self->target_password != NULL && self->password != NULL &&
        self->target_password != self->password) {
        (void)snprintf(why, why_bytes, "a password in the target and in password=: give one");
        return -EINVAL;
    }
    self->password = self->target_password != NULL ? self->target_password : self->password;
    if (self->target_database != 0 && self->database != 0 &&
        self->target_database != self->database) {
        (void)snprintf(why, why_bytes, "a database in the target and another in db=: give one");
        return -EINVAL;
    }
    self->database = self->target_database != 0 ? self->target_database : self->database;
    if (self->user != NULL && self->password == NULL) {
        (void)snprintf(why, why_bytes, "user= goes with password=");
        return -EINVAL;
    }
    if (!fits(self->user) || !fits(self->password)) {
        (void)snprintf(
            why, why_bytes, "user and password: at most %d bytes each", REDIS_SECRET_BYTES_MAX);
        return -EINVAL;
    }
    if (link_check_tls(&self->address, &self->tls, why, why_bytes) < 0) {
        return -EINVAL;
    }
    struct redis_command *command = malloc(sizeof(*command));
    if (command == NULL) {
        return -ENOMEM;
    }
    int r = redis_command_compile(command, self->command, self->literal, why, why_bytes);
    free(command);
    return r;
}

/* redislog[:[PASSWORD@]ADDRESS[/DB][,COMMAND[,PREFIX]]]; the prefix may hold commas. */
static int take_uwsgi(void *self_, const char *name, char *argument, char *why, size_t why_bytes)
{
    static char host[] = "127.0.0.1", port[] = "6379", publish[] = "publish uwsgi";
    (void)name;
    struct redis *self = self_;
    self->uwsgi_command = publish;
    char *command = argument == NULL ? NULL : strchr(argument, ',');
    if (command != NULL) {
        *command++ = '\0';
        char *prefix = strchr(command, ',');
        if (prefix != NULL) {
            *prefix++ = '\0';
            self->prefix = prefix;
        }
        self->uwsgi_command = *command == '\0' ? publish : command;
    }
    if (argument == NULL || *argument == '\0') {
        self->address = (struct link_address){.kind = LINK_TCP, .host = host, .port = port};
        return 0;
    }
    return take_target(self, argument, why, why_bytes);
}

static int open_redis(void *self_, struct yarder_host *host)
{
    return redis_run_open(self_, host);
}

static int submit(void *self_, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct redis *self = self_;
    return redis_run_submit(self->run, batch, deadline_ns);
}

static void close_redis(void *self_)
{
    struct redis *self = self_;
    redis_run_close(self->run);
    self->run = NULL;
}

static const char *const uwsgi_names[] = {"redislog", NULL};

__attribute__((visibility("default"))) extern const struct yarder_backend yarder_backend;
const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "redis",
    .help = "redis:[PASSWORD@]HOST:PORT[/DB], tls://HOST:PORT, /PATH: commands to a redis server",
    .means = YARDER_MEANS_ACKNOWLEDGED,
    .flags = YARDER_BACKEND_TEXT | YARDER_BACKEND_FRAMED,
    .self_bytes = sizeof(struct redis),
    .options = options,
    .target = take_target,
    .shown = show,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = take_uwsgi,
    .open = open_redis,
    .submit = submit,
    .close = close_redis,
};
