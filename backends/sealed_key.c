/* SPDX-License-Identifier: Apache-2.0 */
/* A key as people keep it: 64 hex digits, base64, or the bytes themselves. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "sealed.h"

static int hex_digit(char letter)
{
    if (letter >= '0' && letter <= '9') {
        return letter - '0';
    }
    letter = (char)tolower((unsigned char)letter);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static bool read_hex(const char *text, size_t length, uint8_t *key)
{
    for (size_t i = 0; i < length; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) {
            return false;
        }
        if (key != NULL) {
            key[i / 2] = (uint8_t)((i % 2 == 0 ? 0 : key[i / 2] << 4) | digit);
        }
    }
    return true;
}

/* 43 letters, and one '=' or none. */
static bool read_base64(const char *text, uint8_t key[static SEALED_KEY_BYTES])
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    size_t written = 0;
    for (size_t i = 0; i < 43; i++) {
        const char *place = strchr(letters, text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
        if (place == NULL || *place == '\0') {
            return false;
        }
        bits = bits << 6 | (uint32_t)(place - letters);
        if (i % 4 != 0) {
            key[written++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
        }
    }
    return (bits & 3) == 0; /* what is over belongs to no byte */
}

int sealed_key_parse(const char *text, uint8_t key[static SEALED_KEY_BYTES])
{
    size_t length = strlen(text);
    if (length == 2 * SEALED_KEY_BYTES && read_hex(text, length, key)) {
        return 0;
    }
    if ((length == 43 || (length == 44 && text[43] == '=')) && read_base64(text, key)) {
        return 0;
    }
    /* 32 hex digits are half a key by mistake. */
    if (length == SEALED_KEY_BYTES && !read_hex(text, length, NULL)) {
        memcpy(key, text, SEALED_KEY_BYTES);
        return 0;
    }
    return -EINVAL;
}
