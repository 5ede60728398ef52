/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/ask.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "control/settings.h"
#include "os/memory.h"

enum { ANSWER_BYTES_FIRST = 64 << 10, ANSWER_BYTES_MAX = 64 << 20 };

static int64_t now_ms(void)
{
    return os_monotonic_ns() / 1000000;
}

void ask_run_dir(const char *given, char *at, size_t room)
{
    struct settings *settings = NULL;
    at[0] = '\0';
    if (given != NULL) {
        (void)snprintf(at, room, "%s", given);
    } else if (settings_open(&settings) == 0) {
        (void)snprintf(at, room, "%s", settings->place.run_dir);
        settings_close(settings);
    }
}

/*
 * Where nobody named a place, a user's own may lie under /tmp, and anybody can be first there: only
 * root, or who we are ourselves, is believed. Root's own place is nobody else's to make.
 */
static bool is_trusted(int fd, const char *run_dir)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    return run_dir != NULL || getenv("YARDER_RUN_DIR") != NULL || geteuid() == 0 ||
           (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
               (peer.uid == 0 || peer.uid == geteuid()));
}

static int find_socket(const char *run_dir, char path[ASK_PATH_BYTES])
{
    char folder[ASK_PATH_BYTES];
    ask_run_dir(run_dir, folder, sizeof(folder));
    int length = snprintf(path, ASK_PATH_BYTES, "%s/control.sock", folder);
    return length < 0 || length >= ASK_PATH_BYTES ? -ENAMETOOLONG : 0;
}

static int connect_to(const char *path, int *out)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    _Static_assert(sizeof(address.sun_path) == ASK_PATH_BYTES, "a path fits");
    memcpy(address.sun_path, path, strlen(path) + 1);
    YARDER_OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = ASK_ANSWER_MS / 1000};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)) < 0) {
        return errno == EAGAIN ? -ETIMEDOUT : -errno; /* its backlog is full */
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

static int receive(int fd, char *at, size_t room, int64_t deadline_ms, size_t *out)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    int64_t left_ms = deadline_ms - now_ms();
    int r = left_ms <= 0 ? 0 : poll(&ready, 1, (int)left_ms);
    if (r == 0) {
        return -ETIMEDOUT;
    }
    ssize_t got = r < 0 ? -1 : recv(fd, at, room, MSG_DONTWAIT);
    if (got < 0) {
        *out = 0;
        return errno == EINTR || errno == EAGAIN ? 0 : -errno;
    }
    *out = (size_t)got;
    return got == 0 ? -ECONNRESET : 0; /* the daemon, or its worker, went away */
}

static int read_answer(int fd, char **out)
{
    int64_t deadline_ms = now_ms() + ASK_ANSWER_MS;
    size_t room = ANSWER_BYTES_FIRST;
    size_t used = 0;
    YARDER_OWN_HEAP char *answer = malloc(room);
    while (answer != NULL) {
        size_t got = 0;
        int r = receive(fd, answer + used, room - used - 1, deadline_ms, &got);
        if (r < 0) {
            return r;
        }
        char *end = memchr(answer + used, '\n', got);
        used += got;
        if (end != NULL) {
            *end = '\0';
            *out = yarder_heap_take(&answer);
            return 0;
        }
        if (used + 1 == room) {
            char *grown = room < ANSWER_BYTES_MAX ? realloc(answer, room * 2) : NULL;
            if (grown == NULL) {
                return -EBADMSG;
            }
            answer = grown;
            room *= 2;
        }
    }
    return -ENOMEM;
}

static int connect_trusted(const char *run_dir, const char *path, int *out)
{
    YARDER_OWN_FD int fd = -1;
    int r = connect_to(path, &fd);
    if (r < 0) {
        return r;
    }
    if (!is_trusted(fd, run_dir)) {
        return -EPERM;
    }
    *out = yarder_fd_take(&fd);
    return 0;
}

int ask_connect(const char *run_dir, char path[ASK_PATH_BYTES], int *out)
{
    int r = find_socket(run_dir, path);
    return r < 0 ? r : connect_trusted(run_dir, path, out);
}

/* A line of JSON; NULL without memory. */
static char *question(const char *word, const char *output)
{
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, "do", word);
    if (output != NULL) {
        (void)cJSON_AddStringToObject(json, "output", output);
    }
    char *text = cJSON_PrintUnformatted(json);
    size_t length = text == NULL ? 0 : strlen(text);
    char *line = text == NULL ? NULL : realloc(text, length + 2);
    cJSON_Delete(json);
    if (line == NULL) {
        free(text);
        return NULL;
    }
    memcpy(line + length, "\n", 2);
    return line;
}

static int ask_once(
    const char *run_dir, const char *path, const char *word, const char *output, cJSON **out)
{
    YARDER_OWN_FD int fd = -1;
    int r = connect_trusted(run_dir, path, &fd);
    if (r < 0) {
        return r;
    }
    YARDER_OWN_HEAP char *line = question(word, output);
    if (line == NULL) {
        return -ENOMEM;
    }
    size_t length = strlen(line);
    if (send(fd, line, length, MSG_NOSIGNAL) != (ssize_t)length) {
        return errno == EPIPE ? -ECONNRESET : -errno;
    }
    YARDER_OWN_HEAP char *answer = NULL;
    r = read_answer(fd, &answer);
    if (r < 0) {
        return r;
    }
    cJSON *json = cJSON_Parse(answer);
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return -EBADMSG;
    }
    *out = json;
    return 0;
}

static int ask_of(const char *run_dir, const char *word, const char *output, cJSON **out,
    char path[ASK_PATH_BYTES])
{
    const struct timespec pause = {.tv_nsec = 20000000};
    int64_t deadline_ms = now_ms() + ASK_ANSWER_MS;
    int r = find_socket(run_dir, path);
    if (r < 0) {
        return r;
    }
    do { /* a worker that died with the question has a successor in a moment */
        r = ask_once(run_dir, path, word, output, out);
    } while (r == -ECONNRESET && now_ms() < deadline_ms && nanosleep(&pause, NULL) == 0);
    return r;
}

int ask(const char *run_dir, const char *word, cJSON **out, char path[ASK_PATH_BYTES])
{
    return ask_of(run_dir, word, NULL, out, path);
}

/* Who may ask is the socket's owner and, if its mode says so, its group; root in any case. */
static void tell_refused(const struct cli *cli, const char *where)
{
    struct stat facts;
    if (stat(where, &facts) < 0) {
        cli_say(cli, "%s: permission denied; ask as root or as the daemon's user", where);
        return;
    }
    const struct passwd *user = getpwuid(facts.st_uid);
    const struct group *group = getgrgid(facts.st_gid);
    bool for_group = (facts.st_mode & S_IWGRP) != 0 && group != NULL;
    cli_say(cli, "%s: permission denied; ask as root%s%s%s%s", where,
        user != NULL && facts.st_uid != 0 ? " or user " : "",
        user != NULL && facts.st_uid != 0 ? user->pw_name : "",
        for_group ? " or as a member of group " : "", for_group ? group->gr_name : "");
}

int ask_tell(const struct cli *cli, int error, const char *where)
{
    if (error == -ENOENT || error == -ECONNREFUSED) {
        cli_say(cli,
            "no daemon at %s; start one with yarder run, or name its folder with --run-dir", where);
        return CLI_NO_DAEMON;
    }
    if (error == -EACCES) {
        tell_refused(cli, where);
    } else if (error == -EPERM) {
        cli_say(cli,
            "%s: somebody else answers there, neither root nor you; name the daemon's "
            "folder with --run-dir",
            where);
    } else if (error == -ETIMEDOUT) {
        cli_say(cli, "%s: the daemon does not answer", where);
    } else if (error == -ENAMETOOLONG) {
        cli_say(cli, "%s...: the run directory's path is too long for a socket", where);
    } else {
        cli_say(cli, "%s: %s", where, strerror(-error));
    }
    return CLI_FAILED;
}

int ask_state_dir(const char *given, const char *run_dir, char *at, size_t room)
{
    char path[ASK_PATH_BYTES];
    cJSON *report = NULL;
    struct settings *settings = NULL;
    int r = 0;
    if (given == NULL && ask(run_dir, "status", &report, path) == 0) {
        given = ask_text(report, "state_dir");
    }
    if (given == NULL || given[0] == '\0') {
        r = settings_open(&settings);
        given = r == 0 ? settings->place.state_dir : "";
    }
    if (r == 0 && snprintf(at, room, "%s", given) >= (int)room) {
        r = -ENAMETOOLONG;
    }
    settings_close(settings);
    cJSON_Delete(report);
    return r;
}

int ask_or_tell_of(
    const struct cli *cli, const char *run_dir, const char *word, const char *output, cJSON **out)
{
    char path[ASK_PATH_BYTES];
    int r = ask_of(run_dir, word, output, out, path);
    if (r < 0) {
        return ask_tell(cli, r, path);
    }
    const char *error = ask_text(*out, "error");
    if (error[0] != '\0') {
        cli_say(cli, "%s", error);
        cJSON_Delete(*out);
        *out = NULL;
        return CLI_FAILED;
    }
    return CLI_GO_ON;
}

int ask_or_tell(const struct cli *cli, const char *run_dir, const char *word, cJSON **out)
{
    return ask_or_tell_of(cli, run_dir, word, NULL, out);
}

uint64_t ask_number(const cJSON *object, const char *name)
{
    static const double most = 18446744073709549568.0; /* the last double below 2^64 */
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0)) {
        return 0;
    }
    return item->valuedouble > most ? UINT64_MAX : (uint64_t)item->valuedouble;
}

const char *ask_text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    return cJSON_IsString(item) ? item->valuestring : "";
}
