/* SPDX-License-Identifier: Apache-2.0 */
/* One key of a receiver of crypto's packets, of either form: api/opener.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/opener.h"
#include "bytes.h"
#include "plain_cipher.h"
#include "sealed.h"

enum { MICROSECONDS_DIGITS_MAX = 20 };
_Static_assert(
    (int)YARDER_OPENER_SLACK_BYTES >= EVP_MAX_BLOCK_LENGTH, "a block more than the text");

struct opener {
    char *algorithm;
    char *key;
    uint64_t key_id;
    uint64_t max_age_ns;
    char *secret;
    char *iv;

    struct unsealer unsealer;
    struct plain_cipher cipher;
};

#define FIELD(member) offsetof(struct opener, member)

static const struct yarder_option opener_options[] = {
    {"key", YARDER_OPTION_SECRET, FIELD(key), NULL, 0, 0, NULL, NULL, "file:PATH|env:NAME|KEY",
        "the sender's key"},
    {"key-id", YARDER_OPTION_COUNT, FIELD(key_id), "0", 0, UINT32_MAX, NULL, NULL, "N",
        "the sender's key-id"},
    {"max-age", YARDER_OPTION_DURATION, FIELD(max_age_ns), "5m", 0, UINT64_MAX / 2, NULL, NULL,
        "TIME", "with key: packets may be so old, or the sender's clock so wrong; 0: any"},
    {"algo", YARDER_OPTION_TEXT, FIELD(algorithm), NULL, 0, 0, NULL, NULL, "NAME",
        "with secret: the sender's algo"},
    {"secret", YARDER_OPTION_SECRET, FIELD(secret), NULL, 0, 0, NULL, NULL,
        "file:PATH|env:NAME|TEXT", "the sender's secret"},
    {"iv", YARDER_OPTION_TEXT, FIELD(iv), NULL, 0, 0, NULL, NULL, "TEXT",
        "with secret: the sender's iv"},
    {.kind = YARDER_OPTION_END},
};

static int open_sealed(struct opener *opener, char *why, size_t why_bytes)
{
    uint8_t key[SEALED_KEY_BYTES];
    if (opener->iv != NULL ||
        (opener->algorithm != NULL && sealed_algorithm_of(opener->algorithm) == SEALED_NONE)) {
        (void)snprintf(why, why_bytes,
            "expected no iv= with key=, and algo=aes-256-gcm or chacha20-poly1305 at most");
        return -EINVAL;
    }
    if (sealed_key_parse(opener->key, key) < 0) {
        (void)snprintf(why, why_bytes, "key=: expected 32 bytes, as 64 hex digits or in base64");
        return -EINVAL;
    }
    int r = unsealer_open(&opener->unsealer, key, (uint32_t)opener->key_id, opener->max_age_ns);
    explicit_bzero(key, sizeof(key));
    if (r < 0) {
        (void)snprintf(why, why_bytes, "expected an OpenSSL with HKDF, AES-GCM and ChaCha20");
    }
    return r < 0 ? -EINVAL : 0;
}

static int open_opener(void *self, char *why, size_t why_bytes)
{
    struct opener *opener = self;
    if ((opener->key != NULL) == (opener->secret != NULL)) {
        (void)snprintf(why, why_bytes, "expected key= or secret=, one of them");
        return -EINVAL;
    }
    if (opener->key != NULL) {
        return open_sealed(opener, why, why_bytes);
    }
    if (opener->algorithm == NULL) {
        (void)snprintf(why, why_bytes, "expected algo=NAME with secret=");
        return -EINVAL;
    }
    return plain_cipher_open(
        &opener->cipher, opener->algorithm, opener->secret, opener->iv, false, why, why_bytes);
}

/* Nothing authenticates it, but a text of another key does not begin with a time. */
static bool begins_with_time(const char *at, size_t length)
{
    size_t digits = 0;
    while (digits < length && at[digits] >= '0' && at[digits] <= '9') {
        digits++;
    }
    return digits > 0 && digits <= MICROSECONDS_DIGITS_MAX && digits < length && at[digits] == ' ';
}

/* Ours, and uWSGI's first, begin with the iv; in some modes its others go on from there. */
static int take_plain(struct plain_cipher *cipher, struct yarder_text packet, char *at)
{
    int length = plain_cipher_take(cipher, packet, at);
    if (length >= 0 && !begins_with_time(at, (size_t)length)) {
        length = -EBADMSG;
    }
    length = length >= 0 ? length : plain_cipher_follow(cipher, packet, at);
    if (length < 0) { /* perhaps uWSGI has started anew; perhaps the packet is nobody's */
        uint64_t position = cipher->position;
        cipher->position = 0;
        length = plain_cipher_follow(cipher, packet, at);
        cipher->position = length < 0 ? position : cipher->position;
    }
    return length;
}

static enum yarder_opened take(
    void *self, struct yarder_text packet, int64_t now_ns, char *at, struct yarder_text *text)
{
    struct opener *opener = self;
    if (opener->key != NULL) {
        return unsealer_take(&opener->unsealer, packet, now_ns, at, text);
    }
    int length = take_plain(&opener->cipher, packet, at);
    if (length < 0) {
        return YARDER_OPENED_UNKNOWN;
    }
    *text = (struct yarder_text){at, (size_t)length};
    return YARDER_OPENED_GOOD;
}

static void close_opener(void *self)
{
    struct opener *opener = self;
    unsealer_close(&opener->unsealer);
    plain_cipher_close(&opener->cipher);
}

YARDER_EXPORT extern const struct yarder_opener yarder_opener;
const struct yarder_opener yarder_opener = {
    .abi = YARDER_OPENER_ABI,
    .struct_bytes = sizeof(struct yarder_opener),
    .self_bytes = sizeof(struct opener),
    .options = opener_options,
    .open = open_opener,
    .take = take,
    .close = close_opener,
};
