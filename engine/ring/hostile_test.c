/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A producer that scribbles: one thread appends, half of it deferred records of any format with any
 * arguments, another writes random heads, tails, counts, names, formats, lengths and bytes at full
 * speed while the reader takes. Whatever comes out must
 * lie inside the caller's memory, within the limits, and the reader must survive or say
 * -EPROTO. Meant for a sanitizer build; it proves bounds in any.
 */
#include "ring/testing.h"

#include <errno.h>
#include <pthread.h>

#include "ring/deferred.h"

enum { RUN_MS = 1000, PATIENCE_MS = 20000, UNITS = 20 };

static bool stop;
static uint64_t sum; /* keeps the reads below alive */

static uint64_t nasty(uint64_t *random, uint64_t head)
{
    uint64_t roll = testing_random(random);
    switch (roll % 6) {
    case 0:
        return testing_random(random);
    case 1:
        return head + roll / 8 % 4096;
    case 2:
        return head + (roll / 8 % 4096) * 8;
    case 3:
        return UINT64_MAX - roll / 8 % 64;
    case 4:
        return head - roll / 8 % 4096 * 8;
    default:
        return head + RING_BYTES_MIN - roll / 8 % 3 * 8;
    }
}

/* A format's length, or some of its text, in one of the first units. */
static void scribble_format(uint64_t *random, struct region_formats *formats)
{
    static const char pieces[][9] = {"%d %5.2f", "%s%-20sx", "%m %p %c", "%n%*d%hh", "%512.512"};
    uint8_t *unit = formats->units + testing_random(random) % UNITS * REGION_FORMAT_UNIT;
    uint32_t *length = (void *)unit;
    uint64_t piece;
    uint64_t roll = testing_random(random);
    memcpy(&piece, pieces[roll % YARDER_COUNT_OF(pieces)], sizeof(piece));
    if ((roll & 256) != 0) {
        __atomic_store_n(length, (uint32_t)(roll >> 32) % 100, __ATOMIC_RELAXED);
    } else {
        uint32_t *text = (void *)(unit + 4 + (roll >> 32) % 10 * 4);
        __atomic_store_n(text, (uint32_t)piece, __ATOMIC_RELAXED);
        __atomic_store_n(text + 1, (uint32_t)(piece >> 32), __ATOMIC_RELAXED);
    }
}

static void *scribble(void *argument)
{
    struct pair *pair = argument;
    uint64_t random = testing_seed();
    const struct region_map *map = &pair->producer->map;
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        uint32_t index = (uint32_t)(testing_random(&random) % map->shape.rings);
        struct ring_header *header = region_ring(map, index);
        uint64_t head = __atomic_load_n(&header->head, __ATOMIC_RELAXED);
        uint64_t at = testing_random(&random) % RING_BYTES_MIN & ~UINT64_C(7);
        uint64_t *words = (void *)(region_data(map, index) + at);
        switch (testing_random(&random) % 1024) {
        case 0:
            __atomic_store_n(&header->head, nasty(&random, head), __ATOMIC_RELAXED);
            break;
        case 4:
        case 5: /* the appender goes on from a crooked head for ever */
            __atomic_store_n(&header->head, head & ~UINT64_C(7), __ATOMIC_RELAXED);
            break;
        case 1:
            __atomic_store_n(&header->tail, nasty(&random, head), __ATOMIC_RELAXED);
            __atomic_store_n(&header->space_waiters, 1, __ATOMIC_RELAXED);
            break;
        case 2:
            __atomic_store_n(&header->lost, testing_random(&random), __ATOMIC_RELAXED);
            __atomic_store_n(&map->header->rings, (uint32_t)random, __ATOMIC_RELAXED);
            break;
        case 3:
            __atomic_store_n(
                &map->names[random % REGION_LOGGERS_MAX].bytes, (uint8_t)random, __ATOMIC_RELAXED);
            break;
        case 6:
        case 7:
        case 8:
            scribble_format(&random, map->formats);
            break;
        default: /* lengths where a header may be, and anything */
            __atomic_store_n(&words[0], (random & 1) != 0 ? random : random << 32 | random % 200,
                __ATOMIC_RELAXED);
            break;
        }
    }
    return NULL;
}

/* Any format there is or is not, with any arguments: now and then the right ones. */
static void append_deferred(struct pair *pair, uint64_t *random)
{
    static const uint64_t types[] = {0, 0x31, 0x44, 0x156, 0x4444, 0x1111111111111111};
    uint64_t payload[1 + 1 + 18] = {0};
    uint64_t roll = testing_random(random);
    size_t words = 2 + roll % 18;
    payload[0] = (roll >> 8) % 8 == 0 ? roll >> 32 : (1 + (roll >> 8) % UNITS) * REGION_FORMAT_UNIT;
    memcpy((char *)payload + 4, &types[(roll >> 16) % YARDER_COUNT_OF(types)], sizeof(*types));
    for (size_t i = 2; i < words; i++) {
        payload[i] = testing_random(random) >> testing_random(random) % 64;
    }
    struct ring_entry entry = {.text = payload, .text_bytes = words * 8 - 4, .tid = 5};
    ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
    (void)ring_append(pair->producer, &entry);
}

static void *append(void *argument)
{
    struct pair *pair = argument;
    static char text[2048];
    uint64_t random = testing_seed();
    for (uint64_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
        if ((i & 1) != 0) {
            append_deferred(pair, &random);
        } else {
            (void)pair_append(pair, YARDER_LEVEL_ERROR, text, i % sizeof(text));
        }
    }
    return NULL;
}

static bool lies_within(const void *at, size_t bytes, const void *base, size_t base_bytes)
{
    uintptr_t from = (uintptr_t)at;
    uintptr_t start = (uintptr_t)base;
    return from >= start && bytes <= base_bytes && from - start <= base_bytes - bytes;
}

static void check_text(struct yarder_text text)
{
    for (size_t i = 0; i < text.length; i++) {
        sum += (unsigned char)text.at[i];
    }
}

static void check(const struct pair *pair, const struct ring_record *got)
{
    const struct yarder_record *record = &got->record;
    assert_true(record->text.length <= RING_APPEND_BYTES_MAX);
    assert_true(
        lies_within(record->text.at, record->text.length, pair->scratch, sizeof(pair->scratch)));
    assert_true(record->fields_count <= YARDER_FIELDS_MAX);
    assert_true(got->ring < pair->shape.rings);
    assert_true(record->logger.length < REGION_NAME_BYTES);
    check_text(record->text);
    check_text(record->logger);
    for (uint32_t i = 0; i < record->fields_count; i++) {
        const struct yarder_field *field = &record->fields[i];
        assert_true(
            lies_within(field->key.at, field->key.length, pair->scratch, sizeof(pair->scratch)));
        assert_true(lies_within(
            field->value.at, field->value.length, pair->scratch, sizeof(pair->scratch)));
        check_text(field->key);
        check_text(field->value);
    }
}

static void survives(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_PLAIN, 3);
    region_reader_close(pair->reader);
    struct region_reader_options options = {.pid = 42, .strikes_max = UINT32_MAX};
    assert_int_equal(region_reader_open(&pair->reader, pair->fd, &options), 0);
    __atomic_store_n(&stop, false, __ATOMIC_RELAXED);
    pthread_t scribbler;
    pthread_t appender;
    assert_int_equal(pthread_create(&scribbler, NULL, scribble, pair), 0);
    assert_int_equal(pthread_create(&appender, NULL, append, pair), 0);
    int64_t until_ns = os_monotonic_ns() + RUN_MS * INT64_C(1000000);
    int64_t patience_ns = until_ns + PATIENCE_MS * INT64_C(1000000);
    uint64_t taken = 0;
    /* Seldom everything that comes is scribbled over for all that time. */
    for (uint64_t pass = 0; os_monotonic_ns() < (taken > 0 ? until_ns : patience_ns); pass++) {
        pair->batch.scratch_bytes =
            (pass & 1) != 0 ? RING_SCRATCH_BYTES_MIN : TESTING_SCRATCH_BYTES;
        pair_take(pair);
        taken += pair->batch.count;
        for (uint32_t i = 0; i < pair->batch.count; i++) {
            check(pair, &pair->records[i]);
        }
        region_reader_publish(pair->reader);
        region_reader_sleep(pair->reader, (enum ring_sleep)(pass % 3));
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(scribbler, NULL), 0);
    assert_int_equal(pthread_join(appender, NULL), 0);
    struct ring_losses losses;
    region_reader_losses(pair->reader, &losses);
    print_message("taken %llu, refused %llu\n", (unsigned long long)taken,
        (unsigned long long)losses.refused);
    assert_true(losses.refused > 0 && taken > 0);
    /* It calms down: what is appended now comes out again. */
    for (unsigned i = 0; i < 100 && !region_reader_idle(pair->reader); i++) {
        pair_take(pair);
    }
    assert_true(region_reader_idle(pair->reader));
    pair_close(pair);
}

static void strikes_out(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    region_reader_close(pair->reader);
    struct region_reader_options options = {.strikes_max = 3};
    assert_int_equal(region_reader_open(&pair->reader, pair->fd, &options), 0);
    struct ring_header *header = region_ring(&pair->producer->map, 0);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "abcd", 4), RING_APPENDED);
    pair_take(pair);
    for (unsigned i = 0; i < 3; i++) {
        header->head += 3;
        pair_take(pair);
        assert_int_equal(pair->batch.count, 0);
    }
    assert_int_equal(region_reader_take(pair->reader, &pair->clock, &pair->batch), -EPROTO);
    assert_true(region_reader_idle(pair->reader));
    pair_close(pair);
}

/* At the first place. */
static void format_write(struct pair *pair, const char *format)
{
    uint32_t *length_at = (void *)pair->producer->map.formats->units;
    *length_at = (uint32_t)strlen(format);
    memcpy(length_at + 1, format, *length_at);
}

/* Its payload is not of its format. */
static void append_mismatch(struct pair *pair)
{
    char payload[DEFERRED_HEAD_BYTES] = {REGION_FORMAT_UNIT};
    struct ring_entry entry = {.text = payload, .text_bytes = sizeof(payload), .tid = 5};
    ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
}

/* What is taken again each time that an output has no room strikes once. */
static void rewound_strikes(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    format_write(pair, "%d");
    append_mismatch(pair);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "plain", 5), RING_APPENDED);
    for (unsigned i = 0; i <= 5000; i++) {
        if (i > 0) {
            region_reader_rewind(pair->reader, &pair->records[1]);
            region_reader_rewind(pair->reader, &pair->records[0]);
        }
        pair_take(pair);
        assert_int_equal(pair->batch.count, 2);
        assert_int_equal(pair->records[0].record.flags, YARDER_FLAG_UNPARSED);
        assert_int_equal(pair->records[1].record.text.length, 5);
    }
    /* Each further one strikes: 999 of them are one too many. */
    for (unsigned i = 0; i < 999; i++) {
        append_mismatch(pair);
        pair_take(pair);
        assert_int_equal(pair->batch.count, 1);
    }
    assert_int_equal(region_reader_take(pair->reader, &pair->clock, &pair->batch), -EPROTO);
    /* Given back, the last one is delivered again. */
    region_reader_rewind(pair->reader, &pair->records[0]);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    pair_close(pair);
}

/* Its fields strike, then its text finds no room in the scratch: it strikes once, when taken. */
static void strikes_without_room(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    region_reader_close(pair->reader);
    struct region_reader_options options = {.strikes_max = 2};
    assert_int_equal(region_reader_open(&pair->reader, pair->fd, &options), 0);
    enum { TEXT_BYTES = 20800 };
    static char payload[DEFERRED_HEAD_BYTES + 4 + TEXT_BYTES];
    const uint32_t bytes = TEXT_BYTES;
    const uint64_t types = DEFERRED_TEXT;
    format_write(pair, "%s");
    payload[0] = REGION_FORMAT_UNIT;
    memcpy(payload + 4, &types, sizeof(types));
    memcpy(payload + DEFERRED_HEAD_BYTES, &bytes, sizeof(bytes));
    struct ring_entry entry = {.text = payload,
        .text_bytes = sizeof(payload),
        .extra = "no field",
        .extra_bytes = 8,
        .tid = 5};
    static const char large[RING_APPEND_BYTES_MAX];
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, large, sizeof(large)), RING_APPENDED);
    ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    pair->batch.scratch_bytes = RING_SCRATCH_BYTES_MIN;
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    assert_true(pair->batch.more);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    assert_int_equal(pair->records[0].record.flags, YARDER_FLAG_UNPARSED);
    assert_int_equal(pair->records[0].record.text.length, TEXT_BYTES);
    pair_take(pair);
    pair_close(pair);
}

/* A stamp from the future is believed to be now at the second look, one from the past to be its
 * predecessor's. */
static void lying_stamps(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    uint8_t *data = region_data(&pair->producer->map, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "abcd", 4), RING_APPENDED);
    }
    uint64_t future = UINT64_MAX;
    uint64_t past = 1;
    memcpy(data + 8, &future, 8);
    memcpy(data + 32 + 8, &past, 8);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 0);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 3);
    int64_t now_ns = os_realtime_ns();
    for (unsigned i = 0; i < 3; i++) {
        assert_true(llabs(pair->records[i].record.time_ns - now_ns) < INT64_C(10000000000));
    }
    pair_close(pair);
}

/* The scribbler races with the reader on purpose: not for a build that looks for races. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SKIPPED_HERE 77
#endif
#elif defined(__SANITIZE_THREAD__)
#define SKIPPED_HERE 77
#endif
#if !defined(SKIPPED_HERE)
#define SKIPPED_HERE 0
#endif

int main(void)
{
    if (SKIPPED_HERE != 0) {
        return SKIPPED_HERE;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(survives), cmocka_unit_test(strikes_out),
        cmocka_unit_test(rewound_strikes), cmocka_unit_test(strikes_without_room),
        cmocka_unit_test(lying_stamps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
