/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of both forms. uWSGI's: to the byte, by packets that its plugin sent. The sealed one:
 * what was changed in any bit, comes again, or is of another key, time or session is told from what
 * is good, and no nonce comes twice under one key.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* cmocka needs the three above */
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain_cipher.h"
#include "sealed.h"

extern const struct yarder_opener yarder_opener;

enum { ROOM = 512 };
static const int64_t now_ns = INT64_C(1795222817000000000);
static const uint64_t minute_ns = UINT64_C(60000000000);
static const uint8_t key[SEALED_KEY_BYTES] = "0123456789abcdef0123456789abcdef";

static struct yarder_text text_of(const char *text)
{
    return (struct yarder_text){text, strlen(text)};
}

static const struct vector {
    const char *algorithm, *secret, *iv, *text, *packet;
} vectors[] = {
    {"aes-128-cbc", "ciaociao", NULL, "1795222817495104 hello world\n",
        "a5457ca123ba21471908fbf9703bac9cafdf59b934efdccf7e86eb5cf4092303"},
    {"aes-256-cbc", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "12345",
        "1795222820231332 node7 hello world\n",
        "744cbd012487e5270cff661a77f5b4a72d743b34be81422b2560b71fa8db899e"
        "6d42ac3914e72f7988c082966e43dcac"},
    {"aes-128-ecb", "ciaociao", NULL, "1795222822948032 hello world\n",
        "8bea72862f127735e3db620efff38c51bb87272d2d60ebe60f41894532c69aa2"},
    {"des-ede3-cbc", "ciaociao", NULL, "1795222830016565 hello world\n",
        "57f286d0685650847ce471f79d3628cdb5ff64d3b3e397a38efc931fc152e04b"},
    /* of `openssl enc -provider legacy`: uWSGI itself cannot, any more */
    {"bf-cbc", "ciaociao", NULL, "1795222830016565 hello world\n",
        "bfad428ee3cc05550ec4767a1e4c4cee8def5da280bdd4fea7a7b418f47b1860"},
};

static void to_hex(const char *bytes, size_t count, char *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", (unsigned char)bytes[i]);
    }
}

static void test_uwsgi_to_the_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *vector = &vectors[i];
        struct plain_cipher cipher;
        char why[256], packet[ROOM], hex[2 * ROOM];
        assert_int_equal(plain_cipher_open(&cipher, vector->algorithm, vector->secret, vector->iv,
                             true, why, sizeof(why)),
            0);
        for (int again = 0; again < 2; again++) {
            int length = plain_cipher_put(&cipher, text_of(vector->text), packet);
            assert_true(length > 0);
            to_hex(packet, (size_t)length, hex);
            assert_string_equal(hex, vector->packet);
        }
        plain_cipher_close(&cipher);
    }
}

/* Also in the modes where uWSGI's own packets hang together. */
static void test_each_packet_decrypts_alone(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"aes-256-cbc", "aes-128-ofb", "aes-128-cfb8",
        "aes-192-ctr", "chacha20", "aes-256-gcm", "chacha20-poly1305", "camellia-128-cbc"};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct plain_cipher put, take;
        char why[256], packet[ROOM], back[ROOM];
        assert_int_equal(
            plain_cipher_open(&put, algorithms[i], "key", "iv", true, why, sizeof(why)), 0);
        assert_int_equal(
            plain_cipher_open(&take, algorithms[i], "key", "iv", false, why, sizeof(why)), 0);
        int first = plain_cipher_put(&put, text_of("1 the first is lost\n"), packet);
        int second = plain_cipher_put(&put, text_of("2 the second is read\n"), packet);
        assert_true(first > 0 && second > 0);
        int length = plain_cipher_take(&take, (struct yarder_text){packet, (size_t)second}, back);
        assert_int_equal(length, 21);
        assert_memory_equal(back, "2 the second is read\n", 21);
        if (put.tagged) {
            packet[0] ^= 1;
            assert_int_equal(
                plain_cipher_take(&take, (struct yarder_text){packet, (size_t)second}, back),
                -EBADMSG);
            assert_int_equal(
                plain_cipher_take(&take, (struct yarder_text){packet, 5}, back), -EBADMSG);
        }
        plain_cipher_close(&put);
        plain_cipher_close(&take);
    }
}

/* Packets cut out of one key stream, as uWSGI makes them: what follows losses is found again. */
static void test_key_stream_is_followed(void **state)
{
    (void)state;
    enum { PACKETS = 6000, BYTES = 37, LAST = PACKETS - 1 };
    static const struct {
        const char *algorithm;
        size_t step; /* from packet to packet */
    } cases[] = {{"aes-128-ctr", 48}, {"chacha20", BYTES}};
    static char plain[PACKETS * 48 + 1], stream[PACKETS * 48 + 64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t step = cases[i].step;
        struct plain_cipher put, take;
        char why[256], back[ROOM];
        for (int n = 0; n < PACKETS; n++) {
            (void)snprintf(
                plain + (size_t)n * step, BYTES + 1, "17952228174951%02d text %-14d\n", n % 100, n);
        }
        for (int to_seal = 0; to_seal < 2; to_seal++) {
            assert_int_equal(plain_cipher_open(to_seal ? &put : &take, cases[i].algorithm, "key",
                                 "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
                                 to_seal == 1, why, sizeof(why)),
                0);
        }
        int length = plain_cipher_put(&put, (struct yarder_text){plain, PACKETS * step}, stream);
        assert_int_equal(length, PACKETS * step);
        /* One by one, some lost, many lost; too many; and from the beginning again. */
        static const int order[] = {0, 1, 2, 5, 6, 700, 701, LAST, 702};
        for (size_t k = 0; k < sizeof(order) / sizeof(order[0]); k++) {
            const struct yarder_text packet = {stream + (size_t)order[k] * step, BYTES};
            int r = plain_cipher_follow(&take, packet, back);
            assert_int_equal(r, order[k] == LAST ? -EBADMSG : BYTES);
            if (r >= 0) {
                assert_memory_equal(back, plain + (size_t)order[k] * step, BYTES);
            }
        }
        assert_int_equal(
            plain_cipher_follow(&take, (struct yarder_text){stream, 16}, back), -EBADMSG);
        plain_cipher_close(&put);
        plain_cipher_close(&take);
    }
    struct plain_cipher cbc;
    char why[256], back[ROOM];
    assert_int_equal(
        plain_cipher_open(&cbc, "aes-128-cbc", "key", NULL, false, why, sizeof(why)), 0);
    assert_int_equal(plain_cipher_follow(&cbc, (struct yarder_text){stream, 32}, back), -EBADMSG);
    plain_cipher_close(&cbc);
}

static void test_ciphers_that_cannot(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"", "nonsense", "null", "rc4", "aes-128-ccm",
        "aes-128-xts", "aes-128-wrap", "aes-128-siv", "aes-128-ocb", "aes-128-cbc-cts",
        "aes-128-cbc-hmac-sha1"};
    for (size_t i = 0; i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
        struct plain_cipher cipher;
        char why[256] = "";
        assert_int_equal(
            plain_cipher_open(&cipher, algorithms[i], "key", NULL, true, why, sizeof(why)),
            -EINVAL);
        assert_non_null(strstr(why, "expected a cipher of OpenSSL"));
        plain_cipher_close(&cipher);
    }
}

static void test_keys(void **state)
{
    (void)state;
    uint8_t out[SEALED_KEY_BYTES];
    static const char hex[] = "303132333435363738396162636465663031323334353637383961626364656G";
    char good_hex[sizeof(hex)];
    memcpy(good_hex, hex, sizeof(hex));
    good_hex[63] = '6';
    assert_int_equal(sealed_key_parse(good_hex, out), 0);
    assert_memory_equal(out, "0123456789abcdef0123456789abcdef", 32);
    assert_int_equal(sealed_key_parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", out), 0);
    assert_memory_equal(out, "0123456789abcdef0123456789abcdef", 32);
    assert_int_equal(sealed_key_parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY", out), 0);
    assert_int_equal(sealed_key_parse("__-_-___-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_8=", out), 0);
    assert_int_equal(sealed_key_parse("thirty-two bytes as they are ...", out), 0);
    assert_memory_equal(out, "thirty-two bytes as they are ...", 32);
    static const char *const bad[] = {hex, "", "short",
        "0123456789abcdef0123456789abcdef", /* half a key, in hex */
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWZ=",
        "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk*Wc=", "a text of thirty-three bytes, one"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(sealed_key_parse(bad[i], out), -EINVAL);
    }
}

/* A sender and a receiver. */
struct pair {
    struct sealer sealer;
    struct unsealer unsealer;
    char packet[ROOM];
    char plain[ROOM];
    struct yarder_text text;
};

static void open_pair(struct pair *pair, enum sealed_algorithm algorithm, uint64_t max_age_ns)
{
    assert_int_equal(sealer_open(&pair->sealer, algorithm, key, 7), 0);
    assert_int_equal(unsealer_open(&pair->unsealer, key, 7, max_age_ns), 0);
}

static void close_pair(struct pair *pair)
{
    sealer_close(&pair->sealer);
    unsealer_close(&pair->unsealer);
}

static struct yarder_text seal(struct sealer *sealer, const char *text, int64_t at_ns, char *packet)
{
    int length = sealer_put(sealer, text_of(text), at_ns, packet);
    assert_int_equal(length, strlen(text) + SEALED_OVERHEAD_BYTES);
    return (struct yarder_text){packet, (size_t)length};
}

static enum yarder_opened take(struct pair *pair, struct yarder_text packet)
{
    return unsealer_take(&pair->unsealer, packet, now_ns, pair->plain, &pair->text);
}

static void test_any_bit_is_noticed(void **state)
{
    (void)state;
    struct pair pair;
    for (int algorithm = SEALED_AES_256_GCM; algorithm <= SEALED_CHACHA20_POLY1305; algorithm++) {
        open_pair(&pair, (enum sealed_algorithm)algorithm, minute_ns);
        struct yarder_text packet = seal(&pair.sealer, "a text", now_ns, pair.packet);
        for (size_t bit = 0; bit < packet.length * 8; bit++) {
            pair.packet[bit / 8] ^= (char)(1 << bit % 8);
            enum yarder_opened opened = take(&pair, packet);
            assert_true(opened == YARDER_OPENED_UNKNOWN || opened == YARDER_OPENED_FORGED);
            pair.packet[bit / 8] ^= (char)(1 << bit % 8);
        }
        for (size_t length = 0; length < packet.length; length++) {
            enum yarder_opened opened = take(&pair, (struct yarder_text){packet.at, length});
            assert_true(opened == YARDER_OPENED_UNKNOWN || opened == YARDER_OPENED_FORGED);
        }
        assert_int_equal(pair.unsealer.sessions_count, 0);
        assert_int_equal(take(&pair, packet), YARDER_OPENED_GOOD);
        assert_int_equal(pair.text.length, 6);
        assert_memory_equal(pair.text.at, "a text", 6);
        assert_int_equal(
            take(&pair, seal(&pair.sealer, "", now_ns, pair.packet)), YARDER_OPENED_GOOD);
        assert_int_equal(pair.text.length, 0);
        close_pair(&pair);
    }
}

static void test_window(void **state)
{
    (void)state;
    enum { COUNT = 3 * SEALED_WINDOW, BYTES = SEALED_OVERHEAD_BYTES + 1 };
    struct pair pair;
    open_pair(&pair, SEALED_AES_256_GCM, minute_ns);
    char(*packets)[BYTES] = calloc(COUNT, BYTES);
    assert_non_null(packets);
    for (int i = 0; i < COUNT; i++) {
        (void)seal(&pair.sealer, "x", now_ns, packets[i]);
    }
    /* Backwards by pairs, so each second one is late; then each again. */
    for (int i = 0; i < COUNT; i++) {
        int which = i ^ 1;
        assert_int_equal(
            take(&pair, (struct yarder_text){packets[which], BYTES}), YARDER_OPENED_GOOD);
        assert_int_equal(
            take(&pair, (struct yarder_text){packets[which], BYTES}), YARDER_OPENED_REPLAYED);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(
            take(&pair, (struct yarder_text){packets[i], BYTES}), YARDER_OPENED_REPLAYED);
    }
    unsealer_close(&pair.unsealer);
    /* One far ahead: those it leaves behind are too old, and the oldest in the window is not. */
    assert_int_equal(unsealer_open(&pair.unsealer, key, 7, minute_ns), 0);
    assert_int_equal(
        take(&pair, (struct yarder_text){packets[SEALED_WINDOW], BYTES}), YARDER_OPENED_GOOD);
    assert_int_equal(take(&pair, (struct yarder_text){packets[0], BYTES}), YARDER_OPENED_REPLAYED);
    assert_int_equal(take(&pair, (struct yarder_text){packets[1], BYTES}), YARDER_OPENED_GOOD);
    assert_int_equal(
        take(&pair, (struct yarder_text){packets[COUNT - 1], BYTES}), YARDER_OPENED_GOOD);
    assert_int_equal(take(&pair, (struct yarder_text){packets[2], BYTES}), YARDER_OPENED_REPLAYED);
    free(packets);
    close_pair(&pair);
}

static int compare_nonces(const void *a, const void *b)
{
    return memcmp(a, b, 24);
}

/* Starts, and sessions that end by their number of packets: salt and counter are never the same. */
static void test_nonces_are_unique(void **state)
{
    (void)state;
    enum { STARTS = 500, PACKETS = 4 };
    static char nonces[STARTS * PACKETS][24];
    char packet[ROOM];
    for (int start = 0; start < STARTS; start++) {
        struct sealer sealer;
        assert_int_equal(sealer_open(&sealer, SEALED_CHACHA20_POLY1305, key, 7), 0);
        for (int i = 0; i < PACKETS; i++) {
            (void)seal(&sealer, "same", now_ns, packet);
            memcpy(nonces[start * PACKETS + i], packet + 12, 24);
            if (i == 1) {
                sealer.head.counter = SEALED_SESSION_PACKETS;
            }
        }
        assert_memory_not_equal(nonces[start * PACKETS], nonces[start * PACKETS + 2], 16);
        sealer_close(&sealer);
    }
    qsort(nonces, STARTS * PACKETS, sizeof(nonces[0]), compare_nonces);
    for (int i = 1; i < STARTS * PACKETS; i++) {
        assert_memory_not_equal(nonces[i - 1], nonces[i], 24);
    }
}

static void test_time(void **state)
{
    (void)state;
    struct pair pair;
    open_pair(&pair, SEALED_AES_256_GCM, minute_ns);
    const int64_t minute = (int64_t)minute_ns;
    static const struct {
        int64_t minutes;
        int64_t more;
        enum yarder_opened opened;
    } cases[] = {{-1, -1, YARDER_OPENED_EXPIRED}, {-1, 0, YARDER_OPENED_GOOD},
        {1, 0, YARDER_OPENED_GOOD}, {1, 1, YARDER_OPENED_EXPIRED}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t at_ns = now_ns + cases[i].minutes * minute + cases[i].more;
        assert_int_equal(take(&pair, seal(&pair.sealer, "x", at_ns, pair.packet)), cases[i].opened);
    }
    pair.unsealer.max_age_ns = 0;
    assert_int_equal(take(&pair, seal(&pair.sealer, "x", 1, pair.packet)), YARDER_OPENED_GOOD);
    close_pair(&pair);
}

static void test_other_keys(void **state)
{
    (void)state;
    struct pair pair;
    struct sealer other;
    uint8_t other_key[SEALED_KEY_BYTES];
    memcpy(other_key, key, sizeof(key));
    other_key[31] ^= 1;
    open_pair(&pair, SEALED_AES_256_GCM, minute_ns);
    assert_int_equal(sealer_open(&other, SEALED_AES_256_GCM, other_key, 7), 0);
    assert_int_equal(take(&pair, seal(&other, "x", now_ns, pair.packet)), YARDER_OPENED_FORGED);
    sealer_close(&other);
    assert_int_equal(sealer_open(&other, SEALED_AES_256_GCM, key, 8), 0);
    assert_int_equal(take(&pair, seal(&other, "x", now_ns, pair.packet)), YARDER_OPENED_UNKNOWN);
    sealer_close(&other);
    close_pair(&pair);
}

/* More senders than the table holds: who made place cannot be played back, who goes on can. */
static void test_sessions_are_bounded(void **state)
{
    (void)state;
    struct pair pair;
    char first[ROOM], second[ROOM], last[ROOM];
    open_pair(&pair, SEALED_AES_256_GCM, minute_ns);
    struct yarder_text old = seal(&pair.sealer, "x", now_ns, first);
    assert_int_equal(take(&pair, old), YARDER_OPENED_GOOD);
    for (int i = 1; i <= SEALED_SESSIONS_MAX; i++) {
        struct sealer sealer;
        assert_int_equal(sealer_open(&sealer, SEALED_AES_256_GCM, key, 7), 0);
        struct yarder_text packet = seal(&sealer, "x", now_ns + i, last);
        assert_int_equal(take(&pair, packet), YARDER_OPENED_GOOD);
        assert_int_equal(take(&pair, packet), YARDER_OPENED_REPLAYED);
        sealer_close(&sealer);
    }
    assert_int_equal(pair.unsealer.sessions_count, SEALED_SESSIONS_MAX);
    assert_int_equal(take(&pair, old), YARDER_OPENED_REPLAYED);
    assert_int_equal(
        take(&pair, seal(&pair.sealer, "x", now_ns + 5000, second)), YARDER_OPENED_GOOD);
    assert_int_equal(take(&pair, old), YARDER_OPENED_REPLAYED);
    close_pair(&pair);
}

/* uWSGI's form by the opener: a wrong secret shows by what comes out. */
static void test_opener_of_a_secret(void **state)
{
    (void)state;
    static const char packet[] = "\xa5\x45\x7c\xa1\x23\xba\x21\x47\x19\x08\xfb\xf9\x70\x3b\xac\x9c"
                                 "\xaf\xdf\x59\xb9\x34\xef\xdc\xcf\x7e\x86\xeb\x5c\xf4\x09\x23\x03";
    static const char *const secrets[] = {"ciaociao", "ciaociaO"};
    for (size_t i = 0; i < 2; i++) {
        char why[256], plain[ROOM];
        union {
            void *self;
            char **first; /* of its options that are texts */
        } opener = {.self = calloc(1, yarder_opener.self_bytes)};
        assert_non_null(opener.self);
        for (const struct yarder_option *row = yarder_opener.options; row->name != NULL; row++) {
            char *field = (char *)opener.self + row->offset;
            const char *value = strcmp(row->name, "secret") == 0 ? secrets[i]
                                : strcmp(row->name, "algo") == 0 ? "aes-128-cbc"
                                                                 : NULL;
            if (value != NULL) {
                memcpy(field, &value, sizeof(value));
            }
        }
        assert_int_equal(yarder_opener.open(opener.self, why, sizeof(why)), 0);
        struct yarder_text text = {0};
        enum yarder_opened opened =
            yarder_opener.take(opener.self, (struct yarder_text){packet, 32}, now_ns, plain, &text);
        assert_int_equal(opened, i == 0 ? YARDER_OPENED_GOOD : YARDER_OPENED_UNKNOWN);
        assert_int_equal(text.length, i == 0 ? 29 : 0);
        yarder_opener.close(opener.self);
        free(opener.self);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uwsgi_to_the_byte),
        cmocka_unit_test(test_each_packet_decrypts_alone),
        cmocka_unit_test(test_key_stream_is_followed),
        cmocka_unit_test(test_ciphers_that_cannot),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_any_bit_is_noticed),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_nonces_are_unique),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_other_keys),
        cmocka_unit_test(test_sessions_are_bounded),
        cmocka_unit_test(test_opener_of_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
