/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a stream gives the same records however it is cut. Method: named streams with the records
 * they must give, then random ones, each whole, byte by byte, and in random chunks and span counts.
 * The seed is printed; FRAME_SEED replays it.
 */
#include <string.h>

#include "base/test_random.h"
#include "codec/frame.h"

enum { RECORD_MAX = 20, RECORDS_MAX = 512, SPANS_MAX = 8, STREAM_MAX = 600, ROUNDS = 20000 };

struct taken {
    char text[RECORD_MAX];
    size_t length;
    uint32_t flags;
};

struct records {
    struct taken at[RECORDS_MAX];
    uint32_t count;
};

static void keep(struct records *records, const struct frame_span *span)
{
    assert_true(records->count < RECORDS_MAX);
    assert_true(span->text.length <= RECORD_MAX);
    struct taken *taken = &records->at[records->count++];
    *taken = (struct taken){.length = span->text.length, .flags = span->flags};
    memcpy(taken->text, span->text.at, span->text.length);
}

/* Chunks of 1 to chunk_max bytes (0: all at once), each copied so that a sanitizer sees overruns.
 */
static void take_all(enum frame_kind kind, const char *stream, size_t stream_bytes,
    uint32_t chunk_max, bool move, struct records *records)
{
    struct framer framer;
    struct frame_span spans[SPANS_MAX];
    framer_init(&framer, kind, RECORD_MAX);
    records->count = 0;
    for (size_t at = 0; at < stream_bytes;) {
        size_t chunk = chunk_max == 0 ? stream_bytes : below(chunk_max) + 1;
        chunk = yarder_min(chunk, stream_bytes - at);
        char *bytes = malloc(chunk);
        assert_non_null(bytes);
        memcpy(bytes, stream + at, chunk);
        size_t done = 0;
        for (;;) {
            uint32_t spans_max = chunk_max == 0 ? SPANS_MAX : below(SPANS_MAX) + 1;
            size_t used = 0;
            int filled = framer_take(&framer, bytes + done, chunk - done, spans, spans_max, &used);
            assert_true(filled >= 0 && (uint32_t)filled <= spans_max);
            for (int i = 0; i < filled; i++) {
                keep(records, &spans[i]);
            }
            done += used;
            if (done == chunk && (uint32_t)filled < spans_max) {
                break;
            }
        }
        free(bytes);
        at += chunk;
        if (move && below(4) == 0) { /* to another worker */
            struct framer next;
            framer_init(&next, kind, RECORD_MAX);
            assert_int_equal(framer_restore(&next, framer.detected, framer.skip_to_end,
                                 framer.skip_bytes, framer_unframed(&framer)),
                0);
            framer_deinit(&framer);
            framer = next;
            assert_int_equal(framer.record_bytes_max, RECORD_MAX);
        }
    }
    if (framer_finish(&framer, true, &spans[0]) == 1) {
        keep(records, &spans[0]);
    }
    framer_deinit(&framer);
}

/* The same through framer_scan over one buffer that grows and moves. */
static void scan_all(enum frame_kind kind, const char *stream, size_t stream_bytes,
    uint32_t chunk_max, struct records *records)
{
    struct framer framer;
    struct frame_span spans[SPANS_MAX];
    char buffer[RECORD_MAX + FRAME_OVERHEAD_BYTES_MAX];
    size_t have = 0;
    size_t at = 0;
    framer_init(&framer, kind, RECORD_MAX);
    records->count = 0;
    while (at < stream_bytes) {
        size_t chunk = yarder_min(below(chunk_max) + 1, stream_bytes - at);
        chunk = yarder_min(chunk, sizeof(buffer) - have);
        assert_true(chunk > 0); /* else a full buffer was left unused */
        memcpy(buffer + have, stream + at, chunk);
        have += chunk;
        at += chunk;
        uint32_t filled = SPANS_MAX;
        while (filled == SPANS_MAX) {
            size_t used = 0;
            filled = framer_scan(&framer, buffer, have, spans, SPANS_MAX, &used);
            for (uint32_t i = 0; i < filled; i++) {
                keep(records, &spans[i]);
            }
            memmove(buffer, buffer + used, have - used);
            have -= used;
        }
    }
    framer_deinit(&framer);
}

static void assert_same(const struct records *a, const struct records *b, uint32_t count)
{
    assert_true(a->count >= count && b->count >= count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(a->at[i].length, b->at[i].length);
        assert_int_equal(a->at[i].flags, b->at[i].flags);
        assert_memory_equal(a->at[i].text, b->at[i].text, a->at[i].length);
    }
}

enum { T = YARDER_FLAG_TRUNCATED, P = YARDER_FLAG_PARTIAL, U = YARDER_FLAG_UNPARSED };

struct scene {
    enum frame_kind kind;
    const char *stream;
    size_t stream_bytes;
    const char *records[8];
    uint32_t flags[8];
};
#define STREAM(text) text, sizeof(text) - 1

static const struct scene scenes[] = {
    {FRAME_LF, STREAM("one\r\ntwo\n\n\r\nthree"), {"one", "two", "three"}, {0}},
    {FRAME_LF, STREAM("12345678901234567890\n12345678901234567890\r\nx\n"),
        {"12345678901234567890", "12345678901234567890", "x"}, {0}},
    {FRAME_LF, STREAM("123456789012345678901\nx\n"), {"12345678901234567890", "x"}, {T}},
    {FRAME_LF, STREAM("1234567890123456789012345678901234567890\nx\n"),
        {"12345678901234567890", "x"}, {T}},
    {FRAME_NUL, STREAM("a\nb\0c\0\0d"), {"a\nb", "c", "d"}, {0, 0, P}},
    {FRAME_OCTETS, STREAM("3 abc5 de\nfg1 x\n\n2 yz"), {"abc", "de\nfg", "x", "yz"}, {0}},
    {FRAME_OCTETS, STREAM("24 123456789012345678901234\n2 yz0 3 ab"),
        {"12345678901234567890", "yz", "ab"}, {T, 0, P}},
    {FRAME_OCTETS, STREAM("3 abcx<13>line\nnext\n"), {"abc", "x<13>line", "next"}, {0, U}},
    {FRAME_OCTETS, STREAM("999999999 abc\nnext\n"), {"999999999 abc", "next"}, {U}},
    {FRAME_OCTETS, STREAM("99999999 abc\nnext\n12"), {"99999999 abc", "next", "12"}, {U}},
    {FRAME_OCTETS, STREAM("12"), {"12"}, {P | U}},
    {FRAME_AUTO, STREAM("5 <1>ab4 <2>c7 <3>d\nef"), {"<1>ab", "<2>c", "<3>d\nef"}, {0}},
    {FRAME_AUTO, STREAM("5 apples\n7 <3>pears\n"), {"5 apples", "7 <3>pears"}, {0}},
    {FRAME_AUTO, STREAM("05 <1>ab\nx\n"), {"05 <1>ab", "x"}, {0}},
    {FRAME_AUTO, STREAM("<1>a\n<1>b\0<1>c\n"), {"<1>a", "<1>b", "<1>c"}, {0}},
    {FRAME_AUTO, STREAM("<1>a\0<1>b\n  c\0\0<1>d\n\0"), {"<1>a", "<1>b\n  c", "<1>d\n"}, {0}},
    {FRAME_AUTO, STREAM("\n\n<1>a\0<1>b\nc\0"), {"<1>a", "<1>b\nc"}, {0}},
    {FRAME_AUTO, STREAM("1234567890123456789012345\0a\nb\0"), {"12345678901234567890", "a\nb"},
        {T}},
    {FRAME_AUTO, STREAM("123"), {"123"}, {0}},
    {FRAME_LENGTH4, STREAM("\0\0\0\3abc\0\0\0\0\0\0\0\2\nd"), {"abc", "\nd"}, {0}},
    {FRAME_LENGTH4, STREAM("\0\0\0\3ab"), {"ab"}, {P}},
    {FRAME_LENGTH4, STREAM("GET /\nx\n"), {"GET /", "x"}, {U}},
    {FRAME_LENGTH4, STREAM("A\nBC\nx\n"), {"A\nBC", "x"}, {U}},
};

static void test_scenes(void **state)
{
    (void)state;
    static struct records records;
    for (size_t s = 0; s < YARDER_COUNT_OF(scenes); s++) {
        const struct scene *scene = &scenes[s];
        for (uint32_t chunk_max = 0; chunk_max < 30; chunk_max++) {
            take_all(scene->kind, scene->stream, scene->stream_bytes, chunk_max, chunk_max % 2 == 1,
                &records);
            uint32_t count = 0;
            for (; count < 8 && scene->records[count] != NULL; count++) {
                if (count >= records.count ||
                    strlen(scene->records[count]) != records.at[count].length ||
                    memcmp(scene->records[count], records.at[count].text,
                        records.at[count].length) != 0 ||
                    scene->flags[count] != records.at[count].flags) {
                    fail_msg("scene %zu, chunk %u, record %u", s, chunk_max, count);
                }
            }
            assert_int_equal(records.count, count);
        }
    }
}

/* Streams of pieces that matter, so that heads, ends and limits meet in all orders. */
static size_t make_stream(char *stream)
{
    static const char *const pieces[] = {"\n", "\r\n", "\r", "5 <1>a", "12 ", "<1>hello", "x", "0 ",
        "99999999 ", "123456789 ", "1234567890123456789", "7 abcdefg", "word", " "};
    size_t length = 0;
    uint32_t count = below(40);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t choice = below(YARDER_COUNT_OF(pieces) + 3);
        if (choice < YARDER_COUNT_OF(pieces)) {
            size_t bytes = strlen(pieces[choice]);
            memcpy(stream + length, pieces[choice], bytes);
            length += bytes;
        } else if (choice == YARDER_COUNT_OF(pieces)) {
            stream[length++] = '\0';
        } else {
            const char head[4] = {0, 0, 0, (char)below(30)};
            memcpy(stream + length, head, 4);
            length += 4;
        }
    }
    assert_true(length <= STREAM_MAX);
    return length;
}

static void test_any_split(void **state)
{
    (void)state;
    static struct records whole;
    static struct records split;
    char stream[STREAM_MAX + 32];
    for (unsigned round = 0; round < ROUNDS; round++) {
        size_t bytes = make_stream(stream);
        enum frame_kind kind = (enum frame_kind)below(FRAME_LENGTH4 + 1);
        take_all(kind, stream, bytes, 0, false, &whole);
        take_all(kind, stream, bytes, 1, below(2) == 0, &split);
        assert_int_equal(whole.count, split.count);
        assert_same(&whole, &split, whole.count);
        take_all(kind, stream, bytes, below(30) + 1, below(2) == 0, &split);
        assert_int_equal(whole.count, split.count);
        assert_same(&whole, &split, whole.count);
        /* Without a carry: all but an unfinished last one. */
        scan_all(kind, stream, bytes, below(30) + 1, &split);
        assert_true(split.count == whole.count || split.count + 1 == whole.count);
        assert_same(&whole, &split, split.count);
    }
}

static void test_carry_is_given_back(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    struct framer framer;
    struct frame_span span;
    size_t used = 0;
    char *big = malloc(BIG);
    assert_non_null(big);
    memset(big, 'x', BIG);
    framer_init(&framer, FRAME_LF, BIG);
    assert_int_equal(framer_take(&framer, big, BIG, &span, 1, &used), 0);
    assert_int_equal(framer_take(&framer, "\n", 1, &span, 1, &used), 1);
    assert_int_equal(span.text.length, BIG);
    assert_int_equal(span.flags, 0);
    assert_int_equal(framer_take(&framer, "", 0, &span, 1, &used), 0);
    assert_null(framer.carry);
    framer_deinit(&framer);
    free(big);
}

static void test_finish(void **state)
{
    (void)state;
    struct framer framer;
    struct frame_span span;
    size_t used = 0;
    framer_init(&framer, FRAME_LF, RECORD_MAX);
    assert_int_equal(framer_take(&framer, "half", 4, &span, 1, &used), 0);
    assert_int_equal(framer_finish(&framer, false, &span), 1);
    assert_int_equal(span.flags, YARDER_FLAG_PARTIAL);
    assert_int_equal(framer_finish(&framer, false, &span), 0);
    framer_deinit(&framer);
    struct yarder_text unframed = {"12", 2};
    framer_init(&framer, FRAME_AUTO, RECORD_MAX);
    assert_int_equal(framer_restore(&framer, (enum frame_kind)77, false, 0, unframed), -22);
    framer_deinit(&framer);
}

/* A smaller record-max on the other side: cut and flagged at the worst, and still in step. */
static void test_restore_with_a_lower_limit(void **state)
{
    (void)state;
    static const char *const streams[] = {"0123456789abcdef\n<1>x\n", "17 <0123456789abcdef4 <1>x"};
    static const size_t carried[] = {15, 17};
    enum { KEPT = 14 }; /* what was carried, less a frame's share */
    for (size_t i = 0; i < YARDER_COUNT_OF(streams); i++) {
        struct framer old;
        struct framer next;
        struct frame_span spans[4];
        size_t used = 0;
        const char *rest = streams[i] + carried[i];
        framer_init(&old, FRAME_AUTO, RECORD_MAX);
        assert_int_equal(framer_take(&old, streams[i], carried[i], spans, 4, &used), 0);
        framer_init(&next, FRAME_AUTO, 4);
        assert_int_equal(framer_restore(&next, old.detected, old.skip_to_end, old.skip_bytes,
                             framer_unframed(&old)),
            0);
        framer_deinit(&old);
        assert_int_equal(framer_take(&next, rest, strlen(rest), spans, 4, &used), 2);
        assert_int_equal(used, strlen(rest));
        assert_int_equal(spans[0].text.length, KEPT);
        assert_int_equal(spans[0].flags, YARDER_FLAG_TRUNCATED);
        assert_int_equal(spans[1].text.length, 4);
        assert_memory_equal(spans[1].text.at, "<1>x", 4);
        framer_deinit(&next);
    }
}

int main(void)
{
    random_begin("FRAME_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenes),
        cmocka_unit_test(test_any_split),
        cmocka_unit_test(test_carry_is_given_back),
        cmocka_unit_test(test_finish),
        cmocka_unit_test(test_restore_with_a_lower_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
