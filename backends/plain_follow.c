/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in uWSGI's key stream a packet begins. In CTR mode each packet takes whole blocks, with
 * ChaCha20 as many bytes as it has:
 *
 *   iv |-- first --|..|-- second --|....|-- lost --|..|-- this one
 *                     ^ position                      ^ found by what its text begins with
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "plain_cipher.h"

enum { DIGITS = 16, SEARCHED_BYTES = 64 << 10 };

struct stream {
    size_t block_bytes; /* of one count */
    size_t unit_bytes;  /* packets begin at multiples of it */
    bool is_chacha;
};

static bool stream_of(const struct plain_cipher *cipher, struct stream *out)
{
    bool is_chacha = EVP_CIPHER_is_a(cipher->cipher, "ChaCha20") == 1;
    *out = is_chacha ? (struct stream){64, 1, true} : (struct stream){16, 16, false};
    return is_chacha || EVP_CIPHER_get_mode(cipher->cipher) == EVP_CIPH_CTR_MODE;
}

/* The iv so many counts on: ChaCha20 counts in its first eight bytes from the left, CTR in all of
 * them from the right. */
static void count_on(const struct plain_cipher *cipher, const struct stream *stream,
    uint64_t counts, unsigned char iv[static EVP_MAX_IV_LENGTH])
{
    memcpy(iv, cipher->iv, EVP_MAX_IV_LENGTH);
    unsigned carry = 0;
    size_t last = stream->is_chacha ? 8 : 16;
    for (size_t i = 0; i < last; i++) {
        unsigned char *byte = &iv[stream->is_chacha ? i : last - 1 - i];
        carry += *byte + (unsigned)(counts & 0xFF);
        *byte = (unsigned char)carry;
        carry >>= 8;
        counts >>= 8;
    }
}

/* Bytes with the key stream of this position; `from` NULL: zeros, so the key stream itself. */
static bool apply(struct plain_cipher *cipher, const struct stream *stream, uint64_t position,
    struct yarder_text from, char *at)
{
    static const unsigned char zeros[1024];
    unsigned char iv[EVP_MAX_IV_LENGTH], skipped[64];
    int length = 0;
    count_on(cipher, stream, position / stream->block_bytes, iv);
    bool good = EVP_DecryptInit_ex2(cipher->context, NULL, NULL, iv, NULL) == 1 &&
                EVP_DecryptUpdate(cipher->context, skipped, &length, zeros,
                    (int)(position % stream->block_bytes)) == 1;
    for (size_t i = 0; good && i < from.length;) {
        size_t left = from.length - i;
        size_t some = left < sizeof(zeros) ? left : sizeof(zeros);
        const unsigned char *in = from.at != NULL ? (const unsigned char *)from.at + i : zeros;
        good = EVP_DecryptUpdate(
                   cipher->context, (unsigned char *)at + i, &length, in, (int)some) == 1;
        i += some;
    }
    return good;
}

static bool begins_here(const char *packet, const char *key_stream)
{
    for (size_t i = 0; i < DIGITS; i++) {
        char plain = (char)(packet[i] ^ key_stream[i]);
        if (plain < '0' || plain > '9') {
            return false;
        }
    }
    return (packet[DIGITS] ^ key_stream[DIGITS]) == ' ';
}

int plain_cipher_follow(struct plain_cipher *cipher, struct yarder_text packet, char *at)
{
    const struct yarder_text searched = {NULL, SEARCHED_BYTES};
    struct stream stream;
    if (packet.length <= DIGITS || !stream_of(cipher, &stream)) {
        return -EBADMSG;
    }
    if (cipher->key_stream == NULL) {
        cipher->key_stream = malloc(SEARCHED_BYTES);
    }
    const char *key_stream = cipher->key_stream;
    if (key_stream == NULL ||
        !apply(cipher, &stream, cipher->position, searched, cipher->key_stream)) {
        return -EBADMSG;
    }
    for (size_t i = 0; i + DIGITS < SEARCHED_BYTES; i += stream.unit_bytes) {
        if (!begins_here(packet.at, key_stream + i)) {
            continue;
        }
        uint64_t position = cipher->position + i;
        if (!apply(cipher, &stream, position, packet, at)) {
            return -EBADMSG;
        }
        uint64_t units = (packet.length + stream.unit_bytes - 1) / stream.unit_bytes;
        cipher->position = position + units * stream.unit_bytes;
        return (int)packet.length;
    }
    return -EBADMSG;
}
