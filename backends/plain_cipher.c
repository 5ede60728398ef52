/* SPDX-License-Identifier: Apache-2.0 */
#include "plain_cipher.h"

#include <errno.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAG_BYTES = 16 };

static bool is_gcm_or_poly1305(const EVP_CIPHER *cipher)
{
    return EVP_CIPHER_get_mode(cipher) == EVP_CIPH_GCM_MODE ||
           EVP_CIPHER_is_a(cipher, "ChaCha20-Poly1305") == 1;
}

/* Those that take a text in one go and need nothing but key and iv. */
static bool can_do(const EVP_CIPHER *cipher)
{
    static const int modes[] = {EVP_CIPH_STREAM_CIPHER, EVP_CIPH_ECB_MODE, EVP_CIPH_CBC_MODE,
        EVP_CIPH_CFB_MODE, EVP_CIPH_OFB_MODE, EVP_CIPH_CTR_MODE};
    if (is_gcm_or_poly1305(cipher)) {
        return true;
    }
    if (EVP_CIPHER_get_mode(cipher) == EVP_CIPH_STREAM_CIPHER &&
        EVP_CIPHER_get_iv_length(cipher) == 0) {
        return false; /* rc4, null: nothing to begin each packet with */
    }
    if ((EVP_CIPHER_get_flags(cipher) & (EVP_CIPH_FLAG_AEAD_CIPHER | EVP_CIPH_FLAG_CTS)) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        if (EVP_CIPHER_get_mode(cipher) == modes[i]) {
            return true;
        }
    }
    return false;
}

static int find(struct plain_cipher *cipher, const char *algorithm, char *why, size_t why_bytes)
{
    cipher->library = OSSL_LIB_CTX_new();
    cipher->context = EVP_CIPHER_CTX_new();
    cipher->provider = OSSL_PROVIDER_load(cipher->library, "default");
    if (cipher->library == NULL || cipher->context == NULL || cipher->provider == NULL) {
        (void)snprintf(why, why_bytes, "expected an OpenSSL with its default provider");
        return -EINVAL;
    }
    cipher->cipher = EVP_CIPHER_fetch(cipher->library, algorithm, NULL);
    if (cipher->cipher == NULL) { /* bf-cbc, rc4, des-cbc ... */
        cipher->legacy = OSSL_PROVIDER_load(cipher->library, "legacy");
        cipher->cipher = EVP_CIPHER_fetch(cipher->library, algorithm, NULL);
    }
    if (cipher->cipher == NULL || !can_do(cipher->cipher)) {
        (void)snprintf(why, why_bytes,
            "algo=%.32s: expected a cipher of OpenSSL in ECB, CBC, CFB, OFB, CTR or GCM mode, "
            "chacha20 or chacha20-poly1305%s",
            algorithm,
            cipher->legacy == NULL && cipher->cipher == NULL
                ? " (its legacy provider is not installed)"
                : "");
        return -EINVAL;
    }
    return 0;
}

int plain_cipher_open(struct plain_cipher *cipher, const char *algorithm, const char *secret,
    const char *iv, bool to_seal, char *why, size_t why_bytes)
{
    *cipher = (struct plain_cipher){0};
    int r = find(cipher, algorithm, why, why_bytes);
    if (r < 0) {
        return r;
    }
    unsigned char key[EVP_MAX_KEY_LENGTH] = {0};
    size_t secret_bytes = strlen(secret);
    memcpy(key, secret, secret_bytes < sizeof(key) ? secret_bytes : sizeof(key));
    size_t iv_bytes = iv != NULL ? strlen(iv) : 0;
    memset(cipher->iv, '0', sizeof(cipher->iv));
    if (iv_bytes > 0) {
        memcpy(cipher->iv, iv, iv_bytes < sizeof(cipher->iv) ? iv_bytes : sizeof(cipher->iv));
    }
    cipher->tagged = is_gcm_or_poly1305(cipher->cipher);
    r = EVP_CipherInit_ex2(cipher->context, cipher->cipher, key, cipher->iv, to_seal, NULL);
    explicit_bzero(key, sizeof(key));
    if (r != 1) {
        (void)snprintf(why, why_bytes, "algo=%.32s: OpenSSL refuses this secret", algorithm);
        return -EINVAL;
    }
    return 0;
}

void plain_cipher_close(struct plain_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->context);
    EVP_CIPHER_free(cipher->cipher);
    if (cipher->legacy != NULL) {
        (void)OSSL_PROVIDER_unload(cipher->legacy);
    }
    if (cipher->provider != NULL) {
        (void)OSSL_PROVIDER_unload(cipher->provider);
    }
    OSSL_LIB_CTX_free(cipher->library);
    free(cipher->key_stream);
    *cipher = (struct plain_cipher){0};
}

int plain_cipher_put(struct plain_cipher *cipher, struct yarder_text text, char *at)
{
    unsigned char *out = (unsigned char *)at;
    int length = 0, last = 0;
    if (EVP_EncryptInit_ex2(cipher->context, NULL, NULL, cipher->iv, NULL) != 1 ||
        EVP_EncryptUpdate(
            cipher->context, out, &length, (const unsigned char *)text.at, (int)text.length) != 1 ||
        EVP_EncryptFinal_ex(cipher->context, out + length, &last) != 1) {
        return -EIO;
    }
    length += last;
    if (cipher->tagged) {
        if (EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + length) !=
            1) {
            return -EIO;
        }
        length += TAG_BYTES;
    }
    return length;
}

int plain_cipher_take(struct plain_cipher *cipher, struct yarder_text packet, char *at)
{
    unsigned char *out = (unsigned char *)at;
    unsigned char tag[TAG_BYTES];
    size_t bytes = packet.length;
    int length = 0, last = 0;
    if (EVP_DecryptInit_ex2(cipher->context, NULL, NULL, cipher->iv, NULL) != 1) {
        return -EIO;
    }
    if (cipher->tagged) {
        if (bytes < TAG_BYTES) {
            return -EBADMSG;
        }
        bytes -= TAG_BYTES;
        memcpy(tag, packet.at + bytes, TAG_BYTES);
        if (EVP_CIPHER_CTX_ctrl(cipher->context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, tag) != 1) {
            return -EIO;
        }
    }
    if (EVP_DecryptUpdate(
            cipher->context, out, &length, (const unsigned char *)packet.at, (int)bytes) != 1 ||
        EVP_DecryptFinal_ex(cipher->context, out + length, &last) != 1) {
        return -EBADMSG;
    }
    return length + last;
}
