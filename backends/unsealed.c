/* SPDX-License-Identifier: Apache-2.0 */
/* The receiver of sealed packets: which session, whether it is sound, whether it was here before.
 */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "sealed.h"

int unsealer_open(struct unsealer *unsealer, const uint8_t key[static SEALED_KEY_BYTES],
    uint32_t key_id, uint64_t max_age_ns)
{
    *unsealer = (struct unsealer){.max_age_ns = max_age_ns,
        .sessions = calloc(SEALED_SESSIONS_MAX, sizeof(struct sealed_session))};
    int r = sealed_cipher_open(&unsealer->cipher, key, key_id);
    return unsealer->sessions == NULL ? -ENOMEM : r;
}

void unsealer_close(struct unsealer *unsealer)
{
    sealed_cipher_close(&unsealer->cipher);
    if (unsealer->sessions != NULL) {
        explicit_bzero(unsealer->sessions, SEALED_SESSIONS_MAX * sizeof(*unsealer->sessions));
    }
    free(unsealer->sessions);
    *unsealer = (struct unsealer){0};
}

/* False: no packet of this form, or of another key. */
static bool read_head(
    const struct unsealer *unsealer, struct yarder_text packet, struct sealed_head *head)
{
    static const char zeros[3];
    uint32_t key_id;
    if (packet.length < SEALED_OVERHEAD_BYTES || memcmp(packet.at, "YDS1", 4) != 0 ||
        memcmp(packet.at + 5, zeros, sizeof(zeros)) != 0) {
        return false;
    }
    memcpy(&key_id, packet.at + 8, sizeof(key_id));
    *head = (struct sealed_head){.algorithm = (enum sealed_algorithm)(unsigned char)packet.at[4],
        .key_id = be32toh(key_id),
        .counter = sealed_get_u64(packet.at + 28)};
    memcpy(head->salt, packet.at + 12, SEALED_SALT_BYTES);
    return head->key_id == unsealer->cipher.key_id &&
           (head->algorithm == SEALED_AES_256_GCM || head->algorithm == SEALED_CHACHA20_POLY1305) &&
           head->counter < SEALED_SESSION_PACKETS;
}

static struct sealed_session *find(struct unsealer *unsealer, const struct sealed_head *head)
{
    for (uint32_t i = 0; i < unsealer->sessions_count; i++) {
        struct sealed_session *session = &unsealer->sessions[i];
        if (memcmp(session->salt, head->salt, SEALED_SALT_BYTES) == 0 &&
            session->algorithm == head->algorithm) {
            return session;
        }
    }
    return NULL;
}

/* Decrypts to `at`; true: nobody else made it. */
static bool decrypt(struct unsealer *unsealer, const struct sealed_head *head,
    const uint8_t key[static SEALED_KEY_BYTES], struct yarder_text packet, char *at)
{
    EVP_CIPHER_CTX *context = unsealer->cipher.context;
    size_t length = packet.length - SEALED_HEAD_BYTES - SEALED_TAG_BYTES;
    unsigned char tag[SEALED_TAG_BYTES];
    memcpy(tag, packet.at + packet.length - SEALED_TAG_BYTES, sizeof(tag));
    int first = 0, last = 0;
    return sealed_begin(&unsealer->cipher, head, key, packet.at, false) &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, sizeof(tag), tag) == 1 &&
           EVP_CipherUpdate(context, (unsigned char *)at, &first,
               (const unsigned char *)packet.at + SEALED_HEAD_BYTES, (int)length) == 1 &&
           EVP_CipherFinal_ex(context, (unsigned char *)at + first, &last) == 1;
}

/* A place for a session that has just begun; what is forgotten for it raises the floor. */
static struct sealed_session *begin_session(struct unsealer *unsealer,
    const struct sealed_head *head, const uint8_t key[static SEALED_KEY_BYTES])
{
    struct sealed_session *place = &unsealer->sessions[0];
    if (unsealer->sessions_count < SEALED_SESSIONS_MAX) {
        place = &unsealer->sessions[unsealer->sessions_count++];
    } else {
        for (uint32_t i = 1; i < SEALED_SESSIONS_MAX; i++) {
            place = unsealer->sessions[i].used < place->used ? &unsealer->sessions[i] : place;
        }
        unsealer->floor_ns =
            place->newest_ns > unsealer->floor_ns ? place->newest_ns : unsealer->floor_ns;
    }
    *place = (struct sealed_session){
        .algorithm = (uint8_t)head->algorithm, .floor_ns = unsealer->floor_ns};
    memcpy(place->salt, head->salt, SEALED_SALT_BYTES);
    memcpy(place->key, key, SEALED_KEY_BYTES);
    return place;
}

/* True once for each counter; false, too, for one too old to know. */
static bool take_counter(struct sealed_session *session, uint64_t counter)
{
    if (counter < session->next && session->next - counter > SEALED_WINDOW) {
        return false;
    }
    if (counter >= session->next) {
        if (counter - session->next >= SEALED_WINDOW) {
            memset(session->seen, 0, sizeof(session->seen));
        } else {
            for (uint64_t i = session->next; i <= counter; i++) {
                session->seen[i % SEALED_WINDOW / 64] &= ~(UINT64_C(1) << i % 64);
            }
        }
        session->next = counter + 1;
    }
    uint64_t bit = UINT64_C(1) << counter % 64;
    uint64_t *word = &session->seen[counter % SEALED_WINDOW / 64];
    bool first = (*word & bit) == 0;
    *word |= bit;
    return first;
}

static bool is_in_time(const struct unsealer *unsealer, uint64_t sent_ns, int64_t now_ns)
{
    uint64_t now = (uint64_t)now_ns;
    uint64_t apart = now > sent_ns ? now - sent_ns : sent_ns - now;
    return unsealer->max_age_ns == 0 || apart <= unsealer->max_age_ns;
}

enum yarder_opened unsealer_take(struct unsealer *unsealer, struct yarder_text packet,
    int64_t now_ns, char *at, struct yarder_text *text)
{
    struct sealed_head head;
    if (!read_head(unsealer, packet, &head)) {
        return YARDER_OPENED_UNKNOWN;
    }
    struct sealed_session *session = find(unsealer, &head);
    uint8_t fresh[SEALED_KEY_BYTES];
    if (session == NULL && !sealed_derive(&unsealer->cipher, &head, fresh)) {
        return YARDER_OPENED_UNKNOWN;
    }
    if (!decrypt(unsealer, &head, session != NULL ? session->key : fresh, packet, at)) {
        return YARDER_OPENED_FORGED;
    }
    uint64_t sent_ns = sealed_get_u64(at);
    if (!is_in_time(unsealer, sent_ns, now_ns)) {
        return YARDER_OPENED_EXPIRED;
    }
    if (sent_ns <= (session != NULL ? session->floor_ns : unsealer->floor_ns)) {
        return YARDER_OPENED_REPLAYED;
    }
    session = session != NULL ? session : begin_session(unsealer, &head, fresh);
    explicit_bzero(fresh, sizeof(fresh));
    if (!take_counter(session, head.counter)) {
        return YARDER_OPENED_REPLAYED;
    }
    session->used = ++unsealer->uses;
    session->newest_ns = sent_ns > session->newest_ns ? sent_ns : session->newest_ns;
    *text = (struct yarder_text){at + 8, packet.length - SEALED_OVERHEAD_BYTES};
    return YARDER_OPENED_GOOD;
}
