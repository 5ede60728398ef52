/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what is told of a configuration is what holds, in sentences, JSON, help and manual; and the
 * examples in docs are good. Method: texts to the letter where they are ours, searches elsewhere.
 */
#include <dirent.h>

#include "control/config_private.h"
#include "control/config_scene.h"
#include "control/explain.h"
#include "control/help.h"

enum { TOLD_BYTES = 256 << 10 };

static void load(struct scene *scene, const char *text)
{
    scene_run(scene, text);
    assert_int_equal(scene->result, 0);
}

static struct router *route(const struct daemon_config *config)
{
    static struct config_route_spec spec;
    char why[512];
    struct router *router = NULL;
    config_route_spec(config, &spec);
    assert_int_equal(router_open(&router, &spec.spec, why, sizeof(why)), 0);
    return router;
}

static char *explain(const struct daemon_config *config)
{
    char *told = calloc(1, TOLD_BYTES);
    assert_non_null(told);
    FILE *to = fmemopen(told, TOLD_BYTES, "w");
    assert_non_null(to);
    struct router *router = route(config);
    config_explain(config, router, to);
    router_close(router);
    assert_int_equal(fclose(to), 0);
    return told;
}

static void test_explain(void **state)
{
    (void)state;
    struct scene scene;
    load(&scene,
        "input = unix:s,parse=syslog\noutput = file:/a,level=error,on-full=block:3s,facility="
        "auth+cron,fsync=interval:2s,stream=stderr,kind=request\noutput=null\ndrop = x\n"
        "cpus = 2,0-1,7\nnice = -5\n");
    YARDER_OWN_HEAP char *told = explain(scene.config);
    static const char *const want[] = {
        "run-dir = /run/yarder\nstate-dir = /var/lib/yarder\nhost = box\nrecord-max = 64K\n"
        "ring-memory = 4M\nring-memory-total = 2G\ndrain-timeout = 10s\n"
        "cpus = 0-2,7\nnice = -5\nio = auto\n"
        "log-level = note\n",
        "input unix:/work/s is unix:/work/s (y.conf:1)\n    parse=syslog framing=auto kind=log "
        "record-max=64K socket=dgram mode=0660\n    connections-max=2000 idle-timeout=0ms\n",
        "dropped before all: what matches x\n",
        "output file:/a is file:/a (y.conf:2)\n    output file:/a takes every record with ",
        "\n    level=error facility=auth+cron kind=request stream=stderr rest=no format=text "
        "newlines=auto\n    flush=5ms queue=memory:16M on-full=block:3s fsync=interval:2s "
        "file-io=auto mode=0640\n    mkdir=yes max-open=100 idle-close=5m rotate-utc=no "
        "rotate-grace=5s\n",
        "output null is null (y.conf:3)\n    output null takes every record\n",
        "memory: 16",
        " for queues, pipes and long records, touched as it fills\n",
    };
    const char *at = told;
    for (size_t i = 0; i < YARDER_COUNT_OF(want); i++) {
        const char *found = strstr(at, want[i]);
        if (found == NULL) {
            print_error("%s\n--- is not in ---\n%s\n", want[i], at);
        }
        assert_non_null(found);
        at = found;
    }
    scene_close(&scene);
}

/* What is told of memory and of the end holds for these inputs, and is not told of others. */
static void test_explain_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool rings;
        bool leaves;
    } rows[] = {
        {"input = ring,size=1M\n", true, false},
        {"input = exec:x\n", false, false},
        {"input = exec:x,y\n[input y]\ntype=exec\nto=y\nrestart=never\n", false, false},
        {"[input y]\ntype=exec\nto=y\nrestart=on-failure\n[input z]\ntype=stdin\n", false, true},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        load(&scene, rows[i].text);
        YARDER_OWN_HEAP char *told = explain(scene.config);
        const char *rings = "touched as it fills; rings of 1M for each program, up to 2G in all\n";
        assert_int_equal(strstr(told, rings) != NULL, rows[i].rings);
        assert_int_equal(strstr(told, "rings of") != NULL, rows[i].rings);
        assert_int_equal(strstr(told, "the daemon leaves") != NULL, rows[i].leaves);
        scene_close(&scene);
    }
}

/* An option told back is an option: for every row of the tables that has a default. */
static void test_shown_values_are_values(void **state)
{
    (void)state;
    static const struct config_table *const tables[] = {&config_input_table, &config_output_table};
    for (size_t t = 0; t < YARDER_COUNT_OF(tables); t++) {
        uint32_t kinds = 0;
        const struct yarder_option *option = tables[t]->row(0, &kinds);
        for (size_t i = 0; option != NULL; option = tables[t]->row(++i, &kinds)) {
            static struct output_config target; /* the larger of the two */
            static struct output_config again;
            char why[OPTION_WHY_BYTES];
            char at[OPTION_WHY_BYTES];
            char first[OPTION_WHY_BYTES];
            struct arena arena;
            if (option->default_text == NULL) {
                continue;
            }
            arena_init(&arena, SETTINGS_BUDGET_BYTES);
            memset(&target, 0, sizeof(target));
            memset(&again, 0, sizeof(again));
            assert_int_equal(option_set(option, &target, option->default_text, &arena, why), 0);
            (void)snprintf(first, sizeof(first), "%s", option_show(option, &target, at));
            assert_string_equal(first, option->default_text);
            assert_int_equal(option_set(option, &again, first, &arena, why), 0);
            assert_string_equal(option_show(option, &again, at), first);
            arena_deinit(&arena);
        }
    }
}

static void test_summary(void **state)
{
    (void)state;
    struct scene scene;
    char told[128] = "";
    load(&scene, "input = ring\noutput = x file:/x\noutput = null,rest=yes\noutput = "
                 "file:/z\nroute = x a\nlog-route = none a\n");
    FILE *to = fmemopen(told, sizeof(told), "w");
    assert_non_null(to);
    config_summary(scene.config, &scene.report, to);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(told, "ok: 1 input, 3 outputs, 2 routes; 2 warnings\n");
    scene_close(&scene);
}

static const char *member(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    assert_non_null(text);
    return text;
}

static void test_json(void **state)
{
    (void)state;
    struct scene scene;
    load(&scene,
        "input = ring\noutput = e file:/x,match=a,match=\"b\\\"\"\nlogger = stdio:\nroute = e c\n");
    cJSON *root = config_to_json(scene.config, &scene.report);
    assert_non_null(root);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "ok")));
    assert_string_equal(member(root, "run-dir"), "/run/yarder");
    const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(root, "outputs");
    assert_int_equal(cJSON_GetArraySize(outputs), 2);
    const cJSON *first = cJSON_GetArrayItem(outputs, 0);
    assert_string_equal(member(first, "name"), "e");
    assert_string_equal(member(first, "type"), "file");
    assert_string_equal(member(first, "to"), "/x");
    assert_string_equal(member(first, "where"), "y.conf:2");
    assert_string_equal(member(first, "reach"), "output");
    const cJSON *options = cJSON_GetObjectItemCaseSensitive(first, "options");
    const cJSON *match = cJSON_GetObjectItemCaseSensitive(options, "match");
    assert_int_equal(cJSON_GetArraySize(match), 2);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(match, 1)), "b\"");
    assert_true(cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(options, "level")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(options, "mkdir")));
    assert_string_equal(member(cJSON_GetArrayItem(outputs, 1), "reach"), "logger");
    const cJSON *routes = cJSON_GetObjectItemCaseSensitive(root, "routes");
    assert_string_equal(member(cJSON_GetArrayItem(routes, 0), "pattern"), "c");
    cJSON_Delete(root);
    report_error(&scene.report, "f:1", "bad %d", 1);
    root = config_to_json(NULL, &scene.report);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(root, "ok")));
    const cJSON *errors = cJSON_GetObjectItemCaseSensitive(root, "errors");
    assert_string_equal(member(cJSON_GetArrayItem(errors, 0), "what"), "bad 1");
    cJSON_Delete(root);
    scene_close(&scene);
}

static void test_help(void **state)
{
    (void)state;
    YARDER_OWN_HEAP char *told = calloc(1, TOLD_BYTES);
    char why[HELP_WHY_BYTES] = "";
    assert_non_null(told);
    FILE *to = fmemopen(told, TOLD_BYTES, "w");
    assert_non_null(to);
    assert_int_equal(setenv("YARDER_BACKENDS", "/nowhere", 1), 0);
    assert_int_equal(help_inputs(NULL, to, why), 0);
    assert_int_equal(help_outputs(NULL, to, why), 0);
    assert_int_equal(help_outputs("file", to, why), 0);
    assert_int_equal(help_outputs("fil", to, why), -ENOENT);
    assert_string_equal(why, "there is no output of kind 'fil'; did you mean file?");
    assert_int_equal(help_outputs("redi", to, why), -ENOENT);
    assert_string_equal(why, "there is no output of kind 'redi'; did you mean redis?");
    assert_int_equal(help_outputs("redis", to, why), -ENOEXEC);
    assert_string_equal(why, "this yarder was built without redis (libhiredis-dev)");
    assert_int_equal(help_inputs("nothing-like-it", to, why), -ENOENT);
    assert_string_equal(why, "there is no input of kind 'nothing-like-it'");
    help_keys(to);
    help_manual(to);
    assert_int_equal(fclose(to), 0);
    assert_int_equal(unsetenv("YARDER_BACKENDS"), 0);
    assert_non_null(strstr(told, "udp:HOST:PORT"));
    assert_non_null(strstr(told, "\nredis: commands to a redis server (not built here: needs "
                                 "libhiredis-dev)\n"));
    assert_non_null(strstr(told, ".SS redis\n"));
    assert_non_null(
        strstr(told, "  mode=MODE                   permissions of new files [0640]\n"));
    assert_non_null(
        strstr(told, "  --record-max SIZE           longer records are cut and flagged [64K]\n"));
    assert_non_null(strstr(told, "  --alarm NAME ACTION:ARGUMENT\n"));
    assert_non_null(strstr(told, "  --not-log-alarm NAME[,NAME...] REGEX\n"));
    assert_non_null(strstr(told, "  --alarm-freq SECONDS|TIME   "));
    assert_non_null(strstr(told, "  --log-encoder ENCODER[:LOGGER][ ARGUMENT]\n"));
    assert_non_null(strstr(told, ".TP\n\\fBrecord\\-max\\fR = \\fISIZE\\fR\n"));
    assert_null(strstr(told, "(null)"));
}

/* Every table row names itself and says what it does; a flag in help must exist. */
static void test_examples(void **state)
{
    (void)state;
    char folder[512];
    const char *slash = strrchr(__FILE__, '/');
    (void)snprintf(
        folder, sizeof(folder), "%.*s/../../docs/examples", (int)(slash - __FILE__), __FILE__);
    DIR *dir = opendir(folder);
    unsigned count = 0;
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[1024];
        struct scene scene;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        scene_open(&scene);
        scene.result = settings_read_file(scene.settings, path, &scene.report);
        scene_load(&scene);
        if (scene.result != 0 || scene.report.counts[REPORT_WARNING] != 0) {
            print_error("%s: %s\n", entry->d_name, scene.said);
        }
        assert_int_equal(scene.result, 0);
        assert_int_equal(scene.report.counts[REPORT_WARNING], 0);
        YARDER_OWN_HEAP char *told = explain(scene.config);
        assert_null(strstr(told, "takes nothing"));
        scene_close(&scene);
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    assert_true(count >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_explain_inputs),
        cmocka_unit_test(test_shown_values_are_values),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_examples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
