/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a simple logger of uWSGI's needs of its uwsgi.h, so that its source becomes a module of
 * yarder's as it stands:
 *
 *     cc -shared -fPIC -I PREFIX/include/yarder/uwsgi mylog.c -o mylog_plugin.so
 *     plugin = /path/to/mylog_plugin.so         (in yarder.conf; the symbol is the file's name)
 *     logger = mylog:ARGUMENT                   (or output = mylog:ARGUMENT)
 *
 * The function gets what it gets from uWSGI: one message with its newline, one call at a time,
 * whichever of its loggers it is for. Two things are better: a negative result makes the message be
 * tried again, and exit() ends that try alone. uwsgi.original_log_fd is the file of `logto`, else
 * the daemon's standard output.
 */
#ifndef YARDER_API_UWSGI_UWSGI_H
#define YARDER_API_UWSGI_UWSGI_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../backend.h"

#pragma GCC system_header /* whatever warnings the plugin is built with */

/* Once for each module, however many files it is made of. */
#define UWSGI_SHIM   __attribute__((weak, visibility("hidden")))
#define UWSGI_EXPORT __attribute__((weak, visibility("default")))

struct uwsgi_option;
struct uwsgi_plugin {
    const char *name;
    const char *alias;
    uint8_t modifier1;
    void *data;
    void (*on_load)(void);
    int (*init)(void);
    struct uwsgi_option *options;
};

struct uwsgi_logger {
    char *name;
    char *id;
    ssize_t (*func)(struct uwsgi_logger *, char *, size_t);
    int configured;
    int fd;
    void *data;
    struct sockaddr_storage addr;
    socklen_t addr_len;
    int count;
    struct msghdr msg;
    char *buf;
    char *arg;
    struct uwsgi_logger *next;
};

struct uwsgi_server {
    int original_log_fd;
    char *hostname;
    int hostname_len;
    pid_t mypid;
};
UWSGI_SHIM struct uwsgi_server uwsgi;

/* Of one output. */
struct uwsgi_shim_self {
    char *logto;
    int log_fd; /* of logto; -1: standard output is it */
    struct yarder_host *host;
    struct uwsgi_logger logger;
    char *message;
    size_t message_room;
};

/* Of the module. */
struct uwsgi_shim_state {
    ssize_t (*func)(struct uwsgi_logger *, char *, size_t);
    const char *names[2];
    int registered;
    pthread_mutex_t lock;     /* uWSGI calls from one thread */
    struct yarder_host *host; /* of the call that is being made */
    bool said;                /* that call has told what is wrong */
    jmp_buf out;
};
UWSGI_SHIM struct uwsgi_shim_state uwsgi_shim_state = {.lock = PTHREAD_MUTEX_INITIALIZER};

UWSGI_SHIM void uwsgi_register_logger(
    char *name, ssize_t (*func)(struct uwsgi_logger *, char *, size_t))
{
    uwsgi_shim_state.names[0] = name;
    uwsgi_shim_state.func = func;
    uwsgi_shim_state.registered++;
}

UWSGI_SHIM __attribute__((format(printf, 1, 2))) void uwsgi_log(const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    text[strcspn(text, "\n")] = '\0';
    if (uwsgi_shim_state.host != NULL) {
        uwsgi_shim_state.said = true;
        (void)uwsgi_shim_state.host->fail(uwsgi_shim_state.host, -EIO, "%s", text);
    }
}
#define uwsgi_log_verbose uwsgi_log
#define uwsgi_error(what)                                                                          \
    uwsgi_log("%s: %s [%s line %d]", what, strerror(errno), __FILE__, __LINE__)
#define uwsgi_error_open(p) uwsgi_log("open(\"%s\"): %s", p, strerror(errno))

UWSGI_SHIM __attribute__((noreturn)) void uwsgi_shim_exit(int status)
{
    (void)status;
    longjmp(uwsgi_shim_state.out, 1);
}
#define exit(status) uwsgi_shim_exit(status)

UWSGI_SHIM void *uwsgi_calloc(size_t bytes)
{
    void *taken = calloc(1, bytes);
    if (taken == NULL) {
        uwsgi_error("calloc()");
        exit(1);
    }
    return taken;
}
#define uwsgi_malloc(bytes) uwsgi_calloc(bytes)

UWSGI_SHIM char *uwsgi_str(char *text)
{
    size_t bytes = strlen(text) + 1;
    return (char *)memcpy(uwsgi_calloc(bytes), text, bytes);
}

UWSGI_SHIM time_t uwsgi_now(void)
{
    return time(NULL);
}

#include "shim.h"

#endif
