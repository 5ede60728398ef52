/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a configuration is what it says, and has its defaults where it says nothing. Method: texts
 * in a fixed place (/work, host box, 16G of memory).
 */
#include "control/config_scene.h"

static void check_good_inputs(const struct daemon_config *config)
{
    assert_int_equal(config->inputs_count, 5);
    assert_string_equal(config->inputs[0].name, "ring");
    assert_string_equal(config->inputs[1].name, "unix:/work/log.sock");
    assert_string_equal(config->inputs[1].target, "/work/log.sock");
    assert_int_equal(config->inputs[1].mode, 0666);
    assert_string_equal(config->inputs[1].tag, "app");
    assert_int_equal(config->inputs[1].parse, INPUT_PARSE_RAW);
    assert_string_equal(config->inputs[2].name, "syslog");
    assert_int_equal(config->inputs[2].parse, INPUT_PARSE_SYSLOG);
    assert_int_equal(config->inputs[2].receive_bytes, 8 << 20);
    assert_string_equal(config->inputs[3].target, "[::]:6514");
    assert_int_equal(config->inputs[3].framing, FRAME_AUTO);
    assert_string_equal(config->inputs[4].target, "echo a,level=b; echo c");
    assert_int_equal(config->inputs[4].framing, FRAME_LF);
    assert_string_equal(config->inputs[4].where, "y.conf:5");
}

static void check_good_keys(const struct daemon_config *config)
{
    assert_false(config->until_end);
    assert_false(config->standard_run);
    assert_int_equal(config->record_bytes_max, 128 << 10);
    assert_int_equal(config->ring_bytes, 4 << 20);
    assert_int_equal(config->ring_bytes_total, UINT64_C(2) << 30);
    assert_int_equal(config->drain_ns, UINT64_C(10000000000));
    assert_string_equal(config->user, "www-data");
    assert_null(config->group);
    assert_string_equal(config->host, "box");
    assert_string_equal(config->drop.at[0], "a ; \"b\\d");
    assert_int_equal(config->keep.count, 1);
}

static void check_good_outputs(const struct daemon_config *config)
{
    assert_int_equal(config->outputs_count, 3);
    const struct output_config *errors = &config->outputs[0];
    assert_string_equal(errors->target, "/work/logs/errors.log");
    assert_int_equal(errors->selectors.levels.lowest, YARDER_LEVEL_ERROR);
    assert_int_equal(errors->selectors.levels.highest, YARDER_LEVEL_ALERT);
    assert_int_equal(errors->selectors.match.count, 2);
    assert_string_equal(errors->selectors.match.at[0], "a{1,3}");
    assert_string_equal(errors->selectors.match.at[1], "x,level=y");
    assert_int_equal(errors->on_full.policy, OUTPUT_FULL_AUTO);
    assert_int_equal(errors->on_full.block_ns, UINT64_C(2000000000));
    assert_int_equal(errors->queue.memory_bytes, 16 << 20);
    assert_true(errors->mkdir);
    assert_int_equal(errors->mode, 0640);
    assert_string_equal(config->outputs[1].name, "file:/work/x");
    assert_false(config->outputs[1].named);
    const struct output_config *audit = &config->outputs[2];
    assert_int_equal(audit->selectors.facilities, 1u << 4 | 1u << 10);
    assert_string_equal(audit->selectors.field.at[0], "user_id=\\d+");
    assert_string_equal(audit->format, "${time:%F %T}, ${msg}");
    assert_true(audit->selectors.rest);
    assert_int_equal(audit->on_full.policy, OUTPUT_FULL_DROP_OLDEST);
    assert_int_equal(config->routes_count, 1);
    assert_string_equal(config->routes[0].pattern, "listen queue of socket .* full");
    assert_string_equal(config->routes[0].where, "y.conf:12");
    assert_true(config->routes[0].native);
}

static void test_good(void **state)
{
    (void)state;
    static const char text[] =
        "input  = ring\n"
        "input  = unix:log.sock,mode=0666, tag=app\n"
        "input  = syslog udp:127.0.0.1:5140,parse=syslog\n"
        "input  = tcp:[::]:6514\n"
        "input  = exec:echo a,level=b; echo c\n"
        "record-max = 128K\n"
        "uid = www-data\n"
        "drop = \"a ; \\\"b\\\\d\"\n"
        "keep = c\n"
        "output = errors file:logs/errors.log,level=error..alert,match=a{1,3},match=\"x,level=y\"\n"
        "output = \"file\":x\n"
        "route  = errors \tlisten queue of socket .* full\n"
        "[output audit]\n"
        "type = stdio\n"
        "to = stderr\n"
        "facility = auth+authpriv\n"
        "field.user_id = \\d+\n"
        "format = ${time:%F %T}, ${msg}\n"
        "on-full = drop-oldest\n"
        "rest\n";
    struct scene scene;
    scene_run(&scene, text);
    assert_string_equal(scene.said, "y.conf:11: output: text behind the closing double quote; a "
                                    "value that begins with one is quoted as a whole, and inside "
                                    "it is \\\"\n");
    scene_close(&scene);

    scene_open(&scene);
    YARDER_OWN_HEAP char *fixed = strdup(text);
    assert_non_null(fixed);
    memcpy(strstr(fixed, "\"file\":x"), "file:\"x\"", 8);
    scene_read(&scene, fixed);
    scene_load(&scene);
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.result, 0);
    settings_close(scene.settings); /* the configuration does not need them any more */
    scene.settings = NULL;
    check_good_inputs(scene.config);
    check_good_keys(scene.config);
    check_good_outputs(scene.config);
    scene_close(&scene);
}

static void test_command_line_wins(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    /* Said before the file is read: the command line wins all the same. */
    scene_argument(&scene, "record-max", "64");
    scene_argument(&scene, "output", "errors.level=info");
    scene_argument(&scene, "output", "errors.match=b");
    scene_argument(&scene, "output", "errors.to=/other");
    scene_argument(&scene, "output", "more.type=null");
    scene_argument(&scene, "output", "more.level=debug");
    scene_read(
        &scene, "record-max = 1M\n[output errors]\ntype=file\nto=/x\nlevel=error\nmatch=a\n");
    scene_load(&scene);
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.config->record_bytes_max, 64);
    assert_int_equal(scene.config->outputs_count, 2);
    const struct output_config *errors = &scene.config->outputs[0];
    assert_string_equal(errors->target, "/other");
    assert_int_equal(errors->selectors.levels.lowest, YARDER_LEVEL_INFO);
    assert_int_equal(errors->selectors.match.count, 2);
    assert_string_equal(errors->selectors.match.at[1], "b");
    assert_int_equal(scene.config->outputs[1].kind, OUTPUT_NULL);
    scene_close(&scene);

    scene_open(&scene);
    scene_argument(&scene, "io", "epoll");
    scene_argument(&scene, "io", "auto");
    scene_argument(&scene, "output", "erors.level=info");
    scene_load(&scene);
    assert_string_equal(scene.said, "command line: io is given twice, first at command line\n"
                                    "command line: no output is named 'erors'\n");
    scene_close(&scene);
}

static void test_defaults(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene, ""); /* an empty file */
    assert_int_equal(scene.result, 0);
    assert_true(scene.config->standard_run);
    assert_int_equal(scene.config->inputs_count, 2);
    assert_int_equal(scene.config->inputs[0].kind, INPUT_RING);
    assert_string_equal(scene.config->inputs[1].target, "/run/yarder/log.sock");
    assert_int_equal(scene.config->inputs[1].parse, INPUT_PARSE_SYSLOG);
    assert_string_equal(scene.config->outputs[0].target, "/var/lib/yarder/yarder.log");
    assert_int_equal(scene.config->outputs[0].on_full.policy, OUTPUT_FULL_BLOCK);
    assert_int_equal(scene.config->outputs[0].on_full.block_ns, UINT64_MAX);
    assert_false(scene.config->until_end);
    scene_close(&scene);

    scene_open(&scene);
    scene.settings->place.stdin_feeds = true; /* echo x | yarder run */
    scene_load(&scene);
    assert_true(scene.config->standard_run);
    assert_int_equal(scene.config->inputs_count, 1);
    assert_int_equal(scene.config->inputs[0].kind, INPUT_STDIN);
    assert_int_equal(scene.config->outputs[0].kind, OUTPUT_STDIO);
    assert_true(scene.config->until_end);
    scene_close(&scene);

    scene_open(&scene);
    scene.settings->place.stdin_feeds = true; /* yarder run FILE in a supervisor's pipe */
    scene_read(&scene, "output = file:/x\n");
    scene_load(&scene);
    assert_false(scene.config->standard_run);
    assert_int_equal(scene.config->inputs[0].kind, INPUT_RING);
    scene_close(&scene);

    scene_run(&scene, "input = exec:make\nrun-dir = r\nstate-dir = s\n");
    assert_int_equal(scene.config->outputs[0].kind, OUTPUT_STDIO);
    assert_string_equal(scene.config->run_dir, "/work/r");
    assert_string_equal(scene.config->state_dir, "/work/s");
    assert_true(scene.config->until_end);
    scene_close(&scene);

    scene_run(&scene, "input = unix:/run/yarder/log.sock,parse=raw\ninput = unix:/dev/log\n");
    assert_int_equal(scene.config->inputs[0].parse, INPUT_PARSE_RAW);
    assert_int_equal(scene.config->inputs[1].parse, INPUT_PARSE_SYSLOG);
    scene_close(&scene);
}

static void test_made_names_are_unique(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene,
        "output = null\noutput = null,level=info\noutput = null#2 null\n"
        "output = file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/stands/1\n"
        "output = file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/stands/2\n");
    assert_string_equal(scene.said,
        "y.conf:3: output: 'null#2' cannot be a name: expected up to 63 "
        "letters, digits, _ . or -\n");
    scene_close(&scene);
    scene_run(&scene,
        "output = null\noutput = null,level=info\n"
        "output = file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/stands/1\n"
        "output = file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/stands/2\n");
    static const char *const want[] = {"null", "null#2",
        "file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/sta",
        "file:/a/path/that/is/so/long/that/it/cannot/be/a/name/as/it/s#2"};
    assert_int_equal(scene.config->outputs_count, YARDER_COUNT_OF(want));
    for (uint32_t i = 0; i < YARDER_COUNT_OF(want); i++) {
        assert_string_equal(scene.config->outputs[i].name, want[i]);
    }
    scene_close(&scene);
}

static void test_limits(void **state)
{
    (void)state;
    static char text[80 * 64];
    struct scene scene;
    for (unsigned i = 0; i < 66; i++) {
        (void)snprintf(text + strlen(text), 64, "output = file:/%u\n", i);
    }
    scene_run(&scene, text);
    assert_string_equal(scene.said, "y.conf:65: too many outputs, at most 64 can be\n");
    scene_close(&scene);
}

/* Whatever the memory refuses: -ENOMEM, or an error that was there anyhow, and no more. */
static void test_no_memory(void **state)
{
    (void)state;
    static const char text[] =
        "input = a exec:x\noutput = b file:${host},match=c,field.d=e\n"
        "route = b f\nlogger = g file:h\nlog-route = g i\n[logger g]\nflush=1s\n"
        "[output j]\ntype=stdio\nformat=${msg}\n[yarder]\nlogto=k\ndrop=l\n";
    unsigned refused = 0;
    int r = -ENOMEM;
    for (size_t budget = 0; r != 0; budget += 48) {
        struct scene scene;
        scene_open(&scene);
        scene_read(&scene, text);
        assert_int_equal(scene.result, 0);
        struct daemon_config *config = NULL;
        r = config_load_within(&config, scene.settings, &scene.report, budget);
        assert_true(r == 0 || r == -ENOMEM);
        refused += r != 0;
        config_close(config);
        scene_close(&scene);
    }
    assert_true(refused > 10);
}

static void test_machine(void **state)
{
    (void)state;
    struct scene scene;
    scene_run(&scene,
        "\nuid = nobody-of-that-name\ngroup = 4711\ninput = unix:/x,group=no-such-group\n"
        "output = file:/nonexistent/${host}/x.log,mkdir=no\noutput = file:/x.log,mkdir=no\n"
        "output = file:/etc/passwd/x.log,mkdir=no,owner=root\noutput = file:/etc\n"
        "output = file:/etc/passwd/a/b/x.log\noutput = file:/nonexistent/a/x.log\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(config_check_machine(scene.config, scene.settings, &scene.report), -EINVAL);
    scene_print(&scene);
    assert_string_equal(scene.said,
        "y.conf:2: uid: there is no user 'nobody-of-that-name' here\n"
        "y.conf:4: group: there is no group 'no-such-group' here\n"
        "y.conf:5: file: no folder /nonexistent (No such file or directory), and mkdir=no\n"
        "y.conf:7: file: /etc/passwd is not a folder\n"
        "y.conf:8: file: /etc is a folder\n"
        "y.conf:9: file: /etc/passwd is not a folder\n");
    scene_close(&scene);
}

static void test_processors_of_the_machine(void **state)
{
    (void)state;
    cpu_set_t online;
    if (processors_online(&online) < 0 || CPU_ISSET(CPU_SETSIZE - 1, &online)) {
        skip();
    }
    char there[PROCESSORS_TEXT_BYTES];
    char said[2 * PROCESSORS_TEXT_BYTES];
    struct scene scene;
    scene_run(&scene, "\ncpus = 1023\ninput = unix:/x\noutput = null\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(config_check_machine(scene.config, scene.settings, &scene.report), -EINVAL);
    scene_print(&scene);
    (void)snprintf(said, sizeof(said),
        "y.conf:2: cpus: this machine has the processors %s, not 1023\n",
        processors_text(&online, there));
    assert_string_equal(scene.said, said);
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_command_line_wins),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_made_names_are_unique),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_processors_of_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
