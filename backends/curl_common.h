/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers by libcurl that wait by host->wait: its sockets stand in an epoll set, which is the one
 * descriptor that the host waits for. One transfer at a time; connections are kept for the next.
 */
#ifndef YARDER_BACKENDS_CURL_COMMON_H
#define YARDER_BACKENDS_CURL_COMMON_H

#include <curl/curl.h>

#include "bytes.h"
#include "link.h"

struct curl_client {
    struct yarder_host *host;
    CURLM *multi;
    CURL *easy;
    int epoll_fd;
    uint64_t timer_ns; /* when curl wants to be called; UINT64_MAX: not at all */
    int sockets[4];    /* its connections, -1: none */
    char error[CURL_ERROR_SIZE];
};

/* 0 or -errno, told by host->fail. */
int curl_client_open(struct curl_client *client, struct yarder_host *host, const char *protocols);
void curl_client_close(struct curl_client *client);
void curl_client_set_tls(struct curl_client *client, const struct link_tls *tls);
/*
 * Runs the transfer that `easy` describes. 0 when curl has come to an end, good or bad: *result;
 * else -ETIMEDOUT, -ECANCELED or -ENOMEM. Nothing is told by host->fail.
 */
int curl_client_run(struct curl_client *client, uint64_t deadline_ns, CURLcode *result);
/* What curl said of the last transfer. */
const char *curl_client_error(const struct curl_client *client, CURLcode result);

/* One line that may be shown: at most `room` - 1 bytes of it, others than printable ones as '?'. */
const char *curl_client_show(struct yarder_text text, char *at, size_t room);
/* Puts stars over what of the shown text is a secret of ours; NULL is none. */
void curl_client_hide(char *text, const char *secret);

#endif
