/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of TLS share: the session, and its troubles in words. */
#ifndef YARDER_BACKENDS_LINK_TLS_PRIVATE_H
#define YARDER_BACKENDS_LINK_TLS_PRIVATE_H

#include <openssl/ssl.h>

#include "link_private.h"

enum { LINK_WHY_BYTES = 512 };

struct link_secure {
    SSL_CTX *context;
    BIO_METHOD *method;
    SSL *ssl;                 /* NULL: not connected */
    bool asked;               /* the peer wants to see a certificate */
    bool ended;               /* the last read found the end */
    int error;                /* errno of the last read or write; 0: it worked */
    char why[LINK_WHY_BYTES]; /* of a certificate that was not accepted */
    char chunk[LINK_CHUNK_BYTES];
};

static inline enum link_verify link_tls_verify(const struct link *link)
{
    return link->tls != NULL ? (enum link_verify)link->tls->verify : LINK_VERIFY_NAME;
}
static inline char *link_tls_name(const struct link *link)
{
    bool given = link->tls != NULL && link->tls->servername != NULL;
    return given ? link->tls->servername : link->address->host;
}

/* Of OpenSSL, for each fault in the peer's chain: notes it in words, and changes nothing. */
int link_tls_on_verify(int good, X509_STORE_CTX *store);
/* Tells why the last call failed. -errno. */
int link_tls_tell(struct link *link, const char *what);
/* Tells why the file of an option could not be loaded. -EINVAL. */
int link_tls_tell_file(struct link *link, const char *option, const char *path);

#endif
