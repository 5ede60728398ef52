/* SPDX-License-Identifier: Apache-2.0 */
/* One key of a receiver of crypto's packets, of either form: api/opener.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "crypto_opener.h"

enum { MICROSECONDS_DIGITS_MAX = 20, NS_IN_MICROSECOND = 1000 };
_Static_assert(
    (int)YARDER_OPENER_SLACK_BYTES >= EVP_MAX_BLOCK_LENGTH, "a block more than the text");

#define FIELD(member) offsetof(struct crypto_opener, member)

static const struct yarder_option opener_options[] = {
    CRYPTO_OPENER_OPTIONS(FIELD),
    {.kind = YARDER_OPTION_END},
};

static int open_sealed(struct crypto_opener *opener, char *why, size_t why_bytes)
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

int crypto_opener_open(struct crypto_opener *opener, char *why, size_t why_bytes)
{
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

enum yarder_opened crypto_opener_take(struct crypto_opener *opener, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text)
{
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

void crypto_opener_close(struct crypto_opener *opener)
{
    unsealer_close(&opener->unsealer);
    plain_cipher_close(&opener->cipher);
}

int64_t crypto_opener_time(const struct crypto_opener *opener, struct yarder_text *text)
{
    int64_t micros = 0;
    size_t digits = 0;
    for (; opener->key == NULL && digits < text->length && text->at[digits] >= '0' &&
           text->at[digits] <= '9';
         digits++) {
        if (__builtin_mul_overflow(micros, 10, &micros) ||
            __builtin_add_overflow(micros, text->at[digits] - '0', &micros)) {
            return 0;
        }
    }
    bool good = digits > 0 && digits < text->length && text->at[digits] == ' ' &&
                micros < INT64_MAX / NS_IN_MICROSECOND;
    if (good) {
        text->at += digits + 1;
        text->length -= digits + 1;
    }
    return good ? micros * NS_IN_MICROSECOND : 0;
}

static int open_opener(void *self, char *why, size_t why_bytes)
{
    return crypto_opener_open(self, why, why_bytes);
}

static enum yarder_opened take(
    void *self, struct yarder_text packet, int64_t now_ns, char *at, struct yarder_text *text)
{
    return crypto_opener_take(self, packet, now_ns, at, text);
}

static void close_opener(void *self)
{
    crypto_opener_close(self);
}

YARDER_EXPORT extern const struct yarder_opener yarder_opener;
const struct yarder_opener yarder_opener = {
    .abi = YARDER_OPENER_ABI,
    .struct_bytes = sizeof(struct yarder_opener),
    .self_bytes = sizeof(struct crypto_opener),
    .options = opener_options,
    .open = open_opener,
    .take = take,
    .close = close_opener,
};
