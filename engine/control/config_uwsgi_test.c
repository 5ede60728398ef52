/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: uWSGI's lines mean what they mean to uWSGI. Method: tables of lines; then whole
 * configurations through the router, which decides as uWSGI would.
 */
#include "control/config_scene.h"

static void test_logger_lines(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *name; /* "" : without one */
        enum output_kind kind;
        const char *target;
    } rows[] = {
        {"file:/a b", "", OUTPUT_FILE, "/a b"},
        {"file:/a:b,c", "", OUTPUT_FILE, "/a:b,c"},
        {"file:a", "", OUTPUT_FILE, "/work/a"},
        {"file:logfile=/x", "", OUTPUT_FILE, "/x"},
        {"n1 file:/a", "n1", OUTPUT_FILE, "/a"},
        {"n1 file: /a", "n1", OUTPUT_FILE, "/work/ /a"},
        {"stdio", "", OUTPUT_STDIO, ""},
        {"stdio:", "", OUTPUT_STDIO, ""},
        {"9 stdio:", "9", OUTPUT_STDIO, ""},
        {"fd:1", "", OUTPUT_STDIO, ""},
        {"fd:2", "", OUTPUT_STDIO, "stderr"},
        {"fd:", "", OUTPUT_NULL, ""},
        {"fd", "", OUTPUT_NULL, ""},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        char text[256];
        (void)snprintf(
            text, sizeof(text), "logger = %s\nlog-route = n1 x\nlog-route = 9 x\n", rows[i].value);
        scene_run(&scene, text);
        assert_int_equal(scene.result, 0);
        const struct output_config *output = &scene.config->outputs[0];
        assert_int_equal(output->kind, rows[i].kind);
        assert_string_equal(output->target, rows[i].target);
        assert_int_equal(output->reach, ROUTE_UWSGI_LOGGER);
        assert_true(output->bare);
        assert_int_equal(output->named, rows[i].name[0] != '\0');
        assert_true(!output->named || strcmp(output->logger_name, rows[i].name) == 0);
        scene_close(&scene);
    }
}

static void test_bad_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"logger = python:x\n",
            "y.conf:1: logger: python calls the logging of the program inside uWSGI, which nobody "
            "outside can; see yarder outputs\n"},
        {"logger = my_log file:/x\n", "y.conf:1: logger: no kind 'my_log file'; a logger's name "
                                      "has letters and digits alone\n"},
        {"logger = fille:/x\n", "y.conf:1: logger: unknown kind 'fille'; did you mean file?\n"},
        {"logger = x\n",
            "y.conf:1: logger: unknown kind 'x'; "
            "there are file, stdio, crypto, fd, graylog2, systemd, mongodblog, pipe, redislog, "
            "socket, syslog, rsyslog, zeromq and zmq\n"},
        {"logger = file\n", "y.conf:1: output file: expected file:PATH, not ''\n"},
        {"logger = file:\n", "y.conf:1: output file: expected file:PATH, not ''\n"},
        {"logger = file:logfile=/x,maxsize=1M\n",
            "y.conf:1: maxsize: expected a number of bytes, not '1M'\n"},
        {"logger = file:logfile=/x,backupname=\n",
            "y.conf:1: logger: unknown 'backupname='; with a '=' file: takes logfile=PATH, "
            "maxsize=BYTES and backupname=PATH; a path with a '=' can be had by output = "
            "file:PATH\n"},
        {"logger = file:/x=y\n",
            "y.conf:1: logger: unknown '/x=y'; with a '=' file: takes "
            "logfile=PATH, maxsize=BYTES and backupname=PATH; a path with a '=' "
            "can be had by output = file:PATH\n"
            "y.conf:1: output file: expected file:PATH, not ''\n"},
        {"logger = file:/${host}\n",
            "y.conf:1: logger: a path with ${ is taken as it stands by uWSGI; for "
            "a variable use output = file:PATH\n"},
        {"log-route = x\n", "y.conf:1: log-route: expected NAME REGEX\n"},
        {"log-req-route = x\ty\n", "y.conf:1: log-req-route: expected NAME REGEX\n"},
        {"log-drain = (\n",
            "y.conf:1: log-drain: pattern '(': missing closing parenthesis, at byte 1\n"},
        {"log-filter =\n", "y.conf:1: log-filter: expected REGEX\n"},
        {"log-maxsize = 1\nlogto = h:\n",
            "y.conf:2: logto: expected PATH, or with a colon HOST:PORT, not 'h:'\n"
            "y.conf:1: warning: log-maxsize does nothing: it is about the file of "
            "logto, and there is none\n"},
        {"logto = /x\nlog-maxsize = 1M\nlogfile-chmod = 9\nlog-backupname =\n",
            "y.conf:2: log-maxsize: expected a number of bytes, not '1M'\n"
            "y.conf:3: logfile-chmod: expected three octal digits, such as 640, not '9'\n"
            "y.conf:4: log-backupname: expected PATH\n"},
        {"logto = 127.0.0.1:\n",
            "y.conf:1: logto: expected PATH, or with a colon HOST:PORT, not '127.0.0.1:'\n"},
        {"logger = file:/x\nreq-logger = file:/x\nlog-drain = y\n",
            "y.conf:2: the same file:/x is at y.conf:1 already\n"},
        {"logto = /x\nlogto = /y\n", "y.conf:2: logto is given twice, first at y.conf:1\n"},
        {"logto = /x\nlog-truncate = maybe\n", "y.conf:2: log-truncate: expected yes or no\n"},
        {"logger = a stdio\nlog-route = a x\n[logger a]\nflush = 1s\n[logger a]\nnewlines = keep\n",
            "y.conf:5: section [logger a] is there twice\n"},
        {"logger = a stdio\n[logger a]\nlevel = info\nlog-route = x y\n",
            "y.conf:3: level belongs to an output; a logger is reached by log-route\n"
            "y.conf:4: unknown option 'log-route' of an output; see yarder outputs stdio\n"
            "y.conf:1: warning: logger 'a' gets nothing: it has a name, and no log-route names "
            "it\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_run(&scene, rows[i].text);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(scene.result, -EINVAL);
        scene_close(&scene);
    }
}

static void test_the_last_of_uwsgis_own_holds(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, "[uwsgi]\nlogto = /x\nlogto = /y\n[yarder]\n");
    assert_int_equal(scene.result, 0);
    assert_string_equal(scene.said, "y.conf:2: note: logto at y.conf:3 holds, as in uWSGI\n");
    assert_string_equal(scene.config->outputs[0].target, "/y");
    scene_close(&scene);
}

static void test_sections(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene,
        "[logger a]\nflush = 1s\nnewlines = escape\n[logger b]\ntype = file\nto = /b\nformat = "
        "json\n[yarder]\nlogger = a file:/a\nlogger = stdio:\nlog-route = a x\nlog-route = b y\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.result, 0);
    const struct daemon_config *config = scene.config;
    assert_int_equal(config->outputs_count, 3);
    assert_string_equal(config->outputs[0].name, "a");
    assert_int_equal(config->outputs[0].flush_ns, UINT64_C(1000000000));
    assert_int_equal(config->outputs[0].newlines, ENCODE_NEWLINES_ESCAPE);
    assert_true(config->outputs[0].bare);
    assert_string_equal(config->outputs[2].name, "b");
    assert_int_equal(config->outputs[2].reach, ROUTE_UWSGI_LOGGER);
    assert_true(config->outputs[2].named);
    assert_false(config->outputs[2].bare);
    scene_close(&scene);
}

/* "name,name*2": where a record goes, by names of outputs in their order. */
static void decide(const struct daemon_config *config, const char *text,
    enum yarder_record_kind kind, char *got, size_t room)
{
    static struct config_route_spec spec;
    char why[512];
    struct router *router = NULL;
    config_route_spec(config, &spec);
    assert_int_equal(router_open(&router, &spec.spec, why, sizeof(why)), 0);
    struct yarder_record record = {.text = {text, strlen(text)}, .kind = (uint8_t)kind};
    struct route_verdict verdict;
    router_decide(router, &record, 1, 0, &verdict);
    got[0] = '\0';
    for (uint32_t i = 0; i < config->outputs_count; i++) {
        if ((verdict.outputs >> i & 1) != 0) {
            bool twice = (verdict.repeated >> i & 1) != 0;
            (void)snprintf(got + strlen(got), room - strlen(got), "%s%s%s",
                got[0] != '\0' ? "," : "", config->outputs[i].name, twice ? "*2" : "");
        }
    }
    router_close(router);
}

static void test_routing_facts(void **state)
{
    (void)state;
    static const char *const named = "logger = a file:/a\nlogger = b file:/b\nlogger = file:/u\n"
                                     "log-route = a one\nlog-route = b both\nlog-route = a both\n"
                                     "log-route = a both?\nlog-route = none x\nlog-drain = gone\n";
    static const struct {
        const char *text; /* NULL: the one above */
        const char *record;
        enum yarder_record_kind kind;
        const char *want;
    } rows[] = {
        {NULL, "nothing", YARDER_KIND_LOG, "file:/u"},
        {NULL, "one", YARDER_KIND_LOG, "a"},
        {NULL, "both", YARDER_KIND_LOG, "a*2,b"},
        {NULL, "x", YARDER_KIND_LOG, "file:/u"},
        {NULL, "one gone", YARDER_KIND_LOG, ""},
        {NULL, "one", YARDER_KIND_REQUEST, "a"},
        {"logger = a file:/a\nlog-route = a x\n", "y", YARDER_KIND_LOG, "stdio"},
        {"logger = a file:/a\nlog-route = a x\nlogto = /t\n", "y", YARDER_KIND_LOG, "file:/t"},
        {"logto = /t\n", "y", YARDER_KIND_LOG, "file:/t"},
        {"log-master\n", "y", YARDER_KIND_LOG, "stdio"},
        {"logger = file:/a\nreq-logger = file:/r\nlog-drain = x\n", "x", YARDER_KIND_LOG, ""},
        {"logger = file:/a\nreq-logger = file:/r\nlog-drain = x\n", "x", YARDER_KIND_REQUEST,
            "file:/r"},
        {"logger = file:/a\nlogger-req = r file:/r\nlog-req-route = r G\n", "G",
            YARDER_KIND_REQUEST, "r"},
        {"logger = file:/a\nlogger-req = r file:/r\nlog-req-route = r G\n", "P",
            YARDER_KIND_REQUEST, "stdio"},
        {"logger = r file:/a\nreq-logger = r file:/r\nlog-route = r G\nlog-req-route = r G\n", "G",
            YARDER_KIND_LOG, "r"},
        {"logger = r file:/a\nreq-logger = r file:/r\nlog-route = r G\nlog-req-route = r G\n", "G",
            YARDER_KIND_REQUEST, "r#2"},
        {"[uwsgi]\nlogger = a file:%dx\nlog_route = a 100%%\nlogto = /t", "100%", YARDER_KIND_LOG,
            "a"},
        {"logger = stdio:\nlogto = /t\n", "y", YARDER_KIND_LOG, "file:/t"},
        {"logger = a stdio:\nlogger = file:/u\nlogto = /t\nlog-route = a x\n", "x", YARDER_KIND_LOG,
            "a"},
        {"logger = file:/a\nreq-logger = file:/a\noutput = null\n", "y", YARDER_KIND_LOG,
            "file:/a,null"},
        {"output = null\nreq-logger = file:/a\nlogger = file:/a\n", "G", YARDER_KIND_REQUEST,
            "null,file:/a"},
        {"logger = stdio:\nreq-logger = stdio:\nlogto = /t\n", "G", YARDER_KIND_REQUEST, "file:/t"},
        {"logger = a stdio:\nlog-route = a x\noutput = null\n", "y", YARDER_KIND_LOG, "null"},
        {"logger = a file:/a\nroute = a x\noutput = null\n", "x", YARDER_KIND_LOG, "a,null"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        char got[256];
        scene_run(&scene, rows[i].text != NULL ? rows[i].text : named);
        assert_int_equal(scene.result, 0);
        decide(scene.config, rows[i].record, rows[i].kind, got, sizeof(got));
        assert_string_equal(got, rows[i].want);
        scene_close(&scene);
    }
}

static void test_truncate(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, "[uwsgi]\nlogto = /t\nlog-truncate = true\n");
    assert_true(scene.config->outputs[0].truncate);
    scene_close(&scene);
    scene_run(&scene, "logto = /t\nlog-truncate = false\nlogger = a file:/u\nlog-route = a x\n");
    assert_int_equal(scene.config->outputs_count, 2);
    assert_false(scene.config->outputs[1].truncate);
    assert_int_equal(scene.config->outputs[1].reach, ROUTE_UWSGI_FALLBACK);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logger_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_the_last_of_uwsgis_own_holds),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_routing_facts),
        cmocka_unit_test(test_truncate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
