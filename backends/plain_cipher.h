/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets as uWSGI's logcrypto makes them: one text under one of OpenSSL's ciphers, nothing else.
 *
 *   key   the secret's bytes, zeros up to the cipher's key length, cut to it
 *   iv    the iv's bytes, '0' (0x30) up to the cipher's iv length, cut to it; the same for each
 *         packet, so each decrypts by itself
 *
 * Block modes pad as PKCS#7. With CTR and ChaCha20, where uWSGI's own packets go on where the last
 * one ended and none but the first can be read alone, each packet begins with the iv here; of GCM
 * and ChaCha20-Poly1305, of which uWSGI can send one packet only, the tag of 16 bytes follows.
 *
 * Nothing here is authenticated (but by a tag), and an iv that repeats tells which texts begin
 * alike; in the stream modes it gives them away. It is for receivers that there are; sealed.h is
 * for all others.
 */
#ifndef YARDER_BACKENDS_PLAIN_CIPHER_H
#define YARDER_BACKENDS_PLAIN_CIPHER_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "api/record.h"

enum { PLAIN_CIPHER_OVERHEAD_BYTES = 32 }; /* padding or tag */

struct plain_cipher {
    OSSL_LIB_CTX *library; /* of our own: ciphers of the past are there for nobody else */
    OSSL_PROVIDER *provider;
    OSSL_PROVIDER *legacy; /* NULL unless the cipher is one of it */
    EVP_CIPHER *cipher;
    EVP_CIPHER_CTX *context;
    unsigned char iv[EVP_MAX_IV_LENGTH];
    bool tagged;
    uint64_t position; /* of plain_cipher_follow: behind the packet that it found last */
    char *key_stream;  /* of it; NULL until it is first called */
};

/* iv NULL: none given. 0, or -EINVAL with what was expected in `why`. Close after both. */
int plain_cipher_open(struct plain_cipher *cipher, const char *algorithm, const char *secret,
    const char *iv, bool to_seal, char *why, size_t why_bytes);
void plain_cipher_close(struct plain_cipher *cipher);
/* At most PLAIN_CIPHER_OVERHEAD_BYTES more than the text: the bytes written, or -EIO. */
int plain_cipher_put(struct plain_cipher *cipher, struct yarder_text text, char *at);
/* The reverse; `at` has room for the packet and a block more. -EBADMSG: not of this secret. */
int plain_cipher_take(struct plain_cipher *cipher, struct yarder_text packet, char *at);

/*
 * The same for a packet of uWSGI's in CTR mode or with ChaCha20: the key stream goes on from packet
 * to packet, so it is searched for, from behind the last one that was read, past as many that were
 * lost as there is room for. What is found begins with uWSGI's 16 digits and a blank. -EBADMSG: not
 * found, or another mode.
 */
int plain_cipher_follow(struct plain_cipher *cipher, struct yarder_text packet, char *at);

#endif
