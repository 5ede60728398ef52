/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader over a region whose every byte comes from the input: for each of two rings a head,
 * then data, then names; a few formats are there for deferred records. What comes out must keep the
 * reader's promises; then records that are appended honestly behind it must come out unharmed.
 */
#include <string.h>

#include "ring/append.h"
#include "ring/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count);

enum {
    RINGS = 2,
    SCRATCH_BYTES = 128 << 10,
    RECORDS = 64,
    TAKES_MAX = 64,
    FUZZ_DATA_BYTES = 64 << 10
};

static struct ring_producer *producer;
static struct ring_clock fuzz_clock;
static struct ring_record records[RECORDS];
static _Alignas(64) char scratch[SCRATCH_BYTES];

static void set_formats(struct region_formats *formats)
{
    static const char texts[][24] = {"%d of %s", "no argument", "%-9.3f%% %p", "%m%n"};
    for (size_t i = 0; i < YARDER_COUNT_OF(texts); i++) {
        uint8_t *unit = formats->units + i * REGION_FORMAT_UNIT;
        uint32_t length = (uint32_t)strlen(texts[i]);
        memcpy(unit, &length, sizeof(length));
        memcpy(unit + sizeof(length), texts[i], length);
    }
}

static void set_up(void)
{
    struct region_shape shape = {
        .kind = REGION_LOCKED, .clock = REGION_CLOCK_NS, .ticks_per_s = 1000000000};
    int fd = -1;
    region_shape_set(&shape, 0, RINGS);
    ring_clock_open(&fuzz_clock);
    int result = region_create(&fd, &shape);
    YARDER_ASSERT(result == 0);
    result = ring_producer_open(&producer, fd, &shape);
    YARDER_ASSERT(result == 0);
    set_formats(producer->map.formats);
    (void)close(fd);
}

static void take(const uint8_t **from, size_t *left, void *to, size_t bytes)
{
    bytes = bytes < *left ? bytes : *left;
    memcpy(to, *from, bytes);
    *from += bytes;
    *left -= bytes;
}

static void lay_out(const uint8_t *bytes, size_t bytes_count)
{
    const struct region_map *map = &producer->map;
    for (uint32_t i = 0; i < RINGS; i++) {
        struct ring_header *header = region_ring(map, i);
        uint32_t start = 0; /* the tail, anywhere in the ring */
        uint32_t length = 0;
        memset(header, 0, sizeof(*header));
        take(&bytes, &bytes_count, &start, sizeof(start));
        take(&bytes, &bytes_count, &length, 2);
        header->tail = start;
        header->head = header->tail + length;
        size_t share = i + 1 < RINGS ? bytes_count / 2 : bytes_count;
        share = share > FUZZ_DATA_BYTES ? FUZZ_DATA_BYTES : share;
        uint8_t *at = region_data(map, i) + (start & (RING_BYTES_MIN - 1));
        memset(at, 0, FUZZ_DATA_BYTES);
        take(&bytes, &bytes_count, at, share);
    }
    memset(map->names, 0, sizeof(*map->names) * 4);
    take(&bytes, &bytes_count, map->names, sizeof(*map->names) * 4);
}

static bool lies_in_scratch(struct yarder_text text)
{
    uintptr_t from = (uintptr_t)text.at;
    return from >= (uintptr_t)scratch && from + text.length <= (uintptr_t)scratch + sizeof(scratch);
}

static void check(const struct ring_record *got)
{
    const struct yarder_record *record = &got->record;
    YARDER_ASSERT(record->text.length <= RING_APPEND_BYTES_MAX);
    YARDER_ASSERT(lies_in_scratch(record->text));
    YARDER_ASSERT(record->fields_count <= YARDER_FIELDS_MAX && got->ring < RINGS);
    YARDER_ASSERT(record->stream <= YARDER_STREAM_STDERR && record->kind <= YARDER_KIND_REQUEST);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        YARDER_ASSERT(lies_in_scratch(field->key) && lies_in_scratch(field->value));
        YARDER_ASSERT(field->type >= YARDER_FIELD_TEXT && field->type <= YARDER_FIELD_BOOL);
        YARDER_ASSERT(field->type != YARDER_FIELD_BOOL || field->value.length == 1);
    }
    for (size_t i = 0; i < record->logger.length; i++) {
        YARDER_ASSERT((unsigned char)record->logger.at[i] >= ' ');
    }
}

/* Takes until nothing is left: the number of records. Bounded: each take moves a cursor or ends. */
static uint32_t drain(struct region_reader *reader)
{
    uint32_t count = 0;
    for (unsigned takes = 0; takes < TAKES_MAX && !region_reader_idle(reader); takes++) {
        struct ring_batch batch = {.records = records,
            .records_max = RECORDS,
            .scratch = scratch,
            .scratch_bytes = sizeof(scratch)};
        if (region_reader_take(reader, &fuzz_clock, &batch) != 0) {
            break;
        }
        for (uint32_t i = 0; i < batch.count; i++) {
            check(&records[i]);
        }
        count += batch.count;
        region_reader_publish(reader);
    }
    return count;
}

static void append_honestly(struct region_reader *reader)
{
    struct ring_entry entry = {.text = "honest", .text_bytes = 6, .extra = "", .tid = 8};
    ring_entry_seal(&entry, 0, YARDER_LEVEL_ERROR, 0);
    struct ring_header *header = region_ring(&producer->map, 0);
    header->head = region_reader_cursor(reader, 0);
    YARDER_ASSERT(ring_append(producer, &entry) == RING_APPENDED);
    YARDER_ASSERT(drain(reader) == 1);
    YARDER_ASSERT(
        records[0].record.text.length == 6 && memcmp(records[0].record.text.at, "honest", 6) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t bytes_count)
{
    if (producer == NULL) {
        set_up();
    }
    ring_clock_refresh(&fuzz_clock);
    lay_out(bytes, bytes_count);
    struct region_reader *reader = NULL;
    struct region_reader_options options = {.pid = 1, .strikes_max = UINT32_MAX};
    int result = region_reader_open_on(&reader, &producer->map, &options);
    YARDER_ASSERT(result == 0);
    (void)drain(reader);
    append_honestly(reader);
    region_reader_close(reader);
    return 0;
}
