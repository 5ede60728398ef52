/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed form: a header, then numbers and texts in the order of struct settings. A text is its
 * length (u32) and its bytes with a NUL; NULL is the length UINT32_MAX and nothing. Host order: it
 * travels between processes of one machine.
 */
#include <errno.h>
#include <string.h>

#include "control/settings.h"
#include "control/settings_private.h"

enum { PACK_MAGIC = 0x59524453 /* "YRDS" */, PACK_VERSION = 2 };

/* Written to when `at` is set, else only measured. */
struct packer {
    char *at;
    size_t length;
};

static void pack_bytes(struct packer *packer, const void *bytes, size_t bytes_count)
{
    if (packer->at != NULL) {
        memcpy(packer->at + packer->length, bytes, bytes_count);
    }
    packer->length += bytes_count;
}

static void pack_number(struct packer *packer, uint64_t number)
{
    pack_bytes(packer, &number, sizeof(number));
}

static void pack_text(struct packer *packer, const char *text)
{
    uint32_t length = text == NULL ? UINT32_MAX : (uint32_t)strlen(text);
    pack_bytes(packer, &length, sizeof(length));
    if (text != NULL) {
        pack_bytes(packer, text, (size_t)length + 1);
    }
}

static void pack_settings(struct packer *packer, const struct settings *settings)
{
    const struct settings_place *place = &settings->place;
    pack_number(packer, PACK_MAGIC);
    pack_number(packer, PACK_VERSION);
    pack_number(packer, settings->count);
    pack_number(packer, settings->sections_count);
    pack_number(packer, settings->files_count);
    pack_number(packer, settings->secrets_count);
    pack_number(packer, place->stdin_feeds);
    pack_number(packer, place->memory_bytes);
    pack_text(packer, place->working_dir);
    pack_text(packer, place->run_dir);
    pack_text(packer, place->state_dir);
    pack_text(packer, place->host);
    for (uint32_t i = 0; i < settings->count; i++) {
        const struct setting *setting = &settings->list[i];
        pack_number(packer, (uint64_t)setting->section << 32 | setting->section_number);
        pack_number(packer, setting->line);
        pack_text(packer, setting->section_name);
        pack_text(packer, setting->file);
        pack_text(packer, setting->where);
        pack_text(packer, setting->key);
        pack_text(packer, setting->value);
    }
    for (uint32_t i = 0; i < settings->secrets_count; i++) {
        pack_text(packer, settings->secrets[i].reference);
        pack_text(packer, settings->secrets[i].value);
        pack_text(packer, settings->secrets[i].where);
    }
}

int settings_pack(const struct settings *settings, void **bytes, size_t *bytes_count)
{
    struct packer packer = {NULL, 0};
    pack_settings(&packer, settings);
    struct packer writer = {malloc(packer.length), 0};
    if (writer.at == NULL) {
        return -ENOMEM;
    }
    pack_settings(&writer, settings);
    YARDER_ASSERT(writer.length == packer.length);
    *bytes = writer.at;
    *bytes_count = writer.length;
    return 0;
}

/* Once bad, everything it yields is zero or empty. */
struct unpacker {
    const char *at;
    size_t left;
    bool bad;
};

static void unpack_bytes(struct unpacker *unpacker, void *out, size_t bytes_count)
{
    if (unpacker->bad || bytes_count > unpacker->left) {
        unpacker->bad = true;
        memset(out, 0, bytes_count);
        return;
    }
    memcpy(out, unpacker->at, bytes_count);
    unpacker->at += bytes_count;
    unpacker->left -= bytes_count;
}

static uint64_t unpack_number(struct unpacker *unpacker, uint64_t max)
{
    uint64_t number = 0;
    unpack_bytes(unpacker, &number, sizeof(number));
    if (number > max) {
        unpacker->bad = true;
        return 0;
    }
    return number;
}

/*
 * NULL only where it was packed as such and `may_be_null`. `again` is what it probably repeats, so
 * that the unpacked list needs no more memory than the one it was made of.
 */
static const char *unpack_text(
    struct unpacker *unpacker, struct arena *arena, bool may_be_null, const char *again)
{
    uint32_t length = 0;
    unpack_bytes(unpacker, &length, sizeof(length));
    if (length == UINT32_MAX && may_be_null) {
        return NULL;
    }
    if (unpacker->bad || length >= unpacker->left || unpacker->at[length] != '\0' ||
        memchr(unpacker->at, '\0', length) != NULL) {
        unpacker->bad = true;
        return "";
    }
    bool repeats = strcmp(again, unpacker->at) == 0;
    const char *text = repeats ? again : arena_text(arena, unpacker->at, length);
    unpacker->at += length + 1;
    unpacker->left -= length + 1;
    return text;
}

static void unpack_place(struct unpacker *unpacker, struct settings *settings)
{
    struct settings_place *place = &settings->place;
    place->stdin_feeds = unpack_number(unpacker, 1) == 1;
    place->memory_bytes = unpack_number(unpacker, UINT64_MAX);
    place->working_dir = unpack_text(unpacker, &settings->arena, false, "");
    place->run_dir = unpack_text(unpacker, &settings->arena, false, "");
    place->state_dir = unpack_text(unpacker, &settings->arena, false, "");
    place->host = unpack_text(unpacker, &settings->arena, false, "");
}

static int unpack_setting(struct unpacker *unpacker, struct settings *settings)
{
    struct arena *arena = &settings->arena;
    uint64_t section = unpack_number(unpacker, (uint64_t)SETTINGS_SECTIONS << 32);
    uint32_t line = (uint32_t)unpack_number(unpacker, UINT32_MAX);
    struct settings_spot spot = {.section = (enum settings_section)(section >> 32),
        .section_number = (uint32_t)section,
        .line = line};
    const struct setting *last = settings->count > 0 ? &settings->list[settings->count - 1] : NULL;
    spot.section_name = unpack_text(unpacker, arena, false, last != NULL ? last->section_name : "");
    spot.file = unpack_text(unpacker, arena, false, last != NULL ? last->file : "");
    spot.where = unpack_text(unpacker, arena, false, last != NULL ? last->where : "");
    const char *key = unpack_text(unpacker, arena, false, "");
    const char *value = unpack_text(unpacker, arena, true, "");
    if (unpacker->bad || spot.section >= SETTINGS_SECTIONS ||
        spot.section_number > settings->sections_count) {
        return -EBADMSG;
    }
    return settings_add(settings, &spot, key, value);
}

static void unpack_secret(struct unpacker *unpacker, struct settings *settings)
{
    struct settings_secret *secret = &settings->secrets[settings->secrets_count++];
    secret->reference = unpack_text(unpacker, &settings->arena, false, "");
    secret->value = unpack_text(unpacker, &settings->arena, false, "");
    secret->where = unpack_text(unpacker, &settings->arena, false, "");
}

static void close_guard(struct settings **settings)
{
    settings_close(*settings);
}

int settings_unpack(struct settings **out, const void *bytes, size_t bytes_count)
{
    struct unpacker unpacker = {bytes, bytes_count, false};
    __attribute__((cleanup(close_guard))) struct settings *settings = NULL;
    if (settings_make(&settings) < 0) {
        return -ENOMEM;
    }
    if (unpack_number(&unpacker, UINT64_MAX) != PACK_MAGIC ||
        unpack_number(&unpacker, UINT64_MAX) != PACK_VERSION) {
        return -EBADMSG;
    }
    uint64_t count = unpack_number(&unpacker, SETTINGS_MAX);
    settings->sections_count = (uint32_t)unpack_number(&unpacker, UINT32_MAX);
    settings->files_count = (uint32_t)unpack_number(&unpacker, UINT32_MAX);
    uint64_t secrets_count = unpack_number(&unpacker, SETTINGS_SECRETS_MAX);
    unpack_place(&unpacker, settings);
    for (uint64_t i = 0; i < count; i++) {
        int r = unpack_setting(&unpacker, settings);
        if (r < 0) {
            return r;
        }
    }
    for (uint64_t i = 0; i < secrets_count && !unpacker.bad; i++) {
        unpack_secret(&unpacker, settings);
    }
    if (unpacker.bad || unpacker.left != 0) {
        return -EBADMSG;
    }
    if (settings->arena.failed) {
        return -ENOMEM;
    }
    *out = yarder_heap_take(&settings);
    return 0;
}
