/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a configuration of uWSGI's is read as uWSGI reads it. Method: texts, and what show-config
 * of 2.0.21 says of the same.
 */
#include "control/config_scene.h"
#include "control/settings_private.h"
#include "control/uwsgi_names.h"

static void take_nothing(
    void *context, uint32_t line, struct yarder_text key, struct yarder_text value)
{
    (void)context;
    (void)line;
    (void)key;
    (void)value;
}

/* Whether a row can be read by this build: YAML takes its library. */
static bool is_readable(const char *name)
{
    char why[SETTINGS_WHY_BYTES];
    uint32_t line = 0;
    const struct settings_pairs pairs = {.take = take_nothing, .section = "uwsgi"};
    return strstr(name, ".yaml") == NULL ||
           settings_read_yaml(&pairs, "uwsgi: {}\n", 10, &line, why) == 0;
}

/* All values of uWSGI's section, "KEY=VALUE" behind each other. */
static void list_settings(const struct scene *scene, char *at, size_t room)
{
    size_t length = 0;
    at[0] = '\0';
    for (uint32_t i = 0; i < scene->settings->count && length < room; i++) {
        const struct setting *setting = &scene->settings->list[i];
        if (setting->section == SETTINGS_UWSGI && setting->key[0] != '\0') {
            length += (size_t)snprintf(at + length, room - length, "%s=%s\n", setting->key,
                setting->value != NULL ? setting->value : "");
        }
    }
}

static void test_texts(void **state)
{
    (void)state;
    assert_int_equal(setenv("YARDER_TEST_SOME", "some", 1), 0);
    static const struct {
        const char *name;
        const char *text;
        const char *listed;
        const char *said;
    } rows[] = {
        {"/a/b/app.prod.ini",
            "[uwsgi]\na = p=%p s=%s d=%d e=%e n=%n c=%c o=%o x=%x v=%v h=%h 0=%0 1=%1 2=%2 %%\n",
            "a=p=/a/b/app.prod.ini s=app.prod.ini d=/a/b/ e=ini n=app.prod c=b "
            "o=/a/b/app.prod.ini x= v=/work h=box 0=a 1=b 2= %\n",
            ""},
        {"y.ini", "[uwsgi]\nb = 100% x%z%\n", "b=100x\n",
            "y.ini:2: warning: % is nothing, as in uWSGI: in [uwsgi] a percent sign is %%\n"
            "y.ini:2: warning: %z is nothing, as in uWSGI: in [uwsgi] a percent sign is %%\n"},
        {"y.ini",
            "[uwsgi]\nc1 = $(YARDER_TEST_SOME) $(NOPE) %(late) %(nope) %(a1)\n"
            "late = L1 $(NOPE)\nlate = L2\na1 = 1 ; no comment\n_u_v = x\n",
            "c1=some $(NOPE) L1 $(NOPE) %(nope) 1 ; no comment\nlate=L1 $(NOPE)\nlate=L2\n"
            "a1=1 ; no comment\n-u-v=x\n",
            ""},
        {"y.ini", "[uwsgi]\nfor = x y\nlogger = %(_) file:/t/%(_)\nq = %(_)\nendfor =\nz = 1\n",
            "logger=x file:/t/x\nlogger=y file:/t/y\nq=x\nq=y\nz=1\n", ""},
        {"y.ini", "[uwsgi]\nfor-times = 2\nft = %(_)\nendfor =\n", "ft=1\nft=2\n", ""},
        {"y.ini",
            "[uwsgi]\nif-env = YARDER_TEST_SOME\ne1 = yes %(_)\nendif =\nif-exists = /nonexist\n"
            "e2 = no\nendif =\nif-not-exists = /nonexist\ne3 = yes %(_)\nend =\n"
            "if-opt = e1\ne4 = set\nendif =\nif-opt = e3=no\ne5 = 1\nendif =\n"
            "ifnot-dir = /\ne6 = 1\nendif =\nif-hostname = box\ne7 = 1\nendif\ne8 = 1\n",
            "e1=yes some\ne3=yes /nonexist\ne4=set\ne7=1\ne8=1\n", ""},
        {"y.ini", "[uwsgi]\nset-placeholder = ph=val\nu1 = %(ph)\nset = logto2=/x/%(ph)\n",
            "set-placeholder=ph=val\nu1=val\nset=logto2=/x/val\nlogto2=/x/val\n", ""},
        {"y.yaml",
            "a: [1]\nuwsgi:\n  logger:\n    - x file:/t/%n\n    - 'b'\n  deep: {logto: /no}\n"
            "  n: 5\n  list: [[1, 2], 3]\n  on: true\nz: {logto: /no}\n",
            "logger=x file:/t/y\nlogger=b\nn=5\nlist=3\non=true\n", ""},
        {"y.json",
            "{\"a\": {\"logto\": \"/no\"},\n \"uwsgi\": {\"l\": [\"a %%\", 5, true, null, 1.5],\n"
            "\"f\": false, \"o\": {\"logto\": \"/q\"}, \"s\": \"%d\"}}",
            "l=a %\nl=5\nl=1\nl=0\nl=1.5\nf=0\ns=/work/\n", ""},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        if (!is_readable(rows[i].name)) {
            continue;
        }
        struct scene scene;
        char listed[4096];
        scene_open(&scene);
        int r = settings_read_text(
            scene.settings, rows[i].name, rows[i].text, strlen(rows[i].text), &scene.report);
        scene_print(&scene);
        list_settings(&scene, listed, sizeof(listed));
        assert_string_equal(listed, rows[i].listed);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(r, 0);
        scene_close(&scene);
    }
}

#define DEEP_16 "[[[[[[[[[[[[[[[["
#define DEEP    DEEP_16 DEEP_16 DEEP_16 DEEP_16

static void test_bad_texts(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        const char *said;
    } rows[] = {
        {"y.yaml", "uwsgi:\n  a: [\n", "y.yaml:3: no YAML: did not find expected node content\n"},
        {"y.yaml", "uwsgi:\n  a: &b x\n  c: *b\n",
            "y.yaml:3: an alias, which uWSGI does not follow either\n"},
        {"y.yaml", "uwsgi:\n  a: " DEEP "\n", "y.yaml:2: deeper than 64 lists and mappings\n"},
        {"y.yaml", "a: b\n",
            "y.yaml:1: there is no 'uwsgi' in it, expected that key with those of the "
            "configuration below it\n"},
        {"y.json", "{\"uwsgi\":\n{\"a\": }}", "y.json:2: no JSON from here on\n"},
        {"y.json", "{\"uwsgi\": [1]}",
            "y.json:1: there is no 'uwsgi' in it, expected that key with those of the "
            "configuration below it\n"},
        {"y.ini", "[uwsgi]\nini = :uwsgi\n",
            "y.ini:2: cannot read y.ini: No such file or directory\n"},
        {"y.ini", "[uwsgi]\nfor-times = 5000\nlogto = x\n",
            "y.ini:3: for-times: at most 1000 rounds are read\n"},
    };
    for (size_t i = 0; i < YARDER_COUNT_OF(rows); i++) {
        if (!is_readable(rows[i].name)) {
            continue;
        }
        struct scene scene;
        scene_open(&scene);
        int r = settings_read_text(
            scene.settings, rows[i].name, rows[i].text, strlen(rows[i].text), &scene.report);
        scene_print(&scene);
        assert_string_equal(scene.said, rows[i].said);
        assert_int_equal(r, -EINVAL);
        scene_close(&scene);
    }
}

static void test_files_of_files(void **state)
{
    (void)state;
    char folder[] = "/tmp/yarder-uwsgi-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[128];
    char asked[160];
    char listed[4096];
    (void)snprintf(path, sizeof(path), "%s/app.ini", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file, "[output x]\ntype = null\n[uwsgi]\na = 1\nini = :more\nb = 2\nif-exists = "
                        "%%p\nini = %%(_):part\n"
                        "endif =\nif-exists = /nonexistent\nini = %%(_)\nendif =\n[part]\np = 1\n"
                        "[more]\n"
                        "c = %%x\nini = :more\nyaml = %%d/y.yaml\nd = 4\n[uwsgi]\ne = 5\n");
    assert_int_equal(fclose(file), 0);
    struct scene scene;
    scene_open(&scene);
    (void)snprintf(asked, sizeof(asked), "%s:more", path);
    assert_int_equal(settings_read_file(scene.settings, asked, &scene.report), -EINVAL);
    scene_print(&scene);
    assert_non_null(strstr(scene.said, "app.ini:17: "));
    assert_non_null(strstr(scene.said, "app.ini includes itself"));
    assert_non_null(strstr(scene.said, "y.yaml: No such file or directory"));
    list_settings(&scene, listed, sizeof(listed));
    assert_string_equal(listed, "c=more\nd=4\n");
    scene_close(&scene);
    scene_open(&scene);
    assert_int_equal(settings_read_file(scene.settings, path, &scene.report), -EINVAL);
    list_settings(&scene, listed, sizeof(listed));
    assert_string_equal(listed, "a=1\nc=more\nd=4\nb=2\np=1\ne=5\n");
    scene_close(&scene);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void test_names(void **state)
{
    (void)state;
    assert_int_equal(uwsgi_argument("master"), UWSGI_WITHOUT_ARGUMENT);
    assert_int_equal(uwsgi_argument("wsgi_file"), UWSGI_WITH_ARGUMENT);
    assert_int_equal(uwsgi_argument("log-date"), UWSGI_PERHAPS_ARGUMENT);
    assert_int_equal(uwsgi_argument("outptu"), UWSGI_UNKNOWN);
    assert_int_equal(uwsgi_argument("master socket"), UWSGI_UNKNOWN);
    assert_int_equal(uwsgi_argument(""), UWSGI_UNKNOWN);
    assert_string_equal(uwsgi_letter('d'), "daemonize");
    assert_null(uwsgi_letter('q'));
    for (char letter = '0'; letter <= 'z'; letter++) {
        const char *name = uwsgi_letter(letter);
        assert_true(name == NULL || uwsgi_argument(name) != UWSGI_UNKNOWN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_bad_texts),
        cmocka_unit_test(test_files_of_files),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
