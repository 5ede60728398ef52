/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a session: keys, and the sender. The receiver is unsealed.c. */
#include "sealed.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

static const char *const algorithm_names[] = {NULL, "aes-256-gcm", "chacha20-poly1305"};

enum sealed_algorithm sealed_algorithm_of(const char *name)
{
    for (int i = SEALED_AES_256_GCM; i <= SEALED_CHACHA20_POLY1305; i++) {
        if (strcasecmp(name, algorithm_names[i]) == 0) {
            return (enum sealed_algorithm)i;
        }
    }
    return SEALED_NONE;
}

void sealed_put_u64(char *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof(value));
}

uint64_t sealed_get_u64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return be64toh(value);
}

int sealed_cipher_open(
    struct sealed_cipher *cipher, const uint8_t key[static SEALED_KEY_BYTES], uint32_t key_id)
{
    *cipher = (struct sealed_cipher){.library = OSSL_LIB_CTX_new(), .key_id = key_id};
    memcpy(cipher->key, key, SEALED_KEY_BYTES);
    if (cipher->library == NULL) {
        return -ENOMEM;
    }
    cipher->provider = OSSL_PROVIDER_load(cipher->library, "default");
    cipher->kdf = EVP_KDF_fetch(cipher->library, "HKDF", NULL);
    cipher->context = EVP_CIPHER_CTX_new();
    bool good = cipher->provider != NULL && cipher->kdf != NULL && cipher->context != NULL;
    for (int i = SEALED_AES_256_GCM; i <= SEALED_CHACHA20_POLY1305; i++) {
        cipher->ciphers[i] = EVP_CIPHER_fetch(cipher->library, algorithm_names[i], NULL);
        good = good && cipher->ciphers[i] != NULL;
    }
    return good ? 0 : -ENOTSUP;
}

void sealed_cipher_close(struct sealed_cipher *cipher)
{
    EVP_CIPHER_CTX_free(cipher->context);
    for (int i = SEALED_AES_256_GCM; i <= SEALED_CHACHA20_POLY1305; i++) {
        EVP_CIPHER_free(cipher->ciphers[i]);
    }
    EVP_KDF_free(cipher->kdf);
    if (cipher->provider != NULL) {
        (void)OSSL_PROVIDER_unload(cipher->provider);
    }
    OSSL_LIB_CTX_free(cipher->library);
    explicit_bzero(cipher, sizeof(*cipher));
}

bool sealed_derive(const struct sealed_cipher *cipher, const struct sealed_head *head,
    uint8_t key[static SEALED_KEY_BYTES])
{
    char info[20] = "yarder sealed 1";
    uint32_t key_id = htobe32(head->key_id);
    info[15] = (char)head->algorithm;
    memcpy(info + 16, &key_id, sizeof(key_id));
    char digest[] = "SHA256";
    union {
        const void *in;
        void *out;
    } ikm = {.in = cipher->key}, salt = {.in = head->salt}; /* params take no const */
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, ikm.out, SEALED_KEY_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.out, SEALED_SALT_BYTES),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, sizeof(info)),
        OSSL_PARAM_construct_end()};
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(cipher->kdf);
    bool good = context != NULL && EVP_KDF_derive(context, key, SEALED_KEY_BYTES, params) == 1;
    EVP_KDF_CTX_free(context);
    return good;
}

bool sealed_begin(struct sealed_cipher *cipher, const struct sealed_head *head,
    const uint8_t *session_key, const char *packet, bool to_seal)
{
    uint8_t nonce[SEALED_NONCE_BYTES] = {0};
    uint64_t counter = htobe64(head->counter);
    memcpy(nonce + 4, &counter, sizeof(counter));
    /* Naming the cipher again would make the context anew. */
    const EVP_CIPHER *named =
        cipher->set == head->algorithm ? NULL : cipher->ciphers[head->algorithm];
    assert(named == NULL || session_key != NULL);
    cipher->set = SEALED_NONE;
    int length = 0;
    if (EVP_CipherInit_ex2(cipher->context, named, session_key, nonce, to_seal, NULL) != 1 ||
        EVP_CipherUpdate(cipher->context, NULL, &length, (const unsigned char *)packet,
            SEALED_HEAD_BYTES) != 1) {
        return false;
    }
    cipher->set = head->algorithm;
    return true;
}

int sealer_open(struct sealer *sealer, enum sealed_algorithm algorithm,
    const uint8_t key[static SEALED_KEY_BYTES], uint32_t key_id)
{
    sealer->head = (struct sealed_head){
        .algorithm = algorithm, .key_id = key_id, .counter = SEALED_SESSION_PACKETS};
    return sealed_cipher_open(&sealer->cipher, key, key_id);
}

void sealer_close(struct sealer *sealer)
{
    sealed_cipher_close(&sealer->cipher);
}

/* A salt and a session key that nobody had before. */
static int begin_session(struct sealer *sealer, uint8_t key[static SEALED_KEY_BYTES])
{
    if (getrandom(sealer->head.salt, SEALED_SALT_BYTES, 0) != SEALED_SALT_BYTES) {
        return -EIO;
    }
    if (!sealed_derive(&sealer->cipher, &sealer->head, key)) {
        return -EIO;
    }
    sealer->head.counter = 0;
    return 0;
}

static void put_head(const struct sealed_head *head, char *at)
{
    uint32_t key_id = htobe32(head->key_id);
    memcpy(at, "YDS1", 4);
    memset(at + 4, 0, 4);
    at[4] = (char)head->algorithm;
    memcpy(at + 8, &key_id, sizeof(key_id));
    memcpy(at + 12, head->salt, SEALED_SALT_BYTES);
    sealed_put_u64(at + 28, head->counter);
}

int sealer_put(struct sealer *sealer, struct yarder_text text, int64_t now_ns, char *at)
{
    uint8_t key[SEALED_KEY_BYTES];
    bool fresh = sealer->head.counter >= SEALED_SESSION_PACKETS;
    int r = fresh ? begin_session(sealer, key) : 0;
    if (r < 0) {
        return r;
    }
    put_head(&sealer->head, at);
    bool good = sealed_begin(&sealer->cipher, &sealer->head, fresh ? key : NULL, at, true);
    explicit_bzero(key, sizeof(key));
    EVP_CIPHER_CTX *context = sealer->cipher.context;
    unsigned char *out = (unsigned char *)at + SEALED_HEAD_BYTES;
    char sent[8];
    sealed_put_u64(sent, (uint64_t)now_ns);
    int first = 0, second = 0, last = 0;
    good = good && EVP_CipherUpdate(context, out, &first, (unsigned char *)sent, 8) == 1 &&
           EVP_CipherUpdate(
               context, out + 8, &second, (const unsigned char *)text.at, (int)text.length) == 1 &&
           EVP_CipherFinal_ex(context, out + 8 + text.length, &last) == 1 &&
           EVP_CIPHER_CTX_ctrl(
               context, EVP_CTRL_AEAD_GET_TAG, SEALED_TAG_BYTES, out + 8 + text.length) == 1;
    /* The counter is spent whatever came of it: it never seals anything else. */
    sealer->head.counter = good ? sealer->head.counter + 1 : SEALED_SESSION_PACKETS;
    if (!good) {
        return -EIO;
    }
    assert(first == 8 && (size_t)second == text.length && last == 0);
    return (int)(text.length + SEALED_OVERHEAD_BYTES);
}
