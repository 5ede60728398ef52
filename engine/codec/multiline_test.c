/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: what the languages print comes out as one record each. Method: what they really print. */
#include "codec/multiline.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

/* Records with a line of its own before each: "alone", "joined" and how many lines. */
static void split(enum multiline_kind kind, const char *lines, char *out, size_t out_bytes)
{
    multiline_state state = 0;
    uint32_t count = 0;
    uint32_t gaps = 0;
    size_t at = 0;
    bool began = false;
    out[0] = '\0';
    while (*lines != '\0') {
        const char *end = strchrnul(lines, '\n');
        struct yarder_text line = {lines, (size_t)(end - lines)};
        lines = *end == '\0' ? end : end + 1;
        if (line.length == 0) {
            continue; /* as framers have it */
        }
        enum multiline_verdict verdict =
            multiline_look(kind, &state, line, line.at[0] >= '0' && line.at[0] <= '9');
        assert_true((verdict == MULTILINE_ALONE) == (state == 0));
        if (verdict == MULTILINE_ALONE || verdict == MULTILINE_BEGINS) {
            if (count > 0) {
                at += (size_t)snprintf(
                    out + at, out_bytes - at, "%s%u", at > 0 ? " " : "", (unsigned)count);
            }
            count = 0;
        } else {
            assert_true(began);
            gaps += verdict == MULTILINE_CONTINUES_AFTER_GAP;
        }
        began = verdict != MULTILINE_ALONE;
        count++;
    }
    (void)snprintf(
        out + at, out_bytes - at, "%s%u+%u", at > 0 ? " " : "", (unsigned)count, (unsigned)gaps);
}

static void expect(enum multiline_kind kind, const char *lines, const char *wanted)
{
    char got[256];
    split(kind, lines, got, sizeof(got));
    assert_string_equal(got, wanted);
}

static void test_python(void **state)
{
    (void)state;
    expect(MULTILINE_PYTHON, "one\ntwo\n  indented of nobody\nthree\n", "1 1 1 1+0");
    expect(MULTILINE_PYTHON,
        "ERROR:root:boom\n"
        "Traceback (most recent call last):\n"
        "  File \"/srv/a.py\", line 3, in <module>\n"
        "    f()\n"
        "    ~^^\n"
        "  File \"/srv/a.py\", line 1, in f\n"
        "    return 1 / 0\n"
        "           ~~^~~\n"
        "ZeroDivisionError: division by zero\n"
        "next line\n",
        "1 8 1+0");
    expect(MULTILINE_PYTHON,
        "Traceback (most recent call last):\n  File \"a.py\", line 2, in f\n    {}['x']\nKeyError: "
        "'x'\n\nDuring handling of the above exception, another exception occurred:\n\n"
        "Traceback (most recent call last):\n  File \"a.py\", line 4, in <module>\n    g()\n"
        "app.errors.Wrong\n\nThe above exception was the direct cause of the following "
        "exception:\n\nTraceback (most recent call last):\n  File \"a.py\", line 6, in <module>\n"
        "    h()\n  [Previous line repeated 996 more times]\nRecursionError: maximum\n"
        "Traceback (most recent call last):\n  File \"b.py\", line 1\nOSError: x\n127.0.0.1 GET "
        "/\n",
        "15 3 1+4");
    expect(MULTILINE_PYTHON,
        "  + Exception Group Traceback (most recent call last):\n"
        "  |   File \"g.py\", line 1, in <module>\n"
        "  | ExceptionGroup: both (2 sub-exceptions)\n"
        "  +-+---------------- 1 ----------------\n"
        "    | ValueError: 1\n"
        "    +---------------- 2 ----------------\n"
        "    | TypeError: 2\n"
        "    +------------------------------------\n"
        "done\n",
        "8 1+0");
    expect(MULTILINE_PYTHON,
        "  File \"bad.py\", line 1\n    x = = 1\n        ^\nSyntaxError: invalid syntax\nok\n",
        "4 1+0");
    expect(MULTILINE_PYTHON,
        "Traceback (most recent call last):\n  File \"a.py\", line 1\nan interrupted one\n"
        "ValueError: of nobody\n",
        "2 1 1+0");
}

static void test_java(void **state)
{
    (void)state;
    expect(MULTILINE_JAVA, "one\n\tat nobody\nERROR two\n", "1 1 1+0");
    expect(MULTILINE_JAVA,
        "2026-11-21 ERROR app - request failed\n"
        "java.lang.IllegalStateException: no connection\n"
        "\tat com.example.Pool.take(Pool.java:42)\n"
        "\tat java.base/java.lang.Thread.run(Thread.java:840)\n"
        "\tSuppressed: java.io.IOException: close\n"
        "\t\tat com.example.Pool.close(Pool.java:50)\n"
        "\t\t... 2 more\n"
        "Caused by: java.net.ConnectException: refused\n"
        "\tat java.base/sun.nio.ch.Net.connect0(Native Method)\n"
        "\t... 12 more\n"
        "Caused by: java.lang.Error\n"
        "\t... 13 common frames omitted\n"
        "2026-11-21 INFO app - next\n",
        "1 11 1+0");
    expect(MULTILINE_JAVA,
        "Exception in thread \"main\" java.lang.NullPointerException\n\tat A.main(A.java:3)\n"
        "javax.servlet.ServletException: one\n\tat X.y(X.java)\nnested exception is:\n"
        "java.lang.RuntimeException: two\n\tat Z.z(Z.java)\n",
        "2 3 2+0");
}

static void test_go(void **state)
{
    (void)state;
    expect(MULTILINE_GO, "one\n\tx.go:1\nmain.f(0x1)\n", "1 1 1+0");
    expect(MULTILINE_GO,
        "2026/11/21 00:00:00 serving\n"
        "panic: runtime error: index out of range [5] with length 3 [recovered]\n"
        "\tpanic: again\n"
        "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x47]\n"
        "\n"
        "goroutine 1 [running]:\n"
        "main.(*T).run(0xc00001c0a8, {0x4a1b2c, 0x5})\n"
        "\t/srv/main.go:12 +0x1d\n"
        "main.main()\n"
        "\t/srv/main.go:20 +0x65\n"
        "\n"
        "goroutine 18 [chan receive, 2 minutes]:\n"
        "net/http.HandlerFunc.ServeHTTP(...)\n"
        "\t/usr/lib/go/src/net/http/server.go:2136\n"
        "created by main.main in goroutine 1\n"
        "\t/srv/main.go:18 +0x4e\n"
        "exit status 2\n"
        "2026/11/21 00:00:01 started\n",
        "1 14 1+2");
    expect(MULTILINE_GO,
        "2026/11/21 http: panic serving 127.0.0.1:4242: boom\ngoroutine 5 [running]:\n"
        "net/http.(*conn).serve.func1()\n\t/usr/lib/go/src/net/http/server.go:1868 +0xb9\nok\n",
        "4 1+1");
    expect(MULTILINE_GO,
        "SIGQUIT: quit\nPC=0x46f\ngoroutine 0 [idle]:\nruntime.futex(0x5, 0x80)\n"
        "\t/usr/lib/go/src/runtime/sys.s:557 +0x21\nrax    0xca\nr10    0x0\nnow\n",
        "7 1+1");
}

static void test_indent_and_first_lines(void **state)
{
    (void)state;
    expect(MULTILINE_INDENT, "a\n b\n\tc\nd\ne\n f\n", "3 1 2+0");
    expect(MULTILINE_INDENT, " lost\nd\n", "1 1+0");
    expect(MULTILINE_REGEX, "no first\nnor this\n1 a\nb\nc\n2 d\n3 e\n f\n", "2 3 1 2+0");
}

static void test_several_lines_at_once(void **state)
{
    (void)state;
    const struct yarder_text whole = text_of(
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n");
    multiline_state under_way = 0;
    assert_int_equal(multiline_look(MULTILINE_PYTHON, &under_way, whole, false), MULTILINE_BEGINS);
    assert_int_equal(
        multiline_look(MULTILINE_PYTHON, &under_way, text_of("ValueError: of another"), false),
        MULTILINE_ALONE);
    assert_int_equal(
        multiline_look(MULTILINE_PYTHON, &under_way,
            text_of("Traceback (most recent call last):\n  x\nand now to the news"), false),
        MULTILINE_ALONE);
    assert_int_equal(
        multiline_look(MULTILINE_PYTHON, &under_way, text_of("a\nb"), false), MULTILINE_ALONE);
}

static void test_names(void **state)
{
    (void)state;
    enum multiline_kind kind = MULTILINE_NONE;
    char why[128] = "";
    assert_int_equal(multiline_kind_of("java", &kind, why, sizeof(why)), 0);
    assert_int_equal(kind, MULTILINE_JAVA);
    assert_int_equal(multiline_kind_of("^\\d{4}-", &kind, why, sizeof(why)), 0);
    assert_int_equal(kind, MULTILINE_REGEX);
    assert_int_equal(multiline_kind_of("pyhton", &kind, why, sizeof(why)), -EINVAL);
    assert_string_equal(why, "expected python, java, go, indent or a REGEX; did you mean python?");
    assert_int_equal(multiline_kind_of("", &kind, why, sizeof(why)), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_java),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_indent_and_first_lines),
        cmocka_unit_test(test_several_lines_at_once),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
