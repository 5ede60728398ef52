/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats and arguments against the C library itself: what the parser takes, the renderer makes of
 * it what snprintf makes, to the byte. Random formats, with a seed that is printed; and, one by
 * one, what must not be taken.
 */
#include "ring/testing.h"

#include <errno.h>
#include <float.h>
#include <math.h>

#include "ring/deferred.h"

enum { ROUNDS = 20000, PAYLOAD_BYTES = 4096, TEXT_BYTES = 1024, WANTED_BYTES = 32 << 10 };

static struct yarder_text text(const char *terminated)
{
    return (struct yarder_text){terminated, strlen(terminated)};
}

/* Of each conversion that can be deferred, its type. */
static void takes(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        uint64_t types;
    } good[] = {
        {"", 0},
        {"no conversion", 0},
        {"100 %% of %%", 0},
        {"%d%i%u%x%X%o%c", 0x1111111},
        {"%hhd%hi%hu%hhx", 0x1111},
        {"%ld%lli%ju%zx%to", 0x22222},
        {"%s|%20s|%-20s|%.3s|%-9.0s", 0x44444},
        {"%f%F%e%E%g%G%a%A%lf", 0x333333333},
        {"%p%20p%-20p", 0x555},
        {"%m%20m", 0x66},
        {"%-+ #010.5d", 0x1},
        {"%512.512d%.d", 0x11},
        {"%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d", UINT64_C(0x1111111111111111)},
        {"%s %d of %lu", 0x214},
    };
    for (unsigned i = 0; i < YARDER_COUNT_OF(good); i++) {
        struct deferred_format parsed;
        print_message("%s\n", good[i].format);
        assert_true(deferred_parse(&parsed, text(good[i].format)));
        assert_int_equal(parsed.types, good[i].types);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {"%", "ends in %", "%n", "%hhn", "%*d", "%.*s", "%-*d", "%1$d",
        "%'d", "%Id", "%ls", "%lc", "%S", "%C", "%Lf", "%La", "%llf", "%hf", "%qd", "%hs", "%5%",
        "%-%", "%k", "%513d", "%.513f", "%99999999999d", "%.99999999999f", "%.-5d", "%hhhd",
        "%llld", "%+s", "%05s", "%.3c", "%.3p", "%lp", "%#m", "% c", "%zc", "%j", "%.",
        "%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d%d", "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%"};
    struct deferred_format parsed;
    for (unsigned i = 0; i < YARDER_COUNT_OF(bad); i++) {
        print_message("%s\n", bad[i]);
        assert_false(deferred_parse(&parsed, text(bad[i])));
    }
    static char longest[DEFERRED_FORMAT_BYTES_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    assert_true(deferred_parse(&parsed, (struct yarder_text){longest, DEFERRED_FORMAT_BYTES_MAX}));
    assert_false(deferred_parse(&parsed, (struct yarder_text){longest, sizeof(longest)}));
    assert_false(deferred_parse(&parsed, (struct yarder_text){"%\0d", 3}));
}

/* A call under construction: the format, its payload, and what the C library says. */
struct call {
    uint64_t random;
    char format[512];
    size_t format_bytes;
    uint64_t types;
    unsigned arguments;
    char payload[PAYLOAD_BYTES];
    size_t payload_bytes;
    char wanted[WANTED_BYTES];
    size_t wanted_bytes;
};

static uint64_t roll(struct call *call, uint64_t below)
{
    return testing_random(&call->random) % below;
}

static void payload_add(struct call *call, enum deferred_type type, const void *at, size_t bytes)
{
    call->types |= (uint64_t)type << DEFERRED_TYPE_BITS * call->arguments++;
    memcpy(call->payload + call->payload_bytes, at, bytes);
    call->payload_bytes += bytes;
}

static uint64_t number_roll(struct call *call)
{
    static const uint64_t edges[] = {0, 1, 9, 10, 127, 128, 255, 32767, 65536, INT32_MAX, INT64_MAX,
        (uint64_t)INT64_MIN, UINT64_MAX, UINT32_MAX, (uint64_t)INT32_MIN};
    uint64_t any = testing_random(&call->random);
    return roll(call, 3) == 0 ? edges[any % YARDER_COUNT_OF(edges)] : any >> roll(call, 64);
}

static double double_roll(struct call *call)
{
    const double edges[] = {0.0, -0.0, 1.0, -1.5, DBL_MAX, -DBL_MAX, DBL_MIN, DBL_TRUE_MIN, 0.1,
        1e15, 123456.5, (double)INFINITY, -(double)INFINITY, (double)NAN};
    double number;
    uint64_t bits = testing_random(&call->random);
    memcpy(&number, &bits, sizeof(number));
    return roll(call, 2) == 0 ? edges[bits % YARDER_COUNT_OF(edges)] : number;
}

/* "%", flags, width, precision as they may be; what follows them, terminated. */
static void specification_roll(
    struct call *call, char *at, const char *flags, bool precise, const char *rest)
{
    char *end = at + 64;
    *at++ = '%';
    for (const char *flag = flags; *flag != '\0'; flag++) {
        if (roll(call, 4) == 0) {
            *at++ = *flag;
        }
    }
    if (roll(call, 3) == 0) {
        uint64_t width = 1 + roll(call, roll(call, 4) == 0 ? DEFERRED_WIDTH_MAX : 20);
        at += snprintf(at, (size_t)(end - at), "%u", (unsigned)width);
    }
    if (precise && roll(call, 3) == 0) {
        uint64_t precision = roll(call, roll(call, 4) == 0 ? DEFERRED_WIDTH_MAX + 1 : 12);
        at +=
            snprintf(at, (size_t)(end - at), roll(call, 9) == 0 ? "." : ".%u", (unsigned)precision);
    }
    (void)snprintf(at, (size_t)(end - at), "%s", rest);
}

/* The library's text of one specification behind what is there already. */
#define WANT(call, specification, argument)                                                        \
    ((call)->wanted_bytes += (size_t)snprintf((call)->wanted + (call)->wanted_bytes,               \
         WANTED_BYTES - (call)->wanted_bytes, specification, argument))

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static void integer_roll(struct call *call, char *specification)
{
    static const char *const lengths[] = {"", "hh", "h", "l", "ll", "j", "z", "t"};
    uint64_t value = number_roll(call);
    uint64_t length = roll(call, YARDER_COUNT_OF(lengths));
    char rest[8];
    (void)snprintf(rest, sizeof(rest), "%s%c", lengths[length], "diuxXo"[roll(call, 6)]);
    specification_roll(call, specification, "-+ #0", true, rest);
    if (length < 3) {
        int narrow = (int)value;
        uint64_t wide = (uint64_t)narrow;
        payload_add(call, DEFERRED_INT, &wide, sizeof(wide));
        WANT(call, specification, narrow);
    } else {
        payload_add(call, DEFERRED_LONG, &value, sizeof(value));
        WANT(call, specification, value);
    }
}

static void double_add(struct call *call, char *specification)
{
    double number = double_roll(call);
    char rest[3] = {"eEfFgGaA"[roll(call, 8)]};
    specification_roll(call, specification, "-+ #0", true, rest);
    payload_add(call, DEFERRED_DOUBLE, &number, sizeof(number));
    WANT(call, specification, number);
}

static void text_add(struct call *call, char *specification)
{
    char value[40];
    size_t bytes = roll(call, sizeof(value));
    for (size_t i = 0; i < bytes; i++) {
        value[i] = (char)(1 + roll(call, 255));
    }
    value[bytes] = '\0';
    specification_roll(call, specification, "-", true, "s");
    const char *point = strchr(specification, '.');
    uint32_t length =
        point == NULL ? (uint32_t)bytes : (uint32_t)yarder_min(bytes, strtoul(point + 1, NULL, 10));
    char argument[sizeof(length) + sizeof(value)];
    memcpy(argument, &length, sizeof(length));
    memcpy(argument + sizeof(length), value, sizeof(value));
    payload_add(call, DEFERRED_TEXT, argument, sizeof(length) + length);
    WANT(call, specification, value);
}

static void other_add(struct call *call, char *specification)
{
    uint64_t value = roll(call, 4) == 0 ? 0 : number_roll(call);
    uint64_t wide = (uint64_t)(int)value;
    switch (roll(call, 3)) {
    case 0:
        specification_roll(call, specification, "-", false, "c");
        payload_add(call, DEFERRED_INT, &wide, sizeof(wide));
        WANT(call, specification, (int)value);
        break;
    case 1:
        specification_roll(call, specification, "-", false, "p");
        payload_add(call, DEFERRED_POINTER, &value, sizeof(value));
        WANT(call, specification, (void *)(uintptr_t)value);
        break;
    default:
        wide = roll(call, 3) == 0 ? wide : roll(call, 140);
        specification_roll(call, specification, "-", true, "m");
        payload_add(call, DEFERRED_ERRNO, &wide, sizeof(wide));
        errno = (int)wide;
        call->wanted_bytes += (size_t)snprintf(
            call->wanted + call->wanted_bytes, WANTED_BYTES - call->wanted_bytes, specification, 0);
        break;
    }
}

static void format_append(struct call *call, const char *piece)
{
    size_t bytes = strlen(piece);
    assert_true(call->format_bytes + bytes < sizeof(call->format));
    memcpy(call->format + call->format_bytes, piece, bytes + 1);
    call->format_bytes += bytes;
}

static void literal_add(struct call *call)
{
    static const char *const literals[] = {"", " ", "%%", "a = ", "\xc3\xa4\n", "; then %% of "};
    const char *literal = literals[roll(call, YARDER_COUNT_OF(literals))];
    format_append(call, literal);
    WANT(call, literal, 0);
}

/* One random call. */
static void call_roll(struct call *call)
{
    uint64_t conversions = roll(call, 7);
    call->format_bytes = 0;
    call->types = 0;
    call->arguments = 0;
    call->payload_bytes = sizeof(call->types);
    call->wanted_bytes = 0;
    for (uint64_t i = 0; i < conversions; i++) {
        char specification[64];
        literal_add(call);
        switch (roll(call, 5)) {
        case 0:
            double_add(call, specification);
            break;
        case 1:
            text_add(call, specification);
            break;
        case 2:
            other_add(call, specification);
            break;
        default:
            integer_roll(call, specification);
            break;
        }
        format_append(call, specification);
    }
    literal_add(call);
    memcpy(call->payload, &call->types, sizeof(call->types));
}

static void as_snprintf(void **state)
{
    (void)state;
    static struct call call;
    static char made[WANTED_BYTES];
    call.random = testing_seed();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct deferred_format parsed;
        size_t used = 0;
        uint64_t work = 0;
        call_roll(&call);
        struct yarder_text format = {call.format, call.format_bytes};
        struct yarder_text arguments = {call.payload, call.payload_bytes};
        bool good = deferred_parse(&parsed, format) && parsed.types == call.types &&
                    deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments) ==
                        DEFERRED_GOOD &&
                    used == call.wanted_bytes && memcmp(made, call.wanted, used) == 0;
        if (!good) {
            print_message("format \"%s\"\nwanted \"%.*s\"\nmade   \"%.*s\"\n", call.format,
                (int)call.wanted_bytes, call.wanted, (int)used, made);
        }
        assert_true(good);
        /* Any shorter room is filled with the same, and said to be too little. */
        size_t room = used == 0 ? 0 : roll(&call, used);
        enum deferred_result result =
            deferred_render(made, room, &used, &work, &parsed, format, arguments);
        assert_int_equal(result, call.wanted_bytes > room ? DEFERRED_CUT : DEFERRED_GOOD);
        assert_true(used == room && memcmp(made, call.wanted, used) == 0);
        /* Fewer or more arguments are none of this format. */
        arguments.length = roll(&call, call.payload_bytes);
        assert_int_equal(
            deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments),
            DEFERRED_MISMATCH);
        arguments.length = call.payload_bytes + 1;
        assert_int_equal(
            deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments),
            DEFERRED_MISMATCH);
    }
}

/* Arguments that lie about themselves. */
static void mismatches(void **state)
{
    (void)state;
    char made[64];
    size_t used = 0;
    uint64_t work = 0;
    struct deferred_format parsed;
    struct yarder_text format = text("%.2s and %d");
    struct {
        uint64_t types;
        uint32_t length;
        char bytes[12];
    } payload = {.types = 0x14, .length = 2, .bytes = "ab\x07"};
    struct yarder_text arguments = {(const char *)&payload, 8 + 4 + 2 + 8};
    assert_true(deferred_parse(&parsed, format));
    assert_int_equal(deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments),
        DEFERRED_GOOD);
    assert_int_equal(used, 8);
    assert_memory_equal(made, "ab and 7", 8);
    const uint64_t lies[] = {0, 0x4, 0x15, 0x24, 0x114, 0xf4, UINT64_MAX};
    for (unsigned i = 0; i < YARDER_COUNT_OF(lies); i++) {
        payload.types = lies[i];
        assert_int_equal(
            deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments),
            DEFERRED_MISMATCH);
    }
    payload.types = 0x14;
    const uint32_t lengths[] = {0, 1, 3, 10, 11, 4096, UINT32_MAX};
    for (unsigned i = 0; i < YARDER_COUNT_OF(lengths); i++) {
        payload.length = lengths[i];
        assert_int_equal(
            deferred_render(made, sizeof(made), &used, &work, &parsed, format, arguments),
            DEFERRED_MISMATCH);
    }
}

/* A record that names a format, appended as a producer does it. */
static void append_deferred(
    struct pair *pair, uint32_t place, uint64_t types, const void *arguments, size_t bytes)
{
    char payload[DEFERRED_HEAD_BYTES + TEXT_BYTES];
    memcpy(payload, &place, sizeof(place));
    memcpy(payload + sizeof(place), &types, sizeof(types));
    if (bytes > 0) {
        memcpy(payload + DEFERRED_HEAD_BYTES, arguments, bytes);
    }
    struct ring_entry entry = {
        .text = payload, .text_bytes = DEFERRED_HEAD_BYTES + bytes, .tid = 5};
    ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
    assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
}

static void format_write(struct pair *pair, uint32_t place, const char *format, uint32_t length)
{
    uint8_t *at = (uint8_t *)pair->producer->map.formats + place;
    memcpy(at + sizeof(length), format, strlen(format));
    memcpy(at, &length, sizeof(length));
}

static void assert_text(const struct ring_record *got, const char *wanted, uint32_t flags)
{
    assert_int_equal(got->record.text.length, strlen(wanted));
    assert_memory_equal(got->record.text.at, wanted, strlen(wanted));
    assert_int_equal(got->record.flags, flags);
}

/* Through a region: text again after a rewind, and what is wrong is flagged or refused. */
static void reader_makes_text(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    const int64_t numbers[] = {-7, 9};
    format_write(pair, 64, "%d of %ld", 9);
    format_write(pair, 128, "%n", 2);
    append_deferred(pair, 64, 0x21, numbers, sizeof(numbers));
    append_deferred(pair, 64, 0x11, numbers, sizeof(numbers));
    append_deferred(pair, 64, 0x21, numbers, sizeof(numbers) - 1);
    append_deferred(pair, 128, 0x1, numbers, 8);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "plain", 5), RING_APPENDED);
    for (unsigned i = 0; i < 2; i++) {
        pair_take(pair);
        assert_int_equal(pair->batch.count, 5);
        assert_text(&pair->records[0], "-7 of 9", 0);
        assert_text(&pair->records[1], "%d of %ld", YARDER_FLAG_UNPARSED);
        assert_text(&pair->records[2], "%d of %ld", YARDER_FLAG_UNPARSED);
        assert_text(&pair->records[3], "%n", YARDER_FLAG_UNPARSED);
        assert_text(&pair->records[4], "plain", 0);
        if (i == 0) {
            /* What the producer writes there later is not seen: it was parsed. */
            format_write(pair, 64, "%s of %s!", 9);
            for (unsigned k = 5; k > 0; k--) {
                region_reader_rewind(pair->reader, &pair->records[k - 1]);
            }
        }
    }
    /* No format is there, or can be. */
    const uint32_t places[] = {0, 1, 63, 65, 192, REGION_FORMATS_BYTES - 64, REGION_FORMATS_BYTES,
        REGION_FORMATS_BYTES + 64, UINT32_MAX - 63, UINT32_MAX};
    format_write(pair, REGION_FORMATS_BYTES - 64, "too long for its place", 61);
    format_write(pair, 256, "too long", DEFERRED_FORMAT_BYTES_MAX + 1);
    for (unsigned i = 0; i < YARDER_COUNT_OF(places); i++) {
        append_deferred(pair, places[i], 0, NULL, 0);
    }
    append_deferred(pair, 256, 0, NULL, 0);
    assert_int_equal(pair_append(pair, YARDER_LEVEL_ERROR, "plain", 5), RING_APPENDED);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 1);
    assert_text(&pair->records[0], "plain", 0);
    struct ring_losses losses;
    region_reader_losses(pair->reader, &losses);
    assert_int_equal(losses.refused, YARDER_COUNT_OF(places) + 1);
    pair_close(pair);
}

/* What takes the C library long ends a take; each record is delivered nevertheless. */
static void work_is_counted(void **state)
{
    (void)state;
    enum { RECORDS = 250 };
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    const double numbers[] = {1.7e308, 3.25, 0.0};
    const uint64_t huge_work = 64 + 20 * 309;
    format_write(pair, 64, "%.0f", 4);
    format_write(pair, 128, "%d", 2);
    for (unsigned i = 0; i < RECORDS; i++) {
        append_deferred(pair, 64, 0x3, &numbers[0], 8);
    }
    uint32_t taken = 0;
    while (taken < RECORDS) {
        pair_take(pair);
        taken += pair->batch.count;
        assert_int_equal(pair->batch.work_bytes, pair->batch.count * huge_work);
        assert_int_equal(pair->batch.more, taken < RECORDS);
        assert_in_range(pair->batch.count, 1, RING_WORK_BYTES_MAX / huge_work + 1);
    }
    /* Ordinary numbers cost little, and what the C library does not print nothing. */
    append_deferred(pair, 64, 0x3, &numbers[1], 8);
    append_deferred(pair, 64, 0x3, &numbers[2], 8);
    append_deferred(pair, 128, 0x1, &numbers[1], 8);
    pair_take(pair);
    assert_int_equal(pair->batch.count, 3);
    assert_int_equal(pair->batch.work_bytes, 64 + 20 + 64 + 20);
    pair_close(pair);
}

/* The largest text there can be, in the least scratch; one over the limit is cut. */
static void large_texts(void **state)
{
    (void)state;
    struct pair *pair = pair_open(REGION_LOCKED, 1);
    static char payload[RING_APPEND_BYTES_MAX];
    const uint32_t place = 64;
    const uint64_t types = 0x44;
    const uint32_t halves[2] = {sizeof(payload) - DEFERRED_HEAD_BYTES - 8 - 100, 100};
    memset(payload, 'x', sizeof(payload));
    memcpy(payload, &place, sizeof(place));
    memcpy(payload + 4, &types, sizeof(types));
    memcpy(payload + DEFERRED_HEAD_BYTES, &halves[0], 4);
    memcpy(payload + DEFERRED_HEAD_BYTES + 4 + halves[0], &halves[1], 4);
    format_write(pair, place, "%s%512s", 7);
    for (unsigned i = 0; i < 3; i++) {
        struct ring_entry entry = {.text = payload, .text_bytes = sizeof(payload), .tid = 5};
        ring_entry_seal(&entry, RING_DEFERRED, YARDER_LEVEL_ERROR, 0);
        assert_int_equal(ring_append(pair->producer, &entry), RING_APPENDED);
    }
    pair->batch.scratch_bytes = RING_SCRATCH_BYTES_MIN;
    for (unsigned i = 0; i < 3; i++) {
        pair_take(pair);
        assert_int_equal(pair->batch.count, 1);
        assert_int_equal(pair->records[0].record.text.length, RING_APPEND_BYTES_MAX);
        assert_int_equal(pair->records[0].record.flags, YARDER_FLAG_TRUNCATED);
    }
    pair_close(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes),
        cmocka_unit_test(refuses),
        cmocka_unit_test(as_snprintf),
        cmocka_unit_test(mismatches),
        cmocka_unit_test(reader_makes_text),
        cmocka_unit_test(work_is_counted),
        cmocka_unit_test(large_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
