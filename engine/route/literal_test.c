/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is said to be necessary is necessary, and is found where people write it. Method: a
 * table of patterns and sets; every pattern is compiled by PCRE2, so the table speaks its language.
 * That nothing is ever said wrongly is the business of scan_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "route/literal.h"

struct row {
    const char *pattern;
    const char *sets; /* strings joined by |, sets by &; a ~ before what has no case */
};

/* clang-format off */
static const struct row rows[] = {
    /* what people write */
    {"uWSGI listen queue of socket .* full", "uWSGI listen queue of socket & full"},
    {"(HTTP/1.\\d 500)", "HTTP/1& 500"},
    {"level=(err|crit|alert) +[A-Z]+ /api/v[0-9]+/", "level=err |level=crit |level=alert & /api/v"},
    {"Failed password for (invalid user )?\\S+ from",
        "Failed password for & from"},
    {"^\\S+ \\S+ sshd", " sshd"},
    {"(?i)error|exception|traceback", "~error|~exception|~traceback"},
    {"^\\[error\\] ", "[error] "},
    {"10\\.251\\.42\\.84", "10.251.42.84"},
    {"\\b(?:\\d{1,3}\\.){3}\\d{1,3}\\b", ""},
    {"(a+)+$", ""},
    {"", ""},
    {"abc", ""},
    {"abcd", "abcd"},
    {"\"status\": ?5\\d\\d", "\"status\": 5|\"status\":5"},
    {"^{\"level\":\"error\"", "{\"level\":\"error\""},

    /* case */
    {"(?i)ERROR-12", "~error-12"},
    {"ABCD(?i)efgh", "~ABCDefgh"},
    {"(?i:abcd)EFGH", "~abcdefgh"},
    {"(?-i)ABCD", "ABCD"},
    {"(?s-i)ABCD", "ABCD"},
    {"(?im-s)ABCD", "~abcd"},
    {"(?i)1234", "1234"},
    {"(?i)caf\xe9 oles", "~ oles"},
    {"caf\xe9 oles", "caf\xe9 oles"},
    {"[Ee]rror", "Error|error"},
    {"(?i)[Ee]rror", "~error"},

    /* quantifiers */
    {"colou?r", "colour|color"},
    {"colou??r", "colour|color"},
    {"abcdx*efgh", "abcd&efgh"},
    {"abcdx+efgh", "abcdx&xefgh"},
    {"abcdx++efgh", "abcdx&xefgh"},
    {"abcdx{0}efgh", "abcdefgh"},
    {"abcdx{0,}efgh", "abcd&efgh"},
    {"abcdx{0,1}efgh", "abcdxefgh|abcdefgh"},
    {"abcdx{2}efgh", "abcdxxefgh"},
    {"abcdx{2,}efgh", "abcdxx&xefgh"},
    {"abcdx{2,5}?efgh", "abcdxx&xefgh"},
    {"abcdx{12}efgh", "abcdxxxxxxxx&xefgh"},
    {"(abcd)*efgh", "efgh"},
    {"(abcd)+efgh", "abcd&abcdefgh"},
    {"(abcd)?efgh", "abcdefgh|efgh"},
    {"(ab.cd){2}efghi", "efghi"},
    {"(abcd.){0,3}efgh", "efgh"},
    {"(abcd.){1,3}efgh", "abcd&efgh"},
    {"abcd{x}", "abcd{x}"},
    {"abcd{,3}x", ""},
    {"abcd{ 3}x", ""},

    /* branches */
    {"abcd|efgh", "abcd|efgh"},
    {"abcd|", ""},
    {"abcd|ef.*", ""},
    {"(abcd|efgh|)ijkl", "abcdijkl|efghijkl|ijkl"},
    {"(abcd.|.efgh)", "abcd|efgh"},
    {"(abcd.|x)ijkl", "ijkl"},
    {"(?:ab|cd)(?:ef|gh)", "abef|abgh|cdef|cdgh"},
    {"(?|abcd|efgh)", "abcd|efgh"},
    {"(?<name>abcd)", "abcd"},
    {"(?P<name>abcd)", "abcd"},
    {"(?'name'abcd)", "abcd"},
    {"(?>abcd|efgh)", "abcd|efgh"},
    {"((((((((abcd))))))))", "abcd"},
    {"((((((((((((((((abcd))))))))))))))))", ""}, /* deeper than is read */

    /* what consumes nothing */
    {"abcd(?=efgh)ijkl", "abcdijkl"},
    {"abcd(?!efgh)ijkl", "abcdijkl"},
    {"(?<=efgh)abcd", "abcd"},
    {"(?<!efgh|ij)abcd", "abcd"},
    {"(?=(?i)x)ABCD", "~abcd"},
    {"\\Aabcd\\b\\Befgh\\z", "abcdefgh"},
    {"\\Gab\\Kcd\\Z", "abcd"},
    {"^abcd$", "abcd"},

    /* classes and escapes */
    {"ab[.]cd", "ab.cd"},
    {"ab[]]cd", "ab]cd"},
    {"ab[^]]cdef", "cdef"},
    {"ab[]a]cd", "ab]cd|abacd"},
    {"abcd[[:digit:]]efgh", "abcd&efgh"},
    {"abcd[[:^digit:]x]efgh", "abcd&efgh"},
    {"ab[a-c]cd", "abacd|abbcd|abccd"},
    {"abcd[a-z]efgh", "abcd&efgh"},
    {"ab[-x]cd", "ab-cd|abxcd"},
    {"ab[x-]cd", "ab-cd|abxcd"},
    {"ab[\\d-]cdef", "cdef"},
    {"ab[\\]\\\\]cd", "ab\\cd|ab]cd"},
    {"ab[\\x41]cd", "abAcd"},
    {"ab[\\b]cdef", ""},
    {"a\\tb\\nc\\x7e\\.\\-\\ \\/", "a\tb\nc~.- /"},
    {"abcd\\defgh\\Sijkl", "abcd&efgh&ijkl"},
    {"abcd\\Refgh\\Xijkl\\Nmnop", "abcd&efgh&ijkl&mnop"},
    {"\\Qa.b*c\\Ed", "a.b*cd"},
    {"\\Qa.bcd\\E+e", "a.bcd"},
    {"\\Qa.bcd", "a.bcd"},
    {"abc\\Qd\\E", "abcd"},

    /* what is not understood */
    {"abcd\\Q\\E", ""},
    {"abcd\\E", ""},
    {"(*UTF)abcd", ""},
    {"(*UTF)(?i)kelvin", ""},
    {"abcd(*ACCEPT)efgh", ""},
    {"(*CRLF)abcd", ""},
    {"(ab)\\1cdef", ""},
    {"(ab)\\g{1}cdef", ""},
    {"(?<n>ab)\\k<n>cdef", ""},
    {"(?<n>ab)(?P=n)cdef", ""},
    {"(ab)(?1)cdef", ""},
    {"ab(?R)?cdef", ""},
    {"(?<n>ab)(?&n)cdef", ""},
    {"(ab)?(?(1)cdef|efgh)", ""},
    {"(?(DEFINE)abcdef)gh", ""},
    {"abcd(?#comment)efgh", ""},
    {"abcd(?C1)efgh", ""},
    {"(?x)ab cd", ""},
    {"(?xx)ab cd", ""},
    {"(?^)abcd", ""},
    {"(?n)(abcd)", ""},
    {"\\p{L}abcd", ""},
    {"\\Cabcd", ""},
    {"\\x{41}abcd", ""},
    {"\\x4abcd\\o{41}", ""},
    {"\\cAabcd", ""},
    {"\\0abcd", ""},
    {"\\101abcd", ""},
    {"(?*abcd)efgh", ""},
    {"(?<*abcd)efgh", ""},
};
/* clang-format on */

static void print_sets(const struct literal_sets *sets, char *at, size_t room)
{
    YARDER_OWN_FILE FILE *to = fmemopen(at, room, "w");
    assert_non_null(to);
    for (uint32_t s = 0; s < sets->count; s++) {
        (void)fputs(s > 0 ? "&" : "", to);
        for (uint32_t i = 0; i < sets->at[s].count; i++) {
            const struct literal *literal = &sets->at[s].at[i];
            (void)fprintf(to, "%s%s%.*s", i > 0 ? "|" : "", literal->fold ? "~" : "",
                (int)literal->length, literal->bytes);
        }
    }
    (void)fputc('\0', to);
}

static void patterns_say_what_they_need(void **state)
{
    (void)state;
    static struct literal_sets sets;
    uint32_t wrong = 0;
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        int error = 0;
        size_t offset = 0;
        pcre2_code *code = pcre2_compile(
            (PCRE2_SPTR)rows[i].pattern, PCRE2_ZERO_TERMINATED, 0, &error, &offset, NULL);
        if (code == NULL) {
            fail_msg("%s is no pattern: %d", rows[i].pattern, error);
        }
        pcre2_code_free(code);
        assert_int_equal(literal_find(rows[i].pattern, &sets), 0);
        char text[2048];
        print_sets(&sets, text, sizeof(text));
        if (strcmp(text, rows[i].sets) != 0) {
            print_error("%s needs '%s', not '%s'\n", rows[i].pattern, text, rows[i].sets);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

/* Of more sets than are kept, the rarest; of a longer text, pieces; of likely ones none. */
static void the_best_are_kept(void **state)
{
    (void)state;
    static struct literal_sets sets;
    assert_int_equal(literal_find("aaaa.*BBBB.*    .*QQQQ.*cccc.*WWWW.*dddd.*EEEE", &sets), 0);
    assert_int_equal(sets.count, LITERAL_SETS_MAX);
    uint32_t rare = 0;
    for (uint32_t i = 0; i < sets.count; i++) {
        rare += literal_bits(&sets.at[i].at[0]) == LITERAL_BITS_MAX;
    }
    assert_int_equal(rare, 4);
    assert_int_equal(literal_find("^  *x", &sets), 0);
    assert_int_equal(sets.count, 0);
    char text[3 * LITERAL_BYTES_MAX + 1] = "";
    memset(text, 'q', sizeof(text) - 1);
    assert_int_equal(literal_find(text, &sets), 0);
    assert_int_equal(sets.count, 3);
    assert_int_equal(sets.at[0].at[0].length, LITERAL_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_say_what_they_need),
        cmocka_unit_test(the_best_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
