/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packet from anybody, at receivers of each form: nothing is read past it, no text is longer than
 * it. And its bytes as a text: what a sender makes of them comes back the same, once, and not with
 * any one bit changed.
 */
#include <string.h>

#include "../backends/plain_cipher.h"
#include "../backends/sealed.h"
#include "base/base.h"

enum { TEXT_BYTES_MAX = 4096, ROOM = TEXT_BYTES_MAX + 256 };
static const int64_t now_ns = INT64_C(1795222817000000000);
static const uint8_t key[SEALED_KEY_BYTES] = "0123456789abcdef0123456789abcdef";
static const char *const algorithms[] = {
    "aes-128-cbc", "aes-128-ecb", "aes-256-ctr", "aes-256-gcm", "chacha20", "bf-cbc"};

static void attack(struct unsealer *unsealer, struct yarder_text packet, char *at)
{
    struct yarder_text text = {0};
    enum yarder_opened opened = unsealer_take(unsealer, packet, now_ns, at, &text);
    YARDER_ASSERT(opened != YARDER_OPENED_GOOD);
    static struct plain_cipher ciphers[YARDER_COUNT_OF(algorithms)];
    char why[256];
    for (size_t i = 0; i < YARDER_COUNT_OF(algorithms); i++) {
        if (ciphers[i].context == NULL) {
            int r = plain_cipher_open(
                &ciphers[i], algorithms[i], "ciaociao", NULL, false, why, sizeof(why));
            YARDER_ASSERT(r == 0);
        }
        int length = plain_cipher_take(&ciphers[i], packet, at);
        YARDER_ASSERT(length < 0 || (size_t)length <= packet.length);
        if (packet.length % 16 == 0) { /* not each time: it searches long */
            length = plain_cipher_follow(&ciphers[i], packet, at);
            YARDER_ASSERT(length < 0 || (size_t)length == packet.length);
        }
    }
}

static void round_trip(
    struct sealer *sealer, struct unsealer *unsealer, struct yarder_text input, char *at)
{
    char packet[ROOM];
    struct yarder_text text = {0};
    input.length = yarder_min(input.length, TEXT_BYTES_MAX);
    int length = sealer_put(sealer, input, now_ns, packet);
    YARDER_ASSERT(length == (int)(input.length + SEALED_OVERHEAD_BYTES));
    const struct yarder_text sealed = {packet, (size_t)length};
    size_t bit = input.length > 1
                     ? (size_t)(unsigned char)input.at[0] * 256 + (unsigned char)input.at[1]
                     : 0;
    bit %= sealed.length * 8;
    packet[bit / 8] ^= (char)(1 << bit % 8);
    YARDER_ASSERT(unsealer_take(unsealer, sealed, now_ns, at, &text) != YARDER_OPENED_GOOD);
    packet[bit / 8] ^= (char)(1 << bit % 8);
    YARDER_ASSERT(unsealer_take(unsealer, sealed, now_ns, at, &text) == YARDER_OPENED_GOOD);
    YARDER_ASSERT(text.length == input.length);
    YARDER_ASSERT(text.length == 0 || memcmp(text.at, input.at, text.length) == 0);
    YARDER_ASSERT(unsealer_take(unsealer, sealed, now_ns, at, &text) == YARDER_OPENED_REPLAYED);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    static struct sealer sealer;
    static struct unsealer unsealer;
    if (unsealer.sessions == NULL) {
        int r = sealer_open(&sealer, SEALED_AES_256_GCM, key, 7);
        r = r < 0 ? r : unsealer_open(&unsealer, key, 7, UINT64_C(60000000000));
        YARDER_ASSERT(r == 0);
    }
    const struct yarder_text input = {(const char *)bytes, bytes_count};
    char *at = malloc(yarder_max(bytes_count, ROOM) + YARDER_OPENER_SLACK_BYTES);
    YARDER_ASSERT(at != NULL);
    attack(&unsealer, input, at);
    round_trip(&sealer, &unsealer, input, at);
    free(at);
    return 0;
}
