/* SPDX-License-Identifier: Apache-2.0 */
/*
 * First byte even: a GELF message. What is read lies in the bytes, no text is longer than what it
 * came from, and a text that our own writer makes of it is read as the same. Odd: datagrams, each
 * with two bytes of length before it, as chunks: what comes out is bounded, and so is what waits.
 */
#include <stdlib.h>
#include <string.h>

#include "../backends/gelf.h"
#include "../backends/gelf_chunks.h"
#include "../backends/gelf_read.h"
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

static void touch(struct yarder_text text)
{
    volatile char sum = 0;
    for (size_t i = 0; i < text.length; i++) {
        sum = (char)(sum ^ text.at[i]);
    }
}

static void check(const struct yarder_record *record, size_t count)
{
    const struct yarder_text texts[] = {record->host, record->logger, record->tag};
    YARDER_ASSERT(record->fields_count <= YARDER_FIELDS_MAX);
    YARDER_ASSERT(record->text.length <= count && record->time_ns >= 0);
    touch(record->text);
    for (size_t i = 0; i < YARDER_COUNT_OF(texts); i++) {
        YARDER_ASSERT(texts[i].length <= count);
        touch(texts[i]);
    }
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        YARDER_ASSERT(field->type == YARDER_FIELD_TEXT || field->type == YARDER_FIELD_BOOL ||
                      field->value.length == sizeof(int64_t));
        touch(field->key);
        touch(field->value);
    }
}

static void fuzz_message(const char *at, size_t count)
{
    static struct gelf_message first, second;
    static const struct gelf_shape shape = {.host = "h", .short_bytes = 64, .fields = true};
    char *copy = malloc(count + 1);
    YARDER_ASSERT(copy != NULL);
    memcpy(copy, at, count);
    if (gelf_read(copy, count, &first) == 0) {
        struct bytes once = {0};
        struct bytes twice = {0};
        check(&first.record, count);
        gelf_put(&once, &shape, &first.record, first.record.text);
        gelf_put(&twice, &shape, &first.record, first.record.text);
        YARDER_ASSERT(!once.lacks && gelf_read(once.at, once.length, &second) == 0);
        check(&second.record, twice.length);
        bytes_free(&once);
        bytes_free(&twice);
    }
    bytes_free(&first.joined);
    bytes_free(&second.joined);
    free(copy);
}

static void fuzz_chunks(const uint8_t *at, size_t count)
{
    static struct gelf_chunks chunks;
    memset(&chunks, 0, sizeof(chunks));
    YARDER_ASSERT(gelf_chunks_open(&chunks) == 0);
    uint64_t now_ns = 1;
    while (count > 2) {
        size_t length = yarder_min((size_t)(at[0] | at[1] << 8), count - 2);
        char *copy = malloc(length + 1);
        char *text = NULL;
        size_t text_length = 0;
        YARDER_ASSERT(copy != NULL);
        memcpy(copy, at + 2, length);
        const struct yarder_text peer = {"peer", 4};
        if (gelf_chunks_take(&chunks, copy, length, peer, now_ns, &text, &text_length) == 1) {
            YARDER_ASSERT(text_length <= GELF_MESSAGE_BYTES_MAX + 65536);
            touch((struct yarder_text){text, text_length});
        }
        YARDER_ASSERT(chunks.bytes <= GELF_PENDING_BYTES_MAX);
        free(copy);
        now_ns += 1000000000;
        gelf_chunks_look(&chunks, now_ns);
        at += 2 + length;
        count -= 2 + length;
    }
    gelf_chunks_close(&chunks);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    if (bytes_count > 0 && bytes[0] % 2 == 0) {
        fuzz_message((const char *)bytes + 1, bytes_count - 1);
    } else if (bytes_count > 0) {
        fuzz_chunks(bytes + 1, bytes_count - 1);
    }
    return 0;
}
