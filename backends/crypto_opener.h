/* SPDX-License-Identifier: Apache-2.0 */
/* One key of a receiver of crypto's packets, for the command (api/opener.h) and for the input. */
#ifndef YARDER_BACKENDS_CRYPTO_OPENER_H
#define YARDER_BACKENDS_CRYPTO_OPENER_H

#include "api/opener.h"
#include "plain_cipher.h"
#include "sealed.h"

struct crypto_opener {
    char *algorithm;
    char *key;
    uint64_t key_id;
    uint64_t max_age_ns;
    char *secret;
    char *iv;

    struct unsealer unsealer;
    struct plain_cipher cipher;
};

/* The same names for both: FIELD(key) is the offset of a struct crypto_opener's `key`, as others.
 */
#define CRYPTO_OPENER_OPTIONS(FIELD)                                                               \
    {"key", YARDER_OPTION_SECRET, FIELD(key), NULL, 0, 0, NULL, NULL, "file:PATH|env:NAME|KEY",    \
        "the sender's key"},                                                                       \
        {"key-id", YARDER_OPTION_COUNT, FIELD(key_id), "0", 0, UINT32_MAX, NULL, NULL, "N",        \
            "the sender's key-id"},                                                                \
        {"max-age", YARDER_OPTION_DURATION, FIELD(max_age_ns), "5m", 0, UINT64_MAX / 2, NULL,      \
            NULL, "TIME",                                                                          \
            "with key: packets may be so old, or the sender's clock so wrong; 0: any"},            \
        {"algo", YARDER_OPTION_TEXT, FIELD(algorithm), NULL, 0, 0, NULL, NULL, "NAME",             \
            "with secret: the sender's algo"},                                                     \
        {"secret", YARDER_OPTION_SECRET, FIELD(secret), NULL, 0, 0, NULL, NULL,                    \
            "file:PATH|env:NAME|TEXT", "the sender's secret"},                                     \
    {                                                                                              \
        "iv", YARDER_OPTION_TEXT, FIELD(iv), NULL, 0, 0, NULL, NULL, "TEXT",                       \
            "with secret: the sender's iv"                                                         \
    }

/* As the calls of struct yarder_opener. */
int crypto_opener_open(struct crypto_opener *opener, char *why, size_t why_bytes);
enum yarder_opened crypto_opener_take(struct crypto_opener *opener, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text);
void crypto_opener_close(struct crypto_opener *opener);

/* Takes the time that uWSGI's form begins with; 0: there is none, and the text stays as it is. */
int64_t crypto_opener_time(const struct crypto_opener *opener, struct yarder_text *text);

#endif
