/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: what stands in files and on the command line is what the list says, at the right place, and
 * hostile sources are refused in words. Method: tables of texts, and files in a fresh folder.
 */
#include <sys/stat.h>

#include "control/config_scene.h"

struct want {
    enum settings_section section;
    const char *name;
    const char *where;
    const char *key;
    const char *value;
};

static void check_list(const struct settings *settings, const struct want *want, size_t want_count)
{
    assert_int_equal(settings->count, want_count);
    for (size_t i = 0; i < want_count; i++) {
        const struct setting *got = &settings->list[i];
        assert_int_equal(got->section, want[i].section);
        assert_string_equal(got->section_name, want[i].name);
        assert_string_equal(got->where, want[i].where);
        assert_string_equal(got->key, want[i].key);
        if (want[i].value == NULL) {
            assert_null(got->value);
        } else {
            assert_non_null(got->value);
            assert_string_equal(got->value, want[i].value);
        }
    }
}

static void test_grammar(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf; comment\r\n"
                               "  # another = one\n"
                               "\n"
                               "input = ring\r\n"
                               "  ring_memory=1M  \n"
                               "log-master\n"
                               "route = x a;b # c ; d\n"
                               "[output  audit ]\n"
                               "format = ${msg} ${env:YARDER_TEST_A}${env:YARDER_TEST_NONE:-b c}\n"
                               "field.user_id = 7\n"
                               "[yarder]\n"
                               "logger = stdio: ; kept\n"
                               "[uwsgi]\n"
                               "base = %d%n.%e\n"
                               "log_route = a 100%% $(YARDER_TEST_A) ${env:X} ; x\n"
                               "logto = %(base)\n"
                               "anything %q at all\n"
                               "drop = last";
    static const struct want want[] = {
        {SETTINGS_TOP, "", "y.conf:4", "input", "ring"},
        {SETTINGS_TOP, "", "y.conf:5", "ring-memory", "1M"},
        {SETTINGS_TOP, "", "y.conf:6", "log-master", NULL},
        {SETTINGS_OUTPUT, "audit", "y.conf:8", "", NULL},
        {SETTINGS_OUTPUT, "audit", "y.conf:9", "format", "${msg} first oneb c"},
        {SETTINGS_OUTPUT, "audit", "y.conf:10", "field.user_id", "7"},
        {SETTINGS_TOP, "", "y.conf:12", "logger", "stdio: ; kept"},
        {SETTINGS_UWSGI, "", "y.conf:13", "", NULL},
        {SETTINGS_UWSGI, "", "y.conf:14", "base", "/work/y.conf"},
        {SETTINGS_UWSGI, "", "y.conf:15", "log-route", "a 100% first one ${env:X} ; x"},
        {SETTINGS_UWSGI, "", "y.conf:16", "logto", "/work/y.conf"},
        {SETTINGS_UWSGI, "", "y.conf:17", "anything %q at all", NULL},
        {SETTINGS_UWSGI, "", "y.conf:18", "drop", "last"},
    };
    struct scene scene;
    assert_int_equal(setenv("YARDER_TEST_A", "first one", 1), 0);
    scene_open(&scene);
    scene_read(&scene, text);
    scene_print(&scene);
    assert_int_equal(scene.result, -EINVAL); /* line 7 alone */
    assert_string_equal(scene.said, "y.conf:7: route: a comment needs its own line; a value that "
                                    "means ' ; ' must stand in double quotes\n");
    check_list(scene.settings, want, YARDER_COUNT_OF(want));
    scene_close(&scene);
}

static void test_bad_texts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *said;
    } rows[] = {
        {"just words\n", "y.conf:1: expected KEY = VALUE, [SECTION], or a comment line that begins "
                         "with ; or #\n"},
        {"= x\n", "y.conf:1: expected KEY = VALUE, [SECTION], or a comment line that begins with ; "
                  "or #\n"},
        {"[output x\n", "y.conf:1: expected [SECTION] and nothing behind it\n"},
        {"[output x] ; mine\n", "y.conf:1: expected [SECTION] and nothing behind it\n"},
        {"[ouput x]\nanything\n", "y.conf:1: unknown section [ouput x]; did you mean [output]?\n"},
        {"[]\n", "y.conf:1: unknown section []; expected [output NAME], [input NAME], [logger "
                 "NAME], [yarder] or [uwsgi]\n"},
        {"[uwsgi x]\n", "y.conf:1: section [uwsgi] takes no name\n"},
        {"\n\nhost = ${env:YARDER_TEST_NONE}\n",
            "y.conf:3: host: environment variable 'YARDER_TEST_NONE' is not set; "
            "${env:YARDER_TEST_NONE:-x} would stand for x then\n"},
        {"host = ${env:A\n", "y.conf:1: host: ${env: without a closing }\n"},
        {"drop = a\t; b\n",
            "y.conf:1: drop: a comment needs its own line; a value that means ' ; ' "
            "must stand in double quotes\n"},
        {"drop = a ;\n", "y.conf:1: drop: a comment needs its own line; a value that means ' ; ' "
                         "must stand in double quotes\n"},
        {"include =\n", "y.conf:1: include: expected a path, which may hold * ? []\n"},
        {"include = /nonexistent/x.conf\n",
            "y.conf:1: cannot read /nonexistent/x.conf: No such file or directory\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_open(&scene);
        scene_read(&scene, rows[i].text);
        scene_print(&scene);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(scene.result, -EINVAL);
        scene_close(&scene);
    }
}

static void test_good_texts(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "\n\n",
        "\r\n",
        ";",
        "drop = \"a ; b\"",
        "drop = a;b",
        "drop = a;  b",
        "host=",
        "[uwsgi]\nsocket = $(YARDER_TEST_NONE) %q\n",
        "include = /nonexistent/*.conf\n",
        "drop = ${host} ${env} $(x) %(y) %%\n",
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        struct scene scene;
        scene_open(&scene);
        scene_read(&scene, rows[i]);
        assert_int_equal(scene.result, 0);
        scene_close(&scene);
    }
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    enum { LONG = 1 << 20 };
    YARDER_OWN_HEAP char *bytes = malloc(LONG);
    assert_non_null(bytes);
    memset(bytes, 'a', LONG);
    struct scene scene;
    scene_open(&scene);
    assert_int_equal(
        settings_read_text(scene.settings, "long", bytes, LONG, &scene.report), -EINVAL);
    assert_int_equal(
        settings_read_text(scene.settings, "nul", "a\0=b\n", 5, &scene.report), -EINVAL);
    memset(bytes, '\n', LONG);
    assert_int_equal(settings_read_text(scene.settings, "lines", bytes, LONG, &scene.report), 0);
    memset(bytes, '[', LONG);
    assert_int_equal(
        settings_read_text(scene.settings, "deep", bytes, LONG, &scene.report), -EINVAL);
    for (size_t i = 0; i + 2 <= LONG; i += 2) {
        memcpy(bytes + i, "x\n", 2);
    }
    assert_int_equal(
        settings_read_text(scene.settings, "many", bytes, LONG, &scene.report), -EINVAL);
    scene_print(&scene);
    assert_string_equal(scene.said, "long:1: the line has 1048576 bytes, at most 65536 may be\n"
                                    "nul:1: a NUL byte; is this a text file?\n"
                                    "deep:1: the line has 1048576 bytes, at most 65536 may be\n"
                                    "many:16385: more than 16384 settings\n");
    assert_int_equal(scene.settings->count, SETTINGS_MAX);
    scene_close(&scene);
}

/* Growing by %(key) ends, whatever keys name each other. */
static void test_expansion_is_bounded(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    char text[2048] = "[uwsgi]\nlogto = %(a)\na = %(b)%(b)\nb = %(c)%(c)\nc = %(d)%(d)\n"
                      "d = %(e)%(e)\ne = %(f)%(f)\nf = %(g)%(g)\ng = %(g)\n";
    scene_read(&scene, text);
    scene_print(&scene);
    assert_int_equal(scene.result, -EINVAL);
    assert_int_equal(
        strncmp(scene.said, "y.conf:2: logto: it grows beyond all bounds by %(", 49), 0);
    scene_close(&scene);
}

/* Files in a folder of their own. */
struct folder {
    char path[64];
};

static void folder_make(struct folder *folder)
{
    (void)snprintf(folder->path, sizeof(folder->path), "/tmp/yarder-settings-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
}

static void folder_put(const struct folder *folder, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    YARDER_OWN_FILE FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

static const char *folder_read(const struct folder *folder, const char *name, struct scene *scene)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    scene_open(scene);
    scene->result = settings_read_file(scene->settings, path, &scene->report);
    scene_print(scene);
    return scene->said;
}

static void folder_drop(const struct folder *folder, const char *const *names, size_t names_count)
{
    char path[256];
    for (size_t i = 0; i < names_count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        assert_int_equal(remove(path), 0);
    }
    assert_int_equal(rmdir(folder->path), 0);
}

/* --include takes a pattern as the line does; one that finds nothing is an error. */
static void include_from_command_line(const struct folder *folder)
{
    struct scene scene;
    char pattern[128];
    char said[256];
    char *arguments[] = {(char[]){"--include"}, pattern};
    int at = 0;
    (void)snprintf(pattern, sizeof(pattern), "%s/?.inc", folder->path);
    scene_open(&scene);
    assert_int_equal(settings_read_argument(scene.settings, 2, arguments, &at, &scene.report), 1);
    assert_int_equal(at, 2);
    const struct setting *last = &scene.settings->list[scene.settings->count - 1];
    assert_string_equal(last->value, "b");
    (void)snprintf(pattern, sizeof(pattern), "%s/?.none", folder->path);
    at = 0;
    assert_int_equal(
        settings_read_argument(scene.settings, 2, arguments, &at, &scene.report), -EINVAL);
    scene_print(&scene);
    (void)snprintf(said, sizeof(said), "cannot read %s: No such file or directory\n", pattern);
    assert_string_equal(scene.said, said);
    scene_close(&scene);
}

static void test_include(void **state)
{
    (void)state;
    static const char *const names[] = {
        "main.conf", "b.inc", "a.inc", "x.ini", "s[u]b/c.inc", "s[u]b/d.x", "s[u]b"};
    struct folder folder;
    struct scene scene;
    folder_make(&folder);
    char sub[96];
    (void)snprintf(sub, sizeof(sub), "%s/s[u]b", folder.path);
    assert_int_equal(mkdir(sub, 0700), 0);
    folder_put(&folder, "main.conf",
        "[output x]\ntype = null\ninclude = *.inc\nhost = h\n"
        "include = x.ini\n");
    folder_put(&folder, "a.inc", "drop = a\ninclude = s[[]u]b/c.inc\n[output y]\ntype = null\n");
    folder_put(&folder, "b.inc", "drop = b");
    folder_put(&folder, "s[u]b/c.inc", "[input i]\ntype = ring\ninclude = \"*.x\"\n");
    folder_put(&folder, "s[u]b/d.x", "drop = d");
    folder_put(
        &folder, "x.ini", "[app:main]\nuse = egg:x\n  continued\n[uwsgi]\nlog-master = true\n");
    (void)folder_read(&folder, "main.conf", &scene);
    assert_int_equal(scene.result, 0);
    static const struct {
        enum settings_section section;
        const char *key;
        const char *value;
        const char *place;
    } want[] = {
        {SETTINGS_OUTPUT, "", NULL, "main.conf:1"},
        {SETTINGS_OUTPUT, "type", "null", "main.conf:2"},
        {SETTINGS_TOP, "drop", "a", "a.inc:1"},
        {SETTINGS_INPUT, "", NULL, "s[u]b/c.inc:1"},
        {SETTINGS_INPUT, "type", "ring", "s[u]b/c.inc:2"},
        {SETTINGS_TOP, "drop", "d", "s[u]b/d.x:1"},
        {SETTINGS_OUTPUT, "", NULL, "a.inc:3"},
        {SETTINGS_OUTPUT, "type", "null", "a.inc:4"},
        {SETTINGS_TOP, "drop", "b", "b.inc:1"},
        {SETTINGS_TOP, "host", "h", "main.conf:4"},
        {SETTINGS_UWSGI, "", NULL, "x.ini:4"},
        {SETTINGS_UWSGI, "log-master", "true", "x.ini:5"},
    };
    assert_int_equal(scene.settings->count, YARDER_COUNT_OF(want));
    for (size_t i = 0; i < YARDER_COUNT_OF(want); i++) {
        const struct setting *got = &scene.settings->list[i];
        char where[256];
        (void)snprintf(where, sizeof(where), "%s/%s", folder.path, want[i].place);
        assert_int_equal(got->section, want[i].section);
        assert_string_equal(got->key, want[i].key);
        assert_string_equal(got->where, where);
        assert_true((got->value == NULL) == (want[i].value == NULL));
        assert_true(got->value == NULL || strcmp(got->value, want[i].value) == 0);
    }
    char note[256];
    (void)snprintf(
        note, sizeof(note), "%s/x.ini:1: note: section [app:main] is not read\n", folder.path);
    assert_string_equal(scene.said, note);
    scene_close(&scene);
    include_from_command_line(&folder);
    folder_drop(&folder, names, YARDER_COUNT_OF(names));
}

static void test_bad_files(void **state)
{
    (void)state;
    static const char *const names[] = {"loop.conf", "deep.conf", "folder.conf", "big.conf"};
    struct folder folder;
    struct scene scene;
    char want[512];
    folder_make(&folder);
    folder_put(&folder, "loop.conf", "include = loop.conf\n");
    (void)folder_read(&folder, "loop.conf", &scene);
    (void)snprintf(want, sizeof(want), "%s/loop.conf:1: %s/loop.conf includes itself\n",
        folder.path, folder.path);
    assert_string_equal(scene.said, want);
    scene_close(&scene);

    (void)folder_read(&folder, "none.conf", &scene);
    (void)snprintf(
        want, sizeof(want), "cannot read %s/none.conf: No such file or directory\n", folder.path);
    assert_string_equal(scene.said, want);
    scene_close(&scene);

    folder_put(&folder, "folder.conf", "include = .\n");
    (void)folder_read(&folder, "folder.conf", &scene);
    (void)snprintf(want, sizeof(want), "%s/folder.conf:1: %s/. is a folder, expected a file\n",
        folder.path, folder.path);
    assert_string_equal(scene.said, want);
    scene_close(&scene);

    folder_put(&folder, "big.conf", "x=y\n");
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/big.conf", folder.path);
    assert_int_equal(truncate(path, SETTINGS_FILE_BYTES_MAX + 1), 0);
    (void)folder_read(&folder, "big.conf", &scene);
    (void)snprintf(want, sizeof(want), "%s is longer than 8M\n", path);
    assert_string_equal(scene.said, want);
    scene_close(&scene);

    char text[64];
    folder_put(&folder, "deep.conf", "include = 0.d\n");
    for (unsigned i = 0; i < 12; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%u.d", i);
        (void)snprintf(text, sizeof(text), "include = %u.d\n", i + 1);
        folder_put(&folder, name, text);
    }
    (void)folder_read(&folder, "deep.conf", &scene);
    (void)snprintf(want, sizeof(want),
        "%s/7.d:1: %s/8.d is not read: files include each other more "
        "than 8 deep, or there are more than 256\n",
        folder.path, folder.path);
    assert_string_equal(scene.said, want);
    scene_close(&scene);
    for (unsigned i = 0; i < 12; i++) {
        (void)snprintf(path, sizeof(path), "%s/%u.d", folder.path, i);
        assert_int_equal(remove(path), 0);
    }
    folder_drop(&folder, names, YARDER_COUNT_OF(names));
}

static void test_arguments(void **state)
{
    (void)state;
    static const char *const given[] = {"run", "--io=epoll", "--output",
        "errors file:/e,level=error", "--output", "errors.level=warning", "--log-truncate",
        "--explain", "--input", "i.field.a_b=c", "--ring_memory", "1M", "--output=file:/x.level=y",
        "--host"};
    static const struct want want[] = {
        {SETTINGS_TOP, "", "command line", "io", "epoll"},
        {SETTINGS_TOP, "", "command line", "output", "errors file:/e,level=error"},
        {SETTINGS_OUTPUT, "errors", "command line", "level", "warning"},
        {SETTINGS_TOP, "", "command line", "log-truncate", NULL},
        {SETTINGS_INPUT, "i", "command line", "field.a_b", "c"},
        {SETTINGS_TOP, "", "command line", "ring-memory", "1M"},
        {SETTINGS_TOP, "", "command line", "output", "file:/x.level=y"},
    };
    struct scene scene;
    scene_open(&scene);
    char *arguments[YARDER_COUNT_OF(given)];
    int count = (int)YARDER_COUNT_OF(given);
    unsigned others = 0;
    int last = 0;
    for (int i = 0; i < count; i++) {
        arguments[i] = strdup(given[i]);
        assert_non_null(arguments[i]);
    }
    for (int at = 0; at < count && last >= 0;) {
        last = settings_read_argument(scene.settings, count, arguments, &at, &scene.report);
        others += last == 0;
        at += last == 0;
    }
    assert_int_equal(others, 2); /* run, --explain */
    assert_int_equal(last, -EINVAL);
    scene_print(&scene);
    assert_string_equal(scene.said, "command line: --host needs a value: NAME\n");
    check_list(scene.settings, want, YARDER_COUNT_OF(want));
    assert_false(settings_have_file(scene.settings));
    for (int i = 0; i < count; i++) {
        free(arguments[i]);
    }
    scene_close(&scene);
}

/* The place follows the environment; for whom the test runs decides the rest. */
static void test_place(void **state)
{
    (void)state;
    struct settings *settings = NULL;
    assert_int_equal(setenv("YARDER_RUN_DIR", "/elsewhere", 1), 0);
    assert_int_equal(setenv("STATE_DIRECTORY", "/state:/other", 1), 0);
    assert_int_equal(settings_open(&settings), 0);
    assert_string_equal(settings->place.run_dir, "/elsewhere");
    assert_string_equal(settings->place.state_dir, "/state");
    assert_true(settings->place.memory_bytes > 0);
    settings_close(settings);
    assert_int_equal(unsetenv("YARDER_RUN_DIR"), 0);
    assert_int_equal(unsetenv("STATE_DIRECTORY"), 0);
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
    assert_int_equal(setenv("XDG_STATE_HOME", "/xdg", 1), 0);
    assert_int_equal(settings_open(&settings), 0);
    char run_dir[64] = "/run/yarder";
    if (geteuid() != 0) {
        (void)snprintf(run_dir, sizeof(run_dir), "/tmp/yarder-%u", (unsigned)geteuid());
    }
    assert_string_equal(settings->place.run_dir, run_dir);
    assert_string_equal(
        settings->place.state_dir, geteuid() == 0 ? "/var/lib/yarder" : "/xdg/yarder");
    settings_close(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_good_texts),
        cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_expansion_is_bounded),
        cmocka_unit_test(test_include),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
