/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what translate prints does what uWSGI's lines do. Method: texts; the translation is loaded,
 * and both send the same records to the same places through the same encoders.
 */
#include "control/config_scene.h"
#include "control/translate_scene.h"

#define ALL                                                                                        \
    "logger = errors file:/e\nlogger = far socket:127.0.0.1:1717,P \nlogger = unused stdio:\n"     \
    "logger = file:/rest\nlog-route = errors ^ERROR\nlog-route = errors 500\n"                     \
    "log-route = far  x ; y\nlog-route = nobody z\nlog-drain = ^healthy\n"                         \
    "log-encoder = prefix web: \nlog-encoder = nl:far\n"

static char *translated(const struct scene *scene)
{
    char why[TRANSLATE_WHY_BYTES] = "";
    char *text = NULL;
    size_t bytes = 0;
    FILE *to = open_memstream(&text, &bytes);
    assert_non_null(to);
    assert_int_equal(config_translate(scene->settings, scene->config, true, to, why), 0);
    assert_int_equal(fclose(to), 0);
    return text;
}

static void test_same(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *has; /* what stands in the translation */
    } rows[] = {
        {"[uwsgi]\n" ALL, "route = far \" x ; y\"\n"},
        {ALL, "drop = ^healthy\n"},
        {ALL "req-logger = file:/q\nreq-logger = r file:/r\nlog-req-route = r GET\n",
            "kind = request\nmatch = GET\n"},
        {ALL "req-logger = file:/q\nlog-req-route = errors GET\n",
            "; log-drain and log-filter look at logs alone"},
        {ALL "log-filter = e\n", "keep = e\n"},
        {ALL "req-logger = file:/q\nlog-filter = e\n", "; log-filter beside routes"},
        {"logger = file:/a\nreq-logger = file:/b\nlog-filter = e\nlog-filter = l\n",
            "match = e\nmatch = l\n"},
        {"logger = n file:/a\nlog-route = n e\nlogto = /b\n", "to = /b\nrest = yes\n"},
        {"logger = n file:/a\nlog-route = n e\nreq-logger = file:/c\n", "type = stdio\n"},
        {"logto = /b\nlog-truncate = true\n", "; log-truncate has no other form\n"},
        {"[uwsgi]\nlogto = /a\nlog-truncate = 1\nlogto = /b\nlog-truncate = true\n",
            "logto = /b\nlog-truncate = true\n"},
        {"logto = 127.0.0.1:5\n", "type = uwsgi\nto = socket:127.0.0.1:5\n"},
        {"logger = file:/a\nlog-encoder = format ${nope}\n", "log-encoder = format ${nope}\n"},
        {"logger = file:/a\nlog-encoder = format ${msg} \"\\\nlog-encoder = nl\n",
            "encode = format ${msg} \"\\\nencode = nl\n"},
        {"logger = file:/a\nreq-logger = file:/b\nlog-encoder = nl\nlog-req-encoder = gzip\n",
            "encode = gzip\n"},
        {"logger = a file:/x\nlogger = a file:/y\nlog-route = a e\n", "[output a]\n"},
        {"logger = rsyslog:127.0.0.1:514,t\nrsyslog-packet-size = 2048\n",
            "rsyslog-packet-size = 2048\n"},
        {"logger = syslog:ident,local6\nlogger = fd:2\nlogger = fd:\nlogger = pipe:cat >/x\n",
            "to = pipe:cat >/x\n"},
        {"alarm = a log:x\nlog-alarm = a boom\nlogger = file:/x\n", "log-alarm = a boom\n"},
        {"alarm = a output:n\nlog-alarm = a boom\nlogger = file:/x\nlogger = n file:/y\n",
            "[output n]\n"},
        {"alarm = a log:x\nlog-alarm = a boom\nlogger = file:/x\nreq-logger = file:/y\n",
            "; alarms look at logs alone"},
        {"udp = :1717\nlogger = file:/x\n", "input = ring\n"},
        {"daemonize = /d\nlog-format = %(method) %(uri) %(status)\nthreaded-logger = true\n",
            "requests = format:%(method) %(uri) %(status)\n"},
        {"daemonize = /d\nlog-format = %(method)%(uri)\n",
            "; y.conf:2: log-format = %(method)%(uri): no line; requests are not known by it\n"},
        {"logger = file:/x\nreq-logger = file:/y\n", "requests = uwsgi\n"},
        {"daemonize = /d\nlog-date = x\n", "; y.conf:2: log-date = x: stays in uWSGI's own file"},
        {"[uwsgi]\nsocket = :3031\n", "; nothing here says where logs go\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_run(&scene, rows[i].text);
        if (scene.result != 0) {
            print_message("%s", scene.said);
        }
        assert_int_equal(scene.result, 0);
        char *text = translated(&scene);
        if (strstr(text, rows[i].has) == NULL) {
            print_message("%s", text);
        }
        assert_non_null(strstr(text, rows[i].has));
        free(text);
        assert_int_equal(translate_round(scene.settings, scene.config), 0);
        scene_close(&scene);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"output = file:/x\n",
        "logger = file:/x\n[output y]\ntype = null\n",
        "[uwsgi]\nlogger = a file:/x\nlog-route = a ${env:HOME}\n", "host = x\n"};
    for (size_t i = 0; i < YARDER_COUNT_OF(texts); i++) {
        struct scene scene;
        scene_run(&scene, texts[i]);
        assert_int_equal(scene.result, 0);
        assert_int_equal(translate_round(scene.settings, scene.config), -EINVAL);
        scene_close(&scene);
    }
}

/* An argument on each line. */
static int read_arguments(struct scene *scene, const char *lines)
{
    enum { MAX = 16 };
    char *arguments[MAX];
    int count = 0;
    char *text = strdup(lines);
    assert_non_null(text);
    for (char *at = text, *line; (line = strsep(&at, "\n")) != NULL && count < MAX;) {
        arguments[count++] = line;
    }
    int r = settings_read_uwsgi_arguments(scene->settings, count, arguments, &scene->report);
    free(text);
    return r;
}

static void test_command_line(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    assert_int_equal(
        read_arguments(&scene, "-s\n:3031\n-Mp4\n--logger\nn file:/n\n--log-route=n e\n-L\n"
                               "--log-date\n--logto2\n/l\n-d/d\napp:main"),
        0);
    scene_load(&scene);
    assert_int_equal(scene.result, 0);
    assert_non_null(strstr(scene.said, "left to uWSGI: socket, master, processes\n"));
    char *text = translated(&scene);
    assert_non_null(strstr(text, "[output n]\ntype = file\nto = /n\n"));
    assert_non_null(strstr(text, "to = /l\nrest = yes\n"));
    free(text);
    assert_int_equal(translate_round(scene.settings, scene.config), 0);
    scene_close(&scene);
    scene_open(&scene);
    assert_int_equal(read_arguments(&scene, "--outptu\nx\n-q\n--logto"), -EINVAL);
    scene_print(&scene);
    assert_string_equal(scene.said,
        "command line: uWSGI has no option --outptu; did you mean --output?\n"
        "command line: uWSGI has no option -q\ncommand line: --logto needs a value\n");
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
