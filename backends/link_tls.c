/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS by OpenSSL 3, TLS 1.2 at least. The session reads and writes by a BIO of ours: OpenSSL's own
 * writes without MSG_NOSIGNAL, and a signal is the process's. A certificate and its key are read
 * anew for each connection, since they are often made to last for days.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "link_tls_private.h"

enum { REST_READS_MAX = 64 };
const bool link_has_tls = true;
static const uint64_t verdict_ns = 500ull * 1000 * 1000;

static struct link *link_of(BIO *bio)
{
    return BIO_get_data(bio);
}

static int bio_write(BIO *bio, const char *at, int bytes)
{
    struct link *link = link_of(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = send(link->fd, at, (size_t)bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    link->secure->error = n < 0 ? errno : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_write(bio);
    }
    return (int)n;
}

static int bio_read(BIO *bio, char *at, int room)
{
    struct link *link = link_of(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = recv(link->fd, at, (size_t)room, MSG_DONTWAIT);
    link->secure->error = n < 0 ? errno : 0;
    link->secure->ended = n == 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        BIO_set_retry_read(bio);
    }
    return (int)n;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF) {
        return link_of(bio)->secure->ended;
    }
    return command == BIO_CTRL_FLUSH;
}

/* Whoever is asked for a password of a key: nobody is there to answer. */
static int no_password(char *at, int room, int writing, void *unused)
{
    (void)at;
    (void)room;
    (void)writing;
    (void)unused;
    return -1;
}

static int load_trust(struct link *link, SSL_CTX *context)
{
    const char *ca = link->tls != NULL ? link->tls->ca : NULL;
    if (ca == NULL) {
        return SSL_CTX_set_default_verify_paths(context) == 1
                   ? 0
                   : link_tls_tell_file(link, "ca", "the system's");
    }
    struct stat about;
    bool folder = stat(ca, &about) == 0 && S_ISDIR(about.st_mode);
    int good =
        folder ? SSL_CTX_load_verify_dir(context, ca) : SSL_CTX_load_verify_file(context, ca);
    return good == 1 ? 0 : link_tls_tell_file(link, "ca", ca);
}

static int load_ours(struct link *link, SSL *ssl)
{
    const struct link_tls *tls = link->tls;
    if (tls == NULL || tls->cert == NULL) {
        return 0;
    }
    const char *key = tls->key != NULL ? tls->key : tls->cert;
    if (SSL_use_certificate_chain_file(ssl, tls->cert) != 1) {
        return link_tls_tell_file(link, "cert", tls->cert);
    }
    return SSL_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) == 1
               ? 0
               : link_tls_tell_file(link, "key", key);
}

static int note_request(SSL *ssl, void *link)
{
    (void)ssl;
    ((struct link *)link)->secure->asked = true;
    return 1;
}

static int set_name(struct link *link, SSL *ssl)
{
    char *name = link_tls_name(link);
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    enum link_verify verify = link_tls_verify(link);
    bool number = X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    if (number && verify != LINK_VERIFY_NAME) {
        (void)X509_VERIFY_PARAM_set1_ip(param, NULL, 0);
    }
    bool good = number || SSL_set_tlsext_host_name(ssl, name) == 1;
    if (good && !number && verify == LINK_VERIFY_NAME) {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        good = X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
    }
    return good ? 0
                : link->host->fail(
                      link->host, -EINVAL, "%s: no name for TLS: %s", link->shown, name);
}

static int open_session(struct link *link)
{
    struct link_secure *secure = link->secure;
    ERR_clear_error();
    SSL *ssl = SSL_new(secure->context);
    BIO *bio = ssl != NULL ? BIO_new(secure->method) : NULL;
    if (bio == NULL) {
        SSL_free(ssl);
        return link->host->fail(link->host, -ENOMEM, "%s: no memory for TLS", link->shown);
    }
    BIO_set_data(bio, link);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    SSL_set_app_data(ssl, link);
    SSL_set_connect_state(ssl);
    SSL_set_cert_cb(ssl, note_request, link);
    SSL_set_verify(ssl,
        link_tls_verify(link) == LINK_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
        link_tls_on_verify);
    secure->ssl = ssl;
    secure->asked = false;
    secure->ended = false;
    secure->why[0] = '\0';
    int r = load_ours(link, ssl);
    r = r == 0 ? set_name(link, ssl) : r;
    if (r < 0) {
        link_tls_stop(link);
    }
    return r;
}

static int open_context(struct link *link)
{
    struct link_secure *secure = link->secure;
    secure->context = SSL_CTX_new(TLS_client_method());
    secure->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "link");
    if (secure->context == NULL || secure->method == NULL) {
        return link->host->fail(link->host, -ENOMEM, "%s: no memory for TLS", link->shown);
    }
    (void)BIO_meth_set_write(secure->method, bio_write);
    (void)BIO_meth_set_read(secure->method, bio_read);
    (void)BIO_meth_set_ctrl(secure->method, bio_control);
    (void)SSL_CTX_set_min_proto_version(secure->context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(secure->context, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_mode(
        secure->context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_default_passwd_cb(secure->context, no_password);
    return link_tls_verify(link) == LINK_VERIFY_NONE ? 0 : load_trust(link, secure->context);
}

int link_tls_open(struct link *link)
{
    /* The daemon's threads may still be here when it exits. */
    (void)OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL);
    ERR_clear_error();
    link->secure = calloc(1, sizeof(*link->secure));
    if (link->secure == NULL) {
        return link->host->fail(link->host, -ENOMEM, "%s: no memory for TLS", link->shown);
    }
    int r = open_context(link);
    r = r == 0 ? open_session(link) : r; /* files that cannot be loaded are told of early */
    link_tls_stop(link);
    return r;
}

void link_tls_close(struct link *link)
{
    if (link->secure != NULL) {
        SSL_CTX_free(link->secure->context);
        BIO_meth_free(link->secure->method);
        free(link->secure);
        link->secure = NULL;
    }
}

void link_tls_stop(struct link *link)
{
    struct link_secure *secure = link->secure;
    if (secure == NULL || secure->ssl == NULL) {
        return;
    }
    if (link->fd >= 0 && SSL_is_init_finished(secure->ssl)) {
        char rest[1024];
        ERR_clear_error();
        (void)SSL_shutdown(secure->ssl);
        for (int i = 0; i < REST_READS_MAX && SSL_read(secure->ssl, rest, sizeof(rest)) > 0; i++) {
            /* else closing would reset the connection: link_drop */
        }
    }
    SSL_free(secure->ssl);
    ERR_clear_error();
    secure->ssl = NULL;
}

/* -EAGAIN and *events, or what went wrong, told. */
static int answer(struct link *link, const char *what, int result, short *events)
{
    int error = SSL_get_error(link->secure->ssl, result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        *events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
        return -EAGAIN;
    }
    return link_tls_tell(link, what);
}

/*
 * In TLS 1.3 a client is done before the server has looked at its certificate. Its answer is either
 * tickets or an alert, and what was sent before an alert is lost.
 */
static int await_verdict(struct link *link, uint64_t deadline_ns)
{
    if (!link->secure->asked || SSL_version(link->secure->ssl) < TLS1_3_VERSION) {
        return 0;
    }
    uint64_t until_ns = link_now_ns() + verdict_ns;
    int r = link_wait(link, link->fd, POLLIN, until_ns < deadline_ns ? until_ns : deadline_ns);
    if (r == -ETIMEDOUT) {
        return 0;
    }
    char byte;
    short events = 0;
    ssize_t n = r == 0 ? link_tls_receive(link, &byte, 1, true, &events) : r;
    return n >= 0 || n == -EAGAIN ? 0 : (int)n;
}

int link_tls_start(struct link *link, uint64_t deadline_ns)
{
    int r = open_session(link);
    while (r == 0) {
        short events = 0;
        ERR_clear_error();
        int done = SSL_do_handshake(link->secure->ssl);
        if (done == 1) {
            return await_verdict(link, deadline_ns);
        }
        r = answer(link, "TLS", done, &events);
        if (r == -EAGAIN) {
            r = link_wait(link, link->fd, events, deadline_ns);
            r = r == -ETIMEDOUT ? link_late(link, "TLS: no answer; does it speak TLS there?") : r;
        }
    }
    return r;
}

ssize_t link_tls_send(struct link *link, const void *at, size_t bytes, short *events)
{
    size_t sent = 0;
    ERR_clear_error();
    int result = SSL_write_ex(link->secure->ssl, at, bytes, &sent);
    return result == 1 ? (ssize_t)sent : answer(link, "send", result, events);
}

ssize_t link_tls_receive(struct link *link, void *at, size_t room, bool peek, short *events)
{
    SSL *ssl = link->secure->ssl;
    size_t got = 0;
    ERR_clear_error();
    int result = peek ? SSL_peek_ex(ssl, at, room, &got) : SSL_read_ex(ssl, at, room, &got);
    if (result == 1) {
        return (ssize_t)got;
    }
    bool end = SSL_get_error(ssl, result) == SSL_ERROR_ZERO_RETURN ||
               ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    return end ? 0 : answer(link, "receive", result, events);
}

char *link_tls_chunk(struct link *link)
{
    return link->secure->chunk;
}
