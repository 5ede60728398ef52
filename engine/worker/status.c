/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control thread: answers on the control socket, a line of JSON in, a line of JSON out
 * (docs/control.md). It reads commits of the hold as any other process could, and never touches
 * what the writer owns; a slow or silent client delays only other clients.
 */
#include <cjson/cJSON.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/report.h"
#include "worker/worker_private.h"

enum { REQUEST_BYTES_MAX = 4096, CLIENT_WAIT_MS = 2000, STACK_BYTES = 512 << 10 };

struct status {
    struct worker *worker; /* only what never changes after setup, and lane_stuck_ns */
    struct hold *hold;     /* a view of our own */
    int control_fd;
    int stop_fd;
    pthread_t thread;
};

static bool read_line(int fd, int stop_fd, char *line, size_t room)
{
    size_t used = 0;
    while (used + 1 < room) {
        struct pollfd ready[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
        if (poll(ready, 2, CLIENT_WAIT_MS) <= 0 || ready[1].revents != 0) {
            return false;
        }
        ssize_t r = recv(fd, line + used, room - 1 - used, MSG_DONTWAIT);
        if (r <= 0) {
            return false;
        }
        used += (size_t)r;
        char *end = memchr(line, '\n', used);
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

static void send_line(int fd, const char *text)
{
    size_t left = strlen(text);
    while (left > 0) {
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        if (poll(&ready, 1, CLIENT_WAIT_MS) <= 0) {
            return;
        }
        ssize_t r = send(fd, text, left, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r <= 0) {
            return;
        }
        text += r;
        left -= (size_t)r;
    }
    (void)send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static cJSON *forward(struct status *status, enum channel_kind kind)
{
    const struct channel_message message = channel_message_of(kind, 0, 0);
    const struct board *board = status->worker->board;
    /* Looked at before it is asked for: a configuration with an error is done in no time. */
    uint64_t done = board == NULL ? 0 : __atomic_load_n(&board->reloads_done, __ATOMIC_ACQUIRE);
    int r = channel_send(status->worker->channel_fd, &message, 1000);
    cJSON *answer = cJSON_CreateObject();
    if (r < 0) {
        (void)cJSON_AddStringToObject(answer, "error", "the supervisor does not answer");
    } else {
        (void)cJSON_AddNumberToObject(answer, "reloads", (double)done);
    }
    return answer;
}

static cJSON *answer_to(struct status *status, const char *line)
{
    cJSON *request = cJSON_Parse(line);
    const cJSON *what = cJSON_GetObjectItemCaseSensitive(request, "do");
    const char *word = cJSON_IsString(what) ? what->valuestring : "";
    cJSON *answer = NULL;
    if (strcmp(word, "status") == 0) {
        int r = hold_snapshot(status->hold);
        answer = r < 0
                     ? NULL
                     : report_status(status->hold, status->worker->config, status->worker->outputs,
                           status->worker->board, io_name(status->worker->io));
    } else if (strcmp(word, "reload") == 0) {
        answer = forward(status, CHANNEL_RELOAD);
    } else if (strcmp(word, "reopen") == 0) {
        answer = forward(status, CHANNEL_REOPEN);
    } else {
        answer = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(answer, "error",
            "not understood: expected {\"do\":\"status\"}, {\"do\":\"reload\"} or "
            "{\"do\":\"reopen\"}");
    }
    cJSON_Delete(request);
    return answer;
}

static void serve(struct status *status, int client)
{
    char line[REQUEST_BYTES_MAX];
    while (read_line(client, status->stop_fd, line, sizeof(line))) {
        cJSON *answer = answer_to(status, line);
        char *text = cJSON_PrintUnformatted(answer);
        cJSON_Delete(answer);
        if (text == NULL) {
            return;
        }
        send_line(client, text);
        cJSON_free(text);
    }
}

static void *control_thread(void *argument)
{
    struct status *status = argument;
    (void)pthread_setname_np(pthread_self(), "control");
    for (;;) {
        struct pollfd ready[] = {{.fd = status->control_fd, .events = POLLIN},
            {.fd = status->stop_fd, .events = POLLIN}};
        (void)poll(ready, 2, -1);
        if (ready[1].revents != 0) {
            return NULL;
        }
        int client = accept4(status->control_fd, NULL, NULL, SOCK_CLOEXEC);
        if (client >= 0) {
            serve(status, client);
            (void)close(client);
        }
    }
}

static int thread_start(struct status *status)
{
    pthread_attr_t attributes;
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = -pthread_create(&status->thread, &attributes, control_thread, status);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return r;
}

int status_open(struct worker *worker, int control_fd)
{
    YARDER_OWN_HEAP struct status *status = calloc(1, sizeof(*status));
    if (status == NULL) {
        return -ENOMEM;
    }
    *status = (struct status){.worker = worker, .control_fd = control_fd};
    int r = hold_open(&status->hold, worker->hold_fd);
    status->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (r == 0 && status->stop_fd < 0) {
        r = -errno;
    }
    if (r == 0) {
        r = thread_start(status);
    }
    if (r == 0) {
        worker->status = yarder_heap_take(&status);
    }
    return r;
}

void status_stop(struct status *status)
{
    const uint64_t one = 1;
    if (status != NULL) {
        (void)!write(status->stop_fd, &one, sizeof(one));
    }
}

void status_close(struct status *status)
{
    if (status == NULL) {
        return;
    }
    status_stop(status);
    (void)pthread_join(status->thread, NULL);
    hold_close(status->hold);
    free(status);
}
