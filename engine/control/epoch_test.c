/* SPDX-License-Identifier: Apache-2.0 */
/* Goal: an epoch is later than any that the state directory remembers, whatever the clock says. */
#include "control/epoch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char folder[] = "/tmp/yarder-epoch-XXXXXX";

static void path_of(char *at, size_t room)
{
    (void)snprintf(at, room, "%s/epoch", folder);
}

static void write_file(const char *text)
{
    char path[64];
    path_of(path, sizeof(path));
    YARDER_OWN_FILE FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
}

/* What a hold whose clock says `clock_ns` gets. */
static uint64_t settle(enum output_kind kind, uint64_t clock_ns, bool *said)
{
    struct hold_header header = {.epoch_ns = clock_ns};
    struct hold hold = {.header = &header};
    static struct daemon_config config; /* large; zeroed */
    char why[EPOCH_WHY_BYTES];
    config.state_dir = folder;
    config.outputs_count = 1;
    config.outputs[0].kind = kind;
    epoch_settle(&config, &hold, why, sizeof(why));
    *said = why[0] != '\0';
    return header.epoch_ns;
}

static void test_grows_though_the_clock_goes_back(void **state)
{
    bool said = true;
    (void)state;
    assert_true(settle(OUTPUT_OFFLOAD, 5000, &said) == 5000 && !said);
    uint64_t second = settle(OUTPUT_OFFLOAD, 4000, &said);
    assert_true(second >= 5000 + YARDER_OUTPUTS_MAX && !said);
    assert_true(settle(OUTPUT_OFFLOAD, 3000, &said) >= second + YARDER_OUTPUTS_MAX);
    assert_true(settle(OUTPUT_OFFLOAD, 1ull << 60, &said) == 1ull << 60);
    assert_true(settle(OUTPUT_OFFLOAD, 1, &said) > 1ull << 60);
}

static void test_leaves_others_alone(void **state)
{
    bool said = true;
    char path[64];
    struct stat facts;
    (void)state;
    path_of(path, sizeof(path));
    (void)unlink(path);
    assert_true(settle(OUTPUT_FILE, 7, &said) == 7 && !said);
    assert_int_equal(stat(path, &facts), -1);
}

static void test_garbage_is_no_epoch(void **state)
{
    static const char *const texts[] = {
        "", "x", "-5\n", "99999999999999999999\n", "9223372036854775807\n", "18446744073709551615"};
    bool said = true;
    (void)state;
    for (size_t i = 0; i < YARDER_COUNT_OF(texts); i++) {
        write_file(texts[i]);
        assert_true(settle(OUTPUT_OFFLOAD, 5000, &said) == 5000 && !said);
        assert_true(settle(OUTPUT_OFFLOAD, 5000, &said) == 5000 + YARDER_OUTPUTS_MAX);
    }
}

static void test_a_place_that_is_no_file_is_said(void **state)
{
    bool said = false;
    char path[64];
    (void)state;
    path_of(path, sizeof(path));
    (void)unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_true(settle(OUTPUT_OFFLOAD, 5000, &said) == 5000 && said);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grows_though_the_clock_goes_back),
        cmocka_unit_test(test_leaves_others_alone), cmocka_unit_test(test_garbage_is_no_epoch),
        cmocka_unit_test(test_a_place_that_is_no_file_is_said)};
    if (mkdtemp(folder) == NULL) {
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)rmdir(folder);
    return failed;
}
