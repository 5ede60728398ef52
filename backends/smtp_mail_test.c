/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mails: what a record says stays in its place, whatever it is; lines are short, all is ASCII, and
 * quoted-printable comes back as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "smtp_mail.h"

static char to_one[] = "ops@example.com";
static char to_two[] = "root";
static char *to[] = {to_one, to_two};
static const struct mail_style style = {.from = "yarder@example.com",
    .to = {to, 2},
    .subject = "${level} at ${host}: ${msg} (${count})",
    .hostname = "vm",
    .output = "alarms"};

/* Ends with a NUL, for strstr. */
static void make(struct bytes *mail, const struct yarder_item *items, uint32_t count)
{
    bytes_clear(mail);
    mail_put(mail, &style, items, count, 1700000000);
    for (size_t i = 0, column = 0; i < mail->length; i++) {
        uint8_t c = (uint8_t)mail->at[i];
        bool ends = c == '\r' && i + 1 < mail->length && mail->at[i + 1] == '\n';
        assert_true(c < 0x7F && (c >= 0x20 || c == '\t' || ends ||
                                    (c == '\n' && i > 0 && mail->at[i - 1] == '\r')));
        column = c == '\n' ? 0 : column + 1;
        assert_true(column < 998);
    }
    bytes_put_char(mail, '\0');
}

static struct yarder_item item_of(const struct yarder_record *record, uint64_t number)
{
    return (struct yarder_item){.record = record, .text = record->text, .id = {7, number}};
}

static void a_plain_mail(void **state)
{
    (void)state;
    const struct yarder_record one = {
        .text = text_from("disk full\n.\nnot the end"), .level = YARDER_LEVEL_ERROR};
    const struct yarder_record two = {.text = text_from("second")};
    const struct yarder_item items[] = {item_of(&one, 1), item_of(&two, 2)};
    struct bytes mail = {0};
    make(&mail, items, 2);
    assert_string_equal(mail.at,
        "From: yarder@example.com\r\nTo: ops@example.com,\r\n root\r\n"
        "Subject: error at vm: disk full . not the end (2)\r\n"
        "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <7.1.2.2@vm>\r\n"
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
        "disk full\r\n\t.\r\n\tnot the end\r\nsecond\r\n");
    make(&mail, items, 1); /* alone it is as it was */
    assert_non_null(strstr(mail.at, "\r\n\r\ndisk full\r\n.\r\nnot the end\r\n"));
    bytes_free(&mail);
}

static void no_line_passes_for_another_record(void **state)
{
    (void)state;
    const struct yarder_record one = {.text = text_from("gr\xc3\xbc\xc3\x9f\nforged\n\nend")};
    const struct yarder_record two = {.text = text_from("second")};
    const struct yarder_item items[] = {item_of(&one, 1), item_of(&two, 2)};
    struct bytes mail = {0};
    make(&mail, items, 2);
    assert_non_null(
        strstr(mail.at, "\r\n\r\ngr=C3=BC=C3=9F\r\n=09forged\r\n=09\r\n=09end\r\nsecond\r\n"));
    bytes_free(&mail);
}

static void nothing_becomes_a_header(void **state)
{
    (void)state;
    const struct yarder_record record = {
        .text = text_from("x\r\nBcc: all@example.com\r\n\r\nhello =?utf-8?B?eA==?="),
        .host = text_from("evil\nTo: me")};
    const struct yarder_item item = item_of(&record, 1);
    struct bytes mail = {0};
    make(&mail, &item, 1);
    const char *body = strstr(mail.at, "\r\n\r\n");
    assert_non_null(body);
    for (const char *at = mail.at; at < body; at = strstr(at, "\r\n") + 2) {
        assert_int_not_equal(strncmp(at, "Bcc", 3), 0);
        assert_int_not_equal(strncmp(at, "To: me", 6), 0);
    }
    assert_non_null(strstr(mail.at, "Subject: =?utf-8?B?")); /* no encoded word of its own */
    bytes_free(&mail);
}

static int hex(char c)
{
    return c >= 'A' ? c - 'A' + 10 : c - '0';
}

static void quoted_printable_comes_back(void **state)
{
    (void)state;
    enum { LONG = 5000 };
    static char words[LONG + 1];
    static const char piece[] = "gr\xc3\xbc\xc3\x9f = \xf0\x9f\x9a\xa8 end \n";
    for (size_t i = 0; i < LONG; i++) {
        words[i] = piece[i % (sizeof(piece) - 1)];
    }
    size_t length = LONG - LONG % (sizeof(piece) - 1);
    const struct yarder_record record = {.text = {words, length}};
    const struct yarder_item item = item_of(&record, 1);
    struct bytes mail = {0};
    make(&mail, &item, 1);
    assert_non_null(strstr(mail.at, "Content-Transfer-Encoding: quoted-printable\r\n"));
    const char *at = strstr(mail.at, "\r\n\r\n") + 4;
    size_t back = 0;
    for (size_t column = 0; *at != '\0' && back < length; column++) {
        assert_true(column <= 76);
        if (strncmp(at, "=\r\n", 3) == 0) {
            at += 3;
            column = 0;
        } else if (strncmp(at, "\r\n", 2) == 0) {
            assert_int_equal(words[back++], '\n');
            at += 2;
            column = 0;
        } else if (*at == '=') {
            assert_int_equal((char)(hex(at[1]) * 16 + hex(at[2])), words[back++]);
            at += 3;
        } else {
            assert_int_equal(*at++, words[back++]);
        }
    }
    assert_int_equal(back, length);
    bytes_free(&mail);
}

static void any_bytes_make_a_mail(void **state)
{
    (void)state;
    static char bytes[4096];
    unsigned seed = 1;
    struct bytes mail = {0};
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 1103515245u + 12345u;
            bytes[i] = (char)(seed >> 16);
        }
        const struct yarder_record record = {
            .text = {bytes, (size_t)round * 20}, .host = {bytes + 100, (size_t)round}};
        const struct yarder_item item = item_of(&record, (uint64_t)round);
        make(&mail, &item, 1);
    }
    bytes_free(&mail);
}

static void what_is_an_address(void **state)
{
    (void)state;
    char why[200];
    assert_true(mail_address_is_legal("a@b.c"));
    assert_true(mail_address_is_legal("root"));
    static const char *const wrong[] = {
        "", "@b", "a@", "a@b@c", "a b@c", "a@b\r\nRCPT TO:<x>", "<a@b>", "a@b,c@d", "a\xc3\xa4@b"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(mail_address_is_legal(wrong[i]));
    }
    assert_int_equal(mail_check_subject("${level} ${", why, sizeof(why)), 0);
    assert_true(mail_check_subject("${levels}", why, sizeof(why)) < 0);
    assert_non_null(strstr(why, "'${levels}'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_mail),
        cmocka_unit_test(no_line_passes_for_another_record),
        cmocka_unit_test(nothing_becomes_a_header),
        cmocka_unit_test(quoted_printable_comes_back),
        cmocka_unit_test(any_bytes_make_a_mail),
        cmocka_unit_test(what_is_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
