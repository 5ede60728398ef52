/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with TLS, in words for those who have to mend it. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "link_tls_private.h"

enum { NAMES_BYTES = 256, DATE_BYTES = 32 };

static void add_name(char *at, size_t room, const char *name, size_t length)
{
    size_t used = strlen(at);
    for (size_t i = 0; i < length; i++) { /* it comes from the peer, and goes to a terminal */
        length = (unsigned char)name[i] <= ' ' || (unsigned char)name[i] >= 127 ? i : length;
    }
    if (length > 0) {
        (void)snprintf(at + used, room - used, "%s%.*s", used > 0 ? ", " : "", (int)length, name);
    }
}

/* Whom a certificate is for: its alternative names, else its common name. */
static void names_of(X509 *certificate, char *at, size_t room)
{
    at[0] = '\0';
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type = 0;
        const ASN1_STRING *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        if (type != GEN_DNS && type != GEN_IPADD) {
            continue;
        }
        const unsigned char *bytes = ASN1_STRING_get0_data(value);
        int length = ASN1_STRING_length(value);
        char number[INET6_ADDRSTRLEN] = "";
        if (type == GEN_DNS) {
            add_name(at, room, (const char *)bytes, (size_t)length);
        } else if (length == 4 || length == 16) {
            (void)inet_ntop(length == 4 ? AF_INET : AF_INET6, bytes, number, sizeof(number));
            add_name(at, room, number, strlen(number));
        }
    }
    GENERAL_NAMES_free(names);
    if (at[0] == '\0') {
        char common[NAMES_BYTES] = "";
        (void)X509_NAME_get_text_by_NID(
            X509_get_subject_name(certificate), NID_commonName, common, sizeof(common));
        add_name(at, room, common, strlen(common));
    }
    if (at[0] == '\0') {
        (void)snprintf(at, room, "nobody");
    }
}

static void date_of(const ASN1_TIME *time, char *at, size_t room)
{
    struct tm day;
    at[0] = '\0';
    if (time != NULL && ASN1_TIME_to_tm(time, &day) == 1) {
        (void)snprintf(
            at, room, " (%04d-%02d-%02d)", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
    }
}

int link_tls_on_verify(int good, X509_STORE_CTX *store)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    const struct link *link = ssl != NULL ? SSL_get_app_data(ssl) : NULL;
    if (good == 1 || link == NULL || link_tls_verify(link) == LINK_VERIFY_NONE) {
        return good;
    }
    char *why = link->secure->why;
    char names[NAMES_BYTES] = "", date[DATE_BYTES] = "";
    int error = X509_STORE_CTX_get_error(store);
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    if (certificate != NULL) {
        names_of(certificate, names, sizeof(names));
    }
    if (error == X509_V_ERR_HOSTNAME_MISMATCH || error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
        (void)snprintf(why, LINK_WHY_BYTES,
            "certificate is for %s, not %s; servername= says which name to expect", names,
            link_tls_name(link));
        return good;
    }
    bool trust = error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
                 error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
                 error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
                 error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
    if (certificate != NULL && error == X509_V_ERR_CERT_HAS_EXPIRED) {
        date_of(X509_get0_notAfter(certificate), date, sizeof(date));
    } else if (certificate != NULL && error == X509_V_ERR_CERT_NOT_YET_VALID) {
        date_of(X509_get0_notBefore(certificate), date, sizeof(date));
    }
    (void)snprintf(why, LINK_WHY_BYTES, "certificate of %s: %s%s%s", names,
        X509_verify_cert_error_string(error), date, trust ? "; ca= says whom to trust" : "");
    return good;
}

/* The first thing that OpenSSL complains of: the rest follows from it. */
static const char *reason_of(unsigned long code)
{
    int reason = ERR_GET_REASON(code);
    if (ERR_SYSTEM_ERROR(code)) {
        return link_error_text(reason);
    }
    if (reason == SSL_R_WRONG_VERSION_NUMBER) {
        return "wrong version number; does it speak TLS there?";
    }
    const char *text = ERR_reason_error_string(code);
    return text != NULL ? text : "failed";
}

int link_tls_tell(struct link *link, const char *what)
{
    struct link_secure *secure = link->secure;
    const char *name = link->shown;
    struct yarder_host *host = link->host;
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_REASON(code);
    if (secure->why[0] != '\0' && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        return host->fail(host, -EPROTO, "TLS with %s: %s", name, secure->why);
    }
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET) {
        int alert = reason - SSL_AD_REASON_OFFSET;
        return host->fail(host, -EPROTO, "TLS with %s: the peer refuses: %s", name,
            alert == SSL_AD_CERTIFICATE_REQUIRED ? "it wants a certificate; cert= says which"
                                                 : SSL_alert_desc_string_long(alert));
    }
    if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || secure->ended) {
        return host->fail(host, -EPIPE, "%s: %s: the peer has closed the connection", name, what);
    }
    if (code == 0) {
        int error = secure->error != 0 ? secure->error : EPROTO;
        return host->fail(host, -error, "%s: %s: %s", name, what, link_error_text(error));
    }
    return host->fail(host, -EPROTO, "%s: %s: %s", name, what, reason_of(code));
}

int link_tls_tell_file(struct link *link, const char *option, const char *path)
{
    unsigned long code = ERR_peek_error();
    const char *why = reason_of(code);
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE) {
        why = "nothing of the kind in it, expected PEM";
    } else if (option[0] == 'k' && !ERR_SYSTEM_ERROR(code) && ERR_GET_LIB(code) != ERR_LIB_X509) {
        why = "no key in it that could be read; one with a password is of no use here";
    }
    return link->host->fail(link->host, -EINVAL, "%s: %s=%s: %s", link->shown, option, path, why);
}
