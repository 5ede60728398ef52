/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a scan never says "no" to a pattern that matches, says it to all that lack their literals,
 * and costs no more than it may on texts that are made against it. Method: random literals in
 * random texts of few letters against a search byte by byte; random patterns of all constructs on
 * random texts, asked through the scan and without it; near misses, with the scan's own counters.
 * usage: [SCAN_SEED=N] test-route-scan [ROUNDS]
 */
#include <string.h>
#include <sys/mman.h>

#include "base/test_random.h"
#include "base/text.h"
#include "route/pattern.h"

static uint32_t rounds = 400;

/* Literals against a search byte by byte. */

enum { PATTERNS = 250, FEW = 60, STRINGS = 3 }; /* many are too many for wide vectors */
static struct literal_sets given[PATTERNS];
static const struct literal_sets *given_at[PATTERNS];

static void random_bytes(char *at, size_t length)
{
    static const char letters[] = "abAB01@`\xe1\xc1";
    for (size_t i = 0; i < length; i++) {
        at[i] = letters[below(sizeof(letters) - 1)];
    }
}

static void random_sets(uint32_t least, uint32_t count)
{
    for (uint32_t p = 0; p < PATTERNS; p++) {
        given_at[p] = p >= count || below(8) == 0 ? NULL : &given[p];
        given[p].count = 1;
        struct literal_set *set = &given[p].at[0];
        set->count = 1 + below(STRINGS);
        for (uint32_t i = 0; i < set->count; i++) {
            set->at[i].length = (uint8_t)(least + below(LITERAL_BYTES_MAX - least + 1));
            set->at[i].fold = below(6) == 0;
            random_bytes(set->at[i].bytes, set->at[i].length);
        }
    }
}

static bool stands_at(const char *at, const struct literal *literal)
{
    unsigned char fold = literal->fold ? 0x20 : 0;
    for (uint32_t i = 0; i < literal->length; i++) {
        if ((at[i] | fold) != (literal->bytes[i] | fold)) {
            return false;
        }
    }
    return true;
}

static bool may_match(const struct literal_sets *sets, struct yarder_text text)
{
    if (sets == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < sets->at[0].count; i++) {
        const struct literal *literal = &sets->at[0].at[i];
        for (size_t at = 0; at + literal->length <= text.length; at++) {
            if (stands_at(text.at + at, literal)) {
                return true;
            }
        }
    }
    return false;
}

/* Texts end where their memory does, for the sanitizers; some literals are put into them. */
static void compare_text(struct scan *scan)
{
    size_t length = below(4) == 0 ? below(700) : below(90);
    YARDER_OWN_HEAP char *room = malloc(length + (length == 0));
    assert_non_null(room);
    random_bytes(room, length);
    for (uint32_t i = below(3); i > 0; i--) {
        const struct literal_set *set = &given[below(PATTERNS)].at[0];
        const struct literal *literal = &set->at[below(set->count)];
        if (literal->length <= length) {
            size_t at = below((uint32_t)(length - literal->length) + 1);
            memcpy(room + (below(3) == 0 ? length - literal->length : at), literal->bytes,
                literal->length);
        }
    }
    struct yarder_text text = {room, length};
    uint64_t cannot[(PATTERNS + 63) / 64];
    uint32_t given_up = scan->given_up;
    scan_text(scan, text, cannot);
    if (scan->rest > 0 || scan->given_up > given_up) {
        for (size_t i = 0; i < YARDER_COUNT_OF(cannot); i++) {
            assert_int_equal(cannot[i], 0);
        }
        scan->rest = 0;
        return;
    }
    for (uint32_t p = 0; p < PATTERNS; p++) {
        bool may = (cannot[p / 64] >> (p % 64) & 1) == 0;
        if (may != may_match(given_at[p], text)) {
            fail_msg("stride %u pattern %u on '%.*s': %d", scan->stride, p, (int)length, room, may);
        }
    }
}

static void literals_are_found_where_they_stand(void **state)
{
    (void)state;
    static const uint32_t least[] = {4, 5, 7, 11};
    static const uint32_t strides[] = {1, 2, 4, 8};
    for (uint32_t round = 0; round < rounds / 4; round++) {
        struct scan *scan = NULL;
        bool few = round % 2 == 0;
        random_sets(least[round / 2 % 4], few ? FEW : PATTERNS);
        assert_int_equal(scan_open(&scan, given_at, PATTERNS), 0);
        assert_non_null(scan);
        assert_int_equal(scan->wide, few && scan_wide_usable());
        assert_int_equal(scan->stride, scan->wide ? 1 : strides[round / 2 % 4]);
        for (uint32_t i = 0; i < 200; i++) {
            scan->wide = scan->wide && i < 100; /* its tables serve the other way, too */
            compare_text(scan);
        }
        scan_close(scan);
    }
}

/* Texts end where the page does; vectors are of no sanitizer's concern. */
static void nothing_behind_a_text_is_read(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *room = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(room, MAP_FAILED);
    memset(room, 'a', page);
    assert_int_equal(mprotect(room + page, page, PROT_NONE), 0);
    for (uint32_t round = 0; round < 10; round++) {
        struct scan *scan = NULL;
        uint64_t cannot[(PATTERNS + 63) / 64];
        random_sets(4 + round, round < 5 ? FEW : PATTERNS);
        assert_int_equal(scan_open(&scan, given_at, PATTERNS), 0);
        for (size_t length = 0; length <= 1200; length++) {
            scan_text(scan, (struct yarder_text){room + page - length, length}, cannot);
        }
        scan_close(scan);
    }
    assert_int_equal(munmap(room, 2 * page), 0);
}

/* Patterns with the scan and without. */

static struct pattern_set set;

struct writer {
    char text[400];
    size_t length;
};

static void put(struct writer *to, const char *piece)
{
    size_t length = strlen(piece);
    if (to->length + length < sizeof(to->text)) {
        memcpy(to->text + to->length, piece, length + 1);
        to->length += length;
    }
}

static const char *const words[] = {"abcd", "dcba", "aabb", "ABCD", "abab", "bcda", "cdab"};
static const char *const atoms[] = {"a", "b", "c", "d", "A", ".", "\\w", "\\d", "[ab]", "[^a]",
    "[a-c]", "[[:alpha:]]", "[]a]", "[^]a]", "[\\w-]", "\\x61", "\\.", "\\Qab\\E", "\\Qcd", "\\E",
    "\\b", "\\B", "^", "$", "\\A", "\\z", "\\G", "\\K", "\\R", "\\X", "\\N", "\\h", "\\n", "\\1",
    "\\x{61}", "\\141", "\\pL", "(?i)", "(?-i)", "(?s)", "(?x)", "(?^)", "(?#b)", "{", "}", "{a",
    " ", "#c\n", "(?C)", "(*ACCEPT)", "(*FAIL)", "(*PRUNE)", "[\\Qa\\E]", "[a\\]]", "\\cA", "\\t"};
static const char *const opens[] = {"(", "(?:", "(?i:", "(?s-i:", "(?=", "(?!", "(?<=", "(?<!",
    "(?>", "(?|", "(?x:", "(?'n'", "(?P<n>", "(?<n>", "(?(1)", "(?(?=a)", "(?*"};
static const char *const quantifiers[] = {"?", "*", "+", "??", "*?", "++", "?+", "{0}", "{1}",
    "{2}", "{0,}", "{1,}", "{0,2}", "{2,3}", "{9}", "{,2}", "{ 1}", "{0,0}", "{1,2}+", "{3}?"};

static const char *pick(const char *const *from, size_t count)
{
    return from[below((uint32_t)count)];
}

static void random_pattern(struct writer *to)
{
    static const char *const starts[] = {"(*UTF)", "(*UCP)", "(*CRLF)", "(*UTF)(?i)", "(?i)"};
    *to = (struct writer){.length = 0};
    uint32_t open = 0;
    if (below(8) == 0) {
        put(to, pick(starts, YARDER_COUNT_OF(starts)));
    }
    for (uint32_t left = 1 + below(10); left > 0; left--) {
        switch (below(12)) {
        case 0:
            put(to, pick(opens, YARDER_COUNT_OF(opens)));
            open++;
            break;
        case 1:
            put(to, "|");
            break;
        case 2:
        case 3:
            put(to, open > 0 ? ")" : "a");
            open -= open > 0;
            break;
        case 4:
        case 5:
            put(to, pick(atoms, YARDER_COUNT_OF(atoms)));
            break;
        default:
            put(to, pick(words, YARDER_COUNT_OF(words)));
            break;
        }
        if (below(3) == 0) {
            put(to, pick(quantifiers, YARDER_COUNT_OF(quantifiers)));
        }
    }
    for (; open > 0; open--) {
        put(to, ")");
    }
}

/* What is left of a pattern without most of its signs has a fair chance to match it. */
static void similar_text(struct writer *to, const char *pattern)
{
    for (; *pattern != '\0'; pattern++) {
        char c[2] = {*pattern, '\0'};
        bool letter = (c[0] >= 'a' && c[0] <= 'z') || (c[0] >= 'A' && c[0] <= 'Z');
        if (letter || below(5) == 0) {
            c[0] = (char)(c[0] ^ (letter && below(12) == 0 ? 0x20 : 0));
            put(to, c);
        }
    }
}

static void random_text(struct writer *to)
{
    static const char *const pieces[] = {"a", "b", "c", "d", "A", "C", "x", " ", "1", ".", "\n",
        "{", "\r\n", "\xc3\xa9", "\xe2\x84\xaa", "\xff", "ab", "]", "+", "\x01", "\t", "{,2}",
        "{a"};
    *to = (struct writer){.length = 0};
    if (below(2) == 0) {
        similar_text(to, set.at[below(set.count)].text);
        return;
    }
    for (uint32_t left = below(14); left > 0; left--) {
        put(to, below(2) == 0 ? pick(words, YARDER_COUNT_OF(words))
                              : pick(pieces, YARDER_COUNT_OF(pieces)));
    }
}

/* Plain patterns make sure that a scan pays. */
static void open_set(uint32_t randoms, const char *prefix, uint32_t plains)
{
    assert_int_equal(pattern_set_open(&set), 0);
    struct writer text;
    char why[200];
    uint32_t index = 0;
    for (uint32_t i = 0; i < plains; i++) {
        char plain[40];
        (void)snprintf(plain, sizeof(plain), "%s %u", prefix, i);
        assert_int_equal(pattern_add(&set, plain, false, "test:1", &index, why, sizeof(why)), 0);
    }
    for (uint32_t i = 0; i < randoms; i++) {
        random_pattern(&text);
        int r = pattern_add(&set, text.text, false, "test:1", &index, why, sizeof(why));
        assert_true(r == 0 || set.count == index + 1 || why[0] != '\0'); /* many are none */
    }
    assert_int_equal(pattern_set_seal(&set), 0);
    assert_non_null(set.scan);
    set.scan->wide = set.scan->wide && below(2) == 0;
}

static unsigned long asked;
static unsigned long saved;
static unsigned long matched;

static void begin(struct yarder_text text)
{
    pattern_begin(&set, text);
    if (set.scan != NULL) {
        pattern_scan(&set);
    }
}

static void compare_answers(struct yarder_text text)
{
    enum pattern_answer answers[128];
    assert_true(set.count <= YARDER_COUNT_OF(answers));
    begin(text);
    for (uint32_t i = 0; i < set.count; i++) {
        saved += set.known[i / 64] >> (i % 64) & 1;
        answers[i] = pattern_answer(&set, i);
    }
    for (uint32_t i = 0; i < set.count; i++) {
        enum pattern_answer alone = pattern_match(&set, i, text);
        asked++;
        matched += alone == PATTERN_YES;
        if (answers[i] != alone && alone != PATTERN_UNDECIDED) {
            fail_msg("'%s' on '%.*s' (%zu): %d by itself, %d scanned", set.at[i].text,
                (int)text.length, text.at, text.length, alone, answers[i]);
        }
    }
}

static void scanned_answers_are_the_same(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < rounds; round++) {
        open_set(40, "plain", below(2) == 0 ? 12 : 72); /* answers fill more than a word */
        for (uint32_t i = 0; i < 40; i++) {
            struct writer text;
            random_text(&text);
            compare_answers((struct yarder_text){text.text, text.length});
        }
        pattern_set_close(&set);
    }
    (void)printf("%lu answers, %lu matches, %lu not asked for\n", asked, matched, saved);
    assert_true(matched > asked / 100);
    assert_true(saved > asked / 4);
}

static bool nothing_is_excluded(void)
{
    uint64_t any = 0;
    for (uint32_t i = 0; i < set.words; i++) {
        any |= set.known[i];
    }
    return any == 0;
}

enum { NEAR = 40, HOSTILE_BYTES = 1000 };
static char hostile_room[HOSTILE_BYTES + 8];

/* Patterns, and a text of the grams of them all, whichever were chosen, that none of them matches.
 */
static struct yarder_text open_near_misses(void)
{
    open_set(0, "qqqqqqqqqqqqqqqqqqqqqqqq", NEAR);
    memset(hostile_room, 'q', HOSTILE_BYTES / 2);
    hostile_room[HOSTILE_BYTES / 2 - 1] = '-';
    for (uint32_t i = 0; i < HOSTILE_BYTES / 8; i++) {
        (void)snprintf(
            hostile_room + HOSTILE_BYTES / 2 + 4 * (size_t)i, 8, "q %u", 10 + i % (NEAR - 10));
    }
    return (struct yarder_text){hostile_room + 1, HOSTILE_BYTES - 1};
}

static void near_misses_end_a_scan(void **state)
{
    (void)state;
    struct yarder_text hostile = open_near_misses();
    uint32_t texts = 0;
    for (; set.scan->rest == 0; texts++) {
        begin(hostile);
        assert_true(nothing_is_excluded());
        assert_true(texts <= SCAN_WATCH_TEXTS / 4);
    }
    assert_int_equal(texts, SCAN_WATCH_TEXTS / 4 + 1);
    compare_answers(hostile);
    for (uint32_t left = set.scan->rest; left > 0; left--) { /* it rests, whatever comes */
        begin(text_of("short"));
        assert_true(nothing_is_excluded());
    }
    begin(text_of("none of it, and long enough"));
    assert_false(nothing_is_excluded());
    pattern_set_close(&set);
}

/* A few such texts among others do not send it to rest. */
static void rare_near_misses_do_no_harm(void **state)
{
    (void)state;
    struct yarder_text near = open_near_misses();
    for (uint32_t i = 0; i < 10 * SCAN_WATCH_TEXTS; i++) {
        bool hostile = i % 8 == 0;
        begin(hostile ? near : text_of("an honest text of some length"));
        assert_int_equal(set.scan->rest, 0);
        assert_int_equal(nothing_is_excluded(), hostile);
    }
    pattern_set_close(&set);
}

static void few_patterns_are_not_scanned_for(void **state)
{
    (void)state;
    static const struct {
        const char *texts[4];
        bool scans;
    } sets[] = {
        {{"Failed password"}, false},
        {{"HTTP/1", "[a-z]+"}, false},
        {{"a+", "b+", "[c-z]", "(a|b)*"}, false},
        {{"(?i)error|exception|traceback"}, true}, /* slow by itself */
        {{"level=(err|crit|alert)"}, false},
        {{"error|fatal"}, false},
        {{"Failed password", "Accepted publickey", "session opened"}, true},
        {{"^$"}, false},
        {{NULL}, false},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(sets); i++) {
        assert_int_equal(pattern_set_open(&set), 0);
        for (size_t k = 0; k < YARDER_COUNT_OF(sets[i].texts) && sets[i].texts[k] != NULL; k++) {
            uint32_t index = 0;
            char why[100];
            const char *text = sets[i].texts[k];
            assert_int_equal(pattern_add(&set, text, false, "t:1", &index, why, sizeof(why)), 0);
        }
        assert_int_equal(pattern_set_seal(&set), 0);
        assert_int_equal(set.scan != NULL, sets[i].scans);
        compare_answers(text_of("Failed Error password 500"));
        pattern_set_close(&set);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(literals_are_found_where_they_stand),
        cmocka_unit_test(nothing_behind_a_text_is_read),
        cmocka_unit_test(scanned_answers_are_the_same),
        cmocka_unit_test(near_misses_end_a_scan),
        cmocka_unit_test(rare_near_misses_do_no_harm),
        cmocka_unit_test(few_patterns_are_not_scanned_for),
    };
    random_begin("SCAN_SEED");
    rounds = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : rounds;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
