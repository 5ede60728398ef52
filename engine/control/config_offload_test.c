/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an output with a backend is configured as any other: common options and its own, in lines,
 * sections and uWSGI's form; what is wrong is one line that names the option and what is allowed;
 * no secret is ever told. Method: tests/sample.so, a backend with one option of each sort, as a
 * plugin.
 */
#include "control/config_scene.h"

#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/config_private.h"
#include "control/explain.h"

static char plugin[YARDER_PATH_BYTES_MAX];

static int find_plugin(void **state)
{
    (void)state;
    char program[YARDER_PATH_BYTES_MAX / 2];
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    assert_true(length > 0);
    program[length] = '\0';
    (void)snprintf(plugin, sizeof(plugin), "%s/tests/sample.so", dirname(program));
    return access(plugin, R_OK);
}

static void run(struct scene *scene, const char *text)
{
    scene_open(scene);
    scene_argument(scene, "plugin", plugin);
    scene_read(scene, text);
    scene_load(scene);
}

struct bad {
    const char *text;
    const char *want;
};

static void check_bad(const struct bad *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scene scene;
        run(&scene, rows[i].text);
        assert_string_equal(scene.said, rows[i].want);
        assert_int_equal(scene.result, -EINVAL);
        scene_close(&scene);
    }
}

static void test_line(void **state)
{
    (void)state;
    struct scene scene;
    run(&scene, "output = sample:/x,y,count=3,retry=1s..2m,size=1K,colour=green,item=a,item=b\n"
                "output = null\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.result, 0);
    const struct output_config *output = &scene.config->outputs[0];
    assert_int_equal(output->kind, OUTPUT_OFFLOAD);
    assert_string_equal(output->backend->name, "sample");
    assert_string_equal(output->name, "sample:/x,y");
    assert_string_equal(output->target, "/x,y");
    assert_true(output->retry.base_ns == 1000000000 && output->retry.limit_ns == 120000000000);
    assert_true(output->give_up_ns == UINT64_MAX && output->timeout_ns == 10000000000);
    assert_true(output->queue.memory_bytes == 16 << 20 && output->queue.disk_bytes == 0);
    assert_int_equal(output->on_full.policy, OUTPUT_FULL_DROP_NEWEST);
    cJSON *root = config_to_json(scene.config, NULL);
    const cJSON *told = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "outputs"), 0);
    const cJSON *options = cJSON_GetObjectItem(told, "options");
    assert_string_equal(cJSON_GetObjectItem(told, "type")->valuestring, "sample");
    assert_int_equal(cJSON_GetObjectItem(options, "count")->valueint, 3);
    assert_int_equal(cJSON_GetObjectItem(options, "size")->valueint, 1024);
    assert_string_equal(cJSON_GetObjectItem(options, "colour")->valuestring, "green");
    assert_string_equal(cJSON_GetObjectItem(options, "wait")->valuestring, "2s");
    assert_string_equal(cJSON_GetObjectItem(options, "retry")->valuestring, "1s..2m");
    assert_string_equal(cJSON_GetObjectItem(options, "give-up")->valuestring, "never");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(options, "item")), 2);
    cJSON_Delete(root);
    scene_close(&scene);
}

/* A field of the sample, whose struct nobody outside knows: by its option. */
static const void *field_of(const struct output_config *output, const char *name)
{
    const struct yarder_option *row = output->backend->options;
    while (strcmp(row->name, name) != 0) {
        row++;
    }
    return (const char *)output->settings + row->offset;
}

static void test_uwsgi(void **state)
{
    (void)state;
    struct scene scene;
    run(&scene, "logger = a samplelog:/one,PFX\n"
                "log-route = a x\n"
                "log-socket = /two\n"
                "req-logger = rsyslog:/three\n"
                "logger = b rsyslog:/four\n"
                "log-route = b y\n"
                "rsyslog-packet-size = 4K\n"
                "rsyslog-split-messages\n"
                "[logger b]\npacket-size = 2K\ngive-up = 1h\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.result, 0);
    const struct output_config *outputs = scene.config->outputs;
    assert_int_equal(scene.config->outputs_count, 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(outputs[i].kind, OUTPUT_OFFLOAD);
        assert_true(outputs[i].bare);
        assert_int_equal(outputs[i].reach, i == 2 ? ROUTE_UWSGI_REQUEST : ROUTE_UWSGI_LOGGER);
    }
    assert_true(outputs[0].named && strcmp(outputs[0].name, "a") == 0);
    assert_string_equal(outputs[0].target, "/one");
    assert_string_equal(outputs[1].name, "sample:/two");
    assert_int_equal(*(const uint64_t *)field_of(&outputs[1], "packet-size"), 64 << 10);
    assert_false(*(const bool *)field_of(&outputs[1], "split"));
    assert_int_equal(*(const uint64_t *)field_of(&outputs[2], "packet-size"), 4 << 10);
    assert_true(*(const bool *)field_of(&outputs[2], "split"));
    assert_int_equal(*(const uint64_t *)field_of(&outputs[3], "packet-size"), 2 << 10);
    assert_true(outputs[3].give_up_ns == UINT64_C(3600) * 1000000000);
    scene_close(&scene);
}

static void test_uwsgi_logto(void **state)
{
    (void)state;
    struct scene scene;
    run(&scene, "logger = stdio\nlogto = /h:1\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.config->outputs_count, 1);
    assert_int_equal(scene.config->outputs[0].kind, OUTPUT_OFFLOAD);
    assert_string_equal(scene.config->outputs[0].target, "/h:1");
    assert_true(scene.config->outputs[0].bare);
    scene_close(&scene);
    run(&scene, "logger = a samplelog:/x\nlog-route = a x\nlogto2 = /h:1\n");
    assert_string_equal(scene.said, "");
    assert_int_equal(scene.config->outputs_count, 2);
    assert_int_equal(scene.config->outputs[1].reach, ROUTE_UWSGI_FALLBACK);
    assert_string_equal(scene.config->outputs[1].target, "/h:1");
    scene_close(&scene);
}

static void test_sections(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    scene_argument(&scene, "plugin", plugin);
    scene_argument(&scene, "output", "a.count=5");
    scene_argument(&scene, "output", "a.retry=1s");
    scene_read(&scene, "[output a]\ntype = sample\nto = \"u@/x, y\"\ncount = 4\n"
                       "password = \"p,q\"\nitem = one\nitem = two\nlevel = error\n");
    scene_load(&scene);
    assert_string_equal(scene.said, "");
    const struct output_config *output = &scene.config->outputs[0];
    assert_string_equal(output->name, "a");
    assert_string_equal(output->target, "/x, y");
    assert_int_equal(*(const uint64_t *)field_of(output, "count"), 5);
    assert_string_equal(*(char *const *)field_of(output, "password"), "p,q");
    assert_int_equal(((const struct yarder_texts *)field_of(output, "item"))->count, 2);
    assert_true(output->retry.base_ns == 1000000000 && output->retry.limit_ns == 30000000000);
    assert_int_equal(output->selectors.levels.lowest, YARDER_LEVEL_ERROR);
    scene_close(&scene);
}

static void test_disk(void **state)
{
    (void)state;
    struct scene scene;
    run(&scene, "output = sample:/x,queue=disk:1G,dead-letter=dead,direct=yes\n"
                "output = sample:/y,queue=disk:1M,fsync=batch,on-full=block\n");
    assert_string_equal(scene.said, "");
    const struct output_config *output = scene.config->outputs;
    assert_true(output[0].queue.disk_bytes == 1 << 30 && output[0].queue.memory_bytes == 4 << 20);
    assert_true(output[0].fsync.policy == OUTPUT_SYNC_INTERVAL && output[0].direct);
    assert_true(output[0].fsync.interval_ns == 1000000000);
    assert_string_equal(output[0].dead_letter, "/work/dead");
    assert_int_equal(output[1].fsync.policy, OUTPUT_SYNC_BATCH);
    assert_int_equal(output[1].on_full.policy, OUTPUT_FULL_BLOCK);
    assert_true(output[1].on_full.block_ns == UINT64_MAX);
    scene_close(&scene);
    run(&scene, "output = sample:/x\n");
    assert_int_equal(scene.config->outputs[0].on_full.policy, OUTPUT_FULL_BLOCK);
    scene_close(&scene);
}

static void test_bad(void **state)
{
    (void)state;
    static const struct bad rows[] = {
        {"output = sample:x\n", "y.conf:1: output sample: expected [USER@]/PATH\n"},
        {"output = sample:/x,cout=3\n",
            "y.conf:1: output: unknown option 'cout' of an output; did you mean count?\n"},
        {"output = sample:/x,packet=3\n",
            "y.conf:1: output: unknown option 'packet' of an output; did you mean packet-size?\n"},
        {"output = sample:/x,pass=word\n",
            "y.conf:1: output: unknown option 'pass' of an output; did you mean password?\n"},
        {"output = sample:/x,count=10\n", "y.conf:1: count: expected 1 to 9, not '10'\n"},
        {"output = sample:/x,colour=gren\n",
            "y.conf:1: colour: expected red or green, not 'gren'; did you mean green?\n"},
        {"output = sample:/x,even=three\n", "y.conf:1: even: expected two or four, not 'three'\n"},
        {"output = sample:/x,mode=0600\n",
            "y.conf:1: mode is not an option of sample; it is one of file\n"},
        {"output = file:/x,retry=1s\n",
            "y.conf:1: retry is not an option of file; it is one of kinds with a backend\n"},
        {"output = file:/x,queue=disk:1G\n",
            "y.conf:1: queue=disk:SIZE is for kinds with a backend, not for file; expected "
            "memory:SIZE\n"},
        {"output = sample:/x,queue=disk:100\n",
            "y.conf:1: queue: expected memory:SIZE or disk:SIZE, of 1M to 1024G, not "
            "'disk:100'\n"},
        {"output = sample:/x,queue=disk:1GB\n",
            "y.conf:1: queue: expected memory:SIZE or disk:SIZE, of 1M to 1024G; the unit is "
            "one letter: K, M or G, not 'disk:1GB'\n"},
        {"output = sample:/x,retry=2s..1s\n",
            "y.conf:1: retry: expected TIME or TIME..TIME with units, the shorter first, such as "
            "100ms..30s, of 1ms to 365d, not '2s..1s'\n"},
        {"output = sample:/x,give-up=0\n",
            "y.conf:1: give-up: expected never, or a time with a unit such as 1h, and at most "
            "365d, not '0'\n"},
        {"output = sample:/x,timeout=1h\n", "y.conf:1: timeout: expected 100ms to 10m, not '1h'\n"},
        {"output = sample:/x,fsync=batch\n",
            "y.conf:1: fsync speaks of a queue on disk, and this one is in memory; expected "
            "queue=disk:SIZE beside it\n"},
        {"output = sample:/x,queue=disk:1M\noutput = sample:/x,queue=disk:1M\n",
            "y.conf:2: its queue on disk is found again by its name: expected NAME before sample, "
            "for there is another output without one to the same place\n"},
        {"output = sample:u@/x,password=env:SAMPLE_NOWHERE\n",
            "y.conf:1: password: expected an environment variable that is set\n"},
        {"output = sample:u@/x,password=file:/nowhere\n",
            "y.conf:1: password: expected a readable file with a line in it: /nowhere: No such "
            "file or directory\n"},
        {"output = sample:/x,dead-letter=/x/\n",
            "y.conf:1: dead-letter: expected PATH of a file, of at most 1023 bytes, not '/x/'\n"},
        {"output = sample:/x,password=word\n",
            "y.conf:1: output sample: password needs a user: expected USER@/PATH\n"},
        {"output = sampl:/x\n",
            "y.conf:1: unknown kind 'sampl' of an output; did you mean sample?\n"},
        {"[output a]\ntype = sample\n", "y.conf:1: output sample: expected [USER@]/PATH\n"},
        {"[output a]\ntype = sample\nto = /x\ncount = 3\ncount = 4\n",
            "y.conf:5: count is given twice, first at y.conf:4\n"},
        {"logger = rsyslog:/x\nrsyslog-packet-size = 1G\n",
            "y.conf:2: packet-size: expected 1 to 1M, not '1G'\n"},
        {"logger = rsyslog:/x\nlogger = rsyslog:/y\nrsyslog-packet-size = 1G\n",
            "y.conf:3: packet-size: expected 1 to 1M, not '1G'\n"},
        {"output = sample:/x,password=word,count=10\n",
            "y.conf:1: count: expected 1 to 9, not '10'\n"},
        {"logger = samplelog:x\n", "y.conf:1: logger samplelog: expected [USER@]/PATH\n"},
        {"logger = samplelog\n",
            "y.conf:1: logger samplelog: expected /PATH[,PREFIX] behind samplelog:\n"},
        {"[output a]\ntype = sample\nto = /x\nclour = red\n",
            "y.conf:4: unknown option 'clour' of an output; did you mean colour?\n"},
    };
    check_bad(rows, YARDER_COUNT_OF(rows));
}

/* What supervisor and worker do: the worker finds the secrets in what it is given. */
static void test_secrets(void **state)
{
    (void)state;
    static const char text[] = "output = a sample:u@/x,password=file:secret\n"
                               "output = b sample:u@/x,password=env:SAMPLE_SECRET\n"
                               "output = c sample:u@/x,password=in line\n";
    static const char *const want[] = {"hush hush", "very quiet", "in line"};
    char folder[] = "/tmp/yarder-secret-XXXXXX";
    char path[128];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/secret", folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("hush hush\nsecond line\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0644), 0);
    char itself[128];
    (void)snprintf(itself, sizeof(itself), "%s/y.conf", folder);
    file = fopen(itself, "we");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(itself, 0604), 0);
    assert_int_equal(setenv("SAMPLE_SECRET", "very quiet", 1), 0);

    struct scene scene;
    scene_open(&scene);
    scene.settings->place.working_dir = folder;
    scene_argument(&scene, "plugin", plugin);
    scene_read(&scene, text);
    scene_load(&scene);
    assert_string_equal(scene.said, "");
    assert_int_equal(config_check_machine(scene.config, scene.settings, &scene.report), 0);
    scene_print(&scene);
    assert_non_null(strstr(scene.said, "/secret holds a secret, and everybody may read it (mode "
                                       "0644)\n"));
    assert_non_null(strstr(scene.said, "/y.conf holds a secret, and everybody may read it (mode "
                                       "0604)\n"));
    void *packed = NULL;
    size_t packed_count = 0;
    assert_int_equal(settings_pack(scene.settings, &packed, &packed_count), 0);

    assert_int_equal(unlink(path), 0);
    assert_int_equal(unlink(itself), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(unsetenv("SAMPLE_SECRET"), 0);
    struct settings *settings = NULL;
    struct daemon_config *config = NULL;
    assert_int_equal(settings_unpack(&settings, packed, packed_count), 0);
    assert_int_equal(config_load(&config, settings, &scene.report), 0);
    cJSON *root = config_to_json(config, NULL);
    char *told = cJSON_PrintUnformatted(root);
    for (size_t i = 0; i < YARDER_COUNT_OF(want); i++) {
        char *const *field = field_of(&config->outputs[i], "password");
        assert_string_equal(*field, want[i]);
        assert_null(strstr(told, want[i]));
        assert_string_equal(config->outputs[i].target, "/x");
    }
    assert_non_null(strstr(told, "\"password\":\"***\""));
    cJSON_free(told);
    cJSON_Delete(root);
    config_close(config);
    settings_close(settings);
    free(packed);
    scene_close(&scene);
}

static void test_not_built(void **state)
{
    (void)state;
    static const struct bad rows[] = {
        {"output = redis:x,whatever=3\n",
            "y.conf:1: this yarder was built without redis (libhiredis-dev)\n"},
        {"logger = redislog:x\n",
            "y.conf:1: logger: this yarder was built without redis (libhiredis-dev)\n"},
        {"[output a]\ntype = pipe\nto = x\n", "y.conf:1: this yarder was built without pipe\n"},
    };
    assert_int_equal(setenv("YARDER_BACKENDS", "/nowhere", 1), 0);
    check_bad(rows, YARDER_COUNT_OF(rows));
    assert_int_equal(unsetenv("YARDER_BACKENDS"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_uwsgi),
        cmocka_unit_test(test_uwsgi_logto),
        cmocka_unit_test(test_sections),
        cmocka_unit_test(test_disk),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_not_built),
    };
    return cmocka_run_group_tests(tests, find_plugin, NULL);
}
