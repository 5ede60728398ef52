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

static const char *const cluster_choices[] = {"auto", "no", NULL};

static const struct yarder_option options[] = {
    {"command", YARDER_OPTION_TEXT, offsetof(struct redis, command), NULL, 0, 0, NULL, NULL,
        "WORDS",
        "the command, without its last argument: rpush KEY, xadd KEY ${id} msg, "
        "publish CHANNEL; words may hold ${id} ${host} ${level} ${logger} ${tag} ..."},
    {"prefix", YARDER_OPTION_TEXT, offsetof(struct redis, prefix), NULL, 0, 0, NULL, NULL, "TEXT",
        "stands before each text in the last argument"},
    REDIS_LOGIN_OPTIONS(struct redis, user, password, database),
    {"cluster", YARDER_OPTION_CHOICE, offsetof(struct redis, cluster), "auto", 0, 0,
        cluster_choices, NULL, "auto|no", "whether to go where a cluster's node sends us"},
    LINK_TLS_OPTIONS(struct redis, tls),
    {NULL, YARDER_OPTION_END, 0, NULL, 0, 0, NULL, NULL, NULL, NULL},
};

static int check(void *self_, char *why, size_t why_bytes)
{
    static char push[] = "rpush yarder";
    struct redis *self = self_;
    if (self->command == NULL) {
        self->literal = self->uwsgi_command != NULL;
        self->command = self->literal ? self->uwsgi_command : push;
    }
    if (redis_check_login(self, why, why_bytes) < 0) {
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
    return redis_take_target(self, argument, why, why_bytes);
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
    .target = redis_take_target,
    .shown = redis_show,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = take_uwsgi,
    .open = open_redis,
    .submit = submit,
    .close = close_redis,
};
