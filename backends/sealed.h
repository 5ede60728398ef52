/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record's text in a datagram that nobody else can read, make, change or send again.
 *
 *   byte 0        4           5        8           12         28           36
 *        +--------+-----------+--------+-----------+----------+------------+----------+---------+
 *        | "YDS1" | algorithm | 0 0 0  | u32 key   | salt, 16 | u64        | sealed   | tag, 16 |
 *        |        | u8        |        | id        | bytes    | counter    |          |         |
 *        +--------+-----------+--------+-----------+----------+------------+----------+---------+
 *         \_____________ authenticated, readable _____________________________/  |
 *                                                     u64 ns since 1970, when it was sent; text
 *
 *   algorithm    1 AES-256-GCM, 2 ChaCha20-Poly1305; all numbers in network order
 *   session key  HKDF-SHA256(key, salt, "yarder sealed 1" algorithm key-id), 32 bytes
 *   nonce        four zero bytes and the counter
 *
 * No nonce comes twice under one session key, whatever is restarted: each start of a sender takes
 * another random salt, hence another session key, and the counter of a session only grows. After
 * SEALED_SESSION_PACKETS, long before anything could wrap, another session begins. (A machine that
 * is copied while it runs copies the session, too: restart yarder in the copy.)
 *
 * The receiver remembers of each session the last SEALED_WINDOW counters. It knows
 * SEALED_SESSIONS_MAX sessions; the one that was quiet for longest makes place for a new one, and
 * in sessions that begin after that nothing is taken that was sent before the newest packet of
 * those forgotten. So what was taken is never taken again while the receiver runs; across its
 * restart max-age alone bounds what can be played back.
 */
#ifndef YARDER_BACKENDS_SEALED_H
#define YARDER_BACKENDS_SEALED_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "api/opener.h"

enum {
    SEALED_KEY_BYTES = 32,
    SEALED_SALT_BYTES = 16,
    SEALED_TAG_BYTES = 16,
    SEALED_NONCE_BYTES = 12,
    SEALED_HEAD_BYTES = 36,
    SEALED_OVERHEAD_BYTES = SEALED_HEAD_BYTES + 8 + SEALED_TAG_BYTES,
    SEALED_WINDOW = 1024,
    SEALED_SESSIONS_MAX = 1024,
};
#define SEALED_SESSION_PACKETS (UINT64_C(1) << 32)

enum sealed_algorithm { SEALED_NONE, SEALED_AES_256_GCM = 1, SEALED_CHACHA20_POLY1305 = 2 };

/* What a packet states of itself. */
struct sealed_head {
    enum sealed_algorithm algorithm;
    uint32_t key_id;
    uint8_t salt[SEALED_SALT_BYTES];
    uint64_t counter;
};

/* "aes-256-gcm" or "chacha20-poly1305"; SEALED_NONE: neither. */
enum sealed_algorithm sealed_algorithm_of(const char *name);

/* 64 hex digits, or 32 bytes in base64, or 32 bytes as they are: 0, or -EINVAL. */
int sealed_key_parse(const char *text, uint8_t key[static SEALED_KEY_BYTES]);

/* The ciphers of one key; a sender is set to one of them. */
struct sealed_cipher {
    OSSL_LIB_CTX *library; /* of our own: the process's is not touched */
    OSSL_PROVIDER *provider;
    EVP_KDF *kdf;
    EVP_CIPHER *ciphers[3]; /* by enum sealed_algorithm */
    EVP_CIPHER_CTX *context;
    enum sealed_algorithm set; /* what the context is set to */
    uint8_t key[SEALED_KEY_BYTES];
    uint32_t key_id;
};

/* 0, or -errno: -ENOTSUP, OpenSSL does not have what it takes. Close after both. */
int sealed_cipher_open(
    struct sealed_cipher *cipher, const uint8_t key[static SEALED_KEY_BYTES], uint32_t key_id);
void sealed_cipher_close(struct sealed_cipher *cipher);
/* The key of a session. False: OpenSSL failed. */
bool sealed_derive(const struct sealed_cipher *cipher, const struct sealed_head *head,
    uint8_t key[static SEALED_KEY_BYTES]);
/* Sets algorithm, session key (NULL: as it is) and nonce; takes the packet's head in. */
bool sealed_begin(struct sealed_cipher *cipher, const struct sealed_head *head,
    const uint8_t *session_key, const char *packet, bool to_seal);
void sealed_put_u64(char *at, uint64_t value);
uint64_t sealed_get_u64(const char *at);

struct sealer {
    struct sealed_cipher cipher;
    struct sealed_head head; /* of the next packet; SEALED_SESSION_PACKETS: a session is due */
};

/* As sealed_cipher_open. */
int sealer_open(struct sealer *sealer, enum sealed_algorithm algorithm,
    const uint8_t key[static SEALED_KEY_BYTES], uint32_t key_id);
void sealer_close(struct sealer *sealer);
/* Writes SEALED_OVERHEAD_BYTES more than the text has: their number, or -errno. */
int sealer_put(struct sealer *sealer, struct yarder_text text, int64_t now_ns, char *at);

struct sealed_session {
    uint8_t salt[SEALED_SALT_BYTES];
    uint8_t algorithm;
    uint8_t key[SEALED_KEY_BYTES];
    uint64_t next;                     /* above the highest counter that was taken */
    uint64_t seen[SEALED_WINDOW / 64]; /* bit counter % SEALED_WINDOW: taken */
    uint64_t newest_ns;                /* the latest sending time in it */
    uint64_t floor_ns;                 /* what was sent until then may have been taken before */
    uint64_t used;                     /* grows with each use of any session */
};

struct unsealer {
    struct sealed_cipher cipher;
    uint64_t max_age_ns; /* 0: any */
    uint64_t floor_ns;   /* newest of the forgotten sessions */
    uint64_t uses;
    uint32_t sessions_count;
    struct sealed_session *sessions; /* SEALED_SESSIONS_MAX */
};

int unsealer_open(struct unsealer *unsealer, const uint8_t key[static SEALED_KEY_BYTES],
    uint32_t key_id, uint64_t max_age_ns);
void unsealer_close(struct unsealer *unsealer);
/* As struct yarder_opener's take. */
enum yarder_opened unsealer_take(struct unsealer *unsealer, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text);

#endif
