/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams that are encrypted. With `key` as sealed.h tells, which nobody else can make or play
 * back; with `secret` as uWSGI's logcrypto makes them (plain_cipher.h), for receivers of those:
 *
 *   "<unix microseconds> [PREFIX ]TEXT\n" under OpenSSL's `algo`
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "packets.h"
#include "plain_cipher.h"
#include "sealed.h"

enum { PACKETS_ROOM_BYTES = 256 << 10 };

struct crypto {
    struct link_address address;
    char *algorithm;
    char *key;
    uint64_t key_id;
    char *secret;
    char *iv;
    char *prefix;

    struct yarder_host *host;
    struct link *link;
    struct packets packets;
    struct sealer sealer;
    struct plain_cipher cipher;
    struct bytes plain; /* with `secret`: what a packet holds */
};

#define FIELD(member) offsetof(struct crypto, member)

static const struct yarder_option crypto_options[] = {
    {"key", YARDER_OPTION_SECRET, FIELD(key), NULL, 0, 0, NULL, NULL, "file:PATH|env:NAME|KEY",
        "32 bytes, in hex or base64: packets are sealed (`openssl rand -hex 32` makes one)"},
    {"key-id", YARDER_OPTION_COUNT, FIELD(key_id), "0", 0, UINT32_MAX, NULL, NULL, "N",
        "which key it is, for a receiver that has several"},
    {"algo", YARDER_OPTION_TEXT, FIELD(algorithm), NULL, 0, 0, NULL, NULL, "NAME",
        "with key: aes-256-gcm (the default) or chacha20-poly1305; with secret: any of OpenSSL's"},
    {"secret", YARDER_OPTION_SECRET, FIELD(secret), NULL, 0, 0, NULL, NULL,
        "file:PATH|env:NAME|TEXT", "instead of key: packets as uWSGI's, not authenticated"},
    {"iv", YARDER_OPTION_TEXT, FIELD(iv), NULL, 0, 0, NULL, NULL, "TEXT",
        "with secret: the initialization vector of every packet"},
    {"prefix", YARDER_OPTION_TEXT, FIELD(prefix), NULL, 0, 0, NULL, NULL, "TEXT",
        "with secret: what stands before each text"},
    {.kind = YARDER_OPTION_END},
};

static int set_target(void *self, char *text, char *why, size_t why_bytes)
{
    struct crypto *crypto = self;
    const struct link_form form = {
        LINK_UDP, LINK_UNIX_DATAGRAM, LINK_BIT(LINK_UDP) | LINK_BIT(LINK_UNIX_DATAGRAM), NULL};
    return link_parse(text, &form, &crypto->address, why, why_bytes);
}

/* Ends the item at the next comma, takes "\," for one in it; what follows, or NULL. */
static char *cut_item(char *text)
{
    char *to = text;
    for (; *text != '\0' && *text != ','; text++) {
        text += text[0] == '\\' && text[1] == ',';
        *to++ = *text;
    }
    char *next = *text == ',' ? text + 1 : NULL;
    *to = '\0';
    return next;
}

/* addr=HOST:PORT,algo=NAME,secret=KEY[,iv=IV][,prefix=TEXT] */
static int set_uwsgi(void *self, const char *name, char *argument, char *why, size_t why_bytes)
{
    (void)name;
    struct crypto *crypto = self;
    char *address = NULL;
    const struct {
        const char *name;
        char **value;
    } items[] = {{"addr", &address}, {"algo", &crypto->algorithm}, {"secret", &crypto->secret},
        {"iv", &crypto->iv}, {"prefix", &crypto->prefix}};
    for (char *at = argument, *next; at != NULL; at = next) {
        next = cut_item(at);
        size_t length = strcspn(at, "=");
        size_t i = 0;
        while (i < sizeof(items) / sizeof(items[0]) &&
               (strlen(items[i].name) != length || memcmp(items[i].name, at, length) != 0)) {
            i++;
        }
        if (i == sizeof(items) / sizeof(items[0]) || at[length] != '=') {
            /* Not shown: it may be half of a secret with a comma in it. */
            (void)snprintf(why, why_bytes,
                "expected addr=, algo=, secret=, iv= or prefix= behind each comma; \\, is one in a "
                "value");
            return -EINVAL;
        }
        *items[i].value = at[length + 1] != '\0' ? at + length + 1 : NULL;
    }
    if (address == NULL || crypto->algorithm == NULL || crypto->secret == NULL) {
        (void)snprintf(why, why_bytes,
            "expected addr=HOST:PORT,algo=NAME,secret=TEXT[,iv=TEXT][,prefix=TEXT]");
        return -EINVAL;
    }
    return set_target(self, address, why, why_bytes);
}

/* A line of uWSGI's has the secret in it. */
static void show(const void *self, char *at, size_t room)
{
    (void)link_show(&((const struct crypto *)self)->address, at, room);
}

static int check_key(const struct crypto *crypto, char *why, size_t why_bytes)
{
    uint8_t key[SEALED_KEY_BYTES];
    int r = sealed_key_parse(crypto->key, key);
    explicit_bzero(key, sizeof(key));
    if (r < 0) {
        (void)snprintf(why, why_bytes, "key=: expected 32 bytes, as 64 hex digits or in base64");
    } else if (crypto->algorithm != NULL && sealed_algorithm_of(crypto->algorithm) == SEALED_NONE) {
        (void)snprintf(why, why_bytes,
            "algo=%.32s: expected aes-256-gcm or chacha20-poly1305 (others go with secret=)",
            crypto->algorithm);
        r = -EINVAL;
    } else if (crypto->iv != NULL || crypto->prefix != NULL) {
        (void)snprintf(why, why_bytes, "iv= and prefix= go with secret=, not with key=");
        r = -EINVAL;
    }
    return r;
}

static int open_cipher(
    const struct crypto *crypto, struct plain_cipher *cipher, char *why, size_t why_bytes)
{
    return plain_cipher_open(
        cipher, crypto->algorithm, crypto->secret, crypto->iv, true, why, why_bytes);
}

static int check(void *self, char *why, size_t why_bytes)
{
    const struct crypto *crypto = self;
    struct plain_cipher cipher;
    if ((crypto->key != NULL) == (crypto->secret != NULL)) {
        (void)snprintf(
            why, why_bytes, "expected key= (sealed) or secret= (as uWSGI's), one of them");
        return -EINVAL;
    }
    if (crypto->key != NULL) {
        return check_key(crypto, why, why_bytes);
    }
    if (crypto->algorithm == NULL) {
        (void)snprintf(why, why_bytes, "secret=: expected algo=NAME with it, such as aes-256-cbc");
        return -EINVAL;
    }
    int r = open_cipher(crypto, &cipher, why, why_bytes);
    plain_cipher_close(&cipher);
    return r;
}

static int open_ends(struct crypto *crypto)
{
    struct yarder_host *host = crypto->host;
    char why[256];
    if (crypto->secret != NULL) {
        int r = open_cipher(crypto, &crypto->cipher, why, sizeof(why));
        return r < 0 ? host->fail(host, r, "%s", why) : 0;
    }
    uint8_t key[SEALED_KEY_BYTES];
    enum sealed_algorithm algorithm =
        crypto->algorithm != NULL ? sealed_algorithm_of(crypto->algorithm) : SEALED_AES_256_GCM;
    int r = sealed_key_parse(crypto->key, key);
    r = r < 0 ? r : sealer_open(&crypto->sealer, algorithm, key, (uint32_t)crypto->key_id);
    explicit_bzero(key, sizeof(key));
    return r < 0 ? host->fail(host, r, "OpenSSL: no HKDF, AES-GCM or ChaCha20-Poly1305") : 0;
}

static int open_crypto(void *self, struct yarder_host *host)
{
    struct crypto *crypto = self;
    crypto->host = host;
    int r = open_ends(crypto);
    r = r < 0 ? r : link_open(&crypto->link, host, &crypto->address, NULL);
    return r < 0 ? r : packets_open(&crypto->packets, host, crypto->link, PACKETS_ROOM_BYTES);
}

static void close_crypto(void *self)
{
    struct crypto *crypto = self;
    packets_close(&crypto->packets);
    link_close(crypto->link);
    crypto->link = NULL;
    sealer_close(&crypto->sealer);
    plain_cipher_close(&crypto->cipher);
    bytes_free(&crypto->plain);
}

/* What a packet of uWSGI's form holds. */
static struct yarder_text compose(struct crypto *crypto, const struct yarder_item *item)
{
    struct bytes *plain = &crypto->plain;
    bytes_clear(plain);
    bytes_put_words(plain, "%" PRId64 " ", item->record->time_ns / 1000);
    if (crypto->prefix != NULL) {
        bytes_put_word(plain, crypto->prefix);
        bytes_put_char(plain, ' ');
    }
    bytes_put(plain, item->text.at, item->text.length + item->newline);
    return (struct yarder_text){plain->at, plain->length};
}

static int64_t realtime_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int put_packet(
    struct crypto *crypto, struct yarder_item *item, int64_t now_ns, uint64_t deadline_ns)
{
    struct yarder_host *host = crypto->host;
    bool plain = crypto->secret != NULL;
    struct yarder_text text = plain ? compose(crypto, item) : item->text;
    size_t most = text.length + (plain ? PLAIN_CIPHER_OVERHEAD_BYTES : SEALED_OVERHEAD_BYTES);
    if (crypto->plain.lacks) {
        return host->fail(host, -ENOMEM, "no memory for a packet");
    }
    if (most > PACKET_BYTES_MAX) {
        host->refuse(host, item,
            "%zu bytes: a datagram has at most %zu beside what encryption adds", text.length,
            PACKET_BYTES_MAX - (most - text.length));
        return 0;
    }
    int r = packets_reserve(&crypto->packets, 1, most, deadline_ns);
    if (r < 0) {
        return r;
    }
    char *at = packets_at(&crypto->packets);
    int bytes = plain ? plain_cipher_put(&crypto->cipher, text, at)
                      : sealer_put(&crypto->sealer, text, now_ns, at);
    if (bytes < 0) {
        return host->fail(host, bytes, "OpenSSL failed to encrypt");
    }
    packets_put(&crypto->packets, item, (size_t)bytes, true);
    return 0;
}

static int submit(void *self, struct yarder_batch *batch, uint64_t deadline_ns)
{
    struct crypto *crypto = self;
    int64_t now_ns = realtime_ns();
    int r = 0;
    packets_clear(&crypto->packets);
    for (uint32_t i = 0; i < batch->count && r == 0; i++) {
        r = put_packet(crypto, &batch->items[i], now_ns, deadline_ns);
    }
    return r == 0 ? packets_send(&crypto->packets, deadline_ns) : r;
}

static const char *const uwsgi_names[] = {"crypto", NULL};

YARDER_EXPORT const struct yarder_backend yarder_backend = {
    .abi = YARDER_BACKEND_ABI,
    .struct_bytes = sizeof(struct yarder_backend),
    .name = "crypto",
    .help = "crypto:HOST:PORT: encrypted datagrams; yarder serve-udp --decrypt reads them",
    .means = YARDER_MEANS_SENT,
    .flags = YARDER_BACKEND_TEXT,
    .self_bytes = sizeof(struct crypto),
    .options = crypto_options,
    .target = set_target,
    .shown = show,
    .check = check,
    .uwsgi_names = uwsgi_names,
    .uwsgi = set_uwsgi,
    .open = open_crypto,
    .submit = submit,
    .close = close_crypto,
};
