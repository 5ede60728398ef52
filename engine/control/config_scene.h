/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a configuration from a text, in a place that is the same everywhere. */
#ifndef YARDER_CONTROL_CONFIG_SCENE_H
#define YARDER_CONTROL_CONFIG_SCENE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "control/config.h"

enum { SCENE_SAID_BYTES = 32 << 10 };

struct scene {
    struct settings *settings;
    struct config_report report;
    struct daemon_config *config;
    int result; /* of the first step that failed, or 0 */
    char *said; /* what report_print says */
};

static inline void scene_open(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    assert_int_equal(settings_open(&scene->settings), 0);
    scene->settings->place = (struct settings_place){
        "/work", "/run/yarder", "/var/lib/yarder", "box", false, UINT64_C(16) << 30};
    scene->said = calloc(1, SCENE_SAID_BYTES);
    assert_non_null(scene->said);
    report_init(&scene->report);
}

static inline void scene_read(struct scene *scene, const char *text)
{
    int r = settings_read_text(scene->settings, "y.conf", text, strlen(text), &scene->report);
    scene->result = scene->result != 0 ? scene->result : r;
}

static inline void scene_argument(struct scene *scene, const char *key, const char *value)
{
    int r = settings_set(scene->settings, key, value, &scene->report);
    scene->result = scene->result != 0 ? scene->result : r;
}

static inline void scene_print(struct scene *scene)
{
    FILE *to = fmemopen(scene->said, SCENE_SAID_BYTES, "w");
    assert_non_null(to);
    report_print(&scene->report, true, to);
    assert_int_equal(fclose(to), 0);
}

static inline void scene_load(struct scene *scene)
{
    int r = config_load(&scene->config, scene->settings, &scene->report);
    scene->result = scene->result != 0 ? scene->result : r;
    scene_print(scene);
}

/* Appends a piece so many times to the text at `at`. */
static inline void scene_repeat(char *at, size_t room, const char *piece, unsigned count)
{
    size_t length = strlen(at);
    assert_true(length + count * strlen(piece) < room);
    for (unsigned i = 0; i < count; i++) {
        memcpy(at + length, piece, strlen(piece) + 1);
        length += strlen(piece);
    }
}

/* All of it at once. */
static inline void scene_run(struct scene *scene, const char *text)
{
    scene_open(scene);
    scene_read(scene, text);
    scene_load(scene);
}

static inline void scene_close(struct scene *scene)
{
    config_close(scene->config);
    settings_close(scene->settings);
    report_deinit(&scene->report);
    free(scene->said);
}

#endif
