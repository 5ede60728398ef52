/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: packed and unpacked, a list is the same; a broken buffer is refused. Method: random lists
 * (SETTINGS_SEED replays them), and every cut and every changed byte of a small one.
 */
#include "base/test_random.h"
#include "control/config_scene.h"

/* Any bytes but NUL. */
static char *random_text(struct settings *settings)
{
    char bytes[40];
    size_t length = below(sizeof(bytes));
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (char)(1 + below(255));
    }
    return arena_text(&settings->arena, bytes, length);
}

static void fill_at_random(struct scene *scene, unsigned count)
{
    struct settings *settings = scene->settings;
    settings->place.memory_bytes = random_next();
    settings->place.host = random_text(settings);
    settings->sections_count = 9;
    for (unsigned i = 0; i < count; i++) {
        const char *value = i % 7 == 0 ? NULL : random_text(settings);
        int r = settings_set(settings, random_text(settings), value, &scene->report);
        assert_true(r == 0 || r == -EINVAL); /* ${env: may come by chance */
    }
    for (uint32_t i = 0; i < settings->count; i++) {
        struct setting *setting = &settings->list[i];
        setting->section = (enum settings_section)(i % SETTINGS_SECTIONS);
        setting->section_number = i % 9;
        setting->line = i;
        setting->file = i % 3 == 0 ? "" : random_text(settings);
    }
}

static bool same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_place(const struct settings_place *a, const struct settings_place *b)
{
    return same(a->working_dir, b->working_dir) && same(a->run_dir, b->run_dir) &&
           same(a->state_dir, b->state_dir) && same(a->host, b->host) &&
           a->stdin_feeds == b->stdin_feeds && a->memory_bytes == b->memory_bytes;
}

static bool same_setting(const struct setting *a, const struct setting *b)
{
    return a->section == b->section && a->section_number == b->section_number &&
           a->line == b->line && same(a->section_name, b->section_name) && same(a->file, b->file) &&
           same(a->where, b->where) && same(a->key, b->key) && same(a->value, b->value);
}

/* Whether both lists say the same at the same places. */
static bool is_equal(const struct settings *a, const struct settings *b)
{
    if (a->count != b->count || a->files_count != b->files_count ||
        a->sections_count != b->sections_count || !same_place(&a->place, &b->place)) {
        return false;
    }
    for (uint32_t i = 0; i < a->count; i++) {
        if (!same_setting(&a->list[i], &b->list[i])) {
            return false;
        }
    }
    return true;
}

static void test_pack_round_trip(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct scene scene;
        scene_open(&scene);
        fill_at_random(&scene, round);
        void *bytes = NULL;
        size_t bytes_count = 0;
        assert_int_equal(settings_pack(scene.settings, &bytes, &bytes_count), 0);
        struct settings *back = NULL;
        assert_int_equal(settings_unpack(&back, bytes, bytes_count), 0);
        assert_true(is_equal(scene.settings, back));
        void *again = NULL;
        size_t again_count = 0;
        assert_int_equal(settings_pack(back, &again, &again_count), 0);
        assert_int_equal(again_count, bytes_count);
        assert_memory_equal(again, bytes, bytes_count);
        settings_close(back);
        free(again);
        free(bytes);
        scene_close(&scene);
    }
}

/* Cut anywhere, or with any byte changed, it is refused or it is another list: never a crash. */
static void test_unpack_broken(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    scene_read(&scene, "input = ring\n[output x]\ntype = null\nlevel = info\n");
    void *bytes = NULL;
    size_t bytes_count = 0;
    assert_int_equal(settings_pack(scene.settings, &bytes, &bytes_count), 0);
    for (size_t length = 0; length < bytes_count; length++) {
        struct settings *back = NULL;
        YARDER_OWN_HEAP void *exact = malloc(length + 1);
        assert_non_null(exact);
        memcpy(exact, bytes, length);
        assert_int_equal(settings_unpack(&back, exact, length), -EBADMSG);
        struct settings *changed = NULL;
        ((unsigned char *)bytes)[length] ^= 0x81;
        int r = settings_unpack(&changed, bytes, bytes_count);
        assert_true(r == 0 || r == -EBADMSG);
        assert_true(r != 0 || !is_equal(changed, scene.settings));
        ((unsigned char *)bytes)[length] ^= 0x81;
        settings_close(changed);
    }
    free(bytes);
    scene_close(&scene);
}

int main(void)
{
    random_begin("SETTINGS_SEED");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pack_round_trip),
        cmocka_unit_test(test_unpack_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
