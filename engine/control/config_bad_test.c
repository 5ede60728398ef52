/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a bad configuration is refused to the letter, all errors with their places. Method: tables
 * of texts in a fixed place (/work, host box, 16G of memory).
 */
#include "control/config_scene.h"

static const struct {
    const char *text;
    const char *said;
} bad_rows[] = {
    /* keys of the top */
    {"colour = red\n", "y.conf:1: unknown key 'colour'\n"},
    {"outputs = null\n", "y.conf:1: unknown key 'outputs'; did you mean output?\n"},
    {"level = info\n", "y.conf:1: level is an option of an output: it belongs below an [output "
                       "NAME] line, or behind a comma of the output's line\n"},
    {"rcvbuf = 1M\n", "y.conf:1: rcvbuf is an option of an input: it belongs below an [input "
                      "NAME] line, or behind a comma of the input's line\n"},
    {"io = fast\n", "y.conf:1: io: expected auto, uring or epoll, not 'fast'\n"},
    {"io\n", "y.conf:1: io: expected a value: auto|uring|epoll\n"},
    {"record-max = 2M\n", "y.conf:1: record-max: expected 64 to 1M, not '2M'\n"},
    {"record-max = 64KB\n",
        "y.conf:1: record-max: expected a size such as 65536, 64K, 16M or 1G, not '64KB'\n"},
    {"drain-timeout = 10\n",
        "y.conf:1: drain-timeout: expected a time with its unit: ms, s, m, h or d, not '10'\n"},
    {"drain-timeout = 10sec\n", "y.conf:1: drain-timeout: expected a time such as 5ms, 2s, "
                                "15m, 1h or 7d, not '10sec'\n"},
    {"cpus = 0,\n", "y.conf:1: cpus: expected numbers of processors to 1023, such as 0,2-3, not "
                    "'0,'\n"},
    {"cpus = 1024\n", "y.conf:1: cpus: expected numbers of processors to 1023, such as 0,2-3, not "
                      "'1024'\n"},
    {"nice = 20\n", "y.conf:1: nice: expected -20 to 19, not '20'\n"},
    {"nice = -21\n", "y.conf:1: nice: expected -20 to 19, not '-21'\n"},
    {"nice = -\n", "y.conf:1: nice: expected -20 to 19, not '-'\n"},
    {"nice\n", "y.conf:1: nice: expected a value: NUMBER\n"},
    {"user =\n", "y.conf:1: user: expected USER, not ''\n"},
    {"user = a\ngid = g\nuid = b\n", "y.conf:3: uid is given twice, first at y.conf:1\n"},
    {"host = \"a\" b\n", "y.conf:1: host: text behind the closing double quote; a value that "
                         "begins with one is quoted as a whole, and inside it is \\\"\n"},
    {"host = \"a\n", "y.conf:1: host: a double quote is open; inside quotes it is \\\"\n"},
    {"drop = (\n", "y.conf:1: drop: pattern '(': missing closing parenthesis, at byte 1\n"},
    {"ring-memory = 1G\nring-memory-total = 1M\n", "ring-memory is more than ring-memory-total\n"},
    {"run-dir = "
     "/a/very/long/folder/that/is/made/so/that/no/socket/in/it/could/ever/be/named/by/"
     "an/address/of/one/hundred/and/eight\ninput = ring\n",
        "run-dir: "
        "/a/very/long/folder/that/is/made/so/that/no/socket/in/it/could/ever/be/named/by"
        "/an/address/of/one/hundred/and/eight is too long for the sockets in it: at most 94 "
        "bytes\n"},
    /* kinds and targets */
    {"output = fill:/x\n", "y.conf:1: unknown kind 'fill' of an output; did you mean file?\n"},
    {"output = /var/log/x\n",
        "y.conf:1: unknown kind '/var/log/x' of an output; there are file, stdio, null, blackhole, "
        "crypto, fd, graylog, http, journal, mongodb, pipe, redis, smtp, socket, syslog, winevent "
        "and zeromq\n"},
    {"input = kafka:h\n", "y.conf:1: unknown kind 'kafka' of an input; there are ring, stdin, "
                          "exec, unix, udp, tcp, crypto, gelf, graylog, redis and zeromq\n"},
    {"output =\n", "y.conf:1: output: expected [NAME ]KIND:TARGET[,OPTION=VALUE...]\n"},
    {"output\n", "y.conf:1: output: expected [NAME ]KIND:TARGET[,OPTION=VALUE...]\n"},
    {"output = file:\n", "y.conf:1: output file: expected file:PATH, not ''\n"},
    {"output = file:/x/\n", "y.conf:1: output file: expected file:PATH, not '/x/'\n"},
    {"output = stdio:both\n",
        "y.conf:1: output stdio: expected stdio:stdout or stdio:stderr, not 'both'\n"},
    {"output = file:/x,rotate-when=W7,rotate-at=25:00,rotate-names=old,compress=bz2,keep=-1\n",
        "y.conf:1: rotate-when: expected S, M, H, D (second, minute, hour, day), midnight, or W0 "
        "to W6 "
        "(Monday to Sunday), not 'W7'\n"
        "y.conf:1: rotate-at: expected HH:MM or HH:MM:SS, such as 03:30, not '25:00'\n"
        "y.conf:1: rotate-names: expected auto, numbers, dates or seconds, not 'old'\n"
        "y.conf:1: compress: expected none, gzip or zstd, not 'bz2'\n"
        "y.conf:1: keep: expected a number, not '-1'\n"},
    {"output = file:/x,rotate-when=H,rotate-at=03:00\noutput = file:/y,keep=3,rotate-grace=1s\n"
     "output = file:/z/${host},rotate-to=/o\noutput = file:/w,rotate-to=/w\n"
     "output = file:/v/${tag}.gz,keep=1\noutput = file:/u/${tag}.log,keep=1\n",
        "y.conf:1: rotate-at: stands beside rotate-when=D, midnight or W0 to W6\n"
        "y.conf:2: rotate-grace: stands beside rotate-when\n"
        "y.conf:3: rotate-to: one name is not enough for a path with variables; see rotate-names\n"
        "y.conf:4: rotate-to: expected another path than the file's own\n"
        "y.conf:5: path /v/${tag}.gz: a record could name a file that was put aside, as NAME.1; "
        "expected an end such as .log behind the last variable\n"},
    {"output = a file:/d/x,rotate-size=1M\noutput = file:/d/x.3\noutput = file:/d/x.bak\n"
     "output = b file:/d/y,rotate-when=D\noutput = file:/d/y.2026-11-21.gz\noutput = file:/e/x.3\n",
        "y.conf:2: file:/d/x.3 is a name that a at y.conf:1 gives to files that it has put aside\n"
        "y.conf:5: file:/d/y.2026-11-21.gz is a name that b at y.conf:4 gives to files that it has "
        "put "
        "aside\n"},
    {"output = null:x\n", "y.conf:1: output null: expected no target, not 'x'\n"},
    {"input = exec:\n", "y.conf:1: input exec: expected exec:COMMAND, not ''\n"},
    {"input = unix:@\n", "y.conf:1: input unix: expected unix:PATH or unix:@NAME, not '@'\n"},
    {"input = udp:514\n",
        "y.conf:1: input udp: expected HOST:PORT with an IPv4 address, an "
        "[IPv6] address, localhost or nothing for every address, and a port to 65535, not "
        "'514'\n"},
    {"input = tcp:[::1:514\ninput = tcp:[1.2.3.4]:5\ninput = tcp:1.2.3:5\ninput = udp::0\n"
     "input = udp:::514\n",
        "y.conf:1: input tcp: expected HOST:PORT with an IPv4 address, an [IPv6] address, "
        "localhost or "
        "nothing for every address, and a port to 65535, not '[::1:514'\n"
        "y.conf:2: input tcp: expected HOST:PORT with an IPv4 address, an [IPv6] address, "
        "localhost or "
        "nothing for every address, and a port to 65535, not '[1.2.3.4]:5'\n"
        "y.conf:3: input tcp: expected HOST:PORT with an IPv4 address, an [IPv6] address, "
        "localhost or "
        "nothing for every address, and a port to 65535, not '1.2.3:5'\n"
        "y.conf:4: input udp: expected HOST:PORT with an IPv4 address, an [IPv6] address, "
        "localhost or "
        "nothing for every address, and a port to 65535, not ':0'\n"
        "y.conf:5: input udp: expected HOST:PORT with an IPv4 address, an [IPv6] address, "
        "localhost or "
        "nothing for every address, and a port to 65535, not '::514'\n"},
    /* options */
    {"output = file:/x,levl=error\n",
        "y.conf:1: output: unknown option 'levl' of an output; did you mean level?\n"},
    {"output = file:/x,zzz=error\n", "y.conf:1: output: unknown option 'zzz' of an output; a comma "
                                     "that belongs to a value must stand in double quotes\n"},
    {"output = file:/x,rest\n", "y.conf:1: output: option rest needs a value: rest=yes|no\n"},
    {"output = file:/x,level=error,level=info\n",
        "y.conf:1: level is given twice, first at y.conf:1\n"},
    {"output = null,flush=1s\n", "y.conf:1: flush is not an option of null; it is one of file, "
                                 "stdio and kinds with a backend\n"},
    {"output = null,level=loud\n",
        "y.conf:1: level: expected debug, info, notice, warning, error, critical, alert, emerg "
        "or a "
        "number to 255, or a range such as warning..error, not 'loud'\n"},
    {"output = null,level=error..info\n",
        "y.conf:1: level: expected the lower level first, such as "
        "warning..error, not 'error..info'\n"},
    {"output = null,facility=auth+male\n", "y.conf:1: facility: 'male' is no facility; "
                                           "expected kern, user, mail, daemon, auth, syslog, "
                                           "lpr, news, uucp, cron, authpriv, ftp, ntp, audit, "
                                           "alert, clock, local0 to local7 or 0 to "
                                           "23, several with '+' between, not 'auth+male'\n"},
    {"output = stdio:,queue=disk:1G\n", "y.conf:1: queue=disk:SIZE is for kinds with a "
                                        "backend, not for stdio; expected memory:SIZE\n"},
    {"output = stdio:,on-full=block:5\n",
        "y.conf:1: on-full: expected block:TIME with a unit, such "
        "as block:2s, and at most 365d, not 'block:5'\n"},
    {"output = file:/x,fsync=interval\n",
        "y.conf:1: fsync: expected none, interval:TIME or batch, not 'interval'\n"},
    {"output = file:/x,mode=999\n",
        "y.conf:1: mode: expected permissions in octal, such as 0640, not '999'\n"},
    {"output = file:/x,match=[\n", "y.conf:1: match: pattern '[': missing terminating ] for "
                                   "character class, at byte 1\n"},
    {"input = ring,multiline=pyhton\n", "y.conf:1: multiline: expected python, java, go, indent or "
                                        "a REGEX; did you mean python?\n"},
    {"input = ring,multiline=^[a\n", "y.conf:1: multiline: pattern '^[a': missing terminating ] "
                                     "for character class, at byte 3\n"},
    {"input = ring,multiline-time=0ms\n",
        "y.conf:1: multiline-time: expected 1ms to 1h, not '0ms'\n"},
    {"output = null,field=x\n",
        "y.conf:1: field: expected NAME=REGEX or NAME=LOW..HIGH, not 'x'\n"},
    {"output = null,field.status=599..500\n",
        "y.conf:1: field.status: no number lies in 599..500\n"},
    {"output = null,field.a=(\n",
        "y.conf:1: field.a: pattern '(': missing closing parenthesis, at byte 1\n"},
    {"input = ring\noutput = null,input=rong\n",
        "y.conf:2: input: no input is named 'rong'; did you mean ring?\n"},
    {"input = unix:/x,type=stream\n", "y.conf:1: input: unknown option 'type' of an input; a comma "
                                      "that belongs to a value must stand in double quotes\n"},
    /* names */
    {"output = file:/x level=info\n",
        "y.conf:1: output: a blank stands before 'level='; an option begins at a comma, and a "
        "target with that in it must stand in double quotes\n"},
    {"output = null,newlines=kep\n",
        "y.conf:1: newlines: expected auto, keep, escape or indent, not 'kep'; did you mean "
        "keep?\n"},
    {"input = udp:localhost:5,parse=sylog,kind=requst\n",
        "y.conf:1: parse: expected raw or syslog, not 'sylog'; did you mean syslog?\n"
        "y.conf:1: kind: expected log or request, not 'requst'; did you mean request?\n"},
    {"output = null,facility=auth+locl1\n",
        "y.conf:1: facility: 'locl1' is no facility; expected kern, user, mail, daemon, auth, "
        "syslog, lpr, news, uucp, cron, authpriv, ftp, ntp, audit, alert, clock, local0 to local7 "
        "or 0 to 23, several with '+' between, not 'auth+locl1'; did you mean local1?\n"},
    {"output = null,level=warnin..error\n",
        "y.conf:1: level: expected debug, info, notice, warning, error, critical, alert, emerg or "
        "a number to 255, or a range such as warning..error, not 'warnin..error'; did you mean "
        "warning?\n"},
    {"output = file:/x,on-full=drop-newst\n",
        "y.conf:1: on-full: expected auto, block, block:TIME, drop-newest or drop-oldest, not "
        "'drop-newst'; did you mean drop-newest?\n"},
    {"output = null,tag=a*b*,host=*b,tag=*,host=c*\n",
        "y.conf:1: tag: a * stands at the end of a name alone, not in 'a*b*'\n"
        "y.conf:1: host: a * stands at the end of a name alone, not in '*b'\n"},
    {"output = null,logger=app.*\n",
        "y.conf:1: logger: a name takes its children as well, without any *, not 'app.*'\n"},
    {"output = \"null\" x\n", "y.conf:1: output: text behind the closing double quote; a value "
                              "that begins with one is quoted as a whole, and inside it is \\\"\n"},
    {"output = a! null\n", "y.conf:1: output: 'a!' cannot be a name: expected up to 63 "
                           "letters, digits, _ . or -\n"},
    {"output = a null\noutput = a file:/x\n", "y.conf:2: the name 'a' is taken by the output at "
                                              "y.conf:1; say all of it in one line or in one "
                                              "section\n"},
    {"output = a null\n[output a]\nlevel = info\n",
        "y.conf:2: the name 'a' is taken by the output at y.conf:1; say all of it in one line "
        "or in "
        "one section\n"},
    {"logger = a stdio\nlogger = stdio\noutput = a null\nlog-route = a x\n",
        "y.conf:3: the name 'a' is taken by the logger at y.conf:1; say all of it in one line "
        "or in "
        "one section\n"},
    /* sections */
    {"[output a]\ntype = null\nlevl = info\n",
        "y.conf:3: unknown option 'levl' of an output; did you mean level?\n"},
    {"[output a]\ntype = null\nxyz = info\n",
        "y.conf:3: unknown option 'xyz' of an output; see yarder outputs null\n"},
    {"[output a]\ntype = null\ntto = x\n",
        "y.conf:3: unknown option 'tto' of an output; did you mean to?\n"},
    {"[output a]\ntype = nul\nxyz = x\n",
        "y.conf:1: unknown kind 'nul' of an output; did you mean null?\ny.conf:3: unknown option "
        "'xyz' of an output; see yarder outputs\n"},
    {"[output a]\ntype = null\nroute = b c\n",
        "y.conf:3: route is not an option of one output; put "
        "it above the first section, or below a [yarder] "
        "line\n"},
    {"[output a]\ntype = null\ntype = null\nlevel = info\nlevel = info\n",
        "y.conf:3: type is given twice, first at y.conf:2\n"
        "y.conf:5: level is given twice, first at y.conf:4\n"},
    {"[output a]\nlevel = info\n", "y.conf:1: the section has no type; expected a line type = "
                                   "KIND; see yarder outputs\n"},
    {"[input a b]\ntype = ring\n",
        "y.conf:1: 'a b' cannot be a name: expected up to 63 letters, digits, _ . or -\n"},
    /* the whole */
    {"output = x null\nroute = y .\n",
        "y.conf:2: route: no output is named 'y'; did you mean x?\n"},
    {"output = x null\nroute = x\n", "y.conf:2: route: expected NAME REGEX\n"},
    {"output = x null\nroute = x \"a (\"\n",
        "y.conf:2: route: pattern 'a (': missing closing parenthesis, at byte 3\n"},
    {"output = file:/a/./b\noutput = file:/a//b,level=info\n",
        "y.conf:2: the same file:/a/b is at y.conf:1 already\n"},
    {"input = udp:127.0.0.1:514\ninput = tcp:127.0.0.1:514\ninput = udp:127.0.0.1:514\n",
        "y.conf:3: the same udp:127.0.0.1:514 is at y.conf:1 already\n"},
    {"input = ring\ninput = a ring\n", "y.conf:2: the same ring is at y.conf:1 already\n"},
    {"input = unix:s\ninput = unix:./s\n",
        "y.conf:2: the same unix:/work/s is at y.conf:1 already\n"},
    {"input = stdin\n[input x]\ntype = exec\nto = cat\nstdin = inherit\n",
        "y.conf:2: standard input is read by stdin at y.conf:1 already\n"},
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < YARDER_COUNT_OF(bad_rows); i++) {
        struct scene scene;
        scene_run(&scene, bad_rows[i].text);
        assert_string_equal(scene.said, bad_rows[i].said);
        assert_int_equal(scene.result, -EINVAL);
        assert_null(scene.config);
        scene_close(&scene);
    }
}

/* What codec says of templates is its own; here it must come with the place. */
static void test_bad_templates(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *begin;
    } rows[] = {
        {"[output a]\ntype = null\nformat = ${masg}\n", "y.conf:3: format: "},
        {"output = null,format=jsn\n", "y.conf:1: format: "},
        {"\noutput = file:/x/${hast}.log\n", "y.conf:2: path /x/${hast}.log: "},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_run(&scene, rows[i].text);
        assert_int_equal(scene.result, -EINVAL);
        assert_int_equal(strncmp(scene.said, rows[i].begin, strlen(rows[i].begin)), 0);
        assert_int_equal(scene.report.counts[REPORT_ERROR], 1);
        scene_close(&scene);
    }
}

static void test_warnings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"output = null\noutput = file:/r,rest=yes\n", ""},
        {"output = \"null\"\ninput = \"ring\"\noutput = \"x file:/a b.log,level=info\"\nroute = "
         "\"x a b\"\n",
            ""},
        {"log-date = x\n[uwsgi]\nlog-format = %(addr) [%(uri)]\nlog-rout = x\nlog-drain = y\n",
            "y.conf:1: warning: log-date does nothing here: uWSGI itself does it, before its "
            "lines come\n"
            "y.conf:4: warning: unknown key 'log-rout' is left to uWSGI; did you mean log-route?\n"
            "y.conf:4: note: 1 key that is not about logs is left to uWSGI: log-rout\n"},
        {"output = null,level=info\noutput = file:/r,rest=yes\n", ""},
        {"input = stdin\noutput = null,facility=mail\n",
            "y.conf:2: warning: facility= chooses records, and no input with parse=syslog brings "
            "any that have one: this output gets nothing\n"},
        {"input = stdin\ninput = unix:s,parse=syslog\noutput = null,facility=mail\n", ""},
        {"output = null,facility=mail\n", ""},
        {"log-master\noutput = null\n", ""},
        {"logger = a file:/x\nlogger = stdio:\n", "y.conf:1: warning: logger 'a' gets nothing: it "
                                                  "has a name, and no log-route names it\n"},
        {"logger = a file:/x\nlogger = a file:/y\nlogger = stdio:\nlog-route = a x\nlog-route = b "
         "x\n",
            "y.conf:2: warning: logger 'a' gets nothing: routes lead to the first of that name, at "
            "y.conf:1\n"
            "y.conf:5: warning: no logger is named 'b', so the line does nothing; did you mean "
            "a?\n"},
        {"logger = file:/y\nlogto = /x\n",
            "y.conf:2: warning: logto gets nothing: loggers without a name "
            "take what no route took\n"},
        {"logto = /x\nlogto2 = /y\n",
            "y.conf:1: warning: logto gets nothing: logto2 at y.conf:2 stands in its place\n"},
        {"logger = a file:/x\nlog-route = a x\noutput = null,level=error\n",
            "warning: there is no logger without a name: what no log-route takes goes to the "
            "outputs that "
            "select it, and to standard output no more\n"},
        {"[uwsgi]\nif-env = X\nlogger = stdio:\nendif =\nmaster = true\n",
            "y.conf:5: note: 1 key that is not about logs is left to uWSGI: master\n"},
        {"[uwsgi]\nif-plugin = X\nlogger = stdio:\nendif =\n",
            "y.conf:2: warning: if-plugin is not asked: the lines up to its end are taken as they "
            "stand\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_run(&scene, rows[i].text);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(scene.result, 0);
        scene_close(&scene);
    }
}

/* Every error, by their lines, whichever round of the reading found it. */
static void test_all_are_shown(void **state)
{
    (void)state;
    static char text[8192];
    struct scene scene;
    scene_repeat(text, sizeof(text), "bad=1\n", 300);
    scene_run(&scene, text);
    assert_non_null(strstr(scene.said, "y.conf:299: unknown key 'bad'\ny.conf:300: "));
    scene_close(&scene);
    scene_repeat(text, sizeof(text), "bad=1\n", 800);
    scene_run(&scene, text);
    assert_int_equal(scene.report.counts[REPORT_ERROR], 1100);
    assert_non_null(
        strstr(scene.said, "y.conf:1000: unknown key 'bad'\n... and 100 more errors\n"));
    scene_close(&scene);
    scene_run(&scene, "[output a]\ntype = null\nlevl = 1\n[yarder]\nroute = y .\nbad = 1\n"
                      "output = null,tag=*a\nring-memory=1G\nring-memory-total=1M\n= x\n");
    assert_string_equal(scene.said,
        "y.conf:3: unknown option 'levl' of an output; did you mean level?\n"
        "y.conf:5: route: no output is named 'y'; did you mean a?\n"
        "y.conf:6: unknown key 'bad'\n"
        "y.conf:7: tag: a * stands at the end of a name alone, not in '*a'\n"
        "y.conf:10: expected KEY = VALUE, [SECTION], or a comment line that begins with ; or #\n"
        "ring-memory is more than ring-memory-total\n");
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_bad_templates),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_all_are_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
