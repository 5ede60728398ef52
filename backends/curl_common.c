/* SPDX-License-Identifier: Apache-2.0 */
#include "curl_common.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"

enum { EVENTS_AT_ONCE = 8, MS_IN_NS = 1000000 };

/* curl says of which socket it wants to know what. */
static int watch(CURL *easy, curl_socket_t fd, int what, void *client_, void *known)
{
    (void)easy;
    struct curl_client *client = client_;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(client->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    event.events = ((what & CURL_POLL_IN) != 0 ? (uint32_t)EPOLLIN : 0) |
                   ((what & CURL_POLL_OUT) != 0 ? (uint32_t)EPOLLOUT : 0);
    (void)known;
    if (epoll_ctl(client->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0) {
        (void)epoll_ctl(client->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
    return 0;
}

static int set_timer(CURLM *multi, long timeout_ms, void *client_)
{
    (void)multi;
    struct curl_client *client = client_;
    client->timer_ns =
        timeout_ms < 0 ? UINT64_MAX : monotonic_ns() + (uint64_t)timeout_ms * MS_IN_NS;
    return 0;
}

enum { SOCKETS_MAX = sizeof(((struct curl_client *)NULL)->sockets) / sizeof(int) };

static void note_socket(struct curl_client *client, int before, int now)
{
    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (client->sockets[i] == before) {
            client->sockets[i] = now;
            return;
        }
    }
}

static curl_socket_t open_socket(void *client, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)purpose;
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    note_socket(client, -1, fd);
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int close_socket(void *client, curl_socket_t fd)
{
    note_socket(client, fd, -1);
    return close(fd);
}

/* A connection that is given up says no goodbye: curl would wait for the answer, for minutes. */
static void cut_off(struct curl_client *client)
{
    for (int i = 0; i < SOCKETS_MAX; i++) {
        if (client->sockets[i] >= 0) {
            (void)shutdown(client->sockets[i], SHUT_RDWR);
        }
    }
}

int curl_client_open(struct curl_client *client, struct yarder_host *host, const char *protocols)
{
    *client = (struct curl_client){
        .host = host, .epoll_fd = -1, .timer_ns = UINT64_MAX, .sockets = {-1, -1, -1, -1}};
    lines_block_sigpipe();
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return host->fail(host, -ENOMEM, "libcurl cannot be prepared");
    }
    client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (client->epoll_fd < 0 || client->multi == NULL || client->easy == NULL) {
        return host->fail(host, -ENOMEM, "libcurl cannot be prepared");
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, watch);
    (void)curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    (void)curl_easy_setopt(client->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(client->easy, CURLOPT_QUICK_EXIT, 1L); /* leaves a hung look-up behind */
    (void)curl_easy_setopt(client->easy, CURLOPT_PROTOCOLS_STR, protocols);
    (void)curl_easy_setopt(client->easy, CURLOPT_ERRORBUFFER, client->error);
    (void)curl_easy_setopt(client->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(client->easy, CURLOPT_OPENSOCKETDATA, client);
    (void)curl_easy_setopt(client->easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    (void)curl_easy_setopt(client->easy, CURLOPT_CLOSESOCKETDATA, client);
    (void)curl_easy_setopt(client->easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(client->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    return 0;
}

void curl_client_close(struct curl_client *client)
{
    if (client->host == NULL) {
        return;
    }
    cut_off(client);
    curl_easy_cleanup(client->easy);
    if (client->multi != NULL) {
        (void)curl_multi_cleanup(client->multi);
    }
    if (client->epoll_fd >= 0) {
        (void)close(client->epoll_fd);
    }
    curl_global_cleanup();
    client->host = NULL;
}

void curl_client_set_tls(struct curl_client *client, const struct link_tls *tls)
{
    CURL *easy = client->easy;
    struct stat facts;
    if (tls->cert != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, tls->cert);
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, tls->key != NULL ? tls->key : tls->cert);
    }
    if (tls->ca != NULL && stat(tls->ca, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, tls->ca);
    } else if (tls->ca != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca);
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* those alone */
    }
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, tls->verify != LINK_VERIFY_NONE ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, tls->verify == LINK_VERIFY_NAME ? 2L : 0L);
}

static bool is_done(struct curl_client *client, CURLcode *result)
{
    int left = 0;
    const CURLMsg *message;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        if (message->msg == CURLMSG_DONE) {
            *result = message->data.result;
            return true;
        }
    }
    return false;
}

static void serve_sockets(struct curl_client *client)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int running = 0;
    int count = epoll_wait(client->epoll_fd, events, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < count; i++) {
        uint32_t came = events[i].events;
        int mask = ((came & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                   ((came & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                   ((came & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
        (void)curl_multi_socket_action(client->multi, events[i].data.fd, mask, &running);
    }
}

static int run(struct curl_client *client, uint64_t deadline_ns, CURLcode *result)
{
    int running = 0;
    while (!is_done(client, result)) {
        uint64_t now_ns = monotonic_ns();
        if (now_ns >= deadline_ns) {
            return -ETIMEDOUT;
        }
        if (now_ns >= client->timer_ns) {
            client->timer_ns = UINT64_MAX;
            (void)curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
            continue;
        }
        uint64_t until_ns = client->timer_ns < deadline_ns ? client->timer_ns : deadline_ns;
        int r = client->host->wait(client->host, client->epoll_fd, POLLIN, until_ns);
        if (r < 0) {
            return r;
        }
        if (r > 0) {
            serve_sockets(client);
        }
    }
    return 0;
}

int curl_client_run(struct curl_client *client, uint64_t deadline_ns, CURLcode *result)
{
    client->error[0] = '\0';
    if (curl_multi_add_handle(client->multi, client->easy) != CURLM_OK) {
        return -ENOMEM;
    }
    int r = run(client, deadline_ns, result);
    if (r < 0) {
        cut_off(client);
    }
    (void)curl_multi_remove_handle(client->multi, client->easy);
    return r;
}

const char *curl_client_error(const struct curl_client *client, CURLcode result)
{
    long error = 0;
    (void)curl_easy_getinfo(client->easy, CURLINFO_OS_ERRNO, &error);
    if (result == CURLE_COULDNT_CONNECT && error > 0) {
        return strerror((int)error);
    }
    return client->error[0] != '\0' ? client->error : curl_easy_strerror(result);
}

const char *curl_client_show(struct yarder_text text, char *at, size_t room)
{
    size_t length = text.length < room - 1 ? text.length : room - 1;
    for (size_t i = 0; i < length; i++) {
        at[i] = text.at[i] >= 0x20 && text.at[i] < 0x7F ? text.at[i] : '?';
    }
    at[length] = '\0';
    return at;
}

void curl_client_hide(char *text, const char *secret)
{
    size_t length = secret == NULL ? 0 : strlen(secret);
    for (char *at = length > 0 ? strstr(text, secret) : NULL; at != NULL; at = strstr(at, secret)) {
        memset(at, '*', length);
        at += length;
    }
}
